"""Checks of plain options, in one wording."""

import numbers
from collections.abc import Sequence
from typing import Any

from attrkit.errors import InputError


def is_number(value: Any) -> bool:
    """Whether a value is a plain number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def one_of(value: Any, name: str, accepted: Sequence[str]) -> None:
    """Refuse a word that is none of those accepted.

    Examples
    --------
    >>> one_of("mode", "statistic", ("mean", "median"))
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: statistic='mode' is not known; accepted are 'mean', 'median'
    """
    if value not in accepted:
        raise InputError(f"{name}={value!r} is not known; accepted are {', '.join(map(repr, accepted))}")


def whole_number(value: Any, name: str, *, least: int) -> int:
    """Return a whole number from `least` on, or refuse it.

    Examples
    --------
    >>> whole_number(2.5, "n_steps", least=1)
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: n_steps must be a whole number, 1 or more, got 2.5
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name} must be a whole number, {least} or more, got {value!r}")
    return int(value)
