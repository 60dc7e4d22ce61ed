"""How much operators change the order of extractors, against scipy."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from attrkit.errors import InputError
from attrkit.metrics import ranking_sensitivity
from attrkit.metrics.statistics.ranks import kendall_w

OPERATORS = ["zero", "mean", "noise"]
NAMES = ["a", "b", "c", "d", "random"]


def faith(means, direction="higher is better", n_samples=4):
    """Make what `faithfulness` returns, of means of shape (extractor, operator)."""
    noise = np.random.default_rng(0).standard_normal((*np.shape(means), n_samples))
    values = np.asarray(means)[..., None] + noise - noise.mean(axis=2, keepdims=True)
    return xr.Dataset(
        {"degradation_score": (("extractor", "operator", "sample"), values, {"direction": direction})},
        coords={"extractor": NAMES[: len(means)], "operator": OPERATORS[: np.shape(means)[1]]},
    )


@pytest.mark.parametrize("seed", range(5))
def test_as_scipy(seed):
    means = np.random.default_rng(seed).integers(0, 4, size=(4, 3)).astype(float)
    ds = ranking_sensitivity(faith(means)).sel(metric="degradation_score")
    np.testing.assert_allclose(ds["mean"].transpose("extractor", "operator"), means, atol=1e-12)
    for i, one in enumerate(OPERATORS):
        np.testing.assert_array_equal(ds["rank"].sel(operator=one), scipy.stats.rankdata(-means[:, i]))
        for j, other in enumerate(OPERATORS):
            expected = scipy.stats.kendalltau(means[:, i], means[:, j]).statistic
            np.testing.assert_allclose(ds["kendall_tau"].sel(operator=one, other_operator=other), expected)
    # Friedman's statistic is W times raters and degrees of freedom, where it is corrected for ties alike.
    chi = scipy.stats.friedmanchisquare(*means).statistic
    np.testing.assert_allclose(ds["kendall_w"], chi / (3 * 3))


def test_one_order_and_opposite_orders():
    same = ranking_sensitivity(faith([[1, 2, 5], [2, 3, 6], [3, 9, 7]]))
    assert float(same["kendall_w"][0]) == 1
    np.testing.assert_array_equal(same["kendall_tau"], 1)
    assert same["best"].values.tolist() == [["c"] * 3]
    lower = ranking_sensitivity(faith([[1, 2, 5], [2, 3, 6], [3, 9, 7]], "lower is better"))
    assert lower["best"].values.tolist() == [["a"] * 3]
    opposite = ranking_sensitivity(faith([[1, 3], [2, 2], [3, 1]]))
    assert float(opposite["kendall_w"][0]) == 0
    assert float(opposite["kendall_tau"][0, 0, 1]) == -1
    assert np.isnan(kendall_w(np.full((4, 3), 2.5)))


def test_chance_takes_no_part_and_samples_are_those_that_all_have():
    means = [[1, 3], [2, 2], [3, 1], [4, 0], [-9, -9]]
    found = faith(means)
    found["degradation_score"][1, 0, 2] = np.nan
    ds = ranking_sensitivity(found)
    assert ds["extractor"].values.tolist() == NAMES[:4]
    assert ds["n_samples"].values.tolist() == [3]
    kept = found["degradation_score"].isel(sample=[0, 1, 3], extractor=slice(4)).mean("sample")
    np.testing.assert_allclose(ds["mean"].isel(metric=0), kept)
    assert ranking_sensitivity(found, leave_out=()).sizes["extractor"] == 5
    found["degradation_score"][1] = np.nan
    nothing = ranking_sensitivity(found)
    assert nothing["n_samples"].values.tolist() == [0]
    assert nothing["best"].values.tolist() == [["", ""]]
    assert np.isnan(nothing["kendall_w"]).all()
    assert np.isnan(nothing["kendall_tau"]).all()


def test_what_has_no_order_is_refused():
    with pytest.raises(InputError, match="several operators"):
        ranking_sensitivity(faith([[1, 2], [3, 4]]).isel(operator=0))
    with pytest.raises(InputError, match=r"extractors \['a'\] are left"):
        ranking_sensitivity(faith([[1, 2], [3, 4]]), leave_out=["b"])
    with pytest.raises(InputError, match=r"metrics=\['deletion'\] is not known; accepted are some of"):
        ranking_sensitivity(faith([[1, 2], [3, 4]]), metrics=["deletion"])
