"""A model that sees each timestep by itself, and joins them by weights that are given to it or its own."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from attrkit.packages import needed

Parameters = dict[str, np.ndarray]


class Task(NamedTuple):
    """What the model is fitted to.

    Attributes
    ----------
    x : ndarray of shape (sample, timestep, channel)
        Standardised; 0 where padded.
    real : ndarray of bool of shape (sample, timestep)
    labels : ndarray of shape (sample, output)
        Of classes, 1 for that of the sample and 0 for others; else numbers.
    of_classes : bool
    alpha : ndarray of shape (sample, timestep), or None
        The weights, 0 where padded; None where the model has its own.
    """

    x: np.ndarray
    real: np.ndarray
    labels: np.ndarray
    of_classes: bool
    alpha: np.ndarray | None


def initial(n_channels: int, n_hidden: int, n_outputs: int, seed: int, *, own_weights: bool) -> Parameters:
    """Draw parameters to begin with, of a size that keeps values of size 1 (Glorot and Bengio 2010, equation 16).

    What models with and without weights of their own share is the same for a seed.
    """
    rng = np.random.default_rng(seed)

    def drawn(rows: int, columns: int) -> np.ndarray:
        bound = np.sqrt(6 / (rows + columns))
        return rng.uniform(-bound, bound, (rows, columns))

    found = {
        "W": drawn(n_channels, n_hidden),
        "b": np.zeros(n_hidden),
        "V": drawn(n_hidden, n_outputs),
        "d": np.zeros(n_outputs),
    }
    if own_weights:
        found |= {"U": drawn(n_hidden, n_hidden), "v": drawn(n_hidden, 1)[:, 0]}
    return found


def outputs_of(p: Parameters, task: Task) -> np.ndarray:
    """Return probabilities of classes, or numbers, of shape (sample, output)."""
    *_, outputs = _forward(p, task)
    return np.exp(_log_shares(outputs)) if task.of_classes else outputs


def loss_of(p: Parameters, task: Task) -> float:
    """Return the mean cross-entropy in nats, or the mean squared error."""
    *_, outputs = _forward(p, task)
    return _loss(outputs, task)[0]


def objective(p: Parameters, task: Task, penalty: float) -> tuple[float, Parameters]:
    r"""Return what is minimised, and its gradient.

    .. math:: h_t = \tanh(W^\top x_t + b), \quad c = \sum_t \alpha_t h_t, \quad o = V^\top c + d, \quad
        L(o) + \tfrac{\lambda}{2} \sum \|\cdot\|^2

    with the model's own weights :math:`\alpha = \mathrm{softmax}_t(v \cdot \tanh(U^\top h_t))`. The penalty is on W, V,
    U and v, not on b and d.
    """
    hidden, scored, alpha, context, outputs = _forward(p, task)
    loss, slope = _loss(outputs, task)
    of_context = slope @ p["V"].T
    of_hidden = alpha[..., None] * of_context[:, None]
    found = {"V": context.T @ slope, "d": slope.sum(0)}
    if scored is not None:
        of_alpha = (hidden @ of_context[..., None])[..., 0]
        of_scores = alpha * (of_alpha - (alpha * of_alpha).sum(1, keepdims=True))
        inner = of_scores[..., None] * p["v"] * (1 - scored**2)
        found["v"] = np.tensordot(of_scores, scored, 2)
        found["U"] = np.tensordot(hidden, inner, ((0, 1), (0, 1)))
        of_hidden = of_hidden + inner @ p["U"].T
    inner = of_hidden * (1 - hidden**2)
    found["W"] = np.tensordot(task.x, inner, ((0, 1), (0, 1)))
    found["b"] = inner.sum((0, 1))
    for name in p.keys() - {"b", "d"}:
        loss += penalty / 2 * float((p[name] ** 2).sum())
        found[name] = found[name] + penalty * p[name]
    return loss, found


def fit(p: Parameters, task: Task, *, penalty: float, max_iterations: int) -> tuple[Parameters, bool]:
    """Return parameters at a minimum near `p`, and whether one was reached; by L-BFGS-B."""

    def laid_flat(own: Parameters) -> np.ndarray:
        return np.concatenate([own[name].ravel() for name in p])

    def by_name(flat: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        first = 0
        for name, values in p.items():
            yield name, flat[first : first + values.size].reshape(values.shape)
            first += values.size

    def asked(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = objective(dict(by_name(flat)), task, penalty)
        return value, laid_flat(slopes)

    minimize = needed("scipy.optimize", "statistics", extra="metrics").minimize
    found = minimize(asked, laid_flat(p), jac=True, method="L-BFGS-B", options={"maxiter": max_iterations})
    return dict(by_name(found.x)), bool(found.success)


def _forward(p: Parameters, task: Task) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray, np.ndarray]:
    hidden = np.tanh(task.x @ p["W"] + p["b"])
    scored = None
    alpha = task.alpha
    if alpha is None:
        scored = np.tanh(hidden @ p["U"])
        scores = np.where(task.real, scored @ p["v"], -np.inf)
        alpha = np.exp(_log_shares(scores))
    context = (alpha[:, None] @ hidden)[:, 0]
    return hidden, scored, alpha, context, context @ p["V"] + p["d"]


def _loss(outputs: np.ndarray, task: Task) -> tuple[float, np.ndarray]:
    """Return the mean loss, and its gradient with respect to the outputs."""
    if task.of_classes:
        logs = _log_shares(outputs)
        return -float((task.labels * logs).sum(1).mean()), (np.exp(logs) - task.labels) / len(outputs)
    wrong = outputs - task.labels
    return float((wrong**2).mean()), 2 * wrong / wrong.size


def _log_shares(scores: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax of rows."""
    scores = scores - scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))
