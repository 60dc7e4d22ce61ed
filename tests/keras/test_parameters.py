"""Arrays that are no kernels: averages, seeds, shared and frozen ones, those of cells and of the model itself."""

import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.errors import RefusedError

layers = keras.layers


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")
        self.inside = layers.Dense(3, name="inside")
        self.block = keras.Sequential([layers.Dense(4, name="wide"), layers.Dense(1, name="last")], name="block")

    def call(self, x):
        return self.block(self.inside(x[:, 0] * self.scale))


def test_the_models_own_arrays_come_first(x):
    model = Own()
    model(x)
    names = ["scale"]
    names += [f"{path}.{name}" for path in ("inside", "block.wide", "block.last") for name in ("kernel", "bias")]
    assert list(attrkit.adapt(model).parameters()) == names


def test_averages_are_state_and_what_is_shared_is_there_once(x):
    given = keras.Input((12, 3))
    shared = layers.Dense(3, name="shared")
    hidden = layers.BatchNormalization(name="norm")(shared(shared(given)))
    hidden = layers.Bidirectional(layers.LSTM(2, name="cells"), name="both")(layers.Dropout(0.2)(hidden))
    model = keras.Model(given, layers.Dense(1, name="head", trainable=False)(hidden))
    adapter = attrkit.adapt(model)
    found = adapter.parameters()
    both = [f"both.{way}_cells.{name}" for way in ("forward", "backward") for name in KERNELS]
    assert list(found) == ["shared.kernel", "shared.bias", "norm.gamma", "norm.beta", *both, "head.kernel", "head.bias"]
    assert [name for name, one in found.items() if one.frozen] == ["head.kernel", "head.bias"]
    state = adapter.state()
    assert {"norm.moving_mean", "norm.moving_variance"} <= set(state) - set(found)
    assert sum(values.size for values in state.values()) == sum(int(np.prod(v.shape)) for v in model.variables)
    with adapter.state_kept():
        model(x, training=True)
        moved = [name for name, values in adapter.state().items() if not np.array_equal(values, state[name])]
        # The seed of the dropout too, where Keras counts it as a variable.
        assert {"norm.moving_mean", "norm.moving_variance"} <= set(moved) <= set(state) - set(found)
    for name, values in adapter.state().items():
        np.testing.assert_array_equal(values, state[name])


KERNELS = ("kernel", "recurrent_kernel", "bias")


def test_two_arrays_of_one_name_are_told_apart(x):
    given = keras.Input((12, 3))
    cells = layers.StackedRNNCells([layers.LSTMCell(2), layers.LSTMCell(4)])
    adapter = attrkit.adapt(keras.Model(given, layers.RNN(cells, name="cells")(given)))
    assert list(adapter.parameters()) == [f"cells.{name}{end}" for end in ("", "#2") for name in KERNELS]
    values = np.full((4, 16), 0.5)
    adapter.assign({"cells.recurrent_kernel#2": values})
    np.testing.assert_array_equal(adapter.state()["cells.recurrent_kernel#2"], values)


def test_a_saved_model_is_refused(tmp_path):
    import tensorflow as tf

    given = keras.Input((12, 3))
    model = keras.Model(given, layers.Dense(1)(layers.Flatten()(given)))
    tf.saved_model.save(model, str(tmp_path))
    with pytest.raises(RefusedError, match="a SavedModel is a program without layers"):
        attrkit.adapt(attrkit.load_model(tmp_path)).parameters()


def test_gradients_of_tables_of_words_and_of_several_outputs():
    given = keras.Input((5,), dtype="int32")
    hidden = layers.LSTM(4)(layers.Embedding(7, 3, name="words", mask_zero=True)(given))
    model = keras.Model(given, [layers.Dense(2, name="one")(hidden), layers.Dense(1, name="other")(hidden)])
    x = np.array([[1, 2, 3, 1, 0], [4, 4, 4, 0, 0]])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    cotangent = rng.normal(size=(2, 3))
    adapter = attrkit.adapt(model).configured()
    found = adapter.parameter_gradient(x, cotangent)
    assert list(found) == list(adapter.parameters())
    # Words that do not occur count for nothing.
    np.testing.assert_array_equal(found["words.embeddings"][[0, 5, 6]], 0)
    np.testing.assert_allclose(found["other.bias"], cotangent[:, 2:].sum(0), rtol=1e-6)
    step = 1e-2
    for name, (_, _, values, _) in adapter.parameters().items():
        way = rng.normal(size=values.shape)
        with adapter.state_kept():
            ends = []
            for sign in (1, -1):
                adapter.assign({name: values + sign * step * way})
                ends.append((adapter.predict(x).astype(float) * cotangent).sum())
        np.testing.assert_allclose((found[name] * way).sum(), (ends[0] - ends[1]) / (2 * step), rtol=2e-2, atol=2e-3)
    model.trainable = False
    with pytest.raises(RefusedError, match="no parameters that are not frozen"):
        attrkit.adapt(model).configured().parameter_gradient(x, cotangent)
