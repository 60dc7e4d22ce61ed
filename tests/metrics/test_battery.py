"""What metrics say of maps that know all, and of maps that know nothing; and which of them cannot tell."""

import numpy as np
import pytest

import attrkit
from attrkit.metrics import ground_truth
from tests.metrics import battery

CELLS = battery.boxes()
# Whoever is wrong about whole timesteps, or channels, is wrong about all that is in them.
TIMES, FEATURES = battery.boxes(wide=6), battery.boxes(long=20)
FOUND = {
    (name, scale): ground_truth(battery.tree(saliency), saliency, scale=scale)
    for name, saliency in (("cells", CELLS), ("times", TIMES), ("features", FEATURES))
    for scale in (None, "min_max")
}

# Each with what it is by chance.
TELLS = {
    "auprc": lambda found: float(found["auprc_chance"].mean()),
    "auroc": lambda found: 0.5,
    "auprc_pooled": lambda found: float(found["prevalence"].mean()),
    "auroc_pooled": lambda found: 0.5,
    "time_precision": lambda found: 5 / 20,
    "feature_precision": lambda found: 2 / 6,
}
CANNOT_TELL = {"aup", "aur", "information", "entropy", "time_recall", "feature_recall"}


def found_by(metric, scale):
    kinds = {"time_precision": "times", "time_recall": "times"}
    kinds |= {"feature_precision": "features", "feature_recall": "features"}
    return FOUND[kinds.get(metric, "cells"), scale]


def means(metric, scale="min_max"):
    values = found_by(metric, scale)[metric]
    return {name: float(values.sel(extractor=name).mean()) for name in values["extractor"].values.tolist()}


def test_every_metric_is_in_the_battery():
    assert set(FOUND["cells", None]["metric"].values.tolist()) == set(TELLS) | CANNOT_TELL


@pytest.mark.parametrize("scale", [None, "min_max"])
@pytest.mark.parametrize("metric", TELLS)
def test_a_metric_tells_who_knows_from_who_does_not(metric, scale):
    found, chance = means(metric, scale), TELLS[metric](found_by(metric, scale))
    assert found["oracle"] == 1
    assert found["graded"] == 1
    assert not any(value <= found["anti_oracle"] for name, value in found.items() if name != "anti_oracle")
    for name in ("random", "squashed"):
        values = found_by(metric, scale)[metric].sel(extractor=name)
        # Pooled, there is one value; that many items leave it about this close.
        error = float(values.std()) / values.size**0.5 if values.ndim else 0.007
        assert abs(found[name] - chance) < 4 * error, name
    for name in ("constant", "empty"):
        # A constant ranks nothing: at chance, or not defined.
        assert np.isnan(found[name]) or found[name] <= chance + 1e-12, name


def test_area_under_precision_has_a_perfect_mask_for_half_good():
    found = means("aup")
    np.testing.assert_allclose(found["oracle"], (1 + CELLS.mean()) / 2)
    assert found["graded"] > 0.99
    # On the scale that it came in, what is right can have nothing.
    assert means("aup", None)["graded"] < 0.5


def test_area_under_recall_prefers_noise_to_what_is_right():
    found = means("aur")
    assert found["oracle"] == pytest.approx(1)
    assert found["graded"] < 0.2
    assert found["random"] > 2 * found["graded"]
    assert found["squashed"] > 4 * found["graded"]


def test_information_prefers_noise_to_what_is_right():
    found = means("information")
    assert found["squashed"] > 1.5 * found["graded"]
    # It does not look at what is not salient: 1 everywhere but there is as good as the oracle.
    high = np.ones(CELLS.shape)
    high.reshape(len(CELLS), -1)[np.arange(len(CELLS)), CELLS.reshape(len(CELLS), -1).argmin(axis=1)] = 0
    of_high = ground_truth(attrkit.from_arrays({"high": high}), CELLS)
    np.testing.assert_allclose(of_high["information"].mean(), found["oracle"])
    assert of_high["auprc"].mean() < 0.1


def test_entropy_does_not_tell_the_oracle_from_its_opposite():
    found = means("entropy")
    opposite = ground_truth(attrkit.from_arrays({"opposite": 1.0 - CELLS}), CELLS)
    np.testing.assert_allclose(opposite["entropy"].mean(), found["oracle"])
    assert found["oracle"] < 0.01 * found["graded"]


@pytest.mark.parametrize("metric", ["time_recall", "feature_recall"])
def test_recall_of_axes_has_what_is_spread_for_perfect(metric):
    unscaled, found = means(metric, None), means(metric)
    assert unscaled["oracle"] == unscaled["constant"] == 1
    # What is graded leaves most of what is salient for the end of the mass; what is random is spread over all.
    assert found["random"] > found["graded"]
    assert found["squashed"] > found["graded"]


@pytest.mark.parametrize("metric", sorted({*TELLS, *CANNOT_TELL}))
def test_nothing_is_never_the_best(metric):
    direction = found_by(metric, "min_max")[metric].direction
    for name in ("constant", "empty"):
        value = means(metric)[name]
        oracle = means(metric)["oracle"]
        assert np.isnan(value) or (value < oracle if direction == "higher is better" else value > oracle)
