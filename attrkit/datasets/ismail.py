"""Boxes that carry the label in series of seven kinds: the benchmark of Ismail et al. 2020."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from attrkit.checks import is_number, one_of, whole_number
from attrkit.datasets import _draws, _processes
from attrkit.errors import InputError


class _Box(NamedTuple):
    """How many timesteps and channels carry the label, and where: ``"middle"``, ``"anywhere"``, or by the label."""

    timesteps: int
    channels: int
    place: str


_BOXES = {
    "middle": _Box(30, 30, "middle"),
    "small_middle": _Box(14, 14, "middle"),
    "moving_middle": _Box(30, 30, "anywhere"),
    "moving_small_middle": _Box(15, 15, "anywhere"),
    "rare_time": _Box(6, 40, "middle"),
    "moving_rare_time": _Box(6, 40, "anywhere"),
    "rare_feature": _Box(40, 6, "middle"),
    "moving_rare_feature": _Box(40, 6, "anywhere"),
    "positional_time": _Box(20, 20, "channels by label"),
    "positional_feature": _Box(20, 20, "timesteps by label"),
}

# Processes that count steps, and those that are seen at irregular times.
_STEPPED: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": _processes.normal,
    "autoregressive": partial(_processes.autoregressive, phi=[0.9], sigma=0.5),
    "narma": partial(_processes.narma, order=10),
}
_TIMED: dict[str, Callable[..., np.ndarray]] = {
    "harmonic": partial(_processes.harmonic, frequency=2.0),
    "gaussian_process": _processes.matern,
    "pseudo_periodic": _processes.pseudo_periodic,
    "car": partial(_processes.continuous_autoregressive, decay=0.9),
}

# Standard deviation of the noise on every process but the Gaussian, which is noise.
_NOISE = 0.3


def ismail(
    process: str,
    box: str,
    *,
    n_samples: int,
    n_timesteps: int = 50,
    n_channels: int = 50,
    box_size: tuple[int, int] | None = None,
    shift: float = 1.0,
    seed: int = 0,
) -> xr.Dataset:
    """Return series of two classes that differ in one box of timesteps and channels (Ismail et al. 2020).

    To every value of the box, `shift` is added where the label is 1, and taken away where it is 0. In the two
    positional boxes it is always added, and the label says where the box is. Nothing else depends on the label.

    Parameters
    ----------
    process : str
        What the series are without the box, all channels independent:

        * ``"gaussian"``: white noise N(0, 1).
        * ``"autoregressive"``: x[t] = 0.9 x[t-1] + N(0, 0.5).
        * ``"narma"``: nonlinear moving average of order 10 (Atiya and Parlos 2000), of mean 0.4.
        * ``"harmonic"``: sin(4 pi t + phase).
        * ``"pseudo_periodic"``: a sin(f t + phase), with a from N(1, 0.5) and f from N(2, 0.01) at every step.
        * ``"car"``: continuous autoregressive of variance 1, correlation 0.9 ** distance in time.
        * ``"gaussian_process"``: Matern 3/2 kernel of variance 1 and length 1.

        The last four are seen at irregular times t, 0.4 apart in the mean, which are the variable ``time``. All but the
        first have noise N(0, 0.3) on them.
    box : str
        Size in timesteps x channels, and place:

        * ``"middle"`` 30 x 30, ``"small_middle"`` 14 x 14, ``"rare_time"`` 6 x 40, ``"rare_feature"`` 40 x 6: in the
          middle.
        * ``"moving_middle"`` 30 x 30, ``"moving_small_middle"`` 15 x 15, ``"moving_rare_time"`` 6 x 40,
          ``"moving_rare_feature"`` 40 x 6: anywhere, drawn for each sample.
        * ``"positional_time"`` 20 x 20: at any time, in early channels (from 1 on) where the label is 1 and in late
          ones (up to the last but one) where it is 0.
        * ``"positional_feature"`` 20 x 20: in any channels, early where the label is 1 and late where it is 0.
    n_samples : int
        How many series to draw.
    n_timesteps, n_channels : int, default 50
        The shape of a series.
    box_size : (int, int), optional
        Timesteps and channels of the box, in place of those above, which are for 50 x 50.
    shift : float, default 1.0
        What is added in the box. All values have standard deviation 0.3 to 1.2, so 1 is plain in a large box.
    seed : int, default 0
        A sample depends on it and on its own number only.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) in double precision; ``label`` (sample), 0 or 1, as many of each in every
        2 samples; ``saliency`` (sample, timestep, channel), true in the box; ``has_saliency`` (sample), all true;
        ``time`` (sample, timestep) for four of the processes.

    Raises
    ------
    InputError
        If `process` or `box` is not known, the box does not fit the series, the two places of a positional box
        overlap, or `shift` is 0.

    Notes
    -----
    The benchmark's own data (arXiv:2010.13924, made with TimeSynth) have flaws that are not repeated here:

    * Its NARMA series are one series, the same in every channel of every sample, because their generator starts from
      one seed; and a sum in its formula runs over nothing from step 20 on.
    * Its CAR series have standard deviation 0.005 under noise of 0.3, so they are noise; and the variance of their
      innovations is not that of a stationary process. Here both are those of variance 1.
    * Its harmonic series are the same in all channels of a sample, and its pseudo-periodic ones nearly so. Here each
      has a phase of its own.
    * Its autoregressive series start from 0, with less variance at first. Here they have a burn-in.
    * Its moving boxes never touch the last timestep or channel, and its labels are drawn one by one. Here they may, and
      labels are balanced.

    ``saliency`` of the positional boxes is where the box is, as in the benchmark. That there is none at the other
    place says as much about the label, so a method that marks both places is not wrong.

    Examples
    --------
    >>> data = ismail("autoregressive", "rare_feature", n_samples=4, seed=0)
    >>> dict(data["input"].sizes)
    {'sample': 4, 'timestep': 50, 'channel': 50}
    >>> float(data["saliency"].mean())
    0.096
    """
    for name, value, known in (("process", process, _STEPPED | _TIMED), ("box", box, _BOXES)):
        one_of(value, name, tuple(known))
    n_samples = whole_number(n_samples, "n_samples", least=1)
    n_timesteps = whole_number(n_timesteps, "n_timesteps", least=1)
    n_channels = whole_number(n_channels, "n_channels", least=1)
    seed = whole_number(seed, "seed", least=0)
    if not is_number(shift) or not np.isfinite(shift) or shift == 0:
        raise InputError(f"shift must be a finite number other than 0, got {shift!r}")
    sized = _BOXES[box]
    if box_size is not None:
        sized = _resized(sized, box_size)
    _check_fit(sized, n_timesteps, n_channels)

    samples = _draws.generators(seed, n_samples)
    label = _draws.balanced_labels(seed, n_samples, 2)
    saliency = _boxes(samples, label, sized, (n_timesteps, n_channels))
    variables: _draws.Variables = {"label": (("sample",), label, "class")}
    if process in _TIMED:
        time = _processes.irregular_times(samples, n_timesteps)
        variables["time"] = (("sample", "timestep"), time, "time")
    x = np.empty(saliency.shape)
    for block in _draws.blocks(n_samples):
        x[block] = (
            _TIMED[process](samples[block], time[block], n_channels)
            if process in _TIMED
            else _STEPPED[process](samples[block], n_timesteps, n_channels)
        )
        if process != "gaussian":
            x[block] += _NOISE * _processes.normal(samples[block], n_timesteps, n_channels)
    sign = np.ones(n_samples) if "label" in sized.place else 2 * label - 1
    x += shift * sign[:, None, None] * saliency
    return _draws.dataset(
        x,
        saliency,
        variables,
        process="ismail",
        parameters={
            "process": process,
            "box": box,
            "n_samples": n_samples,
            "n_timesteps": n_timesteps,
            "n_channels": n_channels,
            "box_size": [sized.timesteps, sized.channels],
            "shift": shift,
        },
        seed=seed,
        source="Ismail et al. 2020, arXiv:2010.13924; flaws of the published data are not repeated",
    )


def _resized(box: _Box, size: Sequence[int]) -> _Box:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InputError(f"box_size is (timesteps, channels), got {size!r}")
    timesteps, channels = (whole_number(number, "box_size", least=1) for number in size)
    return box._replace(timesteps=timesteps, channels=channels)


def _check_fit(box: _Box, n_timesteps: int, n_channels: int) -> None:
    # Two places one step from either end, which must not overlap.
    needed = {
        "timesteps": (n_timesteps, 2 * box.timesteps + 2 if box.place == "timesteps by label" else box.timesteps),
        "channels": (n_channels, 2 * box.channels + 2 if box.place == "channels by label" else box.channels),
    }
    for name, (there, least) in needed.items():
        if there < least:
            raise InputError(
                f"the box of {box.timesteps} timesteps x {box.channels} channels needs a series of {least} {name} or "
                f"more, got {there}; box_size=(timesteps, channels) gives a smaller box"
            )


def _boxes(samples: Sequence[np.random.Generator], label: np.ndarray, box: _Box, shape: tuple[int, int]) -> np.ndarray:
    """Return which cells are in the box, (sample, timestep, channel)."""
    inside = []
    for axis, (length, size) in enumerate(zip((box.timesteps, box.channels), shape, strict=True)):
        if box.place == "middle":
            start = np.full(len(label), (size - length) // 2)
        elif box.place == ("timesteps by label", "channels by label")[axis]:
            start = np.where(label == 1, 1, size - length - 1)
        else:
            start = np.array([rng.integers(size - length, endpoint=True) for rng in samples])
        steps = np.arange(size) - start[:, None]
        inside.append((steps >= 0) & (steps < length))
    return inside[0][:, :, None] & inside[1][:, None, :]
