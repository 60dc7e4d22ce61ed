"""Checks of plain options, in one wording."""

import numbers
from collections.abc import Iterable, Sequence
from reprlib import repr as short
from typing import Any

import numpy as np

from attrkit.errors import InputError

_LARGEST = 2**63 - 1
"""What files and generators of random numbers can hold."""


def is_number(value: Any) -> bool:
    """Whether a value is a plain number; True and False are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def one_of(value: Any, name: str, accepted: Sequence[str]) -> None:
    """Refuse a word that is none of those accepted.

    Examples
    --------
    >>> one_of("mode", "statistic", ("mean", "median"))
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: statistic='mode' is not known; accepted are 'mean', 'median'
    """
    if not isinstance(value, str) or value not in accepted:
        raise InputError(f"{name}={value!r} is not known; accepted are {', '.join(map(repr, accepted))}")


def flag(value: Any, name: str) -> bool:
    """Return True or False; refuse all else, which Python would take for one of them.

    Examples
    --------
    >>> flag("no", "absolute")
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: absolute='no' is not known; accepted are True and False
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}={value!r} is not known; accepted are True and False")
    return bool(value)


def name_list(value: Any, name: str) -> list[str]:
    """Return a name, or a sequence of names, as a list; refuse what holds anything but text.

    Examples
    --------
    >>> name_list("sample", "over"), name_list(("seed", "sample"), "over")
    (['sample'], ['seed', 'sample'])
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple | dict) or not all(isinstance(one, str) for one in given):
        raise InputError(f"{name}={short(value)} came; accepted are a name, or a list of names")
    return list(given)


def some_of(value: Any, name: str, accepted: Iterable[str]) -> list[str]:
    """Return a name, or a sequence of names, of those accepted, each once; refuse others, and none at all.

    Examples
    --------
    >>> some_of("csv", "formats", ("csv", "md"))
    ['csv']
    >>> some_of(["csv", "xls"], "formats", ("csv", "md"))
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: formats=['csv', 'xls'] is not known; accepted are some of 'csv', 'md'
    """
    names, known = name_list(value, name), list(accepted)
    if not names or any(one not in known for one in names):
        raise InputError(f"{name}={value!r} is not known; accepted are some of {', '.join(map(repr, known))}")
    return list(dict.fromkeys(names))


def real_number(
    value: Any, name: str, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """Return a finite number within its bounds, or refuse it.

    Examples
    --------
    >>> real_number(0.5, "max_share", above=0, most=1)
    0.5
    >>> real_number(float("nan"), "tolerance", above=0)
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: tolerance must be a number above 0, got nan
    """
    fits = is_number(value) and np.isfinite(value)
    fits = fits and (above is None or value > above) and (least is None or value >= least)
    if not (fits and (most is None or value <= most)):
        start = f" above {above}" if above is not None else f", {least} or more" if least is not None else ""
        end = "" if most is None else f" and up to {most}"
        raise InputError(f"{name} must be a number{start}{end}, got {value!r}")
    return float(value)


def whole_number(value: Any, name: str, *, least: int) -> int:
    """Return a whole number from `least` on, or refuse it.

    Examples
    --------
    >>> whole_number(2.5, "n_steps", least=1)
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: n_steps must be a whole number, 1 or more, got 2.5
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise InputError(f"{name} must be a whole number, {least} or more, got {value!r}")
    if int(value) > _LARGEST:
        raise InputError(f"{name} must be a whole number up to {_LARGEST}, got {value!r}")
    return int(value)
