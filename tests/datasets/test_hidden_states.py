from itertools import pairwise

import numpy as np
import pytest

from attrkit.datasets import hidden_states
from attrkit.datasets.hidden_states import _covariances

N, T = 2000, 60


@pytest.fixture(scope="module")
def data():
    return hidden_states(n_samples=N, n_timesteps=T, seed=2)


def chance_of_state_1(n_timesteps):
    """Follow the chances of each state and each number of steps spent in it, exactly."""
    # chances[state, steps spent]
    chances = np.zeros((2, n_timesteps + 2))
    chances[:, 0] = 0.5
    out = []
    for _ in range(n_timesteps):
        spent = np.arange(chances.shape[1])
        to_one = np.stack([np.full(len(spent), 0.05), np.clip(0.95 - spent / 500, 0, 1)])
        after = np.zeros_like(chances)
        after[0, 1:] = (chances[0] * (1 - to_one[0]))[:-1]
        after[1, 1:] = (chances[1] * to_one[1])[:-1]
        after[1, 0] = (chances[0] * to_one[0]).sum()
        after[0, 0] = (chances[1] * (1 - to_one[1])).sum()
        chances = after
        out.append(chances[1].sum())
    return np.array(out)


def test_states_come_as_often_as_they_should(data):
    expected = chance_of_state_1(T)
    error = data["state"].mean("sample").values - expected
    assert abs(error).max() < 5 * np.sqrt(0.25 / N)
    # It is not the same at all times, or this would say little.
    assert np.ptp(expected) > 0.05


def test_state_1_is_left_sooner_the_longer_it_lasts():
    state = hidden_states(n_samples=500, n_timesteps=400)["state"].values
    stayed = {}
    for series in state:
        spent = None
        for before, after in pairwise(series):
            if before == 0:
                # When state 1 begins is seen only after state 0.
                spent = 0 if after == 1 else None
            elif spent is not None:
                stayed.setdefault(spent // 10, []).append(after == 1)
                spent = spent + 1 if after == 1 else None
    for decade in range(3):
        seen = stayed[decade]
        expected = 0.95 - (decade * 10 + 4.5) / 500
        assert abs(np.mean(seen) - expected) < 5 * np.sqrt(expected * (1 - expected) / len(seen)) + 0.005


@pytest.mark.parametrize(("state", "mean", "salient"), [(0, [0.1, 1.6, 0.5], 1), (1, [-0.1, -0.4, -1.5], 2)])
def test_values_are_normal_around_the_means_of_their_state(data, state, mean, salient):
    chosen = data["state"].values == state
    x = data["input"].values[chosen]
    error = 1 / np.sqrt(len(x))
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * error)
    covariance = 0.801 * np.eye(3)
    covariance[0, salient] = covariance[salient, 0] = 0.01
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=5 * error)
    # 0.01 is less than the draws tell from 0.
    np.testing.assert_array_equal(_covariances()[state], covariance)
    np.testing.assert_array_equal(data["saliency"].values[chosen], np.tile(np.arange(3) == salient, (len(x), 1)))


def test_labels_are_drawn_from_the_salient_channel(data):
    decisive = data["input"].where(data["saliency"]).sum("channel")
    np.testing.assert_allclose(data["label_probability"], 1 / (1 + np.exp(-2 * decisive)), rtol=1e-12)
    surprise = data["label"] - data["label_probability"]
    spread = np.sqrt((data["label_probability"] * (1 - data["label_probability"])).mean())
    for part in (surprise, surprise.where(data["label_probability"] > 0.8), surprise.where(decisive < 0)):
        assert abs(part.mean()) < 5 * spread / np.sqrt(part.count())


def test_long_series_leave_state_1():
    # 0.95 - d / 500 would be negative after 475 steps.
    state = hidden_states(n_samples=3, n_timesteps=1500)["state"]
    assert set(np.unique(state)) == {0, 1}
