"""Models of every make: masks, several outputs, logits, new weights; and those that have no answer of their own."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers, ops

import attrkit
from attrkit.adapters.terms import Question
from attrkit.errors import InputError, RefusedError
from tests.keras_backends.common import answer, explain, randomise, unchanged

METHODS = ["gradient", "integrated_gradients", "smoothgrad", "occlusion"]


@pytest.mark.parametrize("method", METHODS)
def test_padding_gets_nothing_and_stays_padding(padded, method):
    data, mask = padded
    model = keras.Sequential([layers.Input((None, 3)), layers.Masking(), layers.LSTM(4), layers.Dense(1)])
    options = {"baseline": "mean"} if method in ("integrated_gradients", "occlusion") else {}
    ds = unchanged(model, data, lambda: explain(model, data, method, **options))
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_array_equal(ds["attribution"].values[~mask], 0)
    if method == "gradient":
        # The same as if the padding was never there.
        cut = explain(model, data[3:4, :5], method)
        np.testing.assert_allclose(ds["attribution"][3, :5], cut["attribution"][0], atol=1e-5)


# Passes of five samples are filled up, or end in a smaller one.
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_an_embedding_that_masks(batch_size):
    ids = np.array([[3, 1, 2, 0, 0], [4, 4, 1, 2, 0], [1, 2, 3, 4, 5], [5, 0, 0, 0, 0], [2, 2, 0, 0, 0]])
    model = keras.Sequential(
        [layers.Input((5,), dtype="int32"), layers.Embedding(6, 4, mask_zero=True), layers.LSTM(3), layers.Dense(1)]
    )
    ds = explain(model, ids, "gradient", batch_size=batch_size)
    np.testing.assert_array_equal(ds["mask"], ids > 0)
    assert ds["attribution"].dims == ("sample", "timestep")
    np.testing.assert_array_equal(ds["attribution"].values[ids == 0], 0)
    assert (ds["attribution"].values[ids > 0] != 0).all()


@pytest.mark.parametrize("as_dict", [False, True])
def test_several_outputs(x, as_dict):
    inputs = keras.Input((8, 3))
    flat = layers.Flatten()(inputs)
    price, volume = layers.Dense(2, name="price")(flat), layers.Dense(1, name="volume")(flat)
    model = keras.Model(inputs, {"price": price, "volume": volume} if as_dict else [price, volume])
    for target, name, column in ((("price", 1), "price", 1), (("volume", 0), "volume", 0)):
        ds = explain(model, x, "gradient", target=target)
        kernel = model.get_layer(name).get_weights()[0][:, column].reshape(8, 3)
        np.testing.assert_allclose(ds["attribution"][0], kernel, rtol=1e-5)


def test_several_inputs(x):
    series, static = keras.Input((8, 3), name="series"), keras.Input((2,), name="static")
    joined = layers.Concatenate()([layers.Flatten()(series), static])
    model = keras.Model({"series": series, "static": static}, layers.Dense(1)(joined))
    ds = explain(model, {"series": x, "static": np.ones((5, 2), "float32")}, "gradient")
    kernel = model.layers[-1].get_weights()[0][:, 0]
    np.testing.assert_allclose(ds["attribution"][0], kernel[:24].reshape(8, 3), rtol=1e-5)
    np.testing.assert_allclose(ds["attribution_static"][0], kernel[24:], rtol=1e-5)


@pytest.mark.parametrize("last", ["activation", "layer"])
def test_logits(x, last):
    head = [layers.Dense(3, activation="softmax")] if last == "activation" else [layers.Dense(3), layers.Softmax()]
    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), *head])
    ds = unchanged(model, x, lambda: explain(model, x, "gradient", target=2, logits=True))
    np.testing.assert_allclose(ds["attribution"][0], model.get_weights()[0][:, 2].reshape(8, 3), rtol=1e-5)
    linear = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), layers.Dense(3)])
    with pytest.raises(RefusedError, match="no softmax or sigmoid makes the model's output"):
        explain(linear, x, "gradient", target=2, logits=True)


def test_a_function_of_the_outputs(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), layers.Dense(2)])
    ds = explain(model, x, "gradient", target=lambda outputs: outputs[:, 0] - ops.stop_gradient(outputs[:, 1]))
    np.testing.assert_allclose(ds["attribution"][0], model.get_weights()[0][:, 0].reshape(8, 3), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_new_weights_give_new_results(x, method):
    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), layers.Dense(1)])
    adapter = attrkit.adapt(model)
    explain(adapter, x, method)
    model.set_weights([np.full_like(w, 2) for w in model.get_weights()])
    times = x if method in ("integrated_gradients", "occlusion") else 1
    np.testing.assert_allclose(explain(adapter, x, method)["attribution"], 2 * times * np.ones_like(x), rtol=1e-4)
    np.testing.assert_allclose(
        attrkit.layer_outputs(adapter, x, "dense")["dense"]["activation"], answer(model, x), rtol=1e-5
    )


def test_training_between_two_questions(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.LSTM(3), layers.Dense(1)])
    model.compile("sgd", "mse")
    adapter = attrkit.adapt(model)
    before = explain(adapter, x, "gradient")
    model.fit(x, np.ones((5, 1), "float32"), verbose=0)
    after = explain(adapter, x, "gradient")
    np.testing.assert_allclose(after["prediction"], answer(model, x)[:, 0], rtol=1e-5)
    assert float(abs(after["attribution"] - before["attribution"]).max()) > 0


class Forecaster(keras.Model):
    """A subclassed model of a nested one, with dropout and batch statistics that inference leaves alone."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([layers.Conv1D(4, 3), layers.BatchNormalization()])
        self.drop, self.recurrent, self.head = layers.Dropout(0.5), layers.GRU(4, dropout=0.5), layers.Dense(2)

    def call(self, inputs, training=None):
        return self.head(self.recurrent(self.drop(self.encoder(inputs), training=training), training=training))


def test_what_is_compiled_keeps_no_inputs(x):
    given, other = layers.Input((8, 3), name="x"), layers.Input((4,), name="other")
    model = keras.Model([given, other], layers.Dense(1)(layers.Concatenate()([layers.Flatten()(given), other])))

    def ask():
        static = np.ones((5, 4), "float32")
        adapter = attrkit.adapt(model).configured(question=Question({"x": "x"}, {"other": static}))
        adapter.predict(x)
        adapter.path_gradient(x, np.zeros(5, int))
        return [weakref.ref(static), weakref.ref(adapter)]

    kept = ask()
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


def test_weights_that_change_meanwhile_are_refused(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), layers.Dense(1)])

    def trained(adapter, x, target):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model.layers[-1].bias.assign, [1.0]).result()
        return x

    with pytest.raises(RefusedError, match=r"weights of the model changed while it was explained.*copy"):
        explain(model, x, trained)


def test_subclassed_and_nested_models(x):
    model = Forecaster()
    model(x)
    randomise(model)
    ds = unchanged(model, x, lambda: explain(model, x, "integrated_gradients", target=1, n_steps=32))
    np.testing.assert_allclose(ds["prediction"], answer(model, x, training=False), rtol=1e-4, atol=1e-5)
    change = ds["prediction"].sel(output=1) - ds["baseline_prediction"]
    np.testing.assert_allclose(ds["attribution"].sum(("timestep", "channel")), change, atol=1e-3)


def test_a_model_that_was_never_called_says_so(x):
    with pytest.raises(InputError, match=r"Forecaster.*has no weights yet; call it once, or load its weights"):
        explain(Forecaster(), x, "gradient", target=1)


def test_batches_do_not_change_results(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.Conv1D(3, 2, activation="tanh"), layers.Flatten()])
    adapter = attrkit.adapt(model)
    for method in METHODS:
        whole = explain(adapter, x, method, target=4)
        part = explain(adapter, x, method, target=4, batch_size=2)
        np.testing.assert_allclose(part["attribution"], whole["attribution"], atol=2e-6)


# Without an answer of their own


class Dreaming(layers.Dropout):
    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


class Counting(layers.Layer):
    """Adds the number of passes so far."""

    def build(self, shape):
        self.passes = self.add_weight(shape=(), initializer="zeros", trainable=False, name="passes")

    def call(self, inputs):
        self.passes.assign(self.passes + 1)
        return inputs + self.passes


@pytest.mark.parametrize("layer", [Dreaming(0.5), Counting()], ids=["random", "counting"])
def test_models_that_are_random_or_remember_are_refused(x, layer):
    model = keras.Sequential([layers.Input((8, 3)), layer, layers.Flatten(), layers.Dense(1)])
    for method in ("gradient", "occlusion"):
        with pytest.raises(RefusedError, match="random at inference"):
            unchanged_state(model, lambda method=method: explain(model, x, method))


def unchanged_state(model, run):
    state = [ops.convert_to_numpy(variable) for variable in model.variables]
    try:
        run()
    finally:
        for old, new in zip(state, model.variables, strict=True):
            np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_batch_statistics_at_inference_are_refused(x):
    class Always(layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs, training=True, mask=mask)

    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), Always(), layers.Dense(1)])
    with pytest.raises(RefusedError, match=r"depends on the other samples.*training=True"):
        unchanged_state(model, lambda: explain(model, x, "gradient"))


def test_stateful_layers_are_refused(x):
    inputs = keras.Input(batch_shape=(5, 8, 3))
    model = keras.Model(inputs, layers.Dense(1)(layers.LSTM(3, stateful=True, name="memory")(inputs)))
    with pytest.raises(RefusedError, match="layer memory is stateful"):
        explain(model, x, "gradient")


def test_no_path_from_input_to_output_is_refused(x):
    model = keras.Sequential(
        [layers.Input((8, 3)), layers.Lambda(ops.stop_gradient), layers.Flatten(), layers.Dense(1)]
    )
    with pytest.raises(RefusedError, match="no differentiable path"):
        explain(model, x, "gradient")


def test_inputs_of_another_shape_are_refused(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.LSTM(2), layers.Dense(1)])
    with pytest.raises(InputError, match="the model takes 3 channels, these are 2"):
        explain(model, x[..., :2], "gradient")
