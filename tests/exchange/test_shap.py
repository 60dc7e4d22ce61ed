"""SHAP's explanations and arrays of sequence models."""

import numpy as np
import pytest
import shap
import xarray as xr

import attrkit
from attrkit.errors import InputError, SchemaError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3))
VALUES = RNG.normal(size=(4, 6, 3, 2))
BASE = RNG.normal(size=(4, 2))
LABELLED = xr.DataArray(X, dims=("sample", "timestep", "channel"), coords={"channel": ["rain", "wind", "heat"]})


def explanation(values=VALUES, **options):
    return shap.Explanation(values, **{"base_values": BASE, "data": X, **options})


def predict(x):
    """Return two outputs of one recurrent layer, of shape (sample, output)."""
    weights = np.random.default_rng(1).normal(size=(2, 3, 2))
    state = np.zeros((len(x), 2))
    for t in range(x.shape[1]):
        state = np.tanh(x[:, t] @ weights[0] + 0.5 * state)
    return state @ weights[1, :2]


# A real explainer


def test_kernel_shap_of_a_recurrent_model_keeps_its_sum_rule():
    x = X[:, :2]

    def flat(rows):
        return predict(rows.reshape(-1, 2, 3))

    found = shap.KernelExplainer(flat, np.zeros((1, 6)))(x.reshape(4, 6))
    ds = attrkit.from_shap(found, inputs=x, prediction=predict(x))
    assert dict(ds["attribution"].sizes) == {"sample": 4, "output": 2, "timestep": 2, "channel": 3}
    np.testing.assert_allclose(ds["completeness_gap"].values, 0, atol=1e-12)
    np.testing.assert_allclose(ds["baseline_prediction"].values, np.broadcast_to(predict(0 * x[:1]), (4, 2)))
    np.testing.assert_array_equal(ds["attribution"].sel(output=1).values.reshape(4, 6), found.values[..., 1])
    # Of all features that are but one Shapley values are what that one changes.
    own = np.zeros_like(x)
    own[:, 1, 2] = x[:, 1, 2]
    alone = shap.KernelExplainer(flat, np.zeros((1, 6)))(own.reshape(4, 6))
    ds = attrkit.from_shap(alone, inputs=own, target=0)
    np.testing.assert_allclose(ds["attribution"][:, 1, 2], (predict(own) - predict(0 * own))[:, 0], atol=1e-10)


# Explanations


def test_outputs_are_a_dim_with_their_names(tmp_path):
    ds = attrkit.from_shap(explanation(output_names=["sun", "rain"], feature_names=["a", "b", "c"]))
    attrkit.validate(ds)
    assert ds["attribution"].dims == ("sample", "output", "timestep", "channel")
    np.testing.assert_array_equal(ds["attribution"].sel(output="rain").values, VALUES[..., 1])
    np.testing.assert_array_equal(ds["channel"], ["a", "b", "c"])
    np.testing.assert_array_equal(ds["baseline_prediction"].values, BASE)
    np.testing.assert_array_equal(ds["input"].values, X)
    assert ds["attribution"].attrs["units"] == "output"
    assert "completeness_gap" not in ds
    assert attrkit.load(attrkit.save(ds, tmp_path / "run.zarr")).identical(ds)
    drawn = attrkit.plot.heatmap(ds.sel(output="rain"))
    assert drawn.artists["mesh"].sel(sample=1).item().get_array().shape == (3, 6)


def test_inputs_bring_their_labels_and_padding():
    mask = np.arange(6) < np.array([[6], [5], [2], [6]])
    ds = attrkit.from_shap(explanation(), inputs=LABELLED.assign_coords(mask=(("sample", "timestep"), mask)))
    np.testing.assert_array_equal(ds["channel"], ["rain", "wind", "heat"])
    np.testing.assert_array_equal(ds["mask"].values, mask)
    ds = attrkit.from_shap(explanation(), inputs=LABELLED, mask=mask)
    np.testing.assert_array_equal(ds["mask"].values, mask)


@pytest.mark.parametrize(
    ("target", "at", "label"),
    [(1, [1] * 4, ["rain"] * 4), ("rain", [1] * 4, ["rain"] * 4), ([0, 1, 1, 0], [0, 1, 1, 0], None)],
    ids=str,
)
def test_one_output_is_kept_for_each_sample(target, at, label):
    ds = attrkit.from_shap(explanation(output_names=["sun", "rain"]), target=target)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    np.testing.assert_array_equal(ds["attribution"].values, VALUES[range(4), ..., at])
    np.testing.assert_array_equal(ds["baseline_prediction"].values, BASE[range(4), at])
    assert ds["target"].values.tolist() == (label or ["sun", "rain", "rain", "sun"])


def test_the_predicted_output_is_kept_and_predictions_stay_whole():
    prediction = RNG.normal(size=(4, 2))
    ds = attrkit.from_shap(explanation(), target="predicted", prediction=prediction)
    at = prediction.argmax(1)
    np.testing.assert_array_equal(ds["target"].values, at)
    np.testing.assert_array_equal(ds["prediction"].values, prediction)
    gap = VALUES.sum((1, 2))[range(4), at] - (prediction - BASE)[range(4), at]
    np.testing.assert_allclose(ds["completeness_gap"].values, gap)
    with pytest.raises(InputError, match="target='predicted' needs the model's outputs: pass prediction="):
        attrkit.from_shap(explanation(), target="predicted")


def test_a_slice_of_one_output_keeps_its_name():
    found = explanation(output_names=["sun", "rain"])[..., 1]
    ds = attrkit.from_shap(found, prediction=RNG.normal(size=4))
    assert ds["target"].values.tolist() == ["rain"] * 4
    np.testing.assert_array_equal(ds["attribution"].values, VALUES[..., 1])
    assert ds["completeness_gap"].dims == ("sample",)


@pytest.mark.parametrize("base", [0.5, [0.5], np.full(4, 0.5), np.full((4, 1), 0.5)], ids=str)
def test_base_values_of_one_output_come_in_several_forms(base):
    ds = attrkit.from_shap(explanation(VALUES[..., 0], base_values=None), base_values=base)
    np.testing.assert_array_equal(ds["baseline_prediction"].values, np.full(4, 0.5))


def test_what_shap_values_returns_is_read_with_its_inputs():
    wanted = attrkit.from_shap(VALUES, inputs=LABELLED, base_values=[0.5, 1.5])
    np.testing.assert_array_equal(wanted["baseline_prediction"].values, [[0.5, 1.5]] * 4)
    older = attrkit.from_shap([VALUES[..., 0], VALUES[..., 1]], inputs=LABELLED, base_values=[0.5, 1.5])
    assert older.equals(wanted)


def test_values_without_channels():
    tokens = np.arange(24).reshape(4, 6)
    ds = attrkit.from_shap(VALUES[:, :, 0], inputs=tokens)
    assert ds["attribution"].dims == ("sample", "output", "timestep")
    assert attrkit.from_shap(VALUES[:, :, 0, 0], inputs=tokens)["attribution"].dims == ("sample", "timestep")


# What is refused


def test_flattened_values_need_the_inputs_that_prove_their_order():
    flat = explanation(VALUES.reshape(4, 18, 2), data=X.reshape(4, 18))
    ds = attrkit.from_shap(flat, inputs=X)
    np.testing.assert_array_equal(ds["attribution"].values, np.moveaxis(VALUES, -1, 1))
    with pytest.raises(InputError, match="a feature there may be a timestep, a channel or both"):
        attrkit.from_shap(flat)
    for x in (X.transpose(0, 2, 1), X + 1):
        with pytest.raises(InputError, match=r"the explanation's data are not inputs.reshape\(4, 18\)"):
            attrkit.from_shap(flat, inputs=x)


def test_a_slice_that_lost_its_samples_is_refused():
    with pytest.raises(InputError, match=r"that of sample 1 alone; keep its axis: explanation\[\[1\]\]"):
        attrkit.from_shap(explanation()[1])
    assert attrkit.from_shap(explanation()[[1]]).sizes["sample"] == 1


def test_names_that_shap_cut_with_the_samples_are_not_used():
    found = explanation(feature_names=["a", "b", "c"])[:2]
    assert found.feature_names == ["a", "b"], "SHAP keeps them now: this check can go"
    with pytest.raises(InputError, match="SHAP cuts the names of the features with the samples"):
        attrkit.from_shap(found)
    np.testing.assert_array_equal(attrkit.from_shap(found, inputs=LABELLED[:2])["channel"], LABELLED["channel"])


def test_names_that_fit_two_axes_or_none_are_refused():
    square = {"values": VALUES[:, :3], "data": X[:, :3]}
    for names in (["a", "b", "c"], list("abcd")):
        with pytest.raises(InputError, match=r"feature names may be those of (timestep or channel|no axis)"):
            attrkit.from_shap(explanation(**square, feature_names=names))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (VALUES, {}, "do not say which axis is which; pass what was explained"),
        (VALUES.transpose(0, 2, 1, 3), {"inputs": X}, r"have shape \(4, 3, 6, 2\), the inputs \(4, 6, 3\)"),
        ([VALUES[..., 0], VALUES[:2, ..., 0]], {"inputs": X}, "of outputs differ in shape"),
        (np.zeros(3), {"inputs": X}, r"have shape \(3,\) and dtype float64; accepted are an Explanation"),
        ("values", {"inputs": X}, "accepted are an Explanation"),
        (
            np.array([[1], [1, 2]], dtype=object),
            {"inputs": X},
            "Sequences of several lengths, such as texts, are padded",
        ),
        (VALUES, {"inputs": X, "base_values": [1, 2, 3]}, r"base_values have shape \(3,\)"),
        (VALUES, {"inputs": X, "base_values": 1.0}, r"base_values have shape \(\)"),
        (VALUES, {"inputs": X, "prediction": np.zeros(4)}, r"prediction have shape \(4,\)"),
        (VALUES, {"inputs": X, "target": 2}, "target 2 is out of range"),
        (explanation(), {"base_values": 1.0}, "the explanation has base_values of its own"),
    ],
)
def test_what_cannot_be_read_is_refused(values, options, message):
    with pytest.raises(InputError, match=message):
        attrkit.from_shap(values, **options)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(SchemaError, match="do not fit each other"):
        attrkit.from_shap(explanation(), mask=np.ones((4, 5), bool))
