"""What these tests share: asking, and the model's own answer."""

import keras
import numpy as np

import attrkit


def explain(model, x, method, **options):
    return attrkit.extract(model, x, method, show_progress=False, **options)


def answer(model, *arguments, **options):
    """Call a model or a layer and return numpy arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(*arguments, **options))


def randomise(model):
    """Give every weight a value, so that biases count and no row is flat."""
    rng = np.random.default_rng(11)
    for variable in model.weights:
        if variable.dtype.startswith("float"):
            values = rng.normal(0, 0.7, variable.shape)
            variable.assign(abs(values) if "variance" in variable.path else values)


def unchanged(model, x, run):
    """Return what `run` returns; check that the model is as it was."""
    before = answer(model, x, training=False)
    state = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    found = run()
    for old, new in zip(state, model.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))
    for entry in attrkit.adapt(model).layers():
        assert "call" not in vars(entry.layer)
    keras.tree.map_structure(np.testing.assert_array_equal, answer(model, x, training=False), before)
    return found
