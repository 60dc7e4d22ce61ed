"""A white box on few cells of autoregressive noise: rare features and rare times of Dynamask."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from attrkit.checks import whole_number
from attrkit.datasets import _draws, _processes
from attrkit.errors import InputError

# ArmaProcess(ar=[2, 0.5, 0.2, 0.1], ma=[2]) of statsmodels, divided by 2 and solved for x[t].
_PHI = (-0.25, -0.1, -0.05)


def rare_feature(
    *,
    n_samples: int,
    n_timesteps: int = 50,
    n_channels: int = 50,
    n_salient: int = 5,
    per_sample: bool = True,
    seed: int = 0,
) -> xr.Dataset:
    """Return noise of which few channels matter, in the middle half of time (Crabbe and van der Schaar 2021).

    There is no model to train: the target is a known function of the salient cells, the sum of their squares at each
    timestep, f(x)[t] = sum_c saliency[t, c] x[t, c]^2.

    Parameters
    ----------
    n_samples : int
        How many series to draw.
    n_timesteps, n_channels : int, default 50
        Timesteps from a quarter to three quarters of them matter, 12 to 36 of 50.
    n_salient : int, default 5
        Channels that matter, drawn at random.
    per_sample : bool, default True
        Draw channels for each sample. False: one draw for all, so that f is one function for all samples, which a
        model is.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) in double precision, ``target`` (sample, timestep), ``saliency``
        (sample, timestep, channel), ``has_saliency`` (sample). There is no label.

    Raises
    ------
    InputError
        If `n_salient` is more than there are channels, or there are fewer than 2 timesteps.

    See Also
    --------
    rare_time : The same with few timesteps.

    Notes
    -----
    The exact attributions are known: integrated gradients of sum_t f(x)[t] with baseline 0 are saliency * x^2, and so
    is what occlusion by 0 takes away; the gradient is 2 * saliency * x.

    The paper (arXiv:2106.05303) calls the noise ARMA. With its coefficients it is autoregressive of order
    3, x[t] = -0.25 x[t-1] - 0.1 x[t-2] - 0.05 x[t-3] + N(0, 1), of standard deviation 1.03. Channels and samples are
    independent. Here it has a burn-in; the published series start from 0.

    Of the published codes, Dynamask draws channels for each of 10 samples; time_interpret starts its generator anew for
    each sample, so all of its samples have the same salient cells: ``per_sample=False``.

    Examples
    --------
    >>> data = rare_feature(n_samples=3)
    >>> float(data["saliency"].mean())
    0.05
    >>> exact = (data["input"] ** 2).where(data["saliency"], 0)
    >>> bool(np.allclose(exact.sum("channel"), data["target"]))
    True
    """
    steps = np.arange(whole_number(n_timesteps, "n_timesteps", least=2))
    middle = (steps >= n_timesteps // 4) & (steps < 3 * n_timesteps // 4)
    n_channels = whole_number(n_channels, "n_channels", least=1)
    n_salient = _fitting(n_salient, n_channels, "channels")

    def draw(rng: np.random.Generator) -> np.ndarray:
        chosen = np.zeros(n_channels, bool)
        chosen[rng.choice(n_channels, n_salient, replace=False)] = True
        return middle[:, None] & chosen

    return _white_box("rare_feature", draw, n_samples, n_salient, per_sample, seed)


def rare_time(
    *,
    n_samples: int,
    n_timesteps: int = 50,
    n_channels: int = 50,
    n_salient: int = 5,
    per_sample: bool = True,
    seed: int = 0,
) -> xr.Dataset:
    """Return noise of which few timesteps in a row matter, in the middle half of the channels.

    The target is that of `rare_feature`, f(x)[t] = sum_c saliency[t, c] x[t, c]^2, and so are the series.

    Parameters
    ----------
    n_samples : int
        How many series to draw.
    n_timesteps, n_channels : int, default 50
        Channels from a quarter to three quarters of them matter, 12 to 36 of 50.
    n_salient : int, default 5
        Timesteps in a row that matter; where they begin is drawn at random.
    per_sample : bool, default True
        Draw timesteps for each sample. False: one draw for all.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        As `rare_feature` returns it.

    Raises
    ------
    InputError
        If `n_salient` is more than there are timesteps, or there are fewer than 2 channels.

    See Also
    --------
    rare_feature : The notes there are of both.

    Notes
    -----
    In the published code the last timestep never matters; here it may.

    Examples
    --------
    >>> data = rare_time(n_samples=3)
    >>> data["saliency"].any("channel").sum("timestep").values.tolist()
    [5, 5, 5]
    """
    channels = np.arange(whole_number(n_channels, "n_channels", least=2))
    middle = (channels >= n_channels // 4) & (channels < 3 * n_channels // 4)
    n_timesteps = whole_number(n_timesteps, "n_timesteps", least=1)
    n_salient = _fitting(n_salient, n_timesteps, "timesteps")

    def draw(rng: np.random.Generator) -> np.ndarray:
        steps = np.arange(n_timesteps) - rng.integers(n_timesteps - n_salient, endpoint=True)
        return ((steps >= 0) & (steps < n_salient))[:, None] & middle

    return _white_box("rare_time", draw, n_samples, n_salient, per_sample, seed)


def _fitting(n_salient: int, there: int, name: str) -> int:
    n_salient = whole_number(n_salient, "n_salient", least=1)
    if n_salient > there:
        raise InputError(f"n_salient={n_salient} of {there} {name}; there must be as many")
    return n_salient


def _white_box(
    process: str,
    draw: Callable[[np.random.Generator], np.ndarray],
    n_samples: int,
    n_salient: int,
    per_sample: bool,
    seed: int,
) -> xr.Dataset:
    """Return the data set whose salient cells, (timestep, channel), `draw` gives."""
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    samples = _draws.generators(seed, n_samples)
    cells = [draw(rng) for rng in samples]
    saliency = np.stack(cells if per_sample else cells[:1] * n_samples)
    x = np.empty(saliency.shape)
    for block in _draws.blocks(n_samples):
        x[block] = _processes.autoregressive(samples[block], *saliency.shape[1:], phi=_PHI)
    target = np.where(saliency, x, 0) ** 2
    return _draws.dataset(
        x,
        saliency,
        {"target": (("sample", "timestep"), target.sum(axis=2), "sum of squares of the salient values")},
        process=process,
        parameters={
            "n_samples": n_samples,
            "n_timesteps": saliency.shape[1],
            "n_channels": saliency.shape[2],
            "n_salient": n_salient,
            "per_sample": bool(per_sample),
        },
        seed=seed,
        source="Crabbe and van der Schaar 2021, arXiv:2106.05303",
    )
