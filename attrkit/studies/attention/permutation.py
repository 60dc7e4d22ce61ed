"""What a model answers when its attention weights are shuffled."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.terms import LazyRows
from attrkit.checks import whole_number
from attrkit.schema import build_table
from attrkit.studies.attention.outputs import apart, measure_of
from attrkit.studies.attention.weights import read_layer


def permute_attention(
    model: Any,
    inputs: Any,
    *,
    layer: str | None = None,
    n_permutations: int = 100,
    mask: Any = None,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> xr.Dataset:
    """Shuffle the weights of an attention layer and measure how far the model's answer moves.

    Where other weights give the same answer, the weights do not say what the answer rests on (Jain and Wallace 2019,
    arXiv:1902.10186, section 4.2.1). Each row of weights is shuffled over its real keys by itself: a shuffle that all
    rows shared would do no more than move the values. A row that is flat is left as it is by every shuffle, so compare
    ``output_change`` at like ``largest_weight``.

    Parameters
    ----------
    model, inputs
        As in `attrkit.extract`.
    layer : str, optional
        Which attention layer, by name or a part of it; needed where there are several.
    n_permutations : int, default 100
        Shuffles of each sample.
    mask : array_like of bool of shape (sample, timestep), optional
        False where padded; known without it for a model that masks.
    batch_size : int, optional
        Rows a pass; a row is one shuffle of one sample.
    seed : int, default 0
        Shuffles of a sample depend on it and on the sample's number.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.

    Returns
    -------
    Dataset
        ``output_change`` of dims (sample, permutation), in the measure that its attribute says: total variation
        distance of class probabilities, which is 0 to 1, else the mean absolute difference of the outputs.
        ``median_output_change`` (sample), what Jain and Wallace plot against ``largest_weight`` (sample): the largest
        weight of a row, mean over heads and real queries. ``prediction`` (sample, output).

    Raises
    ------
    RefusedError
        If the model has no attention layer whose weights can be imposed.
    InputError
        If there are several and `layer` is not given, or an argument does not fit.

    Examples
    --------
    >>> found = permute_attention(model, x, n_permutations=5, show_progress=False)
    >>> found["output_change"].sizes["permutation"], bool((found["median_output_change"] > 0).all())
    (5, True)
    """
    n_permutations = whole_number(n_permutations, "n_permutations", least=1)
    seed = whole_number(seed, "seed", least=0)
    own = read_layer(model, inputs, layer=layer, mask=mask, batch_size=batch_size, show_progress=show_progress)
    count = len(own.weights)
    real = own.real

    def shuffled(rows: np.ndarray) -> np.ndarray:
        made = [
            _shuffle(own.weights[i], real[i], seed, i, k) for i, k in zip(*divmod(rows, n_permutations), strict=True)
        ]
        return np.stack(made)

    rows = LazyRows(count * n_permutations, shuffled, lambda rows: rows // n_permutations)
    found = own.model.predict(rows).reshape(count, n_permutations, -1)
    measure = measure_of(own.prediction)
    change = apart(found, own.prediction[:, None], measure)
    table = xr.Dataset(
        {
            "output_change": (("sample", "permutation"), change, {"long_name": measure}),
            "median_output_change": ("sample", np.median(change, axis=1), {"long_name": f"median {measure}"}),
            **own.described(),
        },
        coords={"sample": own.labels},
    )
    options = {"layer": own.path, "n_permutations": n_permutations, "seed": seed}
    return build_table("permute_attention", table, options)


def _shuffle(weights: np.ndarray, real: np.ndarray, seed: int, sample: int, number: int) -> np.ndarray:
    """Shuffle each row of weights of shape ([head, ][query, ]key) over its real keys."""
    draws = np.random.default_rng([seed, sample, number]).random(weights.shape)
    real = np.broadcast_to(real, weights.shape)
    # Sorted by a draw, with padding last in its own place, real keys change places with real keys only.
    to = np.argsort(np.where(real, 0, 1), axis=-1, kind="stable")
    come = np.argsort(np.where(real, draws, 2), axis=-1, kind="stable")
    shuffled = weights.copy()
    np.put_along_axis(shuffled, to, np.take_along_axis(weights, come, axis=-1), axis=-1)
    return shuffled
