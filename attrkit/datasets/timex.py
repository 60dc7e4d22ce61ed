"""Classes told apart by shapes in noise: three of the data sets of TimeX."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from attrkit.checks import whole_number
from attrkit.datasets import _draws, _processes

_SOURCE = "Queen et al. 2023, arXiv:2306.02109; flaws of the published code are not repeated"

# Steps from one spike to the next.
_PERIODS = (10, 17)

# Which way each of the two ramps of a class of seq_comb goes.
_RAMPS = {1: (-1, -1), 2: (1, 1), 3: (1, -1)}


def freq_shapes(*, n_samples: int, n_timesteps: int = 50, seed: int = 0) -> xr.Dataset:
    """Return spikes that point down or up and come every 10 or every 17 steps, in noise (TimeX, FreqShapes).

    A spike is 3 steps long, 1.75, 2 and 1.75 high. The noise is N(0, 0.25).

    Parameters
    ----------
    n_samples : int
        How many series to draw.
    n_timesteps : int, default 50
        20 or more.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) of 1 channel in double precision; ``label`` (sample): 0 down every 10,
        1 up every 10, 2 down every 17, 3 up every 17 steps, as many of each in every 4 samples; ``saliency`` (sample,
        timestep, channel), true in spikes; ``has_saliency`` (sample), all true.

    Raises
    ------
    InputError
        If `n_samples` is no integer of 1 or more, or there are fewer than 20 timesteps.

    Notes
    -----
    From Queen et al. 2023, arXiv:2306.02109. In the published code the first spike may come so late that there is no
    second one, and nothing tells how often they come. Here at least two are whole. Steps between spikes say how often
    they come too; as published, they count as not salient.

    Examples
    --------
    >>> data = freq_shapes(n_samples=8)
    >>> dict(data["input"].sizes), sorted(data["label"].values.tolist())
    ({'sample': 8, 'timestep': 50, 'channel': 1}, [0, 0, 1, 1, 2, 2, 3, 3])
    """
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    n_timesteps = whole_number(n_timesteps, "n_timesteps", least=_PERIODS[-1] + 3)
    samples = _draws.generators(seed, n_samples)
    label = _draws.balanced_labels(seed, n_samples, 4)
    period = np.take(_PERIODS, label // 2)
    # The first two spikes, with a step on either side, are within the series.
    first = np.array([rng.integers(1, n_timesteps - 1 - p) for rng, p in zip(samples, period, strict=True)])
    since = np.arange(n_timesteps) - first[:, None]
    # Where the nearest spike has its middle, and how far it is.
    middle = first[:, None] + np.maximum((since + 1) // period[:, None], 0) * period[:, None]
    distance = np.arange(n_timesteps) - middle
    spike = (abs(distance) <= 1) & (middle + 1 < n_timesteps)
    sign = np.where(label % 2 == 1, 1, -1)
    shape = np.where(spike, sign[:, None] * (2 - 0.25 * distance**2), 0.0)[:, :, None]
    return _draws.dataset(
        shape + 0.25 * _processes.normal(samples, n_timesteps, 1),
        spike[:, :, None],
        {"label": (("sample",), label, "class")},
        process="freq_shapes",
        parameters={"n_samples": n_samples, "n_timesteps": n_timesteps},
        seed=seed,
        source=_SOURCE,
        classes=["down, every 10 steps", "up, every 10 steps", "down, every 17 steps", "up, every 17 steps"],
    )


def seq_comb(*, n_samples: int, n_timesteps: int = 200, n_channels: int = 4, seed: int = 0) -> xr.Dataset:
    """Return two ramps in two channels, one after the other, each rising or falling (TimeX, SeqCombMV).

    The ramps stand in a nonlinear moving average (NARMA) of order 2 with noise N(0, 0.01). Each is 15 to 29 steps long
    and goes through 0, far below and above the values around it, with a wobble of height 1 on it.

    Parameters
    ----------
    n_samples : int
        How many series to draw.
    n_timesteps : int, default 200
        113 or more, so that both ramps fit.
    n_channels : int, default 4
        2 or more.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) in double precision; ``label`` (sample): 0 no ramp, 1 two that fall, 2 two
        that rise, 3 first one that rises and then one that falls, as many of each in every 4 samples; ``saliency``
        (sample, timestep, channel), true in ramps. Class 0 is told by what is not there: its samples have no ground
        truth, ``saliency`` is false all over and ``has_saliency`` (sample) false.

    Raises
    ------
    InputError
        If there are too few timesteps or channels.

    Notes
    -----
    From Queen et al. 2023, arXiv:2306.02109; numbers and the order of classes are those of its code. A ramp of L steps
    has the values s x + sin(a x) at x = -floor(L / 2), ..., with s = 5 (abs(min) + abs(max)) / L of the sample before
    ramps, and a drawn from a Poisson distribution of mean 5.

    Precision and recall of samples of class 0 are not defined; leave them out of means.

    Examples
    --------
    >>> data = seq_comb(n_samples=8)
    >>> data["has_saliency"].groupby(data["label"]).mean().values.tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    n_timesteps = whole_number(n_timesteps, "n_timesteps", least=113)
    n_channels = whole_number(n_channels, "n_channels", least=2)
    samples = _draws.generators(seed, n_samples)
    label = _draws.balanced_labels(seed, n_samples, 4)
    x = _noisy_narma(samples, n_timesteps, n_channels, noise=0.01)
    saliency = np.zeros(x.shape, bool)
    for i, rng in enumerate(samples):
        if label[i] != 0:
            _add_ramps(x[i], saliency[i], _RAMPS[int(label[i])], rng)
    return _draws.dataset(
        x,
        saliency,
        {"label": (("sample",), label, "class")},
        process="seq_comb",
        parameters={"n_samples": n_samples, "n_timesteps": n_timesteps, "n_channels": n_channels},
        seed=seed,
        source=_SOURCE,
        classes=["no ramp", "falling, falling", "rising, rising", "rising, falling"],
    )


def _add_ramps(x: np.ndarray, saliency: np.ndarray, ways: tuple[int, int], rng: np.random.Generator) -> None:
    """Put ramps into one sample, (timestep, channel), in place."""
    height = 5 * (abs(x.min()) + abs(x.max()))
    free = 0
    for order, (way, channel) in enumerate(zip(ways, rng.choice(x.shape[1], 2, replace=False), strict=True)):
        length = int(rng.integers(15, 30))
        start = int(rng.integers(free, len(x) - length, endpoint=True) if order else rng.integers(len(x) // 2))
        free = start + length
        place = np.arange(length) - length // 2
        x[start:free, channel] = way * height / length * place + np.sin(rng.poisson(5) * place)
        saliency[start:free, channel] = True


def low_var(*, n_samples: int, n_timesteps: int = 200, seed: int = 0) -> xr.Dataset:
    """Return a calm stretch in one of two noisy channels, low or high (TimeX, LowVarDetect).

    The noise is N(0, 1) on a nonlinear moving average (NARMA) of order 2. In the stretch, 10 to 19 steps long, values
    are N(-1.5, 0.1) or N(1.5, 0.1) instead. No single value is out of the ordinary there; that they keep still is.

    Parameters
    ----------
    n_samples : int
        How many series to draw.
    n_timesteps : int, default 200
        61 or more. The stretch begins at step 20 or later, and 41 or more before the end.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) of 2 channels in double precision; ``label`` (sample): 0 low in channel 0,
        1 high in channel 0, 2 low in channel 1, 3 high in channel 1, as many of each in every 4 samples; ``saliency``
        (sample, timestep, channel), true in the stretch; ``has_saliency`` (sample), all true.

    Raises
    ------
    InputError
        If `n_samples` is no integer of 1 or more, or there are fewer than 61 timesteps.

    Notes
    -----
    From Queen et al. 2023, arXiv:2306.02109; numbers are those of its code.

    Examples
    --------
    >>> data = low_var(n_samples=4)
    >>> data["input"].where(data["saliency"]).std(["timestep", "channel"]).round(1).values.tolist()
    [0.1, 0.1, 0.1, 0.1]
    """
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    n_timesteps = whole_number(n_timesteps, "n_timesteps", least=61)
    samples = _draws.generators(seed, n_samples)
    label = _draws.balanced_labels(seed, n_samples, 4)
    x = _noisy_narma(samples, n_timesteps, 2, noise=1.0)
    saliency = np.zeros(x.shape, bool)
    for i, rng in enumerate(samples):
        start, length = rng.integers(20, n_timesteps - 40), rng.integers(10, 20)
        saliency[i, start : start + length, label[i] // 2] = True
        level = 1.5 if label[i] % 2 else -1.5
        x[i, saliency[i]] = level + 0.1 * rng.standard_normal(length)
    return _draws.dataset(
        x,
        saliency,
        {"label": (("sample",), label, "class")},
        process="low_var",
        parameters={"n_samples": n_samples, "n_timesteps": n_timesteps},
        seed=seed,
        source=_SOURCE,
        classes=["low in channel 0", "high in channel 0", "low in channel 1", "high in channel 1"],
    )


def _noisy_narma(
    samples: Sequence[np.random.Generator], n_timesteps: int, n_channels: int, *, noise: float
) -> np.ndarray:
    x = np.empty((len(samples), n_timesteps, n_channels))
    for block in _draws.blocks(len(samples)):
        x[block] = _processes.narma(samples[block], n_timesteps, n_channels, order=2)
        x[block] += noise * _processes.normal(samples[block], n_timesteps, n_channels)
    return x
