import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import Matern

from attrkit.datasets import _processes, ismail
from attrkit.errors import InputError

# Timesteps and channels of 50, as published.
SIZES = {
    "middle": (30, 30),
    "small_middle": (14, 14),
    "moving_middle": (30, 30),
    "moving_small_middle": (15, 15),
    "rare_time": (6, 40),
    "moving_rare_time": (6, 40),
    "rare_feature": (40, 6),
    "moving_rare_feature": (40, 6),
    "positional_time": (20, 20),
    "positional_feature": (20, 20),
}
PROCESSES = ("gaussian", "autoregressive", "narma", "harmonic", "pseudo_periodic", "car", "gaussian_process")

each_process = pytest.mark.parametrize("process", PROCESSES)


def starts(data, dim):
    other = "channel" if dim == "timestep" else "timestep"
    return data["saliency"].any(other).argmax(dim).values


# Boxes


@pytest.mark.parametrize(
    ("box", "share"), zip(SIZES, (0.36, 0.0784, 0.36, 0.09, *[0.096] * 4, 0.16, 0.16), strict=True)
)
def test_as_many_cells_are_salient_as_published(box, share):
    data = ismail("gaussian", box, n_samples=6)
    np.testing.assert_allclose(data["saliency"].mean(["timestep", "channel"]), share, rtol=1e-12)


@pytest.mark.parametrize(
    ("box", "timestep", "channel"),
    [("middle", 10, 10), ("small_middle", 18, 18), ("rare_time", 22, 5), ("rare_feature", 5, 22)],
)
def test_fixed_boxes_are_where_they_were_published(box, timestep, channel):
    data = ismail("gaussian", box, n_samples=3)
    assert set(starts(data, "timestep")) == {timestep}
    assert set(starts(data, "channel")) == {channel}


@pytest.mark.parametrize(("box", "last"), [("moving_middle", (20, 20)), ("moving_rare_time", (44, 10))])
def test_moving_boxes_go_to_both_ends(box, last):
    data = ismail("gaussian", box, n_samples=500)
    for dim, end in zip(("timestep", "channel"), last, strict=True):
        assert set(starts(data, dim)) == set(range(end + 1))


@pytest.mark.parametrize(
    ("box", "by_label", "free"),
    [("positional_time", "channel", "timestep"), ("positional_feature", "timestep", "channel")],
)
def test_the_label_says_where_a_positional_box_is(box, by_label, free):
    data = ismail("gaussian", box, n_samples=400)
    np.testing.assert_array_equal(starts(data, by_label), np.where(data["label"] == 1, 1, 29))
    for label in (0, 1):
        assert set(starts(data.isel(sample=data["label"] == label), free)) == set(range(31))


@given(
    box=st.sampled_from(list(SIZES)),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size=st.none() | st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_a_box_is_whole_or_refused(box, shape, size, seed):
    lengths = size or SIZES[box]
    needed = list(lengths)
    if "positional" in box:
        axis = int(box == "positional_time")
        needed[axis] = 2 * lengths[axis] + 2

    def make():
        return ismail("gaussian", box, n_samples=2, n_timesteps=shape[0], n_channels=shape[1], box_size=size, seed=seed)

    if any(there < least for there, least in zip(shape, needed, strict=True)):
        with pytest.raises(InputError, match=f"the box of {lengths[0]} timesteps x {lengths[1]} channels needs"):
            make()
        return
    for sample in make()["saliency"].values:
        rows, columns = np.flatnonzero(sample.any(axis=1)), np.flatnonzero(sample.any(axis=0))
        assert (len(rows), len(columns)) == lengths
        # All cells from the first to the last.
        assert sample[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert sample.sum() == lengths[0] * lengths[1]


# The label


@each_process
@pytest.mark.parametrize("box", ["moving_middle", "positional_time"])
def test_nothing_but_the_box_depends_on_the_label(process, box):
    options = {"n_samples": 40, "n_timesteps": 20, "n_channels": 12, "box_size": (5, 4)}
    one, three = (ismail(process, box, **options, shift=shift) for shift in (1, 3))
    sign = 2 * one["label"] - 1 if box == "moving_middle" else 1
    np.testing.assert_allclose(three["input"] - one["input"], 2 * sign * one["saliency"], atol=1e-12)
    # Without the shift, values in the box are like those outside of it.
    plain = one["input"] - sign * one["saliency"]
    np.testing.assert_array_equal(plain.where(~one["saliency"]), one["input"].where(~one["saliency"]))


@each_process
def test_classes_differ_in_the_box_and_nowhere_else(process):
    data = ismail(process, "middle", n_samples=400, n_timesteps=10, n_channels=8, box_size=(4, 4))
    means = data["input"].groupby(data["label"]).mean("sample")
    difference = means.sel(label=1) - means.sel(label=0)
    inside = data["saliency"].isel(sample=0)
    # 200 samples a class, and no process has a standard deviation above 1.3.
    error = 1.3 * np.sqrt(2 / 200)
    assert abs(difference.where(inside) - 2).max() < 5 * error
    assert abs(difference.where(~inside)).max() < 5 * error


# The processes. Channels are independent series seen at the same times; many of them give the covariance of one.


def expected_covariance(process, time):
    lag = abs(np.subtract.outer(np.arange(50), np.arange(50)))
    distance = abs(np.subtract.outer(time, time))
    if process == "gaussian":
        return np.eye(50)
    covariance = {
        "autoregressive": 0.25 / (1 - 0.81) * 0.9**lag,
        "car": 0.9**distance,
        "gaussian_process": Matern(length_scale=1.0, nu=1.5)(time[:, None]),
        "harmonic": 0.5 * np.cos(4 * np.pi * distance),
        "pseudo_periodic": 0.5 * np.cos(2 * distance) * np.exp(-(0.01**2) * np.add.outer(time**2, time**2) / 2),
    }[process]
    if process == "pseudo_periodic":
        np.fill_diagonal(covariance, 0.5 * (1 + 0.25))
    return covariance + 0.09 * np.eye(50)


@pytest.mark.parametrize("process", [name for name in PROCESSES if name != "narma"])
def test_mean_and_covariance_are_those_of_theory(process):
    n_channels = 4000
    data = ismail(process, "middle", n_samples=2, n_channels=n_channels, box_size=(1, 1), seed=1)
    for i in range(2):
        x = data["input"].values[i]
        expected = expected_covariance(process, data["time"].values[i] if "time" in data else np.arange(50.0))
        spread = np.sqrt(np.diag(expected))
        assert abs(x.mean(axis=1) / spread).max() < 5 / np.sqrt(n_channels)
        # The standard error of a covariance of normal series is at most sqrt(2 / n) of both spreads.
        error = (x @ x.T / n_channels - expected) / np.outer(spread, spread)
        assert abs(error).max() < 5 * np.sqrt(2 / n_channels)
        # Taken apart into 50 numbers of variance 1, small parts such as the noise count as much as large ones.
        parts = np.linalg.solve(np.linalg.cholesky(expected), x)
        assert abs((parts**2).mean() - 1) < 5 * np.sqrt(2 / parts.size)


@each_process
def test_channels_are_independent(process):
    data = ismail(process, "middle", n_samples=400, n_channels=2, box_size=(1, 1))
    a, b = ((x := data["input"].isel(channel=c)) - x.mean("sample") for c in (0, 1))
    correlation = (a * b).mean("sample") / np.sqrt((a**2).mean("sample") * (b**2).mean("sample"))
    assert abs(correlation).max() < 5 / np.sqrt(400)


@each_process
def test_samples_are_independent(process):
    x = ismail(process, "middle", n_samples=2, n_channels=1000, box_size=(1, 1))["input"]
    a, b = ((one := x.isel(sample=i)) - one.mean("channel") for i in (0, 1))
    correlation = (a * b).mean("channel") / np.sqrt((a**2).mean("channel") * (b**2).mean("channel"))
    assert abs(correlation).max() < 5 / np.sqrt(1000)


def test_times_are_irregular_and_in_order():
    time = ismail("car", "middle", n_samples=200)["time"]
    assert (time.diff("timestep") >= 0).all()
    # From 0 to 20, and normal noise of 0.2.
    assert -1.5 < time.min() < 0.5
    assert 19.5 < time.max() < 21.5
    np.testing.assert_allclose(time.mean(), 10, atol=0.2)
    assert (time.diff("timestep").std("timestep") > 0.1).all()


@pytest.mark.parametrize("order", [2, 10])
def test_narma_is_that_of_its_formula(order):
    rng = np.random.default_rng(0)
    u = rng.uniform(0, 0.5, (1, 40, 1))
    y = [0.0] * order
    inputs = u[0, :, 0].tolist()
    for t in range(order - 1, 39):
        recent = sum(y[t - i] for i in range(order))
        y.append(0.3 * y[t] + 0.05 * y[t] * recent + 1.5 * inputs[t - (order - 1)] * inputs[t] + 0.1)
    np.testing.assert_allclose(_processes._narma_of(u, order)[0, :, 0], y, rtol=1e-12)


def test_no_narma_runs_away_or_comes_twice():
    samples = [np.random.default_rng(i) for i in range(40)]
    inputs = _processes.uniform([np.random.default_rng(i) for i in range(40)], 0.5, 160, 100)
    assert (_processes._narma_of(inputs, 10) > 100).any(), "no series of these runs away, and the test says nothing"
    y = _processes.narma(samples, 50, 100, order=10)
    assert y.min() > 0.1
    assert y.max() <= 1
    # Where y comes back to itself with inputs of mean size, 0.3 y + 0.5 y^2 + 1.5 / 16 + 0.1.
    np.testing.assert_allclose(y.mean(), 0.7 - np.sqrt(0.7**2 - 2 * (1.5 / 16 + 0.1)), rtol=0.05)
    # In `ismail` more noise is on it than it has of its own, so samples and channels are compared here.
    last = y[:, -1]
    for a, b in ((last[:, ::2], last[:, 1::2]), (last[::2], last[1::2])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"process": "brownian"}, "process='brownian' is not known; accepted are 'gaussian'"),
        ({"box": ["middle"]}, r"box=\['middle'\] is not known; accepted are 'middle'"),
        ({"shift": 0}, "shift must be a finite number other than 0, got 0"),
        ({"shift": np.nan}, "shift must be a finite number"),
        ({"box_size": 3}, r"box_size is \(timesteps, channels\), got 3"),
        ({"box_size": (3, 0)}, "box_size must be a whole number, 1 or more, got 0"),
        ({"n_channels": 20}, "needs a series of 30 channels or more, got 20"),
        ({"box": "positional_feature", "n_timesteps": 41}, "needs a series of 42 timesteps or more, got 41"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        ismail(**{"process": "gaussian", "box": "middle", "n_samples": 2} | change)
