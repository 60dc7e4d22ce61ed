"""What readers have found, batch by batch."""

import numpy as np

from attrkit.adapters.memory import free_memory
from attrkit.adapters.terms import Readings
from attrkit.errors import RefusedError


def by_sample(read: dict[str, np.ndarray], path: str, rows: int, strict: bool) -> dict[str, np.ndarray]:
    """Return what was read of one call of a layer, if it has one row for each of the batch."""
    wrong = [value for value in read.values() if value.ndim == 0 or len(value) != rows]
    if wrong and strict:
        raise RefusedError(
            f"layer {path!r} sees {wrong[0].shape[0] if wrong[0].ndim else 'no'} rows where the batch has {rows}: time "
            "or heads are folded into its batch, so its values have no sample of their own; read another layer"
        )
    return {} if wrong else read


class Collected:
    """What readers find, each batch written to its rows: held once, as it may be the largest array there is.

    Parameters
    ----------
    count : int
        Rows of all batches together.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._found: Readings | None = None

    def add(self, rows: np.ndarray, found: Readings) -> None:
        """Write what was found for these rows; what one batch has not is left out."""
        if self._found is None:
            self._check_room(found)
            self._found = {p: [{k: self._room(v) for k, v in call.items()} for call in c] for p, c in found.items()}
        for path, calls in self._found.items():
            for whole, part in zip(calls, found[path], strict=True):
                for name in [*whole]:
                    if name in part:
                        whole[name][rows] = part[name][: len(rows)]
                    else:
                        del whole[name]

    def all(self) -> Readings:
        """Return what was found of every batch."""
        return self._found or {}

    def _check_room(self, found: Readings) -> None:
        """Refuse what memory does not hold: the system would end the process once it is written to."""
        sizes = {
            path: sum(self._count * values[0].nbytes for call in calls for values in call.values())
            for path, calls in found.items()
        }
        needed, free = sum(sizes.values()), free_memory()
        if needed > free:
            largest = max(sizes, key=lambda path: sizes[path])
            shape = max((v for call in found[largest] for v in call.values()), key=lambda v: v[0].nbytes).shape[1:]
            raise RefusedError(
                f"what is read of {self._count} samples takes {needed / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are "
                f"free: layer {largest!r} gives {shape} numbers a sample. Take fewer samples at a time; of attention "
                'keep one value a timestep, reduce="mean", weights=False, or write to a folder, store="NAME.zarr"'
            )

    def _room(self, values: np.ndarray) -> np.ndarray:
        return np.empty((self._count, *values.shape[1:]), values.dtype)
