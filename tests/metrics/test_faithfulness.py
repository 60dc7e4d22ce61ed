"""Curves and metrics of faithfulness against plain loops, closed forms and other packages."""

import itertools
import json

import numpy as np
import pytest
import sklearn.metrics
import xarray as xr

import attrkit
from attrkit.errors import InputError, RefusedError
from attrkit.metrics import faithfulness
from attrkit.metrics.removal import removed

RNG = np.random.default_rng(1)
KERNEL = RNG.standard_normal((8, 2, 3))
LENGTHS = [8, 5, 8, 3, 1, 7]
MASK = np.arange(8) < np.array(LENGTHS)[:, None]
X = RNG.standard_normal((6, 8, 2)) * MASK[..., None]
SCORES = {"a": RNG.standard_normal((6, 8)), "b": RNG.random((6, 8))}


def classify(x):
    """Softmax of weights by timestep and a product of neighbours; padding is zero and says nothing."""
    z = np.einsum("ntc,tck->nk", x, KERNEL[: x.shape[1]])
    z[:, 0] += (x[:, 1:, 0] * x[:, :-1, 1]).sum(1)
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def tree_of(scores=SCORES, x=X, mask=MASK, **options):
    return attrkit.from_arrays(scores, inputs=x, mask=mask, **options)


def run(model=classify, tree=None, **options):
    options = {"target": "predicted", "operator": "zero", "show_progress": False, **options}
    return faithfulness(model, tree_of() if tree is None else tree, **options)


def blank(x, items, how):
    """Remove timesteps from one sample."""
    out = x.copy()
    for t in items:
        out[t] = 0.0 if how == "zero" else X[MASK].mean(axis=0)
    return out


def by_hand(scores, x, length, shares, how, target):
    """Return all that is defined for one sample, in plain loops."""
    order = sorted(range(length), key=lambda t: -scores[t])
    p = classify(x[None])[0]
    predicted, y = int(p.argmax()), int(p.argmax()) if target == "predicted" else target
    counts = [0 if s == 0 else length if s == 1 else -int(-s * length // 1) for s in shares]
    out = {"deletion": [], "least": [], "insertion": [], "deletion_predicted": [], "log_odds_drop": []}
    flip, mass = np.nan, np.nan
    for k in counts:
        q = classify(blank(x, order[:k], how)[None])[0]
        out["deletion"].append(q[y])
        out["deletion_predicted"].append(q[predicted])
        out["least"].append(classify(blank(x, order[::-1][:k], how)[None])[0, y])
        out["insertion"].append(classify(blank(x, order[k:], how)[None])[0, y])
        out["log_odds_drop"].append(np.log(p[y] / (1 - p[y])) - np.log(q[y] / (1 - q[y])))
        if q.argmax() != predicted and np.isnan(flip):
            flip = k / length
            mass = sum(abs(scores[t]) for t in order[:k]) / sum(abs(scores[t]) for t in range(length))
    out["comprehensiveness"] = [p[y] - v for v in out["deletion"]]
    out["sufficiency"] = [p[y] - v for v in out["insertion"]]
    inner = [i for i, s in enumerate(shares) if 0 < s < 1]
    out["aopc_comprehensiveness"] = np.mean([out["comprehensiveness"][i] for i in inner])
    out["aopc_sufficiency"] = np.mean([out["sufficiency"][i] for i in inner])
    at = [k / length for k in counts]
    out["deletion_auc"] = sklearn.metrics.auc(at, out["deletion"])
    out["insertion_auc"] = sklearn.metrics.auc(at, out["insertion"])
    out["degradation_score"] = sklearn.metrics.auc(at, out["least"]) - out["deletion_auc"]
    out["decision_flip_fraction"], out["decision_flip_mass"] = flip, mass
    return out


@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("target", ["predicted", 1])
def test_all_is_as_defined(how, target):
    shares = [0, 0.1, 0.25, 0.5, 0.75, 1]
    ds = run(operator=how, target=target, shares=shares[1:-1])
    np.testing.assert_array_equal(ds["share"], shares)
    for name, scores in SCORES.items():
        for i, length in enumerate(LENGTHS):
            own = ds.sel(extractor=name, sample=i)
            for key, expected in by_hand(scores[i], X[i], length, shares, how, target).items():
                found = own["deletion"].isel(order=1) if key == "least" else own[key]
                found = found.isel(order=0) if "order" in found.dims else found
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=f"{name} {i} {key}")
    assert not ds["undefined"].any()


def test_removed_counts_are_shares_of_real_steps_rounded_up():
    ds = run(shares=[0.1, 0.3, 0.5])
    np.testing.assert_array_equal(ds["removed"].sel(sample=0), [0, 1, 3, 4, 8])
    np.testing.assert_array_equal(ds["removed"].sel(sample=1), [0, 1, 2, 3, 5])
    np.testing.assert_array_equal(ds["removed"].sel(sample=4), [0, 1, 1, 1, 1])
    x = np.ones((1, 30, 1))
    tree = attrkit.from_arrays({"a": x[..., 0]}, inputs=x)
    # 0.1 * 30 is a little more than 3.
    found = faithfulness(lambda x: x.sum((1, 2)), tree, shares=[0.1], show_progress=False)
    assert found["removed"].values.tolist() == [[0, 3, 30]]


def test_padded_samples_are_as_those_cut_short():
    names = ["zero", "mean", "sample", "interpolate", "noise"]
    x, mask = RNG.standard_normal((5, 8, 2)), np.arange(8) < np.full((5, 1), 5)
    x[~mask] = 0
    scores = {"a": RNG.standard_normal((5, 8)), "flat": np.ones((5, 8))}
    padded = run(tree=tree_of(scores, x, mask), operator=names)
    cut = run(tree=tree_of({k: v[:, :5] for k, v in scores.items()}, x[:, :5], None), operator=names)
    xr.testing.assert_allclose(padded, cut, rtol=1e-12)


def test_what_stands_in_padding_does_not_count():
    noisy = {name: np.where(MASK, scores, 1e6 * RNG.standard_normal(MASK.shape)) for name, scores in SCORES.items()}
    noisy["b"][~MASK] = np.nan
    xr.testing.assert_identical(run().drop_attrs(deep=False), run(tree=tree_of(noisy)).drop_attrs(deep=False))


@pytest.mark.parametrize("operator", ["sample", "noise"])
def test_batches_and_chunks_change_nothing(operator, monkeypatch):
    whole = run(operator=operator).drop_attrs(deep=False)
    xr.testing.assert_allclose(run(operator=operator, batch_size=5).drop_attrs(deep=False), whole, rtol=1e-12)
    monkeypatch.setattr(removed, "CHUNK", 1)
    xr.testing.assert_allclose(run(operator=operator).drop_attrs(deep=False), whole, rtol=1e-12)
    monkeypatch.undo()
    assert not np.allclose(run(operator=operator, seed=1)["deletion"], whole["deletion"])


def test_what_is_drawn_for_a_sample_does_not_depend_on_the_others():
    first = {name: scores[:2] for name, scores in SCORES.items()}
    few = run(tree=tree_of(first, X[:2], MASK[:2]), operator="noise", background=X * 2)
    many = run(operator="noise", background=X * 2)
    xr.testing.assert_allclose(few["deletion"], many["deletion"].isel(sample=slice(2)), rtol=1e-12)


# A linear model, whose curves are known


WEIGHTS = np.array([2.0, -1.0, 0.5, 3.0, -0.25])
STEPS = RNG.standard_normal((40, 5, 1))


def linear(x):
    return x[..., 0] @ WEIGHTS


def of_linear(scores, **options):
    tree = attrkit.from_arrays(scores, inputs=STEPS)
    return faithfulness(linear, tree, **{"operator": "zero", "show_progress": False, **options})


def test_curves_of_a_linear_model():
    parts = STEPS[..., 0] * WEIGHTS
    ds = of_linear({"exact": parts}, error="signed", n_removed=range(6))
    ordered = -np.sort(-parts, axis=1)
    taken = np.concatenate([np.zeros((40, 1)), ordered.cumsum(axis=1)], axis=1)
    total = parts.sum(axis=1, keepdims=True)
    exact = ds.sel(extractor="exact")
    np.testing.assert_allclose(exact["deletion"].sel(order="most_relevant_first"), total - taken, atol=1e-12)
    np.testing.assert_allclose(exact["insertion"], taken, atol=1e-12)
    np.testing.assert_allclose(exact["aopc_comprehensiveness"], taken[:, 1:].mean(axis=1), atol=1e-12)
    # The rule of RISE for curves of equal steps.
    gap = ordered[:, ::-1].cumsum(axis=1)
    loss = taken - np.concatenate([np.zeros((40, 1)), gap], axis=1)
    rise = (loss.sum(axis=1) - loss[:, 0] / 2 - loss[:, -1] / 2) / 5
    np.testing.assert_allclose(exact["degradation_score"], rise, atol=1e-12)


def test_no_order_beats_the_exact_one():
    parts = STEPS[:, :, 0] * WEIGHTS
    orders = np.array(list(itertools.permutations(range(5))))
    scores = {str(i): np.broadcast_to(order, parts.shape).astype(float) for i, order in enumerate(orders)}
    ds = of_linear({"exact": parts, **scores}, error="signed", n_random=0)
    others = ds.isel(extractor=slice(1, None))
    for name, best in (("aopc_comprehensiveness", "max"), ("degradation_score", "max"), ("aopc_sufficiency", "min")):
        np.testing.assert_allclose(ds[name].sel(extractor="exact"), getattr(others[name], best)("extractor"), atol=1e-9)


def test_the_oracle_is_above_chance_and_its_opposite_below():
    parts = STEPS[..., 0] * WEIGHTS
    ds = of_linear({"oracle": parts, "anti": -parts}, error="signed")
    score = ds["degradation_score"].mean("sample")
    assert score.sel(extractor="oracle") > score.sel(extractor="random") > score.sel(extractor="anti")
    size = of_linear({"oracle": abs(parts), "anti": -abs(parts)}, rank_by="value")["degradation_score"].mean("sample")
    assert size.sel(extractor="oracle") > size.sel(extractor="random") > size.sel(extractor="anti")
    # The size of a change does not know signs, and by default neither does the ranking then.
    alike = of_linear({"oracle": parts, "anti": -parts})
    assert alike.attrs["rank_by"] == "magnitude"
    np.testing.assert_array_equal(*(alike["degradation_score"].sel(extractor=name) for name in ("oracle", "anti")))


@pytest.mark.parametrize("place", [0, 9])
def test_maps_that_say_nothing_are_at_chance_wherever_the_model_looks(place):
    x = np.ones((500, 10, 1))
    scores = {"flat": np.ones((500, 10)), "empty": np.zeros((500, 10))}
    scores["exact"] = np.eye(10)[np.full(500, place)]
    tree = attrkit.from_arrays(scores, inputs=x)
    ds = faithfulness(lambda x: x[:, place, 0], tree, operator="zero", shares=[0.1], n_random=8, show_progress=False)
    found = ds["comprehensiveness"].sel(share=0.1).mean("sample")
    assert found.sel(extractor="exact") == 1
    for name in ("flat", "empty", "random"):
        n = 500 * (8 if name == "random" else 1)
        assert abs(float(found.sel(extractor=name)) - 0.1) < 4 * np.sqrt(0.09 / n)
    assert ds["constant"].all("sample").sel(extractor=["flat", "empty"]).all()
    assert not ds["constant"].sel(extractor=["exact", "random"]).any()
    assert np.isnan(ds["degradation_score"]).sum() == 0


@pytest.mark.parametrize("error", ["absolute", "squared", "signed"])
def test_losses_of_numbers(error):
    parts = STEPS[..., 0] * WEIGHTS
    ds = of_linear({"exact": parts}, error=error, n_random=0)
    deletion = ds["deletion"].sel(order="most_relevant_first")
    change = linear(STEPS)[None, :, None] - deletion.values
    expected = {"absolute": abs(change), "squared": change**2, "signed": change}[error]
    np.testing.assert_allclose(ds["comprehensiveness"], expected, atol=1e-12)
    assert "deletion_auc" not in ds
    assert ds["comprehensiveness"].attrs["units"] == ("output squared" if error == "squared" else "output")


# Decisions


def test_where_the_decision_flips():
    def votes(x):
        return x[..., 0].sum(axis=1, keepdims=True)

    x = np.array([[[3.0], [2.0], [-4.0], [0.0]], [[1.0], [1.0], [1.0], [1.0]], [[-1.0], [-2.0], [-3.0], [1.0]]])
    scores = {"exact": x[..., 0]}
    tree = attrkit.from_arrays(scores, inputs=x)
    ds = faithfulness(votes, tree, kind="logit", operator="zero", n_removed=range(1, 5), n_random=0)
    # 3 + 2 - 4 = 1 falls below 0 without the 3. At 0 both classes are as probable, and the first counts.
    np.testing.assert_array_equal(ds["decision_flip_fraction"], [[0.25, 1.0, np.nan]])
    np.testing.assert_allclose(ds["decision_flip_mass"], [[3 / 9, 1.0, np.nan]])
    np.testing.assert_array_equal(ds["decision_flips"], [[1, 1, 0]])
    np.testing.assert_array_equal(ds["predicted"], [1, 1, 0])
    np.testing.assert_allclose(ds["prediction"], 1 / (1 + np.exp(-x.sum((1, 2)))))
    np.testing.assert_allclose(ds["log_odds_drop"][0, 0], [0, 3, 5, 5, 1], atol=1e-9)
    # Of the third sample class 0 is predicted, and class 1 explained.
    np.testing.assert_allclose(ds["deletion_predicted"][0, :, 2], 1 - ds["deletion"][0, :, 2])


def test_one_output_may_be_a_probability():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x.sum((1, 2))))

    tree = attrkit.from_arrays(SCORES, inputs=X)
    ds = run(sigmoid, tree, target=None, kind="probability")
    same = run(lambda x: x.sum((1, 2)), tree, target=None, kind="logit")
    xr.testing.assert_allclose(ds.drop_attrs(deep=False), same.drop_attrs(deep=False), rtol=1e-9)
    assert run(sigmoid, tree, target=None).attrs["outputs"] == "value"


def test_clipped_log_odds_are_finite():
    def sure(x):
        p = (x[:, 0] > 0).astype(float)
        return np.concatenate([1 - p, p], axis=1)

    x = np.array([[[1.0], [2.0]]])
    ds = run(sure, attrkit.from_arrays({"a": x[..., 0] * [2, 1]}, inputs=x), n_random=0, shares=[0.5])
    np.testing.assert_allclose(ds["log_odds_drop"][0, 0], np.array([0, 2, 2]) * np.log((1 - 1e-6) / 1e-6))


# Cells


def test_cells():
    kernel = RNG.standard_normal((8, 2))
    scores = X * kernel
    tree = tree_of({"exact": scores})
    ds = run(
        lambda x: (x * kernel).sum((1, 2)),
        tree,
        target=None,
        resolution="cell",
        error="signed",
        n_removed=range(17),
        n_random=0,
    )
    np.testing.assert_array_equal(ds["items"], 2 * np.array(LENGTHS))
    for i, length in enumerate(LENGTHS):
        parts = -np.sort(-scores[i, :length].ravel())
        expected = parts.sum() - np.concatenate([[0], parts.cumsum()])
        found = ds["deletion"].sel(extractor="exact", order="most_relevant_first", sample=i)
        np.testing.assert_allclose(found[: 2 * length + 1], expected, atol=1e-12)
        assert np.isnan(found[2 * length + 1 :]).all()
        np.testing.assert_allclose(
            ds["aopc_comprehensiveness"].sel(extractor="exact", sample=i), parts.cumsum().mean(), atol=1e-12
        )


# What is undefined, and what is refused


def test_undefined_samples_are_counted_and_nothing_else_is_touched():
    mask = MASK.copy()
    mask[3] = False
    scores = {"a": SCORES["a"].copy(), "b": SCORES["b"]}
    scores["a"][1, 0] = np.nan
    tree = tree_of(scores, X, mask)
    ds, whole = run(tree=tree), run(tree=tree_of(mask=mask))
    expected = [[False, True, False, True, False, False]] + [[False] * 3 + [True, False, False]] * 2
    np.testing.assert_array_equal(ds["undefined"], expected)
    for name in ("deletion", "aopc_sufficiency", "decision_flips", "degradation_score"):
        gone = np.isnan(ds[name]).all([dim for dim in ds[name].dims if dim not in ("extractor", "sample")])
        np.testing.assert_array_equal(gone, expected)
    xr.testing.assert_identical(ds["deletion"].sel(extractor="b"), whole["deletion"].sel(extractor="b"))


def test_a_model_that_gives_no_number_is_counted():
    def fragile(x):
        return np.where((x[:, 0, 0] == 0) & (x[:, 1, 0] != 0), np.nan, x.sum((1, 2)))

    ds = run(fragile, target=None, n_random=0)
    assert ds["undefined"].any()
    np.testing.assert_array_equal(np.isnan(ds["degradation_score"]), ds["undefined"])


def test_what_needs_classes_is_refused_for_numbers_by_name():
    with pytest.raises(RefusedError, match=r"decision_flip_fraction needs probabilities.*use degradation_score"):
        of_linear({"a": STEPS[..., 0]}, metrics=["decision_flip_fraction"])
    with pytest.raises(InputError, match=r"which are no probabilities; use kind='logit'"):
        of_linear({"a": STEPS[..., 0]}, kind="probability")
    with pytest.raises(RefusedError, match="one output with an axis of classes"):
        run(lambda x: x[:, :, :], kind="logit", target=(0, 0))


def test_extractors_without_channels_are_refused_for_cells_by_name():
    tree = attrkit.from_arrays({"cells": X, "attention": SCORES["b"], "flat": SCORES["a"]}, inputs=X)
    with pytest.raises(RefusedError, match=r"^attention, flat says nothing of single channels"):
        run(tree=tree, resolution="cell")
    with pytest.raises(InputError, match="channels='sum' or 'abs_sum', or remove cells"):
        run(tree={"cells": tree["cells"].to_dataset()})
    with pytest.raises(InputError, match="is for resolution='timestep'"):
        run(tree={"cells": tree["cells"].to_dataset()}, resolution="cell", channels="sum")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": [0.5, 1.5]}, "numbers from 0 to 1"),
        ({"shares": [1]}, "one of them between the two"),
        ({"n_removed": [0]}, "removes nothing"),
        ({"metrics": "auc"}, "accepted are some of 'comprehensiveness'"),
        ({"metrics": []}, "accepted are some of 'comprehensiveness'"),
        ({"error": "relative"}, "accepted are 'absolute', 'squared', 'signed'"),
        ({"rank_by": "size"}, "accepted are 'value', 'magnitude'"),
        ({"kind": "classes"}, "accepted are 'probability', 'logit', 'value'"),
        ({"resolution": "row"}, "accepted are 'timestep', 'cell'"),
        ({"n_random": -1}, "n_random must be a whole number, 0 or more"),
        ({"inputs": X[:, :5]}, "of 6 samples by 8 timesteps, the inputs of 6 by 5"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        run(**options)


def test_a_name_that_is_taken():
    with pytest.raises(InputError, match="an extractor is named 'random'"):
        run(tree=tree_of({"random": SCORES["a"]}))
    assert run(tree=tree_of({"random": SCORES["a"]}), n_random=0).sizes["extractor"] == 1


# Targets, inputs and passes


def test_the_output_that_was_explained_is_the_one_looked_at():
    explained = tree_of(target=2)
    ds = run(tree=explained, target=None)
    np.testing.assert_array_equal(ds["target"], [2] * 6)
    xr.testing.assert_identical(ds["deletion"].drop_vars("target"), run(target=2)["deletion"].drop_vars("target"))
    two = {"a": explained["a"].to_dataset(), "b": tree_of(target=1)["b"].to_dataset()}
    with pytest.raises(
        InputError, match=r"'a' and 'b' differ in their target; .* say which output to look at: target="
    ):
        run(tree=two, target=None)
    labels = ["sun", "rain", "snow"]
    named = run(tree=tree_of(target="snow"), target=None, output_labels=labels)
    xr.testing.assert_identical(named["deletion"].drop_vars("target"), ds["deletion"].drop_vars("target"))
    made = attrkit.extract(
        classify, X, "occlusion", target="snow", output_labels=labels, mask=MASK, show_progress=False
    )
    known = run(tree=made, target=None, channels="sum", n_random=0)
    np.testing.assert_allclose(known["prediction"], classify(X)[:, 2])
    with pytest.raises(InputError, match="the results explain the output 'hail', and the model's are"):
        run(tree=tree_of(target="hail"), target=None)
    own = run(target=lambda outputs: outputs[:, 2], kind="value", error="signed")
    np.testing.assert_allclose(own["comprehensiveness"], ds["comprehensiveness"], atol=1e-12)


def test_another_model_than_was_explained_is_refused():
    ds = attrkit.extract(classify, X, "occlusion", target="predicted", mask=MASK, show_progress=False)
    faithfulness(classify, ds, channels="sum", show_progress=False)
    with pytest.raises(InputError, match="the model predicts something else than 'occlusion' holds, by 0"):
        faithfulness(lambda x: classify(2 * x), ds, channels="sum", show_progress=False)
    with pytest.raises(InputError, match="the model has 2 outputs, and 'occlusion' holds 3"):
        faithfulness(lambda x: classify(x)[:, :2], ds, channels="sum", show_progress=False)
    # The way out that the message names.
    other = ds.drop_vars("prediction")
    faithfulness(lambda x: classify(2 * x), other, channels="sum", show_progress=False)


def test_of_several_inputs_the_first_is_removed():
    def two(series, static):
        return (series.sum((1, 2)) * static[:, 0])[:, None]

    given = {"series": STEPS, "static": np.arange(1.0, 41)[:, None]}
    ds = attrkit.extract(two, given, "occlusion", show_progress=False)
    with pytest.raises(InputError, match="results are of several inputs, input_static among them"):
        faithfulness(two, ds, channels="sum", show_progress=False)
    options = {"channels": "sum", "operator": "zero", "error": "signed", "n_random": 0, "show_progress": False}
    found = faithfulness(two, ds, inputs=given, n_removed=range(6), **options)
    parts = STEPS[..., 0] * given["static"]
    expected = -np.sort(-parts, axis=1)
    np.testing.assert_allclose(np.diff(found["comprehensiveness"][0]), expected, atol=1e-9)


def test_token_ids():
    ids = RNG.integers(1, 9, size=(5, 6))
    table = RNG.standard_normal(10)
    tree = attrkit.from_arrays({"exact": table[ids]}, inputs=ids)
    ds = faithfulness(lambda ids: table[ids].sum(1), tree, operator="zero", n_removed=[1], error="signed", n_random=0)
    np.testing.assert_allclose(ds["comprehensiveness"][0, :, 1], table[ids].max(axis=1) - table[0])
    with pytest.raises(RefusedError, match="such as token ids; use 'zero', 'sample' or a function"):
        faithfulness(lambda ids: table[ids].sum(1), tree)


def test_equal_rows_are_asked_once():
    alike = {name: SCORES["a"] for name in "abc"}
    options = {"n_random": 0, "shares": [0.5]}
    one = run(tree=tree_of({"a": SCORES["a"]}), **options).attrs["forward_evaluations"]
    assert run(tree=tree_of(alike), **options).attrs["forward_evaluations"] == one
    # The samples as they are and with all removed, without the first half and without the last. Of one with a single
    # step, half is all; of an odd number the last half of an insertion is one less.
    odd = sum(length % 2 == 1 and length > 1 for length in LENGTHS)
    assert one == 6 + 6 + 2 * 5 + odd
    few = run(tree=tree_of(alike), metrics=["comprehensiveness"], **options)
    assert few.attrs["forward_evaluations"] == 6 + 6 + 5
    assert set(few.data_vars) == {
        *("deletion", "deletion_predicted", "comprehensiveness", "undefined"),
        *("constant", "prediction", "removed", "items"),
    }


def test_several_operators_are_each_as_if_alone():
    names = ["zero", "mean", "interpolate"]
    ds = run(operator=names)
    assert ds["deletion"].dims == ("extractor", "operator", "order", "sample", "share")
    for name in names:
        alone = run(operator=name).drop_attrs(deep=False)
        xr.testing.assert_allclose(ds.sel(operator=name, drop=True).drop_attrs(deep=False), alone)


def test_every_metric_says_which_way_is_better_and_attributes_are_plain():
    ds = run()
    for name in attrkit.metrics.faithfulness.__globals__["METRICS"]:
        assert ds[name].attrs["direction"] in ("higher is better", "lower is better")
        assert ds[name].attrs["long_name"]
    json.dumps(ds.attrs)
    assert all(isinstance(value, str | int | float) for value in ds.attrs.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics", len),
        ("error", np.zeros(3)),
        ("error", ""),
        ("rank_by", 0),
        ("kind", ""),
        ("shares", 3),
        ("n_removed", len),
    ],
)
def test_options_of_the_wrong_type_are_refused_by_name(name, value):
    tree = attrkit.from_arrays(SCORES, inputs=X, mask=MASK)
    with pytest.raises(InputError, match=name):
        faithfulness(classify, tree, target=0, show_progress=False, **{name: value})


def test_a_background_that_does_not_fit_is_named():
    tree = attrkit.from_arrays(SCORES, inputs=X, mask=MASK)
    with pytest.raises(InputError, match="the background: got an unlabelled array of shape"):
        faithfulness(classify, tree, target=0, background=1, show_progress=False)
