"""What readers have found, batch by batch."""

from collections.abc import Sequence

import numpy as np

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


def joined(batches: Sequence[Readings]) -> Readings:
    """Join what was read of all batches; what one of them has not is left out."""

    def whole(path: str, i: int) -> dict[str, np.ndarray]:
        calls = [batch[path][i] for batch in batches]
        return {name: np.concatenate([c[name] for c in calls]) for name in calls[0] if all(name in c for c in calls)}

    return {path: [whole(path, i) for i in range(len(calls))] for path, calls in batches[0].items()}
