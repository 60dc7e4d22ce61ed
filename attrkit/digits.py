"""Numbers as readers want them: with as many digits as they are worth."""

import numpy as np
import pandas as pd


def with_interval(estimate: float, low: float, high: float) -> str:
    """Write an estimate with its limits, to the digits that half the interval's width is worth.

    Examples
    --------
    >>> with_interval(0.41234, 0.35, 0.47), with_interval(0.41234, np.nan, np.nan), with_interval(12.3, 11.0, 13.6)
    ('0.41 [0.35, 0.47]', '0.412', '12.3 [11.0, 13.6]')
    >>> with_interval(0.0213, -2.355, 2.399)
    '0.02 [-2.35, 2.40]'

    """
    if pd.isna(estimate):
        return ""
    if pd.isna(low) or pd.isna(high):
        return number(estimate)
    # Never less than three digits of the largest: a wide interval does not make an estimate 0.
    largest = max(abs(estimate), abs(low), abs(high), 1.0)
    decimals = max(_decimals((high - low) / 2, estimate), 2 - int(np.floor(np.log10(largest))))
    return f"{_fixed(estimate, decimals)} [{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def number(value: float) -> str:
    """Write a number to three digits.

    Examples
    --------
    >>> number(0.41234), number(1234.5), number(0.0), number(1.23e-7)
    ('0.412', '1234', '0', '1.23e-07')
    """
    if value == 0:
        return "0"
    if not np.isfinite(value):
        return str(value)
    size = int(np.floor(np.log10(abs(value))))
    return f"{value:.2e}" if size < -4 else _fixed(value, int(np.clip(2 - size, 0, 6)))


def _decimals(half: float, estimate: float) -> int:
    """Return how many decimals are worth writing: one digit of half the width, two if that begins with 1."""
    if half <= 0:
        return int(np.clip(2 - np.floor(np.log10(abs(estimate))), 0, 3)) if estimate else 2
    size = int(np.floor(np.log10(half)))
    return int(np.clip(-size + (half < 2 * 10.0**size), 0, 6))


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text
