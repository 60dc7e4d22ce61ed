"""A hidden state that says which channel the label comes from."""

import numpy as np
import xarray as xr

from attrkit.checks import whole_number
from attrkit.datasets import _draws, _processes

# Of state 0 and 1: means of the three channels, and the channel that the label comes from.
_MEANS = np.array([[0.1, 1.6, 0.5], [-0.1, -0.4, -1.5]])
_SALIENT = np.array([1, 2])


def hidden_states(*, n_samples: int, n_timesteps: int = 200, seed: int = 0) -> xr.Dataset:
    """Return three channels ruled by a hidden state, and a label at every timestep (Crabbe and van der Schaar 2021).

    State 0 leaves for 1 with probability 0.05 at every step. State 1 stays with probability 0.95 - d / 500 after d
    steps in it (never less than 0). Within a state, values are normal around the means of that state, independent in
    time. The label is 1 with probability 1 / (1 + exp(-2 x)), where x is channel 1 in state 0 and channel 2 in state 1.

    Parameters
    ----------
    n_samples : int
        How many series to draw.
    n_timesteps : int, default 200
        The length of a series.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) of 3 channels in double precision; ``label``, 0 or 1, its probability
        ``label_probability``, and ``state``, all of (sample, timestep); ``saliency`` (sample, timestep, channel), true
        for the channel that the label of that timestep comes from; ``has_saliency`` (sample), all true.

    Raises
    ------
    InputError
        If `n_samples` or `n_timesteps` is no integer of 1 or more.

    Notes
    -----
    From Crabbe and van der Schaar 2021, arXiv:2106.05303, after Tonekaboni et al. 2020, FIT. Covariances
    are 0.801 on the diagonal and 0.01 between channel 0 and the salient one. The paper has 1000 samples, 800 of them
    to train on.

    ``saliency`` is one cell of three at every step. It says what the label is drawn from. A model must also find out
    the state, from all channels and from steps before; cells that tell it the state count as not salient here.

    Examples
    --------
    >>> data = hidden_states(n_samples=2, n_timesteps=100)
    >>> data["label"].dims, bool((data["saliency"].sum("channel") == 1).all())
    (('sample', 'timestep'), True)
    """
    n_samples = whole_number(n_samples, "n_samples", least=1)
    n_timesteps = whole_number(n_timesteps, "n_timesteps", least=1)
    seed = whole_number(seed, "seed", least=0)
    samples = _draws.generators(seed, n_samples)
    state = _states(_processes.uniform(samples, 1, n_timesteps + 1))
    saliency = np.arange(3) == _SALIENT[state][:, :, None]
    factors = np.linalg.cholesky(_covariances())
    x = _MEANS[state]
    for block in _draws.blocks(n_samples):
        noise = _processes.normal(samples[block], n_timesteps, 1, 3)
        x[block] += (factors[state[block]] * noise).sum(axis=3)
    decisive = np.take_along_axis(x, _SALIENT[state][:, :, None], axis=2)[:, :, 0]
    probability = 1 / (1 + np.exp(-2 * decisive))
    label = (_processes.uniform(samples, 1, n_timesteps) < probability).astype(int)
    each_step = ("sample", "timestep")
    return _draws.dataset(
        x,
        saliency,
        {
            "label": (each_step, label, "class"),
            "label_probability": (each_step, probability, "probability of class 1"),
            "state": (each_step, state, "hidden state"),
        },
        process="hidden_states",
        parameters={"n_samples": n_samples, "n_timesteps": n_timesteps},
        seed=seed,
        source="Crabbe and van der Schaar 2021, arXiv:2106.05303",
    )


def _covariances() -> np.ndarray:
    """Return one matrix a state."""
    covariances = np.tile(0.801 * np.eye(3), (2, 1, 1))
    for state, channel in enumerate(_SALIENT):
        covariances[state, [0, channel], [channel, 0]] = 0.01
    return covariances


def _states(chances: np.ndarray) -> np.ndarray:
    """Return the states (sample, timestep) to draws between 0 and 1, of which the first says what was before."""
    before = (chances[:, 0] < 0.5).astype(int)
    spent = np.zeros(len(chances), int)
    states = np.zeros_like(chances[:, 1:], int)
    for t in range(chances.shape[1] - 1):
        # A chance below a probability that is negative cannot be.
        to_one = np.where(before == 1, 0.95 - spent / 500, 0.05)
        states[:, t] = chances[:, t + 1] < to_one
        spent = np.where(states[:, t] == before, spent + 1, 0)
        before = states[:, t]
    return states
