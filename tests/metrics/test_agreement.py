"""Agreement: against scipy, definitions written as loops, and all orders of what is tied."""

import itertools
import json
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

import attrkit
from attrkit.errors import InputError, MissingDependencyError
from attrkit.metrics import agreement, self_agreement
from attrkit.metrics.comparison import similarity

RANKS = ["kendall_tau", "spearman"]
TOPS = ["top_k_overlap", "rank_agreement", "sign_agreement", "signed_rank_agreement"]
SHARES = ["jensen_shannon", "total_variation"]


def pair(a, b, **options):
    """Return what is found between two maps of shape (sample, timestep)."""
    found = agreement(attrkit.from_arrays({"a": np.asarray(a), "b": np.asarray(b)}), **options)
    return found.sel(extractor="a", other="b")


def rounded(n_samples, length, levels, *, seed):
    """Return two maps with more or fewer ties."""
    rng = np.random.default_rng(seed)
    own = rng.integers(*levels, (n_samples, 1))
    return np.round(rng.standard_normal((2, n_samples, length)) * own) / own


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("length", [2, 25, similarity._MOST_SIGNS + 1])
def test_correlations_and_divergences_are_those_of_scipy(length, absolute):
    a, b = rounded(12, length, (1, 20), seed=length)
    found = pair(a, b, absolute=absolute, metrics=[*RANKS, "cosine", *SHARES])
    a, b = (abs(a), abs(b)) if absolute else (a, b)
    for i in range(len(a)):
        here = {name: float(found[name][i]) for name in found["metric"].values.tolist()}
        constant = np.ptp(a[i]) == 0 or np.ptp(b[i]) == 0
        zero = not a[i].any() or not b[i].any()
        p, q = abs(a[i]), abs(b[i])
        expected = {
            "kendall_tau": np.nan if constant else stats.kendalltau(a[i], b[i]).statistic,
            "spearman": np.nan if constant else stats.spearmanr(a[i], b[i]).statistic,
            "cosine": np.nan if zero else 1 - distance.cosine(a[i], b[i]),
            "jensen_shannon": np.nan if zero else distance.jensenshannon(p, q, base=2) ** 2,
            "total_variation": np.nan if zero else np.abs(p / p.sum() - q / q.sum()).sum() / 2,
        }
        np.testing.assert_allclose([here[name] for name in expected], list(expected.values()), atol=1e-12)


def test_both_ways_to_tau_are_one(monkeypatch):
    scores = np.moveaxis(rounded(4, 60, (1, 9), seed=1), 0, 1)
    items = similarity.describe(scores, absolute=False)
    shuffled = items.shuffled(np.argsort(scores[:, 0] % 0.37, axis=-1))
    expected = similarity.compare(items, shuffled, 1, ["kendall_tau"])["kendall_tau"]
    monkeypatch.setattr(similarity, "_MOST_SIGNS", 0)
    found = similarity.compare(items, shuffled, 1, ["kendall_tau"])["kendall_tau"]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def orders(values):
    """Yield every ranking of the values, from the largest, with ties in every order."""
    runs = [np.flatnonzero(values == value) for value in np.unique(values)[::-1]]
    for parts in itertools.product(*(itertools.permutations(run) for run in runs)):
        yield [place for part in parts for place in part]


def over_all_orders(a, b, k, absolute):
    """Return what Krishna et al. define, as the mean over all orders of what is tied."""
    found = []
    sizes = [abs(each) if absolute else each for each in (a, b)]
    for first, second in itertools.product(*(list(orders(size)) for size in sizes)):
        common = set(first[:k]) & set(second[:k])
        agree = {i for i in common if np.sign(a[i]) == np.sign(b[i])}
        same = [i for i, j in zip(first[:k], second[:k], strict=True) if i == j]
        found.append([len(common), len(same), len(agree), len(set(same) & agree)])
    return np.mean(found, axis=0) / k


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans())
def test_tops_are_means_over_all_orders_of_what_is_tied(seed, k, absolute):
    a, b = np.random.default_rng(seed).integers(-2, 3, (2, 2, 5)) / 2
    found = pair(a, b, k=k, absolute=absolute, metrics=TOPS).drop_vars(["extractor", "other"])
    for i in range(2):
        constant = any(np.ptp(abs(each[i]) if absolute else each[i]) == 0 for each in (a, b))
        expected = np.full(4, np.nan) if constant else over_all_orders(a[i], b[i], k, absolute)
        np.testing.assert_allclose([float(found[name][i]) for name in TOPS], expected, atol=1e-12)


def test_ties_on_the_top_are_seen_in_self_agreement():
    # Two of three that are tied for two places: 4 / 9 each is what two draws have in common of each.
    found = agreement(attrkit.from_arrays({"a": [[5.0, 1, 1, 1, 0]], "b": [[5.0, 4, 3, 2, 1]]}), k=3)
    own = found.isel(sample=0).sel(extractor="a", other="a")
    np.testing.assert_allclose(own["top_k_overlap"], (1 + 3 * 4 / 9) / 3)
    assert own["kendall_tau"] == 1
    clear = found.isel(sample=0).sel(extractor="b", other="b")
    assert all(clear[name] == 1 for name in TOPS)


def test_chance_of_overlap_is_the_share_of_the_top_whatever_the_ties():
    rng = np.random.default_rng(0)
    tied = np.floor(rng.random((3000, 20)) * 3)
    found = pair(tied, rng.random((3000, 20)), k=0.2, metrics=["top_k_overlap"])
    assert (found["k"] == 4).all()
    error = float(found["top_k_overlap"].std()) / 3000**0.5
    assert abs(found["top_k_overlap"].mean() - 0.2) < 4 * error


def test_every_metric_is_symmetric_and_perfect_with_itself():
    maps = np.random.default_rng(2).standard_normal((3, 4, 30))
    found = agreement(attrkit.from_arrays(dict(zip("abc", maps, strict=True))))
    for name in found["metric"].values.tolist():
        values = found[name].values
        np.testing.assert_array_equal(values, values.swapaxes(0, 1), err_msg=name)
        itself = values[np.arange(3), np.arange(3)]
        np.testing.assert_allclose(itself, float(name not in SHARES), atol=1e-12, err_msg=name)
        assert (found["undefined"].sel(metric=name) == 0).all()


def test_opposites_and_strangers():
    found = pair([[1.0, 2, 3, 0]], [[-1.0, -2, -3, 0]], absolute=False, k=2).isel(sample=0)
    np.testing.assert_allclose([found[name] for name in [*RANKS, "cosine"]], -1)
    assert found["top_k_overlap"] == 0
    found = pair([[1.0, 2, 3, 0]], [[-1.0, -2, -3, 0]], k=2).isel(sample=0)
    assert found["signed_rank_agreement"] == found["sign_agreement"] == 0
    assert found["rank_agreement"] == 1
    apart = pair([[1.0, 2, 0, 0]], [[0.0, 0, 4, 1]]).isel(sample=0)
    np.testing.assert_allclose([apart["jensen_shannon"], apart["total_variation"], apart["cosine"]], [1, 1, 0])


# What is not defined, and padding


def test_what_is_not_defined_is_nan_and_counted():
    a = np.array([[1.0, 2, 3], [2, 2, 2], [0, 0, 0], [1, np.nan, 3], [1, np.inf, 3]])
    found = pair(a, np.tile([3.0, 1, 2], (5, 1)), k=2)
    for name in found["metric"].values.tolist():
        n_defined = 2 if name in [*SHARES, "cosine"] else 1
        assert found[name].notnull().values.tolist() == [i < n_defined for i in range(5)], name
        assert found["undefined"].sel(metric=name) == 5 - n_defined
    short = pair(a[:1], a[:1], k=4)
    assert all(np.isnan(short[name][0]) for name in TOPS)
    assert short["kendall_tau"][0] == 1


def test_what_is_never_negative_has_no_signs():
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    weights = np.full((2, 5, 5), 0.1) + 0.5 * np.eye(5)[::-1]
    weights[:, :, 2] += np.arange(5) / 10
    tree = attrkit.from_arrays({"a": x, "b": -x, "weights": {"attention": weights}}, inputs=x)
    found = agreement(tree, channels="sum", attention="last", k=2)
    of_signs = found["sign_agreement"]
    assert (of_signs.sel(extractor="a", other="b") == 0).all()
    assert of_signs.sel(extractor="weights").isnull().all()
    assert found["top_k_overlap"].notnull().all()
    assert found["undefined"].sel(metric="signed_rank_agreement", extractor="a").values.tolist() == [0, 0, 2]
    of_sizes = agreement(tree, channels="abs_sum", attention="last", k=2)
    assert of_sizes["sign_agreement"].isnull().all()
    np.testing.assert_allclose(of_sizes["top_k_overlap"].sel(extractor="a", other="b"), 1)


def test_padding_is_in_nothing():
    rng = np.random.default_rng(1)
    maps = rng.standard_normal((2, 6, 9, 2))
    mask = np.zeros((6, 9), bool)
    for sample, (start, length) in enumerate([(0, 9), (0, 5), (4, 5), (2, 5), (0, 1), (0, 0)]):
        mask[sample, start : start + length] = True
    junk = np.where(mask[..., None], maps, np.nan)
    found = agreement(attrkit.from_arrays(dict(zip("ab", junk, strict=True)), mask=mask), k=0.3, n_random=5)
    for sample in range(5):
        alone = attrkit.from_arrays(
            {name: each[[sample]][:, mask[sample]] for name, each in zip("ab", maps, strict=True)}
        )
        expected = agreement(alone, k=0.3)
        for name in found["metric"].values.tolist():
            np.testing.assert_allclose(found[name][..., sample], expected[name][..., 0], atol=1e-12, err_msg=name)
    assert found["items"].values.tolist() == [18, 10, 10, 10, 2, 0]
    assert found["k"].values.tolist() == [5, 3, 3, 3, 1, 0]
    assert found["kendall_tau"][..., 5].isnull().all()
    assert found["kendall_tau_floor"][:, :, 5].isnull().all()
    assert (found["undefined"] == 1).all()


def test_scores_of_any_size_are_compared():
    a, b = rounded(3, 12, (3, 9), seed=4)
    expected = pair(a, b)
    for scale in (1e300, 1e-300):
        xr.testing.assert_allclose(pair(a * scale, b * scale), expected)


def test_what_differs_in_its_last_bit_is_not_tied():
    # Over the largest these two would be one number.
    low, high = 1.9, np.nextafter(1.9, 2.0)
    assert low / 3.7 == high / 3.7
    found = pair([[low, high, 3.7]], [[0.0, 1.0, 2.0]], metrics=["kendall_tau"])
    assert found["kendall_tau"] == 1


# Chance, and runs


def test_floor_is_what_shuffles_give_and_does_not_depend_on_other_samples():
    a, b = rounded(8, 10, (1, 4), seed=3)
    found = pair(a, b, k=3, n_random=40, seed=7)
    assert found["kendall_tau_floor"].dims == ("sample", "quantile")
    few = pair(a[:3], b[:3], k=3, n_random=40, seed=7)
    xr.testing.assert_equal(few.drop_vars("undefined"), found.isel(sample=slice(3)).drop_vars("undefined"))
    draws = np.random.default_rng([7, 5])
    shuffles = [draws.permutation(10) for _ in range(40)]
    alone = pair(np.tile(a[5], (40, 1)), [b[5][order] for order in shuffles], k=3)
    for name in found["metric"].values.tolist():
        expected = np.quantile(alone[name], [0.05, 0.5, 0.95])
        np.testing.assert_allclose(found[f"{name}_floor"][5], expected, atol=1e-12, err_msg=name)
    other = pair(a, b, k=3, n_random=40, seed=8, metrics=["spearman"])
    assert not other["spearman_floor"].equals(found["spearman_floor"])


def test_self_agreement_is_agreement_between_runs():
    rng = np.random.default_rng(0)
    runs = {seed: attrkit.from_arrays({"a": rng.random((4, 9)), "b": -rng.random((4, 9))}) for seed in (3, 1, 2)}
    found = self_agreement(runs, k=3, n_random=3)
    assert found["kendall_tau"].dims == ("extractor", "run", "other", "sample")
    for name in ("a", "b"):
        expected = agreement({str(run): tree[name].to_dataset() for run, tree in runs.items()}, k=3, n_random=3)
        here = found.sel(extractor=name, drop=True).rename(run="extractor")
        xr.testing.assert_equal(here.transpose(*expected.dims), expected.transpose(*expected.dims))
    assert found["run"].values.tolist() == ["3", "1", "2"]
    assert found.attrs["metric"] == "self_agreement"
    # The order of extractors is no difference.
    runs[1] = {name: runs[1][name].to_dataset() for name in ("b", "a")}
    again = self_agreement(runs, k=3, n_random=3).assign_attrs(created_at=found.attrs["created_at"])
    xr.testing.assert_identical(again, found)


def test_runs_that_differ_are_refused():
    tree = attrkit.from_arrays({"a": np.ones((2, 4))})
    for runs, said in (
        ({0: tree}, "1 of them"),
        ([tree, tree], "got a list"),
        ({0: tree, "0": tree}, "told apart by name"),
        ({0: tree, 1: attrkit.from_arrays({"b": np.ones((2, 4))})}, "differ along 'extractor'"),
        ({0: tree, 1: attrkit.from_arrays({"a": np.ones((2, 5))})}, "differ along 'timestep'"),
        ({0: tree, 1: attrkit.from_arrays({"a": np.ones((2, 4, 1))})}, "differ along 'channel'"),
        ({0: tree, 1: attrkit.from_arrays({"a": np.ones((2, 4))}, mask=np.eye(2, 4) == 0)}, "give them one mask"),
    ):
        with pytest.raises(InputError, match=said):
            self_agreement(runs)


# Options, and files


def test_options_that_are_not_known_are_refused():
    tree = attrkit.from_arrays({"a": np.ones((1, 3)), "b": np.ones((1, 3))})
    for options, said in (
        ({"metrics": ["tau"]}, "accepted are some of 'kendall_tau'"),
        ({"k": 0}, "1 or more"),
        ({"k": 1.5}, "up to 1.0"),
        ({"k": True}, "1 or more"),
        ({"absolute": 1}, "True and False"),
        ({"n_random": -1}, "n_random"),
        ({"seed": "x"}, "seed"),
        ({"channels": "mean"}, "'abs_sum'"),
    ):
        with pytest.raises(InputError, match=said):
            agreement(tree, **options)
    with pytest.raises(InputError, match="one extractor came, 'a'"):
        agreement(tree["a"].to_dataset().assign_attrs(method="a"))


def test_without_scipy_what_is_missing_is_named(monkeypatch):
    tree = attrkit.from_arrays(dict(zip("ab", np.random.default_rng(0).random((2, 1, 601)), strict=True)))
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    assert agreement(tree, metrics=["spearman"])["spearman"].notnull().all()
    with pytest.raises(MissingDependencyError, match=r"attrkit\[metrics\]"):
        agreement(tree)


def test_results_say_what_was_asked():
    tree = attrkit.from_arrays({"a": np.random.default_rng(0).random((2, 6)), "b": np.ones((2, 6))})
    found = agreement(tree, metrics="jensen_shannon", k=2, n_random=2, absolute=False)
    assert json.loads(found.attrs["metric_options"]) == {
        **{"k": 2, "absolute": False, "n_random": 2, "seed": 0},
        **dict.fromkeys(["channels", "attention", "layer", "head"]),
    }
    assert (found["jensen_shannon"].units, found["jensen_shannon"].direction) == ("bit", "lower is more alike")
