"""Examples of docs/extending: each does what its page says it does."""

import doctest
import importlib
import sys

import keras
import numpy as np
import pytest

import attrkit
from attrkit.adapters import adapters
from attrkit.adapters.terms import Call
from attrkit.errors import AttrkitWarning, ForwardMismatchError, InputError, RefusedError, UnknownModelError
from attrkit.plugins import modules_in
from attrkit.relevance import COMPOSITES
from tests.docs.examples import EXTENDING, module_of


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return what installs an example package for one test."""
    import example_packages

    def forget():
        modules_in.cache_clear()
        adapters.cache_clear()

    before = set(sys.modules)

    def run(name):
        example_packages.install(EXTENDING / name, tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield run
    monkeypatch.undo()
    forget()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


# The method

EXPECTED_GRADIENTS = module_of(EXTENDING / "expected_gradients.py")


def test_the_doctest_of_the_method():
    found = doctest.testmod(EXPECTED_GRADIENTS, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert (found.attempted, found.failed) == (5, 0)


@pytest.fixture
def waves():
    import jax.numpy as jnp

    def f(x):
        return jnp.stack([jnp.sin(x).sum((1, 2)), (x[:, 0] * x[:, 1]).sum(1)], axis=1)

    return attrkit.adapt(f, framework="jax")


def test_the_method_is_the_mean_of_integrated_gradients(waves):
    rng = np.random.default_rng(0)
    x, background = rng.normal(size=(2, 4, 5, 3)).astype("float32")
    ds = attrkit.extract(waves, x, EXPECTED_GRADIENTS.expected_gradients, target=[0, 1, 0, 1], background=background)
    each = [
        attrkit.extract(waves, x, "integrated_gradients", target=[0, 1, 0, 1], baseline=row, n_steps=16)
        for row in background
    ]
    np.testing.assert_allclose(ds["attribution"], np.mean([one["attribution"] for one in each], axis=0), atol=1e-6)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    assert ds["attribution"].attrs["units"] == "output"
    assert ds.attrs["method"] == "expected_gradients"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"background": np.zeros((2, 5, 4))}, InputError, r"accepted is \(row, 5, 3\)"),
        ({"background": np.zeros((2, 5, 3)), "mask": np.zeros((4, 5), bool)}, RefusedError, "padded"),
        ({}, InputError, "needs 'background'"),
        ({"background": np.zeros((2, 5, 3)), "steps": 3}, InputError, "no option 'steps'"),
    ],
    ids=["background of another shape", "padding", "no background", "unknown option"],
)
def test_what_the_method_refuses(waves, options, error, message):
    x = np.ones((4, 5, 3), "float32")
    with pytest.raises(error, match=message):
        attrkit.extract(waves, x, EXPECTED_GRADIENTS.expected_gradients, target=0, **options)


# The adapter


@pytest.fixture
def plainseq(install):
    install("plainseq")
    return importlib.import_module("plainseq")


def outputs(model, x):
    for layer in model.layers.values():
        x = layer.forward(x)
    return x


def test_a_model_is_not_known_until_its_package_is_installed(install):
    model = module_of(EXTENDING / "plainseq" / "plainseq.py").small_model()
    with pytest.raises(UnknownModelError):
        attrkit.adapt(model)


def test_gradients_by_hand_are_those_of_differences(plainseq):
    model, x = plainseq.small_model(), np.random.default_rng(1).normal(size=(4, 6, 3))
    target = [0, 1, 1, 0]
    ds = attrkit.extract(model, x, "gradient", target=target)
    step, rows = 1e-5, np.arange(4)
    for t, c in np.ndindex(6, 3):
        moved = np.zeros_like(x)
        moved[:, t, c] = step
        slope = (outputs(model, x + moved) - outputs(model, x - moved))[rows, target] / (2 * step)
        np.testing.assert_allclose(ds["attribution"][:, t, c], slope, atol=1e-8)
    np.testing.assert_allclose(ds["prediction"], outputs(model, x))
    assert (ds.attrs["framework"], ds.attrs["gradient_evaluations"]) == ("plainseq", 4)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_methods_need_nothing_more_of_the_adapter(plainseq, batch_size):
    model, x = plainseq.small_model(), np.random.default_rng(1).normal(size=(4, 6, 3))
    ask = {"integrated_gradients": {"n_steps": 32}, "smoothgrad": {"n_samples": 2000, "noise_scale": 0.001}}
    found = {
        name: attrkit.extract(model, x, name, target=1, batch_size=batch_size, **options)
        for name, options in {**ask, "occlusion": {}, "gradient": {}}.items()
    }
    np.testing.assert_allclose(found["integrated_gradients"]["completeness_gap"], 0, atol=1e-8)
    np.testing.assert_allclose(found["smoothgrad"]["attribution"], found["gradient"]["attribution"], atol=1e-3)
    without = x.copy()
    without[:, 5, 2] = 0
    lost = (outputs(model, x) - outputs(model, without))[:, 1]
    np.testing.assert_allclose(found["occlusion"]["attribution"][:, 5, 2], lost)


def test_a_function_of_the_outputs_is_explained_by_what_needs_no_gradient(plainseq):
    model, x = plainseq.small_model(), np.random.default_rng(1).normal(size=(4, 6, 3))
    ds = attrkit.extract(model, x, "occlusion", target=lambda outputs: outputs[:, 0] - outputs[:, 1])
    apart = [attrkit.extract(model, x, "occlusion", target=i)["attribution"].values for i in (0, 1)]
    np.testing.assert_allclose(ds["attribution"], apart[0] - apart[1], atol=1e-12)


def test_layers_are_read(plainseq):
    model, x = plainseq.small_model(), np.random.default_rng(1).normal(size=(4, 6, 3))
    tree = attrkit.layer_outputs(model, x)
    assert list(tree.children) == ["recurrent", "readout"]
    np.testing.assert_array_equal(tree["recurrent"]["activation"], model.layers["recurrent"].forward(x))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"target": lambda outputs: outputs[:, 0] ** 2}, "function given as target"),
        ({"target": 0, "logits": True}, "logits"),
        ({"method": "lrp", "target": 0}, "lrp"),
        ({"method": "attention"}, "no layer"),
    ],
    ids=["function of the output", "logits", "lrp", "attention"],
)
def test_what_the_adapter_refuses(plainseq, ask, message):
    with pytest.raises(RefusedError, match=message):
        attrkit.extract(plainseq.small_model(), np.ones((2, 6, 3)), **{"method": "gradient", **ask})


# The reader of attention


@keras.saving.register_keras_serializable("tests")
class Pool(keras.layers.Layer):
    """One weight a timestep, kept on the layer and not returned."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.score = keras.layers.Dense(1)
        self.last_weights = None

    def call(self, x):
        weights = keras.ops.softmax(self.score(x), axis=1)
        self.last_weights = weights[..., 0]
        return keras.ops.sum(weights * x, axis=1)


def test_weights_that_a_layer_keeps_are_read(install, x):
    steps = keras.Input((12, 3))
    pool = Pool()
    model = keras.Model(steps, keras.layers.Dense(1)(pool(keras.layers.Dense(4, "tanh")(steps))))
    with pytest.raises(RefusedError, match="gives attention weights"):
        attrkit.extract(model, x, "attention")
    install("kept_weights")
    ds = attrkit.extract(model, x, "attention")
    states = model.layers[1](x)
    scores = keras.ops.convert_to_numpy(pool.score(states))[..., 0]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ds["attention"], shares, atol=1e-6)
    assert ds["attention"].dims == ("sample", "key_timestep")


def test_the_reader_leaves_the_layer_as_it_was():
    class Keeping:
        last_weights = "before"

        def call(self, x):
            self.last_weights = "now"
            return 2 * x

    layer = Keeping()
    reader = module_of(EXTENDING / "kept_weights" / "kept_weights.py")
    assert reader.handles(layer)
    assert reader.read(Call(layer, layer.call, (3,), {})) == (6, {"attention": "now"})
    assert layer.last_weights == "before"


def test_a_module_that_is_no_reader_is_left_out(install, tmp_path):
    install("kept_weights")
    (tmp_path / "kept_weights.py").write_text("def handles(layer): return True\n")
    with pytest.warns(AttrkitWarning, match="kept_weights.*entry point attrkit.attention.* has no read"):
        assert modules_in("attrkit.attention", ("handles", "read")) == {}


# The rule of relevance

HIGHWAY = module_of(EXTENDING / "highway_keras.py")


def highway_model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((6, 3)), HIGHWAY.Highway(), keras.layers.GRU(4), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(0)
    model.set_weights([0.4 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_the_rule_of_a_highway_layer_conserves():
    model, x = highway_model(), np.random.default_rng(1).normal(size=(4, 6, 3)).astype("float32")
    with pytest.raises(RefusedError, match="Highway"):
        attrkit.extract(model, x, "lrp")
    ds = attrkit.extract(model, x, "lrp", composite=HIGHWAY.composite, by_layer=True)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    at_layer = ds.sel(layer="highway")
    assert float(abs(at_layer["layer_bias_relevance"]).min()) > 1e-4
    np.testing.assert_allclose(ds["layer_gap"], 0, atol=1e-5)


def test_the_rule_of_a_highway_layer_by_hand():
    model = keras.Sequential([keras.layers.Input((1, 1)), HIGHWAY.Highway(), keras.layers.Flatten()])
    # W = 2, V = 0, b = 1, c = 0: the gate is one half.
    weights = {"kernel": 2.0, "gate_kernel": 0.0, "bias": 1.0, "gate_bias": 0.0}
    layer = model.layers[0]
    for name, value in weights.items():
        own = getattr(layer, name)
        own.assign(np.full(own.shape, value))
    composite = COMPOSITES["z"].extended({"Highway": HIGHWAY.highway})
    ds = attrkit.extract(model, np.full((1, 1, 1), 3.0, "float32"), "lrp", composite=composite)
    # tanh(2 * 3 + 1): six sevenths of it came of x, one of the bias; half of x is carried past.
    half = 0.5 * np.tanh(7)
    np.testing.assert_allclose(ds["attribution"].item(), half * 6 / 7 + 1.5, rtol=1e-6)
    np.testing.assert_allclose(ds["bias_relevance"].item(), half / 7, rtol=1e-5)


def test_a_rule_that_computes_something_else_is_found_out():
    model, x = highway_model(), np.random.default_rng(1).normal(size=(4, 6, 3)).astype("float32")
    composite = HIGHWAY.composite.extended({"Highway": lambda call, flow: call.args[0]})
    with pytest.raises(ForwardMismatchError):
        attrkit.extract(model, x, "lrp", composite=composite)
