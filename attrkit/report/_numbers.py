"""Numbers of a page: joined and rounded until they fit, and written as text that a browser unpacks."""

import base64
import gzip
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from attrkit.errors import InputError
from attrkit.plot.ticks import Steps
from attrkit.report._contents import Contents, Matrix

MOST_VALUES = 400_000
"""Of series and attributions, four bytes each."""

MOST_BLOCKS = 4_000
"""Timesteps along one axis: as many as a wide screen has dots."""

LEVELS = 254
"""What the square root of a weight is rounded to; one more code stands for blank."""

_MILLISECONDS = 86_400_000


class Numbers(NamedTuple):
    """Numbers of a page: what describes them, packed axes and samples, and what was done to them."""

    head: dict[str, Any]
    axes: list[str]
    samples: list[str]
    notes: list[str]


def pack_numbers(contents: Contents, room: int) -> Numbers:
    """Pack all numbers of a page into about `room` letters.

    Timesteps are joined into blocks where there are too many values, attention into blocks of queries by keys until
    it fits: the smallest blocks that do. A block of attributions or weights shows the one of largest magnitude, a
    block of the series its mean.

    Parameters
    ----------
    contents : Contents
    room : int

    Returns
    -------
    Numbers
        Of each sample, its series, strips and matrices one after the other.

    Raises
    ------
    InputError
        If they do not fit, however large the blocks.
    """
    width = _width(contents)
    values = _values(contents, width)
    axes = _Axes()
    head: dict[str, Any] = {
        "steps": [axes.add(one, width) for one in contents.places],
        "lanes": None if contents.series is None else _ranges(contents.series),
        "strips": [{"rows": strip.values.shape[1], **_tops(strip.values)} for strip in contents.strips],
    }
    # Keys and queries have axes of their own, of the same size at most.
    left = room - sum(len(pack(one)) for one in values) - 3 * sum(map(len, axes.packed))
    side, codes = _fit(contents.matrices, len(values), left)
    head["matrices"] = [
        {
            "keys": [axes.add(one, side) for one in matrix.keys],
            "queries": [axes.add(one, side) for one in matrix.queries],
            **_tops(matrix.weights),
        }
        for matrix in contents.matrices
    ]
    head |= {"axes": axes.about, "levels": LEVELS}
    samples = [pack(one + code) for one, code in zip(values, codes, strict=True)]
    return Numbers(head, axes.packed, samples, _notes(contents, width, side))


def pack(numbers: bytes) -> str:
    """Compress bytes and write them as text.

    Examples
    --------
    >>> gzip.decompress(base64.b64decode(pack(b"abc")))
    b'abc'
    """
    # Without the time of day: the same results make the same page.
    return base64.b64encode(gzip.compress(numbers, 6, mtime=0)).decode("ascii")


def join(values: np.ndarray, width: int, *, how: str = "largest") -> np.ndarray:
    """Join the last axis into blocks.

    Parameters
    ----------
    values : ndarray of shape (..., n)
        NaN where blank.
    width : int
        Of a block; the last may be shorter.
    how : {"largest", "mean"}, default "largest"
        The value of largest magnitude of each block, with its sign, or their mean.

    Returns
    -------
    ndarray of shape (..., ceil(n / width))
        NaN where all of a block is blank.

    Examples
    --------
    >>> join(np.array([1.0, -3.0, 2.0, np.nan, 5.0]), 2), join(np.array([1.0, 3.0, 2.0]), 2, how="mean")
    (array([-3.,  2.,  5.]), array([2., 2.]))
    """
    if width == 1:
        return values
    n_blocks = math.ceil(values.shape[-1] / width)
    filled = np.full((*values.shape[:-1], n_blocks * width), np.nan, values.dtype)
    filled[..., : values.shape[-1]] = values
    blocks = filled.reshape(*values.shape[:-1], n_blocks, width)
    known = ~np.isnan(blocks)
    if how == "mean":
        total = np.where(known, blocks, 0).sum(axis=-1)
        return np.divide(total, known.sum(axis=-1), out=np.full_like(total, np.nan), where=known.any(axis=-1))
    at = np.where(known, np.abs(blocks), -1).argmax(axis=-1)
    return np.take_along_axis(blocks, at[..., None], axis=-1)[..., 0]


def _width(contents: Contents) -> int:
    """Return how many timesteps are joined, so that there are not too many values."""
    rows = sum(strip.values.shape[1] for strip in contents.strips)
    rows += 0 if contents.series is None else contents.series.shape[1]
    n_steps = len(contents.places[0].positions)
    fitting = max(1, min(MOST_BLOCKS, MOST_VALUES // max(1, rows * len(contents.samples))))
    return math.ceil(n_steps / fitting)


def _values(contents: Contents, width: int) -> list[bytes]:
    """Return series and strips of each sample, as little-endian float32."""
    parts = [] if contents.series is None else [join(contents.series, width, how="mean")]
    parts += [join(strip.values, width) for strip in contents.strips]
    return [b"".join(part[i].astype("<f4").tobytes() for part in parts) for i in range(len(contents.samples))]


def _fit(matrices: Sequence[Matrix], n_samples: int, room: int) -> tuple[int, list[bytes]]:
    """Return the smallest blocks of weights that fit, and the codes of each sample."""
    if not matrices:
        return 1, [b""] * n_samples
    longest = max(max(matrix.weights.shape[1:]) for matrix in matrices)
    # Where weights would have to take less than a twelfth of a letter each, smaller blocks are not worth a try.
    cells = sum(matrix.weights.size for matrix in matrices)
    side = max(1, math.isqrt(int(cells / (12 * max(room, 1)))), math.ceil(longest / MOST_BLOCKS))
    while True:
        codes = [_code(matrix.weights, side) for matrix in matrices]
        each = [b"".join(code[i] for code in codes) for i in range(n_samples)]
        if sum(len(pack(one)) for one in each) <= room:
            return side, each
        if side >= longest:
            raise InputError(
                f"{n_samples} samples with {len(matrices)} matrices of attention do not fit a page; take fewer samples"
            )
        side += 1


def _code(weights: np.ndarray, side: int) -> list[bytes]:
    """Return the weights of each sample in blocks, as the square root of their share of the sample's largest."""
    joined = join(np.swapaxes(join(weights, side), 1, 2), side)
    joined = np.swapaxes(joined, 1, 2)
    tops = np.array(_tops(weights)["tops"])[:, None, None]
    share = np.sqrt(np.clip(joined / np.where(tops > 0, tops, 1), 0, 1))
    codes = np.where(np.isnan(share), LEVELS + 1, np.rint(share * LEVELS)).astype(np.uint8)
    return [code.tobytes() for code in codes]


def _tops(values: np.ndarray) -> dict[str, Any]:
    """Return the largest magnitude of each sample, zero where all is blank, and whether any value is negative."""
    known = np.nan_to_num(values).reshape(len(values), -1)
    return {"tops": np.abs(known).max(axis=1).astype(float).tolist(), "signed": bool((known < 0).any())}


def _ranges(series: np.ndarray) -> list[list[float]]:
    """Return the least and the largest value of each channel over all samples."""
    flat = np.moveaxis(series, 1, 0).reshape(series.shape[1], -1)
    known = ~np.isnan(flat)
    low, high = np.where(known, flat, np.inf).min(axis=1), np.where(known, flat, -np.inf).max(axis=1)
    return [[float(a), float(b)] if a <= b else [0.0, 0.0] for a, b in zip(low, high, strict=True)]


class _Axes:
    """The axes of a page, each kept once."""

    def __init__(self) -> None:
        self.about: list[dict[str, Any]] = []
        self.packed: list[str] = []

    def add(self, steps: Steps, width: int) -> int:
        """Keep the edges, first and last steps of blocks, and return the place where they are."""
        first, last = steps.positions[::width], steps.positions[np.arange(width - 1, len(steps.positions), width)]
        if len(last) < len(first):
            last = np.append(last, steps.positions[-1])
        edges = np.append(steps.edges[:-1:width], steps.edges[-1])
        about = {"kind": steps.kind, "size": len(first), "width": width, "label": steps.label}
        if steps.texts:
            about["texts"] = list(steps.texts)
        numbers = np.concatenate([edges, first, last])
        if steps.kind == "date":
            # From days to what browsers count in; matplotlib's days are off by parts of a millisecond.
            numbers = np.rint(numbers * _MILLISECONDS)
        packed = pack(numbers.astype("<f8").tobytes())
        for at, (known, text) in enumerate(zip(self.about, self.packed, strict=True)):
            if known == about and text == packed:
                return at
        self.about.append(about)
        self.packed.append(packed)
        return len(self.about) - 1


def _notes(contents: Contents, width: int, side: int) -> list[str]:
    """Say what was joined and rounded."""
    notes = []
    if width > 1:
        n_steps = len(contents.places[0].positions)
        notes.append(
            f"{n_steps:,} timesteps joined into blocks of {width}: of attributions the one of largest magnitude, of "
            "the series the mean"
        )
    if contents.matrices:
        joined = f"in blocks of {side} by {side}, of which the largest is shown, and " if side > 1 else ""
        notes.append(f"attention weights {joined}rounded: their square roots to 1/{LEVELS} of the sample's largest")
    return notes
