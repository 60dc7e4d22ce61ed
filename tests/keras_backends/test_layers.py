"""Layer outputs by name, in both modes, and the model as it was found."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

import attrkit
from attrkit.errors import InputError, RefusedError
from tests.keras_backends.common import answer, explain, unchanged


@pytest.fixture
def model():
    return keras.Sequential(
        [
            layers.Input((8, 3)),
            layers.LSTM(5, return_sequences=True, name="lstm"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="head"),
        ]
    )


def test_outputs_are_those_of_a_model_cut_there(model, x):
    tree = unchanged(model, x, lambda: attrkit.layer_outputs(model, x))
    assert list(tree.children) == ["lstm", "norm", "drop", "flat", "head"]
    for name in tree.children:
        expected = answer(keras.Model(model.inputs[0], model.get_layer(name).output), x)
        np.testing.assert_allclose(tree[name]["activation"], expected, atol=1e-6)


def test_training_mode_is_on_request_and_leaves_no_trace(model, x):
    quiet = attrkit.layer_outputs(model, x, "drop")["drop"]["activation"]
    assert float((quiet == 0).mean()) == 0
    loud = unchanged(model, x, lambda: attrkit.layer_outputs(model, x, ["norm", "drop"], training=True, batch_size=2))
    assert 0.3 < float((loud["drop"]["activation"] == 0).mean()) < 0.7
    # Batch statistics are those of all samples, whatever the batch size.
    np.testing.assert_allclose(loud["norm"]["activation"].mean(("sample", "timestep")), 0, atol=1e-4)


def test_inner_layers_have_a_path(x):
    inner = keras.Sequential([layers.Input((8, 3)), layers.Dense(4, name="deep")], name="encoder")
    model = keras.Sequential(
        [layers.Input((8, 3)), inner, layers.Bidirectional(layers.GRU(2), name="both"), layers.Dense(1)]
    )
    tree = attrkit.layer_outputs(model, x, "encoder.deep")
    np.testing.assert_allclose(tree["encoder.deep"]["activation"], answer(inner, x), atol=1e-6)
    directions = attrkit.layer_outputs(model, x, "both.")
    joined = np.concatenate([ds["activation"] for ds in directions.children.values()], axis=1)
    np.testing.assert_allclose(attrkit.layer_outputs(model, x, "both")["both"]["activation"], joined, atol=1e-6)


class Looped(layers.Layer):
    """Runs a layer once a timestep, in a loop of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(3, name="inner")

    def build(self, shape):
        self.inner.build((shape[0], shape[2]))

    def call(self, inputs):
        def step(state, now):
            state = ops.tanh(state + self.inner(now))
            return state, state

        return ops.scan(step, ops.zeros_like(inputs[:, 0]), ops.transpose(inputs, (1, 0, 2)))[0]


def test_layers_in_a_loop(x):
    model = keras.Sequential([layers.Input((8, 3)), Looped(name="loop"), layers.Dense(1)])
    assert attrkit.layer_outputs(model, x, ["loop", "dense"])["loop"]["activation"].shape == (5, 3)
    if keras.backend.backend() == "jax":
        with pytest.raises(RefusedError, match=r"layer 'loop.inner' runs inside a loop.*read the layer around it"):
            attrkit.layer_outputs(model, x, "inner")
    else:
        # torch runs the loop in Python, and every step of it can be read.
        tree = attrkit.layer_outputs(model, x, "inner")
        assert list(tree.children) == [f"loop.inner@{i}" for i in range(8)]
        np.testing.assert_allclose(
            tree["loop.inner@3"]["activation"], answer(model.get_layer("loop").inner, x[:, 3]), atol=1e-6
        )
    np.testing.assert_allclose(explain(model, x, "gradient")["prediction"], answer(model, x)[:, 0], rtol=1e-5)


class Mapped(Looped):
    """Runs a layer on all timesteps at once, under a map."""

    def call(self, inputs):
        return ops.transpose(ops.vectorized_map(self.inner, ops.transpose(inputs, (1, 0, 2))), (1, 0, 2))


def test_layers_under_a_map_are_refused_by_name(x):
    model = keras.Sequential([layers.Input((8, 3)), Mapped(name="map"), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(RefusedError, match=r"layer 'map.inner' runs inside a loop or an inner function"):
        attrkit.layer_outputs(model, x, "inner")
    np.testing.assert_allclose(
        attrkit.layer_outputs(model, x, "map")["map"]["activation"], answer(model.get_layer("map").inner, x), atol=1e-6
    )


def test_layers_that_are_called_for_every_timestep(x):
    model = keras.Sequential(
        [layers.Input((8, 3)), layers.TimeDistributed(layers.Dense(2, name="inner"), name="steps"), layers.Flatten()]
    )
    tree = attrkit.layer_outputs(model, x, "inner")
    joined = np.stack([tree[f"steps.inner@{i}"]["activation"] for i in range(8)], axis=1)
    np.testing.assert_allclose(joined.reshape(5, 16), answer(model, x), atol=1e-6)


def test_cells_are_not_offered(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.RNN(layers.LSTMCell(4, name="cell"), name="looped")])
    assert [layer.path for layer in attrkit.adapt(model).layers()] == ["looped"]
    with pytest.raises(InputError, match=r"no layer is named 'cell'.*there are looped"):
        attrkit.layer_outputs(model, x, "cell")


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


def test_a_model_that_fails_leaves_nothing_behind(x):
    class Broken(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(4, name="first")

        def call(self, inputs):
            return self.first(inputs) + inputs[:, :5]

    model = Broken()
    model.first.build((None, 8, 3))
    model.built = True
    with pytest.raises(InputError, match="the model fails on"):
        attrkit.layer_outputs(model, x, "first")
    assert "call" not in vars(model.first)


def test_a_call_of_the_users_own_is_put_back(model, x):
    layer = model.get_layer("head")
    own = layer.call
    object.__setattr__(layer, "call", own)
    attrkit.layer_outputs(model, x, "head")
    assert vars(layer)["call"] is own


def test_other_threads_see_the_model_as_it_is(model, x):
    expected = answer(model, x, training=False)
    wrong, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            if not np.array_equal(answer(model, x, training=False), expected):
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


def test_two_threads_at_once(model, x):
    expected = {
        "gradient": explain(model, x, "gradient", target=0)["attribution"],
        "occlusion": explain(model, x, "occlusion", target=0)["attribution"],
        "lstm": attrkit.layer_outputs(model, x, "lstm")["lstm"]["activation"],
    }
    adapter, faults = attrkit.adapt(model), []

    def ask(what):
        try:
            for _ in range(3):
                if what == "lstm":
                    found = attrkit.layer_outputs(adapter, x, "lstm")["lstm"]["activation"]
                else:
                    found = explain(adapter, x, what, target=0)["attribution"]
                np.testing.assert_allclose(found, expected[what], atol=1e-6)
        except Exception as err:
            faults.append((what, err))

    threads = [threading.Thread(target=ask, args=(what,)) for what in (*expected, *expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
