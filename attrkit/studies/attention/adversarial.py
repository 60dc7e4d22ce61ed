"""Attention weights as far from a model's own as its answer lets them be."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import real_number, whole_number
from attrkit.schema import build_table, default_dims
from attrkit.studies.attention.outputs import apart, measure_of
from attrkit.studies.attention.weights import AttentionLayer, divergence_of_rows, mean_over_rows, read_layer

_VALUES = 2**23
"""Weights that are searched for at once."""

_PENALTY = 500.0
"""Of an answer that moves too far, in units of the divergence: as Jain and Wallace's code has it."""


def adversarial_attention(
    model: Any,
    inputs: Any,
    *,
    epsilon: float,
    layer: str | None = None,
    n_starts: int = 5,
    n_steps: int = 200,
    learning_rate: float = 0.3,
    mask: Any = None,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> xr.Dataset:
    r"""Search for weights that differ most from an attention layer's own and leave the model's answer as it is.

    .. math:: \max_{\hat\alpha} \mathrm{JSD}(\hat\alpha, \alpha)
        \quad\text{where}\quad |f(x, \hat\alpha) - f(x, \alpha)| \le \epsilon

    (Jain and Wallace 2019, arXiv:1902.10186, equations 3 to 5). The weights of real keys are a softmax, whose scores
    climb by Adam from several random starts; weights on padding stay. That an adversary is found says that the weights
    are not the only ones for this answer; it is another question whether a model could be trained to have them
    (Wiegreffe and Pinter 2019, arXiv:1908.04626).

    Parameters
    ----------
    model, inputs
        As in `attrkit.extract`.
    epsilon : float
        How far the answer may move, in the measure that is reported: the same in the search and in the report.
        Jain and Wallace take 0.01 of total variation for classes.
    layer : str, optional
        Which attention layer; needed where there are several.
    n_starts : int, default 5
        Searches of each sample; the best counts.
    n_steps : int, default 200
        Of the search, from each start.
    learning_rate : float, default 0.3
        Of the first step; it falls to nothing in the last.
    mask : array_like of bool of shape (sample, timestep), optional
        False where padded; known without it for a model that masks.
    batch_size : int, optional
        Rows a pass; a row is one search of one sample.
    seed : int, default 0
        Starts of a sample depend on it and on the sample's number.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.

    Returns
    -------
    Dataset
        ``jensen_shannon`` (sample): the divergence in bits, mean over heads and real queries, of the best weights
        whose answer is within `epsilon`; 1 would be weights that share no key (0.69 in the nats of Jain and Wallace).
        ``output_change`` (sample), theirs. ``attention``: these weights, where none was found the layer's own.
        ``largest_weight`` (sample), of the layer's own weights; flat weights have little room to differ.
        ``prediction`` (sample, output).

    Raises
    ------
    RefusedError
        If the model has no attention layer whose weights can be imposed, or no gradient.
    InputError
        If an argument does not fit.

    Examples
    --------
    >>> found = adversarial_attention(model, x, epsilon=0.05, n_starts=1, n_steps=10, show_progress=False)
    >>> bool((found["output_change"] <= 0.05).all())
    True
    """
    epsilon, learning_rate = (
        real_number(epsilon, "epsilon", above=0),
        real_number(learning_rate, "learning_rate", above=0),
    )
    n_starts = whole_number(n_starts, "n_starts", least=1)
    n_steps = whole_number(n_steps, "n_steps", least=1)
    seed = whole_number(seed, "seed", least=0)
    own = read_layer(model, inputs, layer=layer, mask=mask, batch_size=batch_size, show_progress=show_progress)
    own.model.check_gradient()
    measure = measure_of(own.prediction)
    at_once = max(_VALUES // (n_starts * own.weights[0].size), 1)
    parts = []
    for first in range(0, len(own.weights), at_once):
        samples = np.arange(first, min(first + at_once, len(own.weights)))
        search = _Search(own, samples, n_starts=n_starts, seed=seed, epsilon=epsilon, measure=measure)
        parts.append(search.climb(n_steps, learning_rate))
    weights, divergence, change = (np.concatenate(values) for values in zip(*parts, strict=True))
    dims = default_dims("attention", weights.ndim)
    found = xr.Dataset(
        {
            "jensen_shannon": ("sample", divergence, {"long_name": "Jensen-Shannon divergence", "units": "bit"}),
            "output_change": ("sample", change, {"long_name": measure}),
            "attention": (dims, weights, {"long_name": "adversarial attention weight", "units": "1"}),
            **own.described(),
        },
        coords={"sample": own.labels},
    )
    options = {
        "layer": own.path,
        "epsilon": epsilon,
        "n_starts": n_starts,
        "n_steps": n_steps,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    return build_table("adversarial_attention", found, options)


class _Search:
    """The search for some samples from all their starts: rows are samples x starts."""

    def __init__(
        self, own: AttentionLayer, samples: np.ndarray, *, n_starts: int, seed: int, epsilon: float, measure: str
    ) -> None:
        self.model, self.epsilon, self.measure = own.model, epsilon, measure
        self.samples, self.n_starts = samples, n_starts
        self.sample = np.repeat(samples, n_starts)
        self.own = own.weights[samples].astype(float)
        self.dtype = own.weights.dtype
        self.prediction = own.prediction[self.sample].astype(float)
        self.queries = None if own.queries is None else own.queries[samples]
        self.real = own.real[samples]
        shape = self.own.shape[1:]
        starts = [np.random.default_rng([seed, i, k]).normal(size=shape) for i in samples for k in range(n_starts)]
        self.scores = np.stack(starts)
        self.target = np.zeros(len(self.sample), int)

    def climb(self, n_steps: int, learning_rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, of each sample, the best weights, their divergence, and how far the answer moves."""
        own = np.repeat(self.own, self.n_starts, axis=0)
        real = np.repeat(self.real, self.n_starts, axis=0)
        queries = None if self.queries is None else np.repeat(self.queries, self.n_starts, axis=0)
        # What lies on padding stays there, as it does in a shuffle.
        kept, mass = np.where(real, 0, own), np.where(real, own, 0).sum(-1, keepdims=True)
        best, far, moved = own.copy(), np.zeros(len(own)), np.zeros(len(own))
        first, second = np.zeros_like(self.scores), np.zeros_like(self.scores)
        for step in range(1, n_steps + 1):
            shares = _softmax(self.scores, real)
            weights = kept + mass * shares
            found, slopes = self._ask(weights)
            change = apart(found, self.prediction, self.measure)
            divergence = mean_over_rows(divergence_of_rows(weights, own), queries)
            better = (change <= self.epsilon) & (divergence > far)
            best[better], far[better], moved[better] = weights[better], divergence[better], change[better]
            beyond = _along_rows(change > self.epsilon, weights)
            uphill = _slope_of_divergence(weights, own) - _PENALTY * beyond * slopes
            uphill = mass * shares * (uphill - (uphill * shares).sum(-1, keepdims=True))
            # Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1), each row by itself.
            first, second = 0.9 * first + 0.1 * uphill, 0.999 * second + 0.001 * uphill**2
            size = np.sqrt(second / (1 - 0.999**step)) + 1e-12
            # Steps become smaller, so that the search ends at the bound and does not jump over it for ever.
            self.scores += learning_rate * (1 - (step - 1) / n_steps) * first / (1 - 0.9**step) / size
        return self._best_start(best, far, moved)

    def _ask(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the answers to weights, and the slope of how far the output moves that had moved most before."""
        at = weights.astype(self.dtype)
        slopes, found = self.model.path_gradient(at, self.target, sample=self.sample, outputs=True)
        difference = found.astype(float) - self.prediction
        sign = np.sign(difference[np.arange(len(at)), self.target])
        # The output that has moved most is the one to bring back in the next step.
        self.target = np.abs(difference).argmax(1)
        return found, _along_rows(sign, weights) * slopes

    def _best_start(
        self, best: np.ndarray, far: np.ndarray, moved: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(self.samples)
        start = far.reshape(count, -1).argmax(1) + np.arange(count) * self.n_starts
        return best[start].astype(self.dtype), far[start], moved[start]


def _along_rows(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Bring one value a row to the axes of weights."""
    return values.reshape(-1, *[1] * (weights.ndim - 1))


def _softmax(scores: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return shares over the last axis, none of them on what is not real."""
    scores = np.where(real, scores, -np.inf)
    # A row of padding alone has no largest score, and no shares.
    shares = np.exp(scores - scores.max(-1, keepdims=True, initial=-1e300))
    return shares / np.maximum(shares.sum(-1, keepdims=True), np.finfo(float).tiny)


def _slope_of_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the gradient of the divergence of rows with respect to `p`: half of log2(p / middle)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, np.log2(2 * p / (p + q)) / 2, 0.0)
