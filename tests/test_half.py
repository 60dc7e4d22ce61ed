"""Results that are stored in half precision: no sum overflows, and none is taken in so few digits."""

import numpy as np
import pytest

import attrkit
from attrkit.attention.diagnose import diagnose
from attrkit.half import half_of, widened

RNG = np.random.default_rng(0)
VALUES = RNG.uniform(-6e4, 6e4, (3, 40, 5)).astype("float16")


def tree(values):
    return attrkit.from_arrays({"one": values, "other": values[::-1]}, inputs=values / 1e3)


def test_types_of_every_framework_have_one_name():
    assert half_of(["torch.bfloat16"]) == "bfloat16"
    assert half_of(["<dtype: 'float16'>", "float32"]) == "float16"
    assert half_of([np.dtype("float64"), np.dtype("int8"), None]) == ""
    assert widened(VALUES).dtype == "float32"
    assert widened(VALUES.astype("float64")).dtype == "float64"


@pytest.mark.parametrize("channels", ["sum", "abs_sum"])
def test_sums_over_channels_do_not_overflow(channels):
    found = attrkit.stack(tree(VALUES), channels=channels)
    wide = VALUES.astype("float64")
    expected = (np.abs(wide) if channels == "abs_sum" else wide).sum(2)
    assert (np.abs(expected) > 65504).any()
    np.testing.assert_allclose(found.sel(extractor="one"), expected, rtol=1e-5)


def test_metrics_are_those_of_the_same_numbers_in_double_precision():
    half, wide = tree(VALUES), tree(VALUES.astype("float64"))
    for channels in (None, "abs_sum"):
        found, expected = (attrkit.metrics.agreement(data, channels=channels) for data in (half, wide))
        for name in ("kendall_tau", "spearman", "cosine", "jensen_shannon"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)

    def model(x):
        return x.astype("float64").mean((1, 2))

    asked = {"channels": "sum", "error": "signed", "show_progress": False}
    found, expected = (attrkit.metrics.faithfulness(model, data, **asked) for data in (half, wide))
    np.testing.assert_allclose(found["deletion"], expected["deletion"], atol=1e-3)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_attention_is_reduced_and_diagnosed_in_more_digits_than_it_is_stored_in(how):
    weights = RNG.dirichlet(np.full(400, 2.0), (2, 400)).astype("float16")
    stored = attrkit.from_arrays({"attention": {"attention": weights}})["attention"].to_dataset()
    reduced = attrkit.reduce_attention(stored, how)["attribution"]
    expected = getattr(weights.astype("float64"), how)(1)
    np.testing.assert_allclose(reduced, expected, rtol=1e-5)
    kept = stored["attention"]
    found, wide = (diagnose(one)[0]["attention_entropy"] for one in (kept, kept.astype("float64")))
    np.testing.assert_allclose(found, wide, rtol=1e-4)


def test_plots_draw_sums_in_single_precision():
    panels = attrkit.plot.profile(tree(VALUES), profiles="timestep", signed=True, normalise="none")
    line = panels.artists["mean"].sel(extractor="one", profile="timestep").item()
    np.testing.assert_allclose(line.get_ydata(), VALUES.astype("float64").sum(2).mean(0), rtol=1e-4, atol=0.1)
