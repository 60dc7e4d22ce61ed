import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attrkit.datasets import freq_shapes, low_var, seq_comb
from attrkit.errors import InputError


def runs(flags):
    """Return first and last place of each stretch of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return [(start, end - 1) for start, end in edges.reshape(-1, 2)]


# Spikes


@given(n_timesteps=st.integers(20, 120), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_spikes_are_whole_and_as_far_apart_as_the_label_says(n_timesteps, seed):
    data = freq_shapes(n_samples=4, n_timesteps=n_timesteps, seed=seed)
    for x, saliency, label in zip(data["input"].values, data["saliency"].values, data["label"].values, strict=True):
        spikes = runs(saliency[:, 0])
        assert len(spikes) >= 2
        assert {last - first for first, last in spikes} == {2}
        period = (10, 10, 17, 17)[label]
        assert set(np.diff([first for first, _ in spikes])) == {period}
        # There is no room for one more after the last.
        assert spikes[-1][0] + period + 2 > n_timesteps - 1
        sign = (-1, 1, -1, 1)[label]
        for first, last in spikes:
            assert abs(sign * x[first : last + 1, 0] - [1.75, 2, 1.75]).max() < 6 * 0.25


def test_first_spikes_come_at_any_time():
    data = freq_shapes(n_samples=2000)
    first = data["saliency"].any("channel").argmax("timestep").values
    for label in range(4):
        assert set(first[data["label"] == label]) == set(range(38 if label < 2 else 31))


def test_noise_between_spikes_is_that_of_a_quarter():
    data = freq_shapes(n_samples=500)
    noise = data["input"].where(~data["saliency"])
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.25], atol=5 * 0.25 / np.sqrt(noise.count()))
    spikes = data["input"].where(data["saliency"]) * (data["label"] % 2 * 2 - 1)
    np.testing.assert_allclose(spikes.mean(), (1.75 + 2 + 1.75) / 3, atol=0.01)


def test_classes_have_names():
    assert json.loads(freq_shapes(n_samples=1).attrs["classes"])[3] == "up, every 17 steps"
    assert len(json.loads(seq_comb(n_samples=1).attrs["classes"])) == 4


# Ramps


@pytest.fixture(scope="module", params=[113, 200])
def ramps(request):
    return seq_comb(n_samples=200, n_timesteps=request.param)


def test_ramps_are_two_in_two_channels_one_after_the_other(ramps):
    ways = {1: [-1, -1], 2: [1, 1], 3: [1, -1]}
    for sample in range(ramps.sizes["sample"]):
        one = ramps.isel(sample=sample)
        label, x = int(one["label"]), one["input"].values
        found = sorted((*run, c) for c in range(4) for run in runs(one["saliency"].values[:, c]))
        if label == 0:
            assert found == []
            assert not one["has_saliency"]
            continue
        (first, end, channel), (second, last, other) = found
        assert channel != other
        assert end < second
        assert {end - first + 1, last - second + 1} <= set(range(15, 30))
        slopes = [np.polyfit(np.arange(b - a + 1), x[a : b + 1, c], 1)[0] for a, b, c in found]
        assert np.sign(slopes).tolist() == ways[label]


def test_a_ramp_is_that_of_its_formula(ramps):
    one = ramps.isel(sample=int(np.flatnonzero(ramps["label"] == 3)[0]))
    background = one["input"].where(~one["saliency"])
    for (first, last, channel), way in zip(
        sorted((*run, c) for c in range(4) for run in runs(one["saliency"].values[:, c])), [1, -1], strict=True
    ):
        length = last - first + 1
        x = np.arange(length) - length // 2
        values = one["input"].values[first : last + 1, channel]
        # The wobble is a sine of a whole number times x: one of these fits to rounding, and none does by chance.
        fits = []
        for a in range(30):
            slope = (values[-1] - np.sin(a * x[-1])) / x[-1]
            fits.append(abs(values - slope * x - np.sin(a * x)).max())
            if fits[-1] < 1e-9:
                height = way * slope * length / 5
                # That of the whole background, parts of which the ramps stand on.
                assert abs(background).max() - 0.05 < height < 1.5 * (background.max() + abs(background.min()))
        assert min(fits) < 1e-9


def test_without_ramps_it_is_narma():
    x = seq_comb(n_samples=200)
    x = x["input"].isel(sample=x["label"] == 0)
    # Where y comes back to itself with inputs of mean size: 0.7 y - 0.1 y^2 = 1.5 / 16 + 0.1.
    np.testing.assert_allclose(x.mean(), (0.7 - np.sqrt(0.49 - 0.4 * (1.5 / 16 + 0.1))) / 0.2, rtol=0.02)
    assert 0.1 < x.std() < 0.2


# Calm stretches


def test_calm_stretches_are_where_the_label_says():
    data = low_var(n_samples=400)
    starts, lengths = set(), set()
    for sample in range(data.sizes["sample"]):
        one = data.isel(sample=sample)
        channel, high = divmod(int(one["label"]), 2)
        assert runs(one["saliency"].values[:, 1 - channel]) == []
        ((first, last),) = runs(one["saliency"].values[:, channel])
        starts.add(first)
        lengths.add(last - first + 1)
        assert abs(one["input"].values[first : last + 1, channel] - (1.5 if high else -1.5)).max() < 0.6
    assert lengths == set(range(10, 20))
    assert 20 <= min(starts) < 25
    assert 155 < max(starts) <= 159


def test_calm_stretches_are_calm_and_the_rest_is_not():
    data = low_var(n_samples=400)
    inside = data["input"].where(data["saliency"]) - level_of(data["label"])
    np.testing.assert_allclose([inside.mean(), inside.std()], [0, 0.1], atol=0.005)
    outside = data["input"].where(~data["saliency"])
    np.testing.assert_allclose(outside.std(), np.sqrt(1 + 0.14**2), rtol=0.01)
    np.testing.assert_allclose(data["saliency"].mean(), 14.5 / 400, rtol=0.05)


def level_of(label):
    return 3 * (label % 2) - 1.5


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (freq_shapes, {"n_timesteps": 19}, "n_timesteps must be a whole number, 20 or more"),
        (seq_comb, {"n_timesteps": 112}, "n_timesteps must be a whole number, 113 or more"),
        (seq_comb, {"n_channels": 1}, "n_channels must be a whole number, 2 or more"),
        (low_var, {"n_timesteps": 60}, "n_timesteps must be a whole number, 61 or more"),
    ],
)
def test_series_that_are_too_short_are_refused(make, options, message):
    with pytest.raises(InputError, match=message):
        make(n_samples=2, **options)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_shortest_series_hold_what_they_must(seed):
    assert seq_comb(n_samples=4, n_timesteps=113, seed=seed)["has_saliency"].sum() == 3
    assert low_var(n_samples=4, n_timesteps=61, seed=seed)["has_saliency"].all()
