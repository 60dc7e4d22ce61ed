"""The gradient family against closed forms, a float64 reference and its own sum rule."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

import attrkit
from attrkit.errors import AttrkitWarning, CompletenessWarning, InputError, RefusedError

layers = keras.layers


def explain(model, x, method, **options):
    return attrkit.extract(model, x, method, show_progress=False, **options)


def linear(n_outputs=1):
    """A model whose attributions are its weights: f(x) = W x + b."""
    return keras.Sequential(
        [layers.Input((12, 3)), layers.Flatten(), layers.Dense(n_outputs, bias_initializer="normal")]
    )


def weights_of(model, output=0):
    return model.layers[-1].get_weights()[0][:, output].reshape(12, 3)


RECURRENT = {
    "LSTM": lambda: [layers.LSTM(5), layers.Dense(1)],
    "GRU": lambda: [layers.GRU(5), layers.Dense(1)],
    "Bidirectional": lambda: [layers.Bidirectional(layers.LSTM(4)), layers.Dense(1)],
    "Conv1D": lambda: [layers.Conv1D(4, 3, activation="tanh"), layers.Flatten(), layers.Dense(1)],
    "SeqSelfAttention": lambda: [
        layers.LSTM(5, return_sequences=True),
        SeqSelfAttention(attention_activation="sigmoid"),
        layers.Flatten(),
        layers.Dense(1),
    ],
    "SeqWeightedAttention": lambda: [
        layers.LSTM(5, return_sequences=True),
        SeqWeightedAttention(),
        layers.Dense(1),
    ],
}


def reference_gradient(make, model, x):
    """Gradient of the same model in float64, by an eager tape: nothing of attrkit, nothing compiled."""
    floatx = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    try:
        double = keras.Sequential([layers.Input(x.shape[1:]), *make()])
        double.set_weights([w.astype("float64") for w in model.get_weights()])
        point = tf.constant(x, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(point)
            output = double(point, training=False)
        return tape.gradient(output, point).numpy(), output.numpy()[:, 0]
    finally:
        keras.backend.set_floatx(floatx)


@pytest.mark.filterwarnings("ignore:The initializer GlorotNormal")
@pytest.mark.parametrize("kind", RECURRENT)
def test_gradient_equals_a_float64_reference(x, kind):
    model = keras.Sequential([layers.Input((12, 3)), *RECURRENT[kind]()])
    expected, output = reference_gradient(RECURRENT[kind], model, x)
    ds = explain(model, x, "gradient")
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6 * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(ds["prediction"], output, atol=1e-6)
    times = explain(model, x, "input_x_gradient")
    np.testing.assert_allclose(times["attribution"], x * expected, atol=2e-6)


def test_a_linear_model_is_explained_in_closed_form(x):
    model = linear()
    weights = weights_of(model)
    baseline = np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(
        explain(model, x, "gradient")["attribution"], np.broadcast_to(weights, x.shape), rtol=1e-5
    )
    np.testing.assert_allclose(explain(model, x, "input_x_gradient")["attribution"], x * weights, rtol=1e-5)
    exact = (x - baseline) * weights
    for quadrature in ("gauss_legendre", "midpoint", "trapezoid", "left"):
        ds = explain(model, x, "integrated_gradients", baseline=baseline, n_steps=3, quadrature=quadrature)
        np.testing.assert_allclose(ds["attribution"], exact, atol=1e-5)
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    np.testing.assert_allclose(explain(model, x, "occlusion", baseline=baseline)["attribution"], exact, atol=1e-5)
    np.testing.assert_allclose(
        explain(model, x, "smoothgrad", n_samples=4)["attribution"], np.broadcast_to(weights, x.shape), rtol=1e-5
    )


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_constant_inputs_have_no_smoothgrad_noise(n_outputs):
    model = linear(n_outputs)
    ds = explain(model, np.ones((2, 12, 3), "float32"), "smoothgrad", target=n_outputs - 1, n_samples=2)
    np.testing.assert_allclose(ds["attribution"][0], weights_of(model, n_outputs - 1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "SeqSelfAttention"])
def test_integrated_gradients_add_up(x, kind):
    model = keras.Sequential([layers.Input((12, 3)), *RECURRENT[kind]()])
    ds = explain(model, x, "integrated_gradients", baseline="mean", n_steps=32)
    change = ds["prediction"] - ds["baseline_prediction"]
    np.testing.assert_allclose(ds["attribution"].sum(("timestep", "channel")), change, atol=1e-5)
    np.testing.assert_allclose(
        ds["completeness_gap"], ds["attribution"].sum(("timestep", "channel")) - change, atol=1e-5
    )
    np.testing.assert_allclose(ds["baseline"], x.mean(axis=(0, 1)), rtol=1e-5)
    at_baseline = model(np.broadcast_to(x.mean(axis=(0, 1)), (1, 12, 3)).astype("float32"))
    np.testing.assert_allclose(ds["baseline_prediction"], np.full(10, np.asarray(at_baseline)[0, 0]), atol=1e-6)


def test_a_gap_is_warned_about(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.Flatten(), layers.Dense(1, activation="tanh")])
    with pytest.warns(
        CompletenessWarning, match=r"of 10 samples miss the change in output by more than 1%.*Take more steps"
    ):
        ds = explain(model, 5 * x, "integrated_gradients", n_steps=1)
    assert float(abs(ds["completeness_gap"]).max()) > 0.01


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "occlusion"])
def test_batches_do_not_change_results(x, method):
    model = keras.Sequential([layers.Input((12, 3)), *RECURRENT["LSTM"]()])
    adapter = attrkit.adapt(model)
    options = {"n_steps": 5} if method == "integrated_gradients" else {}
    whole = explain(adapter, x, method, batch_size=1000, **options)
    for batch_size in (1, 3, 7):
        part = explain(adapter, x, method, batch_size=batch_size, **options)
        np.testing.assert_allclose(part["attribution"], whole["attribution"], atol=2e-6)
        for count in ("gradient_evaluations", "forward_evaluations"):
            assert part.attrs.get(count) == whole.attrs.get(count)


def test_seeds(x):
    adapter = attrkit.adapt(keras.Sequential([layers.Input((12, 3)), *RECURRENT["LSTM"]()]))
    first, again, other = (explain(adapter, x, "smoothgrad", seed=seed)["attribution"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(abs(first - other).max()) > 0
    # The noise of a sample is its own: half of the samples give half of the result.
    np.testing.assert_allclose(explain(adapter, x[:5], "smoothgrad")["attribution"], first[:5], atol=1e-6)


def test_new_weights_give_new_results(x):
    model = linear()
    adapter = attrkit.adapt(model)
    explain(adapter, x, "gradient")
    model.set_weights([np.full_like(w, 2) for w in model.get_weights()])
    np.testing.assert_array_equal(explain(adapter, x, "gradient")["attribution"], np.full(x.shape, 2, "float32"))


def slow_occlusion(model, x, window, stride, per_channel):
    """Occlusion as its definition reads: one changed input after another."""
    predict = lambda data: np.asarray(model(data.astype("float32")))[:, 0]  # noqa: E731
    total, cover = np.zeros((len(x), x.shape[1], x.shape[2] if per_channel else 1)), np.zeros(x.shape[1])
    start = 0
    while True:
        start = min(start, x.shape[1] - window)
        cover[start : start + window] += 1
        for channel in range(total.shape[2]):
            changed = x.copy()
            changed[:, start : start + window, channel if per_channel else slice(None)] = 0
            total[:, start : start + window, channel] += (predict(x) - predict(changed))[:, None]
        if start == x.shape[1] - window:
            return total / cover[None, :, None]
        start += stride


@pytest.mark.parametrize(
    ("window", "stride", "per_channel"),
    [(1, None, True), (3, None, True), (3, 1, True), (5, 2, False), (12, None, False)],
)
def test_occlusion_equals_its_definition(x, window, stride, per_channel):
    model = keras.Sequential([layers.Input((12, 3)), *RECURRENT["GRU"]()])
    ds = explain(model, x, "occlusion", window=window, stride=stride, per_channel=per_channel)
    expected = slow_occlusion(model, x, window, stride or window, per_channel)
    np.testing.assert_allclose(ds["attribution"], expected if per_channel else expected[..., 0], atol=1e-6)
    assert ("channel" in ds["attribution"].dims) == per_channel


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_target_picks_its_output(data):
    keras.utils.set_random_seed(0)
    horizons, channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    model = keras.Sequential(
        [
            layers.Input((4, 2)),
            layers.Flatten(),
            layers.Dense(horizons * channels),
            layers.Reshape((horizons, channels)),
        ]
    )
    kernel = model.layers[1].get_weights()[0].reshape(4, 2, horizons, channels)
    h, c = data.draw(st.integers(0, horizons - 1)), data.draw(st.integers(0, channels - 1))
    ds = explain(model, np.ones((2, 4, 2), "float32"), "gradient", target=(h, c))
    np.testing.assert_allclose(ds["attribution"], np.stack([kernel[:, :, h, c]] * 2), rtol=1e-5)


def test_one_target_a_sample_and_labels(x):
    model = linear(3)
    target = np.arange(10) % 3
    ds = explain(model, x, "gradient", target=target)
    np.testing.assert_allclose(ds["attribution"], np.stack([weights_of(model, t) for t in target]), rtol=1e-5)
    np.testing.assert_array_equal(ds["target"], target)
    assert ds.attrs["target"] == "one a sample"
    named = explain(model, x, "gradient", target="b", output_labels=["a", "b", "c"])
    np.testing.assert_allclose(named["attribution"][0], weights_of(model, 1), rtol=1e-5)
    assert named["output"].values.tolist() == ["a", "b", "c"]
    assert set(named["target"].values.tolist()) == {"b"}
    assert named.attrs["target"] == "b"
    predicted = explain(model, x, "gradient", target="predicted")
    np.testing.assert_array_equal(predicted["target"], np.asarray(model(x)).argmax(axis=1))
    with pytest.raises(InputError, match=r"3 outputs, say which.*an index from 0 to 2.*'predicted'"):
        explain(model, x, "gradient")
    with pytest.raises(InputError, match="looks one-hot"):
        explain(model, x, "gradient", target=np.eye(3)[target])


@pytest.mark.parametrize("as_dict", [False, True])
def test_models_of_several_outputs(x, as_dict):
    inputs = keras.Input((12, 3))
    flat = layers.Flatten()(inputs)
    price, volume = layers.Dense(2, name="price")(flat), layers.Dense(1, name="volume")(flat)
    model = keras.Model(inputs, {"price": price, "volume": volume} if as_dict else [price, volume])
    ds = explain(model, x, "gradient", target=("price", 1))
    np.testing.assert_allclose(
        ds["attribution"][0], model.get_layer("price").get_weights()[0][:, 1].reshape(12, 3), rtol=1e-5
    )
    ds = explain(model, x, "gradient", target=("volume", 0))
    np.testing.assert_allclose(
        ds["attribution"][0], model.get_layer("volume").get_weights()[0].reshape(12, 3), rtol=1e-5
    )
    assert ds["output"].values.tolist()[-1] == "volume: 0"


class WithBranch(keras.Model):
    """A call that takes one of two ways by what it sees."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(1)

    def call(self, inputs):
        return tf.cond(tf.reduce_sum(inputs) > 0, lambda: self.head(inputs[:, 0]), lambda: 2 * self.head(inputs[:, -1]))


def test_subclassed_models_with_control_flow(x):
    model = WithBranch()
    model(x)
    kernel = model.head.get_weights()[0][:, 0]
    expected = np.zeros((1, 12, 3), "float32")
    expected[0, 0] = kernel
    np.testing.assert_allclose(explain(model, np.ones((1, 12, 3), "float32"), "gradient")["attribution"], expected)
    expected[0, 0], expected[0, -1] = 0, 2 * kernel
    np.testing.assert_allclose(explain(model, -np.ones((1, 12, 3), "float32"), "gradient")["attribution"], expected)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "occlusion"])
def test_padding_gets_nothing_and_stays_padding(padded, method):
    data, mask = padded
    model = keras.Sequential([layers.Input((None, 3)), layers.Masking(), layers.LSTM(4), layers.Dense(1)])
    options = {"baseline": "mean"} if method in ("integrated_gradients", "occlusion") else {}
    ds = explain(model, data, method, **options)
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_array_equal(ds["attribution"].values[~mask], 0)
    for i in (0, 4):
        # The same as if the padding was never there.
        cut = explain(
            model, data[i : i + 1, : 12 - i], method, **({"baseline": data[mask].mean(axis=0)} if options else {})
        )
        if method != "smoothgrad":
            np.testing.assert_allclose(ds["attribution"][i, : 12 - i], cut["attribution"][0], atol=1e-5)


def test_a_baseline_that_the_model_masks_is_reported(padded):
    data, _ = padded
    model = keras.Sequential([layers.Input((None, 3)), layers.Masking(), layers.LSTM(4), layers.Dense(1)])
    with pytest.warns(AttrkitWarning, match=r"masks 75 of 75 real timesteps.*such as 'mean'"):
        explain(model, data, "occlusion")


def test_models_that_are_refused(x):
    cut = keras.Sequential([layers.Input((12, 3)), layers.Lambda(tf.stop_gradient), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(RefusedError, match="no differentiable path"):
        explain(cut, x, "gradient")


def test_stateful_layers_are_refused(x):
    inputs = keras.Input(batch_shape=(10, 12, 3))
    model = keras.Model(inputs, layers.Dense(1)(layers.LSTM(3, stateful=True, name="memory")(inputs)))
    with pytest.raises(RefusedError, match="layer memory is stateful"):
        explain(model, x, "gradient")


def test_options_that_do_not_exist_are_refused(x):
    model = linear()
    with pytest.raises(InputError, match=r"has no option 'steps'; its options are n_steps, quadrature"):
        explain(model, x, "integrated_gradients", steps=5)
    with pytest.raises(InputError, match="gradient has no baseline"):
        explain(model, x, "gradient", baseline=1.0)
    with pytest.raises(InputError, match="does not look inside"):
        explain(model, x, "gradient", layer="lstm")
    with pytest.raises(InputError, match="none of gradient, smoothgrad takes a layer; leave layer= out"):
        attrkit.compare(model, x, ["gradient", "smoothgrad"], layer="lstm")
    with pytest.raises(InputError, match="none of gradient takes a baseline"):
        attrkit.compare(model, x, "gradient", baseline="mean")
    with pytest.raises(InputError, match="batch_size must be a whole number, 1 or more, got 0"):
        explain(model, x, "gradient", batch_size=0)
    with pytest.raises(InputError, match="timestep and channel look swapped"):
        explain(model, x.transpose(0, 2, 1), "gradient")


def test_functions_of_the_user(x):
    def halved(model, x, target, factor=0.5):
        return factor * model.path_gradient(x, target)

    def unclear(model, x, which):
        return x

    model = linear()
    expected = np.broadcast_to(weights_of(model), x.shape)
    np.testing.assert_allclose(explain(model, x, halved)["attribution"], 0.5 * expected, rtol=1e-5)
    np.testing.assert_allclose(explain(model, x, halved, factor=2.0)["attribution"], 2 * expected, rtol=1e-5)
    with pytest.raises(InputError, match=r"unclear needs 'which'; pass it as an option, or name.*target, prediction"):
        explain(model, x, unclear)


def test_a_gap_is_measured_by_the_change_not_by_the_output(x):
    """A forecaster in raw units: 300 kelvin and a change of one."""
    model = keras.Sequential(
        [
            layers.Input((12, 3)),
            layers.Flatten(),
            layers.Dense(
                1,
                activation="sigmoid",
                kernel_initializer="ones",
                bias_initializer=lambda s, dtype=None: tf.fill(s, -9.0),
            ),
            layers.Rescaling(1.0, offset=300.0),
        ]
    )
    with pytest.warns(CompletenessWarning, match="of 1 samples miss"):
        ds = explain(model, np.ones((1, 12, 3), "float32"), "integrated_gradients", n_steps=1)
    assert abs(float(ds["completeness_gap"][0])) < 3


def test_occlusion_of_a_model_of_tokens():
    model = keras.Sequential(
        [layers.Input((6,), dtype="int32"), layers.Embedding(9, 4), layers.LSTM(3), layers.Dense(1)]
    )
    ids = np.arange(12).reshape(2, 6) % 9
    ds = explain(model, ids, "occlusion", baseline=8)
    changed = ids.copy()
    changed[:, 2] = 8
    np.testing.assert_allclose(ds["attribution"][:, 2], np.asarray(model(ids) - model(changed))[:, 0], atol=1e-6)


def test_models_that_are_random_at_inference_are_refused(x):
    class Dreaming(layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    model = keras.Sequential([layers.Input((12, 3)), Dreaming(0.5), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(RefusedError, match="random at inference"):
        explain(model, x, "gradient")


def test_padding_is_known_under_mixed_precision_and_behind_scaling(padded):
    data, mask = padded
    half = [layers.Input((12, 3)), layers.Masking(dtype="mixed_float16"), layers.LSTM(4, dtype="mixed_float16")]
    for stack in (half, [layers.Input((12, 3)), layers.Rescaling(0.5), layers.Masking(), layers.LSTM(4)]):
        model = keras.Sequential([*stack, layers.Dense(1, dtype="float32")])
        np.testing.assert_array_equal(explain(model, data, "gradient")["mask"], mask)
