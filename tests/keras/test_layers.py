"""Layer outputs by name, in both modes, and the model as it was found."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import attrkit
from attrkit.errors import InputError, RefusedError

layers = keras.layers


@pytest.fixture
def model():
    return keras.Sequential(
        [
            layers.Input((12, 3)),
            layers.LSTM(5, return_sequences=True, name="lstm"),
            layers.LSTM(4, return_sequences=True, name="lstm_1"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="head"),
        ]
    )


@pytest.mark.parametrize("name", ["lstm", "lstm_1", "norm", "flat", "head"])
def test_outputs_are_those_of_a_model_cut_there(model, x, name):
    expected = keras.Model(model.inputs[0], model.get_layer(name).output)(x)
    tree = attrkit.layer_outputs(model, x, name)
    assert list(tree.children) == [name]
    np.testing.assert_allclose(tree[name]["activation"], expected, atol=1e-6)
    assert tree[name]["activation"].dims[-1] == "channel"


def test_part_of_a_name_means_every_layer_with_it(model, x):
    assert list(attrkit.layer_outputs(model, x, "lst").children) == ["lstm", "lstm_1"]
    assert list(attrkit.layer_outputs(model, x, ["head", "norm"]).children) == ["norm", "head"]
    assert list(attrkit.layer_outputs(model, x).children) == ["lstm", "lstm_1", "norm", "drop", "flat", "head"]
    with pytest.raises(InputError, match=r"no layer is named 'gru'.*there are lstm, lstm_1"):
        attrkit.layer_outputs(model, x, "gru")
    with pytest.raises(InputError, match=r"no layer is named: \[\] came; there are lstm, lstm_1"):
        attrkit.layer_outputs(model, x, [])


def test_labels_of_the_input_stay_on_the_timesteps(model, x):
    stamped = attrkit.inputs.label_inputs(x).assign_coords(
        timestep=np.arange("2015-01-01", "2015-01-13", dtype="M8[D]")
    )
    ds = attrkit.layer_outputs(model, stamped, "lstm")["lstm"]
    np.testing.assert_array_equal(ds["timestep"], stamped["timestep"])
    assert ds.sizes["channel"] == 5
    assert "input" not in ds


def test_training_mode_is_on_request_and_leaves_no_trace(model, x):
    quiet = attrkit.layer_outputs(model, x, "drop")["drop"]["activation"]
    np.testing.assert_array_equal(quiet, attrkit.layer_outputs(model, x, "drop", training=False)["drop"]["activation"])
    state = [v.numpy() for v in model.non_trainable_variables]
    loud = attrkit.layer_outputs(model, x, ["norm", "drop"], training=True, batch_size=2)
    dropped = float((loud["drop"]["activation"] == 0).mean())
    assert 0.3 < dropped < 0.7
    # Batch statistics are those of all samples, whatever the batch size.
    np.testing.assert_allclose(loud["norm"]["activation"].mean(("sample", "timestep")), 0, atol=1e-4)
    for old, new in zip(state, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_inner_layers_have_a_path(x):
    inner = keras.Sequential([layers.Input((12, 3)), layers.Dense(4, name="deep")], name="encoder")
    model = keras.Sequential(
        [layers.Input((12, 3)), inner, layers.Bidirectional(layers.GRU(2), name="both"), layers.Dense(1)]
    )
    tree = attrkit.layer_outputs(model, x, "encoder.deep")
    np.testing.assert_allclose(tree["encoder.deep"]["activation"], inner(x), atol=1e-6)
    directions = attrkit.layer_outputs(model, x, "both.")
    joined = np.concatenate([ds["activation"] for ds in directions.children.values()], axis=1)
    np.testing.assert_allclose(attrkit.layer_outputs(model, x, "both")["both"]["activation"], joined, atol=1e-6)


class LoopedCell(layers.Layer):
    """A cell with a layer inside, which runs in the loop of an RNN."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = 4
        self.inner = layers.Dense(4, name="inner")

    def build(self, shape):
        self.inner.build(shape)
        super().build(shape)

    def call(self, inputs, states):
        output = self.inner(inputs)
        return output, [output]


def test_layers_in_a_loop_are_not_offered(x):
    model = keras.Sequential(
        [layers.Input((12, 3)), layers.RNN(LoopedCell(), name="looped"), layers.Dense(1, name="head")]
    )
    assert [layer.path for layer in attrkit.adapt(model).layers()] == ["looped", "head"]


def test_two_layers_of_one_name_are_told_apart(x):
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers.Dense(2, name="twin"), layers.Dense(1, name="twin")

        def call(self, inputs):
            return self.second(self.first(inputs[:, 0]))

    model = Twins()
    model(x)
    tree = attrkit.layer_outputs(model, x)
    np.testing.assert_allclose(tree["twin"]["activation"], model.first(x[:, 0]), atol=1e-6)
    np.testing.assert_allclose(tree["twin#2"]["activation"], model(x), atol=1e-6)


def test_layers_the_pass_does_not_reach(x):
    class Unused(keras.Model):
        def __init__(self):
            super().__init__()
            self.head, self.spare = layers.Dense(1, name="head"), layers.Dense(1, name="spare")

        def call(self, inputs):
            return self.head(inputs[:, 0])

    model = Unused()
    model(x)
    assert list(attrkit.layer_outputs(model, x).children) == ["head"]
    with pytest.raises(RefusedError, match="does not reach spare"):
        attrkit.layer_outputs(model, x, "spare")


def test_other_threads_see_the_model_as_it_is(model, x):
    expected = np.asarray(model(x, training=False))
    wrong, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            if not np.array_equal(np.asarray(model(x, training=False)), expected):
                wrong.append(1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(3):
            attrkit.layer_outputs(model, x)
    finally:
        stop.set()
        thread.join()
    assert not wrong


def test_a_model_that_fails_leaves_nothing_behind(x):
    class Broken(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = layers.Dense(4, name="first"), layers.Dense(1, name="last")

        def call(self, inputs):
            return self.last(self.first(inputs)) + inputs[:, :7]

    model = Broken()
    model.first.build((None, 12, 3))
    model.last.build((None, 12, 4))
    model.built = True
    with pytest.raises(InputError, match=r"fails on inputs of shape \(sample, 12, 3\)"):
        attrkit.layer_outputs(model, x, "first")
    assert "call" not in vars(model.first)


def test_layers_with_time_folded_into_their_batch_are_refused(x):
    class Folded(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.last = layers.Dense(2, name="inner"), layers.Dense(1, name="last")

        def call(self, inputs):
            return self.last(tf.reshape(self.inner(tf.reshape(inputs, (-1, 3))), (-1, 24)))

    model = Folded()
    model(x)
    with pytest.raises(RefusedError, match="layer 'inner' sees 120 rows where the batch has 10"):
        attrkit.layer_outputs(model, x, "inner")
    assert attrkit.layer_outputs(model, x, "last")["last"]["activation"].shape == (10, 1)


def test_a_call_of_the_users_own_is_put_back(model, x):
    layer = model.get_layer("head")
    own = layer.call
    object.__setattr__(layer, "call", own)
    attrkit.layer_outputs(model, x, "head")
    assert vars(layer)["call"] is own
