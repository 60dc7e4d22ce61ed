"""Tests of pairs and stability of ranks against scipy, tables and closed forms."""

import json
import sys
import warnings
from itertools import combinations, product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from attrkit.errors import AttrkitWarning, InputError, MissingDependencyError
from attrkit.metrics import paired_tests, rank_stability
from attrkit.metrics.statistics.ranks import agreement_of

NAMES = ["attention", "gradient", "lrp", "occlusion"]


def drawn(*shape, seed=0):
    """Values of dims (extractor, seed, sample), or (extractor, sample), a little higher from one to the next."""
    values = np.random.default_rng(seed).normal(size=shape)
    values += 0.4 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    dims = ("extractor", "seed", "sample") if len(shape) == 3 else ("extractor", "sample")
    return xr.DataArray(values, dims=dims, coords={"extractor": NAMES[: shape[0]]})


# Pairs


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("size", [24, 70])
@pytest.mark.parametrize("test", ["wilcoxon", "t", "sign"])
def test_each_pair_is_that_of_scipy(test, size, alternative):
    values = drawn(3, size)
    values[1, 5] = values[2, 7] = np.nan
    values[0, :2] = values[1, :2]  # Differences of 0.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttrkitWarning)
        found = paired_tests(values, test=test, alternative=alternative)
    for a, b in np.argwhere(~np.eye(3, dtype=bool)):
        both = values[[a, b]].dropna("sample").values
        differences = both[0] - both[1]
        moved = differences[differences != 0]
        at = found.isel(extractor=a, other=b)
        np.testing.assert_allclose(at["difference"], differences.mean())
        assert int(at["n"]) == len(differences)
        assert int(at["n_undefined"]) == size - len(differences)
        assert int(at["n_zero"]) == len(differences) - len(moved)
        if test == "t":
            theirs = stats.ttest_rel(*both, alternative=alternative)
            np.testing.assert_allclose(at["statistic"], theirs.statistic)
            np.testing.assert_allclose(at["effect_size"], differences.mean() / differences.std(ddof=1))
        elif test == "sign":
            theirs = stats.binomtest(int((moved > 0).sum()), len(moved), alternative=alternative)
            np.testing.assert_allclose(at["effect_size"], np.sign(moved).mean(), atol=1e-12)
            assert int(at["statistic"]) == (moved > 0).sum()
        else:
            # Left to itself, scipy approximates as soon as there are zeros.
            theirs = stats.wilcoxon(moved, alternative=alternative)
            ranks = stats.rankdata(abs(moved))
            np.testing.assert_allclose(at["effect_size"], (ranks * np.sign(moved)).sum() / ranks.sum(), atol=1e-12)
            if alternative == "two-sided":
                assert min(float(at["statistic"]), ranks.sum() - float(at["statistic"])) == theirs.statistic
            else:
                assert float(at["statistic"]) == theirs.statistic
        np.testing.assert_allclose(at["p_value"], theirs.pvalue)
    assert np.isnan(found["p_value"].values[np.eye(3, dtype=bool)]).all()
    assert found.attrs["tests_in_family"] == (3 if alternative == "two-sided" else 6)
    assert json.loads(json.dumps(found.attrs)) == found.attrs


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_ranks_with_ties_are_exact(alternative):
    values = (2 * drawn(2, 12)).round() / 10
    values[0, 3] = values[1, 3]
    found = paired_tests(values, alternative=alternative)
    differences = (values[0] - values[1]).values.round(9)  # 0.7 - 0.5 and 0.3 - 0.1 are a tie.
    moved = differences[differences != 0]
    ranks = stats.rankdata(abs(moved))
    assert 6 < len(ranks) < 12
    assert len(set(ranks)) < len(ranks)
    # The sum of the positive ranks for every way in which signs could have come out.
    signs = np.array(list(product([0, 1], repeat=len(ranks))))
    sums, own = signs @ ranks, ranks[moved > 0].sum()
    more, less = (sums >= own).mean(), (sums <= own).mean()
    expected = {"greater": more, "less": less, "two-sided": min(1, 2 * min(more, less))}[alternative]
    np.testing.assert_allclose(found["p_value"][0, 1], expected)
    assert float(found["statistic"][0, 1]) == own


def test_corrections_by_their_definition():
    values = drawn(4, 30)
    upper = np.triu_indices(4, 1)
    for correction in ("holm", "fdr_bh"):
        found = paired_tests(values, test="t", correction=correction)
        p = found["p_value"].values[upper]
        order, count = np.argsort(p), len(p)
        expected = np.empty(count)
        if correction == "holm":
            expected[order] = np.maximum.accumulate((count - np.arange(count)) * p[order]).clip(max=1)
        else:
            steps = (p[order] * count / (1 + np.arange(count)))[::-1]
            expected[order] = np.minimum.accumulate(steps)[::-1]
        np.testing.assert_allclose(found["p_adjusted"].values[upper], expected)
        np.testing.assert_array_equal(found["p_adjusted"], found["p_adjusted"].transpose("other", "extractor"))
        np.testing.assert_allclose(found["difference"], -found["difference"].transpose("other", "extractor"))


def test_all_tests_of_a_call_are_one_family():
    values = xr.concat([drawn(3, 20), drawn(3, 20, seed=1)], dim="metric")
    found = paired_tests(values, test="t")
    assert found["p_adjusted"].dims == ("extractor", "other", "metric")
    assert found.attrs["tests_in_family"] == 6
    upper = np.triu_indices(3, 1)
    least = found["p_value"].values[upper].min()
    np.testing.assert_allclose(np.nanmin(found["p_adjusted"]), 6 * least)


def test_a_case_is_the_mean_over_what_both_have():
    values = drawn(2, 7, 15)
    values[0, :, :5] = np.nan
    values[1, 2, 9] = np.nan
    values[1, 6] = np.nan
    found = paired_tests(values, test="t")
    assert (found.attrs["cases"], found.attrs["averaged"]) == ("seed", "sample")
    differences = (values[0] - values[1]).mean("sample").values[:6]
    np.testing.assert_allclose(found["p_value"][0, 1], stats.ttest_1samp(differences, 0).pvalue)
    assert (int(found["n"][0, 1]), int(found["n_undefined"][0, 1])) == (6, 1)
    # Fewer seeds than that cannot say much of others: samples are the cases, averaged over seeds.
    few = paired_tests(values[:, :5], test="t")
    assert (few.attrs["cases"], few.attrs["averaged"]) == ("sample", "seed")
    differences = (values[0, :5] - values[1, :5]).mean("seed").values[5:]
    np.testing.assert_allclose(few["p_value"][0, 1], stats.ttest_1samp(differences, 0).pvalue)


def test_samples_of_all_seeds_are_no_cases_of_their_own():
    rng = np.random.default_rng(1)
    # No extractor is better, but trained models differ in which one is.
    values = rng.normal(size=(150, 2, 8, 20)) + rng.normal(size=(150, 2, 8, 1))
    values = xr.DataArray(values, dims=("replicate", "extractor", "seed", "sample"))
    with pytest.warns(AttrkitWarning, match="not independent"):
        pooled = paired_tests(values, over=("seed", "sample"), test="t")
    assert float((pooled["p_value"][0, 1] < 0.05).mean()) > 0.4
    by_seed = paired_tests(values, over="seed", test="t")
    assert 0.01 < float((by_seed["p_value"][0, 1] < 0.05).mean()) < 0.1


def test_undefined_tests_are_counted_and_no_part_of_the_family():
    values = drawn(4, 20)
    values[1] = values[0]
    values[2] = np.nan
    values[2, :1] = 3.0
    found = paired_tests(values)
    same, lone = found.isel(extractor=0, other=1), found.isel(extractor=0, other=2)
    assert (int(same["n"]), int(same["n_zero"]), float(same["difference"])) == (20, 20, 0)
    assert (int(lone["n"]), int(lone["n_undefined"])) == (1, 19)
    for one in (same, lone):
        assert np.isnan([one["p_value"], one["p_adjusted"], one["statistic"], one["effect_size"]]).all()
    assert found.attrs["tests_in_family"] == 2
    # Differences that are alike have no spread, but for rounding, that a mean could be measured by.
    values[1] = values[0] + 0.1
    assert np.isnan(paired_tests(values[:2], test="t")["p_value"]).all()


def test_cases_that_are_too_few_are_warned_of():
    values = drawn(2, 5, 12)
    with pytest.warns(AttrkitWarning, match=r"5 cases along seed and 1 tests no adjusted p-value can be below 0.0625"):
        found = paired_tests(values, over="seed")
    np.testing.assert_array_equal(found["smallest_p"][0, 1], 0.0625)
    values = drawn(4, 7, 12)
    with pytest.warns(AttrkitWarning, match="6 tests"):
        paired_tests(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paired_tests(values, correction="fdr_bh")
        paired_tests(values, test="t")


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_cases_and_extractors_does_not_matter(data):
    values = drawn(3, 12, seed=data.draw(st.integers(0, 1000))).round(1)
    for hole in data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), max_size=4)):
        values[hole] = np.nan
    turned = values.isel(
        sample=data.draw(st.permutations(range(12))), extractor=data.draw(st.permutations(range(3)))
    ).transpose(*data.draw(st.permutations(values.dims)))
    test = data.draw(st.sampled_from(["wilcoxon", "t", "sign"]))
    one, other = paired_tests(values, test=test), paired_tests(turned, test=test)
    xr.testing.assert_allclose(other.sel(extractor=NAMES[:3], other=NAMES[:3]), one)


@pytest.mark.parametrize(
    ("values", "asked", "words"),
    [
        (drawn(1, 9), {}, "two extractors or more"),
        (drawn(2, 9).rename(sample="other"), {}, "no dim 'other'"),
        (drawn(2, 9).rename(sample="window"), {}, "over='sample'"),
        (drawn(2, 9), {"over": "seed"}, "over='seed' is not known"),
        (drawn(2, 9), {"over": np.zeros(2)}, "over=array"),
        (drawn(2, 9), {"dim": 3}, "3"),
        (drawn(2, 9), {"test": "anova"}, "accepted are 'wilcoxon', 't', 'sign'"),
        (drawn(2, 9), {"correction": "bonferroni"}, "accepted are 'holm', 'fdr_bh'"),
        (drawn(2, 9), {"alternative": "both"}, "accepted are 'two-sided'"),
        (drawn(2, 9), {"dim": "metric"}, "no dim 'metric'"),
    ],
)
def test_what_is_refused(values, asked, words):
    with pytest.raises(InputError, match=words):
        paired_tests(values, **asked)


def test_without_statsmodels_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.stats.multitest", None)
    with pytest.raises(MissingDependencyError, match=r"statsmodels is needed.*pip install 'attrkit\[metrics\]'"):
        paired_tests(drawn(2, 20))


# Ranks


@pytest.mark.parametrize("decimals", [6, 0])
def test_agreement_of_ranks_is_that_of_scipy(decimals):
    """With rounding to whole numbers there are ties."""
    values = drawn(4, 9, 1).round(decimals)
    found = rank_stability(values, best="highest")
    ranks = stats.rankdata(-values.values[..., 0], axis=0)
    np.testing.assert_array_equal(found["rank"], ranks)
    theirs = stats.friedmanchisquare(*values.values[..., 0])
    np.testing.assert_allclose(found["friedman_statistic"], theirs.statistic)
    np.testing.assert_allclose(found["friedman_p"], theirs.pvalue)
    # Friedman's statistic, corrected for ties too, is blocks * (extractors - 1) * W.
    np.testing.assert_allclose(found["kendall_w"], theirs.statistic / (9 * 3))
    pairs = [stats.spearmanr(ranks[:, i], ranks[:, j]).statistic for i, j in combinations(range(9), 2)]
    np.testing.assert_allclose(found["mean_spearman"], np.mean(pairs))
    low, high = stats.t.interval(0.95, 8, ranks.mean(axis=1), stats.sem(ranks, axis=1))
    np.testing.assert_allclose(found["mean_rank"], ranks.mean(axis=1))
    np.testing.assert_allclose(found["low"], low.clip(1, 4))
    np.testing.assert_allclose(found["high"], high.clip(1, 4))
    np.testing.assert_allclose(found["first_share"].sum(), 1)
    assert json.loads(json.dumps(found.attrs)) == found.attrs


def test_kendall_w_by_its_definition():
    ranks = np.argsort(np.random.default_rng(4).random((5, 6)), axis=0) + 1.0
    found = agreement_of(ranks, 0.95)
    spread = ((ranks.sum(axis=1) - 6 * 3) ** 2).sum()
    np.testing.assert_allclose(found.kendall_w, 12 * spread / (36 * (125 - 5)))
    np.testing.assert_allclose(found.mean_spearman, (6 * found.kendall_w - 1) / 5)


@pytest.mark.parametrize(
    ("confidence", "q"),
    [
        (0.95, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.90, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_critical_differences_are_those_of_the_table(confidence, q):
    """Demšar 2006, table 5(a), for 2 to 10 classifiers."""
    for count, value in enumerate(q, start=2):
        ranks = np.tile(np.arange(1.0, count + 1)[:, None], 14)
        expected = value * np.sqrt(count * (count + 1) / (6 * 14))
        np.testing.assert_allclose(agreement_of(ranks, confidence).critical_difference, expected, atol=1.1e-3 * count)


def test_one_order_and_no_order():
    values = xr.DataArray(np.arange(3.0)[:, None] * np.ones(6), dims=("extractor", "seed"), attrs={"direction": ""})
    found = rank_stability(values, best="lowest")
    assert found["mean_rank"].values.tolist() == [1, 2, 3]
    assert found["first_share"].values.tolist() == [1, 0, 0]
    np.testing.assert_allclose([found["kendall_w"], found["mean_spearman"]], 1)
    alike = rank_stability(0 * values, best="lowest")
    np.testing.assert_allclose(alike["first_share"], 1 / 3)
    assert alike["mean_rank"].values.tolist() == [2, 2, 2]
    assert np.isnan([alike["kendall_w"], alike["mean_spearman"], alike["friedman_p"]]).all()
    # Over all orders there are, none is favoured.
    orders = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2], [2, 1, 0]], dtype=float)
    found = rank_stability(values.copy(data=orders.T), best="lowest")
    np.testing.assert_allclose([found["kendall_w"], found["mean_spearman"]], [0, -0.2], atol=1e-12)
    np.testing.assert_allclose(found["friedman_p"], 1)


def test_two_extractors_have_no_friedman():
    found = rank_stability(drawn(2, 5, 4), best="highest")
    assert np.isnan(found["friedman_statistic"])
    assert 0 <= found["kendall_w"] <= 1


def test_means_are_of_the_samples_that_all_have():
    values = drawn(3, 6, 10)
    values[0, 0, :4] = np.nan
    values[1, 3] = np.nan
    found = rank_stability(values, best="highest")
    assert found["n_sample"].values.tolist() == [6, 10, 10, 0, 10, 10]
    assert found["n_sample_undefined"].values.tolist() == [4, 0, 0, 10, 0, 0]
    assert (int(found["n"]), int(found["n_undefined"])) == (5, 1)
    assert np.isnan(found["rank"][:, 3]).all()
    np.testing.assert_array_equal(found["rank"][:, 0], stats.rankdata(-values.values[:, 0, 4:].mean(axis=1)))
    without = rank_stability(values.isel(seed=[0, 1, 2, 4, 5]), best="highest")
    names = ["mean_rank", "low", "high", "first_share", "kendall_w", "mean_spearman", "friedman_p"]
    xr.testing.assert_allclose(found[names], without[names])
    assert np.isfinite(found[names].to_dataarray()).all()


def test_over_another_dim_the_others_stay():
    values = xr.concat([drawn(3, 4, 5, seed=s) for s in range(6)], dim="operator").assign_coords(
        operator=list("abcdef")
    )
    found = rank_stability(values.assign_attrs(direction="higher is better"), over="operator")
    assert found["kendall_w"].dims == ("seed",)
    assert found["rank"].dims == ("extractor", "operator", "seed")
    one = rank_stability(values.isel(seed=2), over="operator", best="highest")
    xr.testing.assert_allclose(found.isel(seed=2, drop=True), one)
    of_samples = rank_stability(values.isel(seed=2, operator=0), over="sample", best="highest")
    assert int(of_samples["n"]) == 5
    assert "n_sample" not in of_samples


def test_which_is_best_is_said_or_refused():
    values = drawn(3, 4, 5)
    with pytest.raises(InputError, match="best='highest'"):
        rank_stability(values)
    with pytest.raises(InputError, match="best='top' is not known"):
        rank_stability(values, best="top")
    with pytest.raises(InputError, match="two extractors"):
        rank_stability(values[:1], best="highest")
    lower = rank_stability(values.assign_attrs(direction="lower is better"))
    np.testing.assert_allclose(lower["rank"], 4 - rank_stability(values, best="highest")["rank"])
    assert lower.attrs["best"] == "lowest"


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_seeds_and_extractors_does_not_matter_to_ranks(data):
    values = drawn(3, 5, 4, seed=data.draw(st.integers(0, 1000))).round(1)
    for hole in data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), max_size=5)):
        values[hole] = np.nan
    turned = values.isel({dim: data.draw(st.permutations(range(values.sizes[dim]))) for dim in values.dims}).transpose(
        *data.draw(st.permutations(values.dims))
    )
    one, other = (rank_stability(v.assign_coords(seed=v.seed), best="lowest") for v in (values, turned))
    xr.testing.assert_allclose(other.sel(extractor=NAMES[:3]).drop_dims("seed"), one.drop_dims("seed"))
