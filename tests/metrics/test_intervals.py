"""Intervals against closed forms, scipy and statsmodels, and how often they hold the truth."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS

from attrkit.errors import InputError, MissingDependencyError
from attrkit.metrics import interval
from attrkit.metrics.statistics import bootstrap, limits
from attrkit.metrics.statistics.bootstrap import count_cases, one_level, statistic_of


def drawn(*shape, seed=0):
    """Skewed values of dims (extractor, seed, sample), or fewer, without ties."""
    values = np.random.default_rng(seed).gamma(2.0, size=shape)
    return xr.DataArray(values, dims=("extractor", "seed", "sample")[3 - len(shape) :])


def covered(found, truth=0.0):
    return float(((found["low"] <= truth) & (truth <= found["high"])).mean())


def test_student_over_the_defined_cases():
    values = drawn(3, 4, 12)
    values[0, 1, 3] = values[0, 1, 5] = values[2, 0, 0] = np.nan
    found = interval(values, confidence=0.9)
    assert found.attrs["interval"] == "Student's t"
    assert found["estimate"].dims == ("extractor", "seed")
    for e, s in np.ndindex(3, 4):
        own = values.values[e, s]
        own = own[~np.isnan(own)]
        low, high = stats.t.interval(0.9, len(own) - 1, own.mean(), stats.sem(own))
        at = found.isel(extractor=e, seed=s)
        np.testing.assert_allclose([at["low"], at["estimate"], at["high"]], [low, own.mean(), high])
        assert (int(at["n"]), int(at["n_undefined"])) == (len(own), 12 - len(own))


@pytest.mark.parametrize(("statistic", "method"), [("mean", "BCa"), ("median", "percentile")])
def test_bootstrap_is_that_of_scipy_on_the_same_resamples(statistic, method):
    values = drawn(2, 1, 61)
    values[1, 0, 7] = np.nan
    found = interval(values, statistic=statistic, n_resamples=999, seed=5)
    for e in range(2):
        own = values.values[e, 0]
        own = own[~np.isnan(own)]
        distribution = one_level(own[:, None], statistic, 999, 5)[:, 0]
        theirs = stats.bootstrap(
            (own,),
            getattr(np, statistic),
            n_resamples=0,
            bootstrap_result=SimpleNamespace(bootstrap_distribution=distribution),
            method=method,
        ).confidence_interval
        at = found.isel(extractor=e, seed=0)
        np.testing.assert_allclose([at["low"], at["high"]], theirs, rtol=1e-9)
    assert found.attrs["n_resamples"] == 999


def test_bootstrap_is_near_that_of_scipy_on_other_resamples():
    values = drawn(200)
    found = interval(values, n_resamples=10000)
    theirs = stats.bootstrap((values.values,), np.mean, n_resamples=10000, rng=np.random.default_rng(1))
    error = values.values.std() / np.sqrt(200)
    np.testing.assert_allclose([found["low"], found["high"]], theirs.confidence_interval, atol=0.15 * error)


def test_a_resample_is_its_cases_as_often_as_it_has_them():
    values = np.round(drawn(17, 4).values, 1)  # With ties.
    values[3, 1] = values[[0, 5, 9], 2] = np.nan
    counts = np.concatenate([found for _, found in count_cases(17, 50, [3])])
    assert counts.sum(axis=1).tolist() == [17] * 50
    for row in counts:
        cases = values[np.repeat(np.arange(17), row.astype(int))]
        np.testing.assert_allclose(statistic_of(values, row[None], "mean")[0], np.nanmean(cases, axis=0))
        np.testing.assert_allclose(statistic_of(values, row[None], "median")[0], np.nanmedian(cases, axis=0))
    undefined = statistic_of(np.full((17, 1), np.nan), counts, "median")
    assert np.isnan(undefined).all()


def test_blocks_do_not_matter(monkeypatch):
    values = drawn(3, 4, 40)
    values[1, 2, :3] = np.nan
    asked = [{}, {"statistic": "median"}, {"over": ("seed", "sample"), "method": "bootstrap"}]
    expected = [interval(values, **each) for each in asked]
    monkeypatch.setattr(bootstrap, "BLOCK", 3 * 40)
    monkeypatch.setattr(limits, "HELD", 2 * 2000)
    for one, each in zip(expected, asked, strict=True):
        xr.testing.assert_allclose(interval(values, **each), one, rtol=1e-12)


def test_variances_of_both_levels_are_those_of_clusters():
    values = drawn(1, 6, 25)
    found = interval(values, over=("seed", "sample"), confidence=0.95)
    flat = values.values.ravel()
    variances = []
    for groups, count in ((np.repeat(np.arange(6), 25), 6), (np.tile(np.arange(25), 6), 25)):
        cov = {"groups": groups, "use_correction": False}
        fit = OLS(flat, np.ones_like(flat)).fit(cov_type="cluster", cov_kwds=cov)
        variances.append(float(fit.bse[0]) ** 2 * count / (count - 1))
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 5 + variances[1] ** 2 / 24)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(variances))
    np.testing.assert_allclose(found["high"] - found["estimate"], half)
    np.testing.assert_allclose(found["estimate"] - found["low"], half)
    assert (int(found["n"][0]), int(found["n_seed"][0])) == (150, 6)


def test_medians_of_both_levels():
    values = drawn(2, 5, 41)
    found = interval(values, over=("seed", "sample"), statistic="median")
    np.testing.assert_allclose(found["estimate"], values.median("sample").mean("seed"))
    # Where all samples are alike, what is left is Student's interval over seeds.
    alike = values.isel(sample=[0] * 41)
    assert_same = interval(values.isel(sample=0, drop=True), over="seed")
    xr.testing.assert_allclose(
        interval(alike, over=("seed", "sample"), statistic="median")[["estimate", "low", "high"]],
        assert_same[["estimate", "low", "high"]],
    )


# How often the interval holds the truth. The replicates are the slices of one array.

REPLICATES = 1000
"""0.95 is then known to 0.007, one standard error."""


def test_over_five_seeds_student_covers_and_the_bootstrap_does_not():
    values = xr.DataArray(np.random.default_rng(1).normal(size=(REPLICATES, 5)), dims=("replicate", "seed"))
    assert 0.93 < covered(interval(values, over="seed")) < 0.97
    assert 0.80 < covered(interval(values, over="seed", method="bootstrap", n_resamples=300)) < 0.88


def crossed(of_seeds, of_samples, n_replicates=400):
    """Values around 0 that differ by seed, by sample and by both."""
    rng = np.random.default_rng(2)
    by_seed, by_sample = rng.normal(size=(n_replicates, 5, 1)), rng.normal(size=(n_replicates, 1, 40))
    values = of_seeds * by_seed + of_samples * by_sample + rng.normal(size=(n_replicates, 5, 40))
    return xr.DataArray(values, dims=("replicate", "seed", "sample"))


@pytest.mark.parametrize(("of_seeds", "of_samples", "bootstrap"), [(1, 0.2, (0.78, 0.89)), (0.3, 3, (0.91, 0.97))])
def test_both_levels(of_seeds, of_samples, bootstrap):
    values = crossed(of_seeds, of_samples)
    both = {"over": ("seed", "sample")}
    assert 0.92 < covered(interval(values, **both)) < 0.98
    low, high = bootstrap
    assert low < covered(interval(values, method="bootstrap", n_resamples=300, **both)) < high


def test_one_level_alone_is_too_narrow_where_the_other_matters():
    # Of one seed: another trained model would do something else.
    assert covered(interval(crossed(1, 0.2).isel(seed=0), method="t")) < 0.4
    # Over means of the samples that the seeds share: other samples would.
    assert covered(interval(crossed(0.3, 3).mean("sample"), over="seed")) < 0.75


def test_means_and_medians_of_skewed_samples():
    values = xr.DataArray(np.random.default_rng(3).exponential(size=(500, 60)), dims=("replicate", "sample"))
    assert 0.91 < covered(interval(values, n_resamples=300), 1) < 0.97
    assert 0.91 < covered(interval(values, n_resamples=300, statistic="median"), np.log(2)) < 0.975


# What is undefined


@pytest.mark.parametrize("asked", [{}, {"method": "bootstrap"}, {"statistic": "median"}])
def test_undefined_cases_are_left_out_and_counted(asked):
    values = xr.DataArray(np.full((4, 9), np.nan), dims=("extractor", "sample"))
    values[1, 4] = 0.1
    values[2] = 0.1
    values[3, :8] = np.arange(8)
    found = interval(values, **asked)
    assert found["n"].values.tolist() == [0, 1, 9, 8]
    assert found["n_undefined"].values.tolist() == [9, 8, 0, 1]
    np.testing.assert_array_equal(found["estimate"], [np.nan, 0.1, 0.1, 3.5])
    np.testing.assert_array_equal(found["low"][:3], [np.nan, np.nan, 0.1])
    np.testing.assert_array_equal(found["high"][:3], [np.nan, np.nan, 0.1])
    assert found["low"][3] < 3.5 < found["high"][3]


@pytest.mark.parametrize("asked", [{}, {"method": "bootstrap"}, {"statistic": "median"}])
def test_undefined_cases_of_both_levels(asked):
    values = drawn(3, 5, 20)
    values[0, 2] = np.nan
    values[1, 1:] = np.nan
    values[2] = np.nan
    found = interval(values, over=("seed", "sample"), **asked)
    assert found["n"].values.tolist() == [80, 20, 0]
    assert found["n_undefined"].values.tolist() == [20, 80, 100]
    assert found["n_seed"].values.tolist() == [4, 1, 0]
    assert np.isfinite(found["estimate"]).values.tolist() == [True, True, False]
    assert (
        np.isfinite(found["low"]).values.tolist() == np.isfinite(found["high"]).values.tolist() == [True, False, False]
    )
    without = interval(values[:1].isel(seed=[0, 1, 3, 4]), over=("seed", "sample"), **asked)
    if asked.get("method") != "bootstrap":  # Other seeds are drawn of four than of five.
        xr.testing.assert_allclose(
            found[["estimate", "low", "high"]].isel(extractor=[0]), without[["estimate", "low", "high"]]
        )


def test_a_sample_that_a_seed_lacks_moves_that_seed_only():
    values = drawn(1, 2, 3)
    values[0, 1, 2] = np.nan
    found = interval(values, over=("seed", "sample"))
    means = np.array([values.values[0, 0].mean(), values.values[0, 1, :2].mean()])
    np.testing.assert_allclose(found["estimate"], means.mean())
    from_means = np.nan_to_num((values.values[0] - means[:, None]) * np.array([[1.0], [1.5]]))
    variances = np.array([means.var(ddof=1) / 2, (from_means.mean(axis=0) ** 2).sum() / 6])
    freedom = variances.sum() ** 2 / (variances**2 / [1, 2]).sum()
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    np.testing.assert_allclose(found["high"] - found["estimate"], [half])


# What does not matter


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_cases_and_dims_does_not_matter(data):
    values = drawn(2, 4, 9, seed=data.draw(st.integers(0, 1000)))
    holes = data.draw(st.lists(st.tuples(*[st.integers(0, n - 1) for n in values.shape]), max_size=6))
    for hole in holes:
        values[hole] = np.nan
    dims = data.draw(st.permutations(values.dims))
    turned = values.isel(
        {dim: data.draw(st.permutations(range(values.sizes[dim]))) for dim in ("seed", "sample")}
    ).transpose(*dims)
    both = {"over": ("seed", "sample")}
    xr.testing.assert_allclose(interval(turned, **both), interval(values, **both))
    scale = data.draw(st.floats(0.01, 100))
    for name in ("estimate", "low", "high"):
        one, other = interval(scale * values + 3, **both)[name], scale * interval(values, **both)[name] + 3
        xr.testing.assert_allclose(one, other)


def test_labels_units_and_what_was_asked_are_kept():
    values = drawn(2, 30).rename(seed="operator").assign_coords(operator=["zero", "mean"], extra=("sample", range(30)))
    values.attrs = {"units": "1", "long_name": "comprehensiveness", "direction": "higher is better"}
    found = interval(values.to_dataset(name="comprehensiveness"), seed=4)
    assert found["operator"].values.tolist() == ["zero", "mean"]
    assert found["estimate"].attrs == {"units": "1", "long_name": "comprehensiveness"}
    assert json.loads(json.dumps(found.attrs)) == found.attrs
    assert (found.attrs["seed"], found.attrs["over"]) == (4, "sample")
    assert "seed" not in interval(values, method="t").attrs


@pytest.mark.parametrize(
    ("values", "asked", "words"),
    [
        (np.zeros(3), {}, "a ndarray came"),
        (drawn(3), {"over": "seed"}, "no dim 'seed'; they have .'sample',."),
        (drawn(2, 3), {"over": ("seed", "seed")}, "over="),
        (drawn(2, 3), {"over": ()}, "over="),
        (drawn(3), {"over": 3}, "over=3 came; accepted are a name, or a list of names"),
        (drawn(3), {"over": ["sample", None]}, "over="),
        (drawn(3), {"statistic": []}, r"statistic=\[\] is not known"),
        (drawn(3), {"confidence": "95%"}, "confidence"),
        (drawn(3), {"statistic": "mode"}, "accepted are 'mean', 'median'"),
        (drawn(3), {"method": "t", "statistic": "median"}, "method='bootstrap'"),
        (drawn(3), {"confidence": 95}, "between 0 and 1"),
        (drawn(3), {"n_resamples": 3}, "n_resamples"),
        (drawn(3).where(lambda v: v > 100, np.inf), {}, "3 of 3 values are infinite"),
        (xr.Dataset({"a": drawn(3), "b": drawn(3)}), {}, "to_dataarray"),
        (drawn(3)[:0], {}, "empty"),
    ],
)
def test_what_is_refused(values, asked, words):
    with pytest.raises(InputError, match=words):
        interval(values, **asked)


def test_without_scipy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'attrkit\[metrics\]'"):
        interval(drawn(5))
