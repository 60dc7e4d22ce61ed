"""Ground truth metrics: against scikit-learn, closed forms and definitions written as loops."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

import attrkit
from attrkit.errors import InputError
from attrkit.metrics import ground_truth
from tests.metrics import battery


def scored(scores, saliency, **options):
    found = ground_truth(attrkit.from_arrays({"a": np.asarray(scores)}), saliency, **options)
    return found.isel(extractor=0)


def with_ties(n_samples, *, seed=0):
    """Return scores and a saliency, from few ties to constants and from nothing salient to all."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(1, 12, (n_samples, 1, 1))
    scores = np.floor(rng.random((n_samples, 6, 2)) * levels) - levels // 2
    return scores, rng.random(scores.shape) < rng.choice([0.1, 0.4, 0.9], (n_samples, 1, 1))


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("scale", [None, "min_max"])
def test_areas_are_those_of_scikit_learn_with_ties(absolute, scale):
    scores, saliency = with_ties(40)
    found = scored(scores, saliency, absolute=absolute, scale=scale)
    found = {name: found[name].values for name in ("auprc", "auroc", "aup", "aur")}
    scores = abs(scores) if absolute else scores
    met = set()
    for sample, (score, salient) in enumerate(zip(scores, saliency, strict=True)):
        score, salient, here = score.ravel(), salient.ravel(), {name: each[sample] for name, each in found.items()}
        constant = score.max() == score.min()
        if salient.all() or not salient.any():
            expected = dict.fromkeys(here, np.nan)
        else:
            expected = {"auprc": average_precision_score(salient, score), "auroc": roc_auc_score(salient, score)}
            expected |= {"aup": np.nan, "aur": np.nan}
            if not constant:
                score = (score - score.min()) / (score.max() - score.min()) if scale else score
                precision, recall, thresholds = precision_recall_curve(salient, score)
                expected |= {"aup": auc(thresholds, precision[:-1]), "aur": auc(thresholds, recall[:-1])}
        met.add((constant, bool(salient.all()), bool(salient.any())))
        np.testing.assert_allclose(*np.array([[here[name], expected[name]] for name in here]).T, atol=1e-12)
    assert {(False, False, True), (True, False, True), (False, True, True), (False, False, False)} <= met


@pytest.mark.parametrize("scale", [None, "min_max"])
def test_pooled_areas_are_those_of_scikit_learn_on_all_samples(scale):
    rng = np.random.default_rng(0)
    scores, saliency = rng.integers(0, 9, (30, 8, 2)) / 8 * rng.integers(1, 4, (30, 1, 1)), rng.random((30, 8, 2)) < 0.2
    saliency[0] = False
    found = scored(scores, saliency, scale=scale)
    if scale:
        lowest, highest = scores.min((1, 2), keepdims=True), scores.max((1, 2), keepdims=True)
        scores = (scores - lowest) / (highest - lowest)
    np.testing.assert_allclose(
        found["auprc_pooled"], average_precision_score(saliency.ravel(), scores.ravel()), atol=1e-12
    )
    np.testing.assert_allclose(found["auroc_pooled"], roc_auc_score(saliency.ravel(), scores.ravel()), atol=1e-12)
    assert found["undefined"].sel(metric="auprc_pooled") == 0
    assert found["undefined"].sel(metric="auprc") == (~saliency).all((1, 2)).sum() > 0


def test_average_precision_by_chance_is_the_mean_over_all_orders():
    saliency = np.array([[True, True, False, False, False, False]])
    orders = np.random.default_rng(0).random((4000, 6))
    found = scored(orders, np.repeat(saliency, 4000, axis=0))
    error = float(found["auprc"].std()) / 4000**0.5
    np.testing.assert_allclose(found["auprc"].mean(), found["auprc_chance"][0], atol=4 * error)


def loops_of_ismail(scores, saliency):
    """Precision and recall of timesteps of one sample, as the docstring has it, by loops."""
    n_channels = int(saliency.any(axis=0).sum())
    weight = [np.sort(row)[::-1][:n_channels].mean() for row in scores]
    truth = saliency.any(axis=1)
    curves = []
    for mass in np.arange(1, 10) / 10:
        kept, held = [], 0.0
        for score in np.sort(scores.ravel())[::-1]:
            kept.append(score)
            held += score
            if held >= mass * scores.sum() - 1e-9:
                break
        found = [t for t in range(len(scores)) if (scores[t] >= kept[-1]).any()]
        hit = sum(weight[t] for t in found if truth[t])
        salient = sum(weight[t] for t in range(len(scores)) if truth[t])
        curves.append([hit / sum(weight[t] for t in found), hit / salient if salient else 0.0])
    return np.trapezoid(curves, dx=0.1, axis=0) / 0.8


def test_precision_and_recall_of_timesteps_and_channels_are_as_defined():
    rng = np.random.default_rng(3)
    saliency = battery.boxes(12, 9, 4, long=3, wide=2)
    scores = np.concatenate([rng.random((6, 9, 4)), rng.integers(0, 4, (6, 9, 4)).astype(float)]) + saliency
    scores[0] = ~saliency[0].any(axis=1, keepdims=True)
    found = scored(scores, saliency, scale=None)
    times = np.array([loops_of_ismail(*each) for each in zip(scores, saliency, strict=True)])
    features = np.array([loops_of_ismail(a.T, b.T) for a, b in zip(scores, saliency, strict=True)])
    np.testing.assert_allclose(found["time_precision"], times[:, 0], atol=1e-12)
    np.testing.assert_allclose(found["time_recall"], times[:, 1], atol=1e-12)
    np.testing.assert_allclose(found["feature_precision"], features[:, 0], atol=1e-12)
    np.testing.assert_allclose(found["feature_recall"], features[:, 1], atol=1e-12)
    assert found["time_precision"][0] == found["time_recall"][0] == 0


# The white-box experiment of Dynamask: f(x) is the sum of squares of what is salient, so that integrated gradients
# from zero are these squares.


def rare(kind, seed):
    rng = np.random.default_rng(seed)
    series = lfilter([2.0], [2.0, 0.5, 0.2, 0.1], rng.standard_normal((10, 50, 50)), axis=1)
    saliency = np.zeros((10, 50, 50), bool)
    for sample in saliency:
        if kind == "feature":
            sample[12:37, rng.choice(50, 5, replace=False)] = True
        else:
            start = rng.integers(45)
            sample[start : start + 5, 12:37] = True
    return series**2 * saliency, saliency


@pytest.mark.parametrize(("kind", "aur", "information"), [("feature", 0.135, 464), ("time", 0.125, 443)])
def test_exact_integrated_gradients_have_the_published_row(kind, aur, information):
    # Published for 5 folds of 10 samples, by the experiments of time_interpret, as AUP 1.000 and these.
    folds = [scored(*rare(kind, seed), metrics=["auprc", "aup", "aur", "information"]) for seed in range(10)]
    assert min(float(fold["aup"].mean()) for fold in folds) > 0.9995
    for published, of_folds in (
        (aur, [float(fold["aur"].mean()) for fold in folds]),
        (information, [float(fold["information"].sum()) for fold in folds]),
    ):
        assert abs(np.mean(of_folds) - published) < 2 * np.std(of_folds)
        assert np.std(of_folds) < 0.1 * published
    assert all((fold["auprc"] == 1).all() for fold in folds)
    np.testing.assert_allclose([fold["prevalence"] for fold in folds], 0.05)


def test_information_and_entropy_are_as_defined():
    scores, saliency = np.array([[0.0, 0.25, 1.0, 0.5]]), np.array([[False, True, True, True]])
    found = scored(scores, saliency)
    salient = np.array([0.25, 1.0, 0.5])
    rest = 1 - salient
    np.testing.assert_allclose(found["information"], [np.abs(np.log2(rest + 1e-5)).sum()])
    entropy = salient * np.abs(np.log2(salient + 1e-5)) + rest * np.abs(np.log2(rest + 1e-5))
    np.testing.assert_allclose(found["entropy"], [entropy.sum()])
    assert found["information"].units == "bit"


# What is not defined, and padding


def test_what_is_not_defined_is_nan_and_counted():
    scores = np.array([[1.0, 2, 3, 4], [3, 3, 3, 3], [1, 2, np.nan, 4], [1, 2, 3, 4], [1, 2, 3, 4]])
    saliency = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    found = scored(scores, saliency)
    holds = {
        "auprc": [1, 1, 0, 0, 0],
        "auroc": [1, 1, 0, 0, 0],
        "aup": [1, 0, 0, 0, 0],
        "information": [1, 0, 0, 0, 1],
        "entropy": [1, 0, 0, 0, 1],
        "time_precision": [1, 0, 0, 0, 0],
    }
    for name, expected in holds.items():
        np.testing.assert_array_equal(found[name].notnull(), np.array(expected, bool), err_msg=name)
        assert found["undefined"].sel(metric=name) == 5 - sum(expected)
    # The constant cannot be scaled, NaN not be ranked.
    assert found["undefined"].sel(metric="auroc_pooled") == 2
    unscaled = scored(scores, saliency, scale=None)
    assert unscaled["undefined"].sel(metric="auroc_pooled") == 1
    assert unscaled["undefined"].sel(metric="information") == 5
    assert unscaled["auroc"][1] == 0.5
    assert unscaled["auprc"][1] == 0.25
    none = scored(scores, np.zeros((5, 4), bool))
    assert (none["undefined"] == 5).all()
    assert none["auprc_pooled"].isnull()


def test_what_scaling_would_tie_is_still_ranked():
    scores, saliency = np.array([[-1e300, 1e-20, 2e-20, 0.0]]), np.array([[False, False, True, False]])
    found = scored(scores, saliency, absolute=False)
    assert found["auprc"] == found["auroc"] == 1
    scores[0, 0] = 1e300
    assert scored(scores, saliency, absolute=False)["auprc"] == 0.5


def test_signed_scores_are_an_option():
    scores, saliency = np.array([[-4.0, 1.0, 2.0, 0.0]]), np.array([[True, False, False, False]])
    assert scored(scores, saliency)["auroc"] == 1
    signed = scored(scores, saliency, absolute=False, scale=None)
    assert signed["auroc"] == 0
    assert signed[["time_precision", "information"]].to_array().isnull().all()
    assert scored(scores, saliency, absolute=False)["time_precision"].notnull()
    assert json.loads(signed.attrs["metric_options"])["absolute"] is False


def test_padding_is_in_nothing():
    rng = np.random.default_rng(5)
    scores, saliency = rng.random((3, 6, 2)), rng.random((3, 6, 2)) < 0.3
    saliency[:, :, 1], saliency[:, 1], saliency[:, 0, 0] = False, False, True
    expected = scored(scores, saliency)
    junk = np.full((3, 9, 2), 1e300)
    truth = np.ones((3, 9, 2), bool)
    mask = np.zeros((3, 9), bool)
    for sample, start in enumerate((0, 1, 3)):
        junk[sample, start : start + 6], truth[sample, start : start + 6] = scores[sample], saliency[sample]
        mask[sample, start : start + 6] = True
    found = ground_truth(attrkit.from_arrays({"a": junk}, mask=mask), truth).isel(extractor=0)
    xr.testing.assert_equal(
        found.drop_vars(["auprc_pooled", "auroc_pooled"]), expected.drop_vars(["auprc_pooled", "auroc_pooled"])
    )
    np.testing.assert_allclose(found["auprc_pooled"], expected["auprc_pooled"])
    mask[1] = False
    found = ground_truth(attrkit.from_arrays({"a": junk}, mask=mask), truth)
    assert found["items"].values.tolist() == [12, 0, 12]
    assert (found["undefined"] == 1).all()


# What comes in


def test_saliency_is_matched_by_name_and_label():
    saliency = battery.boxes(4, 8, 3, long=3)
    tree = battery.tree(saliency)
    labelled = xr.DataArray(saliency, dims=("sample", "timestep", "channel"), coords={"timestep": np.arange(8)})
    expected = ground_truth(tree, saliency)
    xr.testing.assert_equal(ground_truth(tree, labelled.transpose("channel", "sample", "timestep")), expected)
    xr.testing.assert_equal(ground_truth(tree, saliency.astype(int)), expected)
    with pytest.raises(InputError, match="other labels along 'timestep'"):
        ground_truth(tree, labelled[:, ::-1])
    with pytest.raises(InputError, match=r"shape \(4, 7, 3\)"):
        ground_truth(tree, saliency[:, 1:])
    with pytest.raises(InputError, match=r"saliency.any\('channel'\)"):
        ground_truth(tree, saliency, channels="abs_sum")
    with pytest.raises(InputError, match="channels='abs_sum'"):
        ground_truth(tree, saliency.any(axis=2))
    with pytest.raises(InputError, match="other values than 0 and 1"):
        ground_truth(tree, saliency * 0.5)
    summed = ground_truth(tree, saliency.any(axis=2), channels="abs_sum")
    assert "feature_precision" not in summed
    assert (summed["auroc"].sel(extractor="oracle") == 1).all()


def test_options_that_are_not_known_are_refused():
    tree, saliency = attrkit.from_arrays({"a": np.ones((1, 3))}), np.zeros((1, 3), bool)
    for options, said in (
        ({"metrics": ["auc"]}, "accepted are some of 'auprc'"),
        ({"metrics": []}, "accepted are some of"),
        ({"metrics": ["feature_recall"]}, "no channels"),
        ({"scale": "z"}, "'min_max' and None"),
        ({"absolute": "yes"}, "True and False"),
    ):
        with pytest.raises(InputError, match=said):
            ground_truth(tree, saliency, **options)


def test_results_say_what_was_asked():
    saliency = battery.boxes(3, 8, 3, long=3)
    found = ground_truth(battery.tree(saliency), saliency, metrics=["auprc", "entropy"], scale="min_max")
    assert json.loads(found.attrs["metric_options"])["scale"] == "min_max"
    assert (found["auprc"].direction, found["entropy"].direction) == ("higher is better", "lower is better")
    assert found["metric"].values.tolist() == ["auprc", "entropy"]
