"""Expected gradients: integrated gradients from every row of a background, averaged."""

from typing import Any

import numpy as np

from attrkit.errors import InputError, RefusedError
from attrkit.method import OUTPUT, attribution, measured, needs_gradient


@needs_gradient
def expected_gradients(
    model: Any,
    x: np.ndarray,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    mask: np.ndarray | None = None,
    background: np.ndarray,
    n_steps: int = 16,
) -> dict[str, Any]:
    """Return integrated gradients, averaged over baselines (Erion et al. 2021, arXiv:1906.10670, eq. 3).

    Parameters
    ----------
    model : Adapter
    x : ndarray of shape (sample, timestep, channel)
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    mask : ndarray of bool of shape (sample, timestep), optional
        False where padded.
    background : ndarray of shape (row, timestep, channel)
        The baselines, such as some of the training data.
    n_steps : int, default 16
        Gradients on the way from each of them.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction``, the mean output over the
        background, and ``completeness_gap``, what the sum misses of the change from there, both of shape (sample,).

    Raises
    ------
    InputError
        If the background does not fit the inputs.
    RefusedError
        If there are several inputs, or inputs are padded: a row of the background is real where a sample is not.

    Examples
    --------
    The product of two channels shares out equally, whatever the background:

    >>> import attrkit
    >>> def product(x):
    ...     return x[:, :, 0].sum(axis=1) * x[:, :, 1].sum(axis=1)
    >>> x = np.ones((1, 2, 2), "float32")
    >>> ds = attrkit.extract(
    ...     attrkit.adapt(product, framework="jax"), x, expected_gradients, background=np.zeros((3, 2, 2))
    ... )
    >>> ds["attribution"].values.round(3).tolist(), ds.attrs["gradient_evaluations"]
    ([[[1.0, 1.0], [1.0, 1.0]]], 48)
    """
    if not isinstance(x, np.ndarray):
        raise RefusedError(f"expected_gradients takes one input; these are {', '.join(x)}")
    background = np.asarray(background, x.dtype)
    if background.ndim != x.ndim or background.shape[1:] != x.shape[1:] or not len(background):
        accepted = f"(row, {', '.join(map(str, x.shape[1:]))})"
        raise InputError(f"background has shape {background.shape}; accepted is {accepted}")
    if mask is not None:
        raise RefusedError("expected_gradients has no answer for padded inputs; use integrated_gradients")
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    total = np.zeros_like(x)
    for row in background:
        # One call for each baseline; rows, batches and progress are the adapter's part.
        slopes = model.path_gradient(x, target, baseline=row[None], alphas=(nodes + 1) / 2, weights=weights / 2)
        total += (x - row) * slopes / len(background)
    # The model's other inputs, if it has any, would be those of the first sample.
    at_start = model.predict(background, sample=np.zeros(len(background), int)).mean(axis=0)[target]
    return {
        "attribution": attribution(total, long_name="expected gradients", units=OUTPUT),
        **measured(total, at_start, prediction, target),
    }
