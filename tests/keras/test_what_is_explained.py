"""Several inputs, token ids, every output, functions of the output, scores before a softmax, padding the user knows."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import xarray as xr
from tensorflow import keras

import attrkit
from attrkit.errors import AttrkitWarning, InputError, RefusedError, SaturationWarning

layers = keras.layers


def explain(model, x, method, **options):
    return attrkit.extract(model, x, method, show_progress=False, **options)


def product_model():
    """f(series, static) = sum over time of w * series, times v * static: both inputs matter, and together."""
    series, static = keras.Input((12, 3), name="series"), keras.Input((4,), name="static")
    slope = layers.Dense(1, name="slope")(layers.Flatten()(series))
    scale = layers.Dense(1, name="scale")(static)
    return keras.Model([series, static], layers.Multiply()([slope, scale]))


@pytest.fixture
def static():
    return np.random.default_rng(5).standard_normal((10, 4)).astype("float32")


def kernels(model):
    return [model.get_layer(name).get_weights()[0][:, 0] for name in ("slope", "scale")]


@pytest.mark.parametrize("form", ["dict", "list", "tuple", "labelled"])
def test_several_inputs_are_explained_together(x, static, form):
    model = product_model()
    w, v = kernels(model)
    given = {
        "dict": {"series": x, "static": static},
        "list": [x, static],
        "tuple": (x, static),
        "labelled": {
            "static": xr.DataArray(static, dims=("sample", "feature"), coords={"feature": list("abcd")}),
            "series": xr.DataArray(x, dims=("sample", "time", "channel"), coords={"channel": ["r", "s", "t"]}),
        },
    }[form]
    ds = explain(model, given, "integrated_gradients", n_steps=4)
    slope, scale = (x * w.reshape(12, 3)).sum((1, 2)), static @ v
    # Each shares half of a product, whatever the other is.
    np.testing.assert_allclose(ds["attribution"], x * w.reshape(12, 3) * scale[:, None, None] / 2, atol=1e-5)
    np.testing.assert_allclose(ds["attribution_static"], static * v * slope[:, None] / 2, atol=1e-5)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    assert ds["attribution_static"].dims == ("sample", "channel_static")
    np.testing.assert_array_equal(ds["input_static"], static)
    np.testing.assert_array_equal(ds["input"], x)
    if form == "labelled":
        assert ds["channel_static"].values.tolist() == list("abcd")
        assert ds["channel"].values.tolist() == ["r", "s", "t"]
    gradient = explain(model, given, "gradient")
    np.testing.assert_allclose(gradient["attribution"], scale[:, None, None] * w.reshape(12, 3)[None], rtol=1e-4)
    np.testing.assert_allclose(gradient["attribution_static"], slope[:, None] * v[None], rtol=1e-4)


@pytest.mark.parametrize("method", ["input_x_gradient", "smoothgrad", "occlusion"])
def test_every_method_takes_several_inputs_in_any_batches(x, static, method):
    model = attrkit.adapt(product_model())
    w, v = kernels(model.model)
    given = {"series": x, "static": static}
    ds = explain(model, given, method)
    small = explain(model, given, method, batch_size=3)
    for name in ("attribution", "attribution_static"):
        np.testing.assert_allclose(small[name], ds[name], atol=1e-5)
    slope, scale = (x * w.reshape(12, 3)).sum((1, 2)), static @ v
    if method != "smoothgrad":
        np.testing.assert_allclose(ds["attribution"], x * w.reshape(12, 3) * scale[:, None, None], atol=1e-5)
        np.testing.assert_allclose(ds["attribution_static"], static * v * slope[:, None], atol=1e-5)
    else:
        # Static inputs have no range over time, and so no noise: the series' gradient is exact.
        np.testing.assert_allclose(ds["attribution"], scale[:, None, None] * w.reshape(12, 3)[None], atol=1e-5)


def test_results_of_several_inputs_are_stored_and_drawn(x, static, tmp_path):
    tree = attrkit.compare(
        product_model(),
        [x, static],
        ["gradient", "integrated_gradients"],
        show_progress=False,
        baseline={"static": 1.0},
    )
    for suffix in ("zarr", "nc"):
        xr.testing.assert_identical(attrkit.load(attrkit.save(tree, tmp_path / f"run.{suffix}")), tree)
    assert attrkit.plot.heatmap(tree).axes.sizes["extractor"] == 2
    assert set(tree["integrated_gradients"]["baseline_prediction"].dims) == {"sample"}


def test_inputs_that_do_not_fit_each_other_are_refused(x, static):
    model = product_model()
    for given, message in [
        (x, r"the model has 2 inputs \(series \(12, 3\), static \(4,\)\), one came; pass a dict by these names"),
        ([x], "1 in a list came"),
        ({"series": x}, r"inputs named \['series'\] came; the model takes \['series', 'static'\]"),
        ({"series": x, "static": static[:3]}, r"inputs differ in their samples: \{'series': 10, 'static': 3\}"),
        ({"series": x, "static": static[:, :2]}, "input 'static': .*takes 4 channels, these are 2"),
        ({"series": x, "static": static * np.nan}, "input 'static': .*NaN"),
    ]:
        with pytest.raises(InputError, match=message):
            explain(model, given, "gradient")
    with pytest.raises(InputError, match=r"a baseline is given for \['sttic'\]; the inputs are"):
        explain(model, [x, static], "integrated_gradients", baseline={"sttic": 0.0})


def test_two_series_share_their_timesteps_where_they_are_the_same(x):
    past, known = keras.Input((12, 3), name="past"), keras.Input((12, 2), name="known")
    short = keras.Input((5, 3), name="short")
    flat = [layers.Flatten()(part) for part in (past, known, short)]
    model = keras.Model([past, known, short], layers.Dense(1)(layers.Concatenate()(flat)))
    ds = explain(model, [x, x[:, :, :2], x[:, :5]], "input_x_gradient")
    assert ds["attribution_known"].dims == ("sample", "timestep", "channel_known")
    assert ds["attribution_short"].dims == ("sample", "timestep_short", "channel_short")


def token_model(mask_zero=False):
    return keras.Sequential(
        [
            layers.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=mask_zero, embeddings_initializer="normal", name="words"),
            layers.LSTM(5),
            layers.Dense(1),
        ]
    )


def gradient_at(model, ids):
    embedded = tf.constant(model.get_layer("words")(ids))
    with tf.GradientTape() as tape:
        tape.watch(embedded)
        hidden = embedded
        for layer in model.layers[1:]:
            hidden = layer(hidden)
    return np.asarray(tape.gradient(hidden, embedded)), np.asarray(embedded)


def test_token_ids_are_explained_at_their_embedding():
    model = token_model()
    ids = np.arange(24).reshape(4, 6) % 9
    expected, embedded = gradient_at(model, ids)
    ds = explain(model, ids, "input_x_gradient")
    np.testing.assert_allclose(ds["attribution"], (expected * embedded).sum(-1), atol=1e-6)
    assert ds["attribution"].dims == ("sample", "timestep")
    assert ds["attribution"].attrs["cell_methods"] == "channel: sum"
    assert ds.attrs["explained_at"] == "words"
    np.testing.assert_array_equal(ds["input"], ids)
    norm = explain(model, ids, "gradient", embedding_reduction="norm")
    np.testing.assert_allclose(norm["attribution"], np.linalg.norm(expected, axis=-1), atol=1e-6)
    whole = explain(model, ids, "gradient", embedding_reduction=None)
    np.testing.assert_allclose(whole["attribution"], expected, atol=1e-6)
    ig = explain(model, ids, "integrated_gradients", embedding="words", n_steps=32)
    np.testing.assert_allclose(ig["completeness_gap"], 0, atol=1e-6)
    np.testing.assert_allclose(
        ig["attribution"].sum("timestep"), ig["prediction"] - ig["baseline_prediction"], atol=1e-6
    )


def test_padded_tokens_get_nothing():
    model = token_model(mask_zero=True)
    ids = np.array([[3, 4, 5, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
    ds = explain(model, ids, "integrated_gradients", n_steps=32)
    np.testing.assert_array_equal(ds["mask"], ids > 0)
    np.testing.assert_array_equal(ds["attribution"].values[ids == 0], 0)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-6)


def test_embeddings_that_cannot_be_chosen_are_refused():
    ids = np.arange(12).reshape(2, 6) % 9
    inputs = keras.Input((6,), dtype="int32")
    two = layers.Add()([layers.Embedding(9, 4, name=name)(inputs) for name in ("a", "b")])
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(two)))
    with pytest.raises(InputError, match=r"several layers embed input .*: a, b; say which with embedding="):
        explain(model, ids, "gradient")
    assert explain(model, ids, "gradient", embedding="a").attrs["explained_at"] == "a"
    with pytest.raises(InputError, match="no embedding is named 'c'; there are a, b"):
        explain(model, ids, "gradient", embedding="c")
    with pytest.raises(
        InputError, match="embedding_reduction='mean' is not known; accepted are auto, sum, abs_sum, norm"
    ):
        explain(token_model(), ids, "gradient", embedding_reduction="mean")
    counts = keras.Model(inputs, layers.Dense(1)(layers.Rescaling(0.5)(inputs)))
    with pytest.raises(
        RefusedError, match=r"no gradient with respect to integers.*no layer that embeds them was found"
    ):
        explain(counts, ids, "gradient")


def test_every_output_in_one_call(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.LSTM(4), layers.Dense(6), layers.Reshape((3, 2))])
    whole = explain(model, x, "integrated_gradients", target="all", n_steps=8)
    assert whole["attribution"].dims == ("sample", "output", "timestep", "channel")
    assert whole["completeness_gap"].dims == ("sample", "output")
    assert whole.attrs["target"] == "all"
    for i, label in enumerate(whole["output"].values):
        one = explain(model, x, "integrated_gradients", target=(i // 2, i % 2), n_steps=8)
        assert one["target"].values[0] == label
        for name in ("attribution", "completeness_gap", "baseline_prediction"):
            np.testing.assert_allclose(whole[name].sel(output=label), one[name], atol=1e-6)
    tree = attrkit.compare(model, x, ["gradient", "occlusion"], target="all", show_progress=False)
    assert attrkit.stack(tree).dims == ("extractor", "sample", "output", "timestep", "channel")


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_attention_is_read_once_whatever_the_target(x):
    inputs = keras.Input((12, 3))
    hidden = layers.Attention()([inputs, inputs])
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(hidden)))
    ds = explain(model, x, "attention", target="all")
    assert "output" not in ds["attention"].dims
    assert "target" not in ds.coords


def test_a_function_of_the_output_is_explained(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.Flatten(), layers.Dense(2)])
    kernel = model.layers[-1].get_weights()[0]

    def spread(outputs):
        return outputs[:, 1] - outputs[:, 0]

    ds = explain(model, x, "gradient", target=spread)
    np.testing.assert_allclose(ds["attribution"][0], (kernel[:, 1] - kernel[:, 0]).reshape(12, 3), rtol=1e-5)
    np.testing.assert_allclose(ds["prediction"], spread(np.asarray(model(x))), atol=1e-5)
    assert ds.attrs["target"] == "function spread"
    ig = explain(model, x, "integrated_gradients", target=spread)
    np.testing.assert_allclose(ig["completeness_gap"], 0, atol=1e-5)
    with pytest.raises(InputError, match="returns 2 values a sample; it must return one"):
        explain(model, x, "gradient", target=lambda outputs: outputs)


class Headed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.scores, self.softmax = layers.Flatten(), layers.Dense(3), layers.Softmax()

    def call(self, inputs):
        return self.softmax(self.scores(self.flat(inputs)))


@pytest.mark.parametrize("head", ["activation", "layer", "subclassed", "sigmoid"])
def test_scores_before_a_softmax_are_explained_on_request(x, head):
    flat = [layers.Input((12, 3)), layers.Flatten()]
    model = {
        "activation": lambda: keras.Sequential([*flat, layers.Dense(3, activation="softmax")]),
        "layer": lambda: keras.Sequential([*flat, layers.Dense(3), layers.Activation("softmax")]),
        "subclassed": Headed,
        "sigmoid": lambda: keras.Sequential([*flat, layers.Dense(3, activation="sigmoid")]),
    }[head]()
    before = np.asarray(model(x))
    dense = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    kernel, bias = dense.get_weights()
    ds = explain(model, x, "gradient", target=1, logits=True)
    np.testing.assert_allclose(ds["attribution"][0], kernel[:, 1].reshape(12, 3), rtol=1e-5)
    np.testing.assert_allclose(ds["prediction"], x.reshape(10, -1) @ kernel + bias, atol=1e-5)
    assert ds.attrs["explained_before"] == "softmax or sigmoid"
    np.testing.assert_array_equal(model(x), before)
    with pytest.raises(RefusedError, match="no softmax or sigmoid makes the model's output"):
        explain(keras.Sequential([*flat, layers.Dense(3)]), x, "gradient", target=1, logits=True)


def test_of_several_outputs_the_ones_without_a_softmax_stay(x):
    given = layers.Input((12, 3))
    flat = layers.Flatten()(given)
    kinds, level = layers.Dense(3, activation="softmax", name="kinds"), layers.Dense(1, name="level")
    model = keras.Model(given, [kinds(flat), level(flat)])
    ds = explain(model, x, "gradient", target=("level", 0), logits=True)
    kernel, bias = level.get_weights()
    np.testing.assert_allclose(ds["attribution"][0], kernel[:, 0].reshape(12, 3), rtol=1e-5)
    kernel, bias = kinds.get_weights()
    np.testing.assert_allclose(ds["prediction"][:, :3], x.reshape(10, -1) @ kernel + bias, atol=1e-5)


def test_a_saturated_softmax_is_flagged(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.layers[-1].set_weights([30 * w for w in model.layers[-1].get_weights()])
    with pytest.warns(SaturationWarning, match=r"softmax, and for \d+ of 10 samples it is saturated.*logits=True"):
        explain(model, x, "gradient", target="predicted")


def test_a_saturated_sigmoid_is_flagged_and_a_share_by_chance_is_not(x):
    given = layers.Input((12, 3))
    flat = layers.Flatten()(given)
    level, event = layers.Dense(1, name="level")(flat), layers.Dense(1, activation="sigmoid", name="event")(flat)
    model = keras.Model(given, [level, event])
    for name in ("level", "event"):
        kernel, _ = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([0 * kernel, np.float32([0.995 if name == "level" else 6.0])])
    with pytest.warns(SaturationWarning, match=r"is a sigmoid, and for 10 of 10 samples it is saturated.*logits=True"):
        explain(model, x, "gradient", target=("event", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SaturationWarning)
        explain(model, x, "gradient", target=("level", 0))
        explain(model, x, "gradient", target=("event", 0), logits=True)


def test_weights_that_change_meanwhile_are_refused(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.Flatten(), layers.Dense(1)])

    def trained(adapter, x, target):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model.layers[-1].bias.assign, [1.0]).result()
        return x

    with pytest.raises(RefusedError, match=r"weights of the model changed while it was explained.*copy"):
        explain(model, x, trained)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "occlusion"])
def test_padding_that_only_the_user_knows_stays_padding(padded, method):
    data, mask = padded
    model = keras.Sequential([layers.Input((12, 3)), layers.LSTM(4), layers.Dense(1)])
    options = {"baseline": "mean"} if method in ("integrated_gradients", "occlusion") else {}
    ds = explain(model, data, method, mask=mask, **options)
    np.testing.assert_array_equal(ds["mask"], mask)
    if options:
        np.testing.assert_array_equal(ds["attribution"].values[~mask], 0)
    with pytest.raises(InputError, match=r"the mask has shape \(10, 3\) of bool; accepted is bool of shape \(10, 12\)"):
        explain(model, data, method, mask=mask[:, :3])


def test_a_mask_of_both_is_the_smaller(padded):
    data, mask = padded
    model = keras.Sequential([layers.Input((12, 3)), layers.Masking(), layers.LSTM(4), layers.Dense(1)])
    half = np.broadcast_to(np.arange(12) < 6, mask.shape)
    with pytest.warns(AttrkitWarning, match="masks"):
        ds = explain(model, data, "occlusion", mask=half)
    np.testing.assert_array_equal(ds["mask"], mask & half)


def test_series_of_several_lengths_are_explained_as_if_each_was_alone(x):
    model = keras.Sequential([layers.Input((None, 3)), layers.Masking(), layers.LSTM(4), layers.Dense(1)])
    padded = attrkit.pad([x[0], x[1, :5], x[2, :8]])
    ds = explain(model, padded, "integrated_gradients", baseline=[0.5, 1.0, -1.0])
    np.testing.assert_array_equal(ds["mask"], padded["mask"])
    for i, length in enumerate((12, 5, 8)):
        alone = explain(model, x[i : i + 1, :length], "integrated_gradients", baseline=[0.5, 1.0, -1.0])
        np.testing.assert_allclose(ds["attribution"][i, :length], alone["attribution"][0], atol=1e-6)
        np.testing.assert_array_equal(ds["attribution"][i, length:], 0)
