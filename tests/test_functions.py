"""Plain functions as models, without any framework; adapters of other packages."""

import os
import subprocess
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.errors import InputError, RefusedError, UnknownModelError

KERNEL = np.array([[0.5], [-1.0]])


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((4, 6, 2))


def linear(x):
    return x.sum(axis=1) @ KERNEL


def test_predictions_and_occlusion(x):
    ds = attrkit.extract(linear, x, "occlusion")
    np.testing.assert_allclose(ds["prediction"], linear(x)[:, 0])
    np.testing.assert_allclose(ds["attribution"], x * KERNEL[:, 0])
    assert ds.attrs["framework"] == "numpy"
    assert ds.attrs["model"] == "linear"
    np.testing.assert_allclose(
        attrkit.extract(linear, x, "occlusion", batch_size=3)["attribution"], ds["attribution"], rtol=1e-12
    )


def test_ten_million_places_of_which_few_count_take_few_passes():
    x = np.zeros((1, 10_000, 1_000), "float32")
    x[0, [0, 123, 9_999], [0, 999, 5]] = 1, 2, -3
    ds = attrkit.extract(lambda x: x.sum(axis=(1, 2)), x, "occlusion", show_progress=False)
    np.testing.assert_array_equal(ds["attribution"], x)
    assert ds.attrs["forward_evaluations"] == 4
    # A window at each timestep, with all channels, and what the windows that cover a timestep lose on average.
    wide = attrkit.extract(
        lambda x: x.sum(axis=(1, 2)), x, "occlusion", window=2, stride=1, per_channel=False, show_progress=False
    )
    assert wide.attrs["forward_evaluations"] == 1 + 4
    np.testing.assert_allclose(wide["attribution"][0, [0, 1, 122, 123, 124, 9_998]], [1, 0.5, 1, 2, 1, -1.5])


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "integrated_gradients", "smoothgrad"])
def test_gradients_are_refused_before_anything_is_computed(x, method):
    calls = []

    def spied(x):
        calls.append(x)
        return linear(x)

    with pytest.raises(RefusedError, match=r"spied is taken for a function of numpy.*use occlusion.*framework='jax'"):
        attrkit.extract(spied, x, method)
    assert not calls


def test_what_a_function_has_not_is_refused(x):
    with pytest.raises(RefusedError, match="no layer of model 'linear' gives attention weights"):
        attrkit.extract(linear, x, "attention")
    with pytest.raises(RefusedError, match="return its logits from it instead"):
        attrkit.extract(linear, x, "occlusion", logits=True)
    with pytest.raises(InputError, match="no layer is named 'lstm'"):
        attrkit.layer_outputs(linear, x, "lstm")
    with pytest.raises(UnknownModelError, match="framework='tensorflow' is not known; accepted are jax, numpy"):
        attrkit.adapt(linear, framework="tensorflow")


def test_several_inputs_come_by_name(x):
    def forecast(series, static):
        return 2 * series[:, -1] + static

    static = np.arange(8.0).reshape(4, 2)
    ds = attrkit.extract(forecast, {"series": x, "static": static}, "occlusion", target=1)
    expected = np.zeros_like(x)
    expected[:, -1, 1] = 2 * x[:, -1, 1]
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-12)
    np.testing.assert_allclose(ds["attribution_static"], static * [0, 1])


def test_a_tuple_of_inputs_goes_by_position(x):
    def forecast(series, static):
        return 2 * series[:, -1] + static

    def strict(series, static, /):
        return forecast(series, static)

    def named(**inputs):
        return forecast(*inputs.values())

    static = np.arange(8.0).reshape(4, 2)
    expected = attrkit.extract(forecast, {"static": static, "series": x}, "occlusion", target=1)
    for model, name in ((forecast, "static"), (strict, "static"), (named, "input_1"), (np.add, None)):
        if name is None:
            ds = attrkit.extract(lambda a, b, model=model: model(a[:, -1], b), (x, static), "occlusion", target=1)
            name, factor = "b", 2
        else:
            ds, factor = attrkit.extract(model, (x, static), "occlusion", target=1), 1
        np.testing.assert_allclose(factor * ds["attribution"], expected["attribution"])
        np.testing.assert_allclose(ds[f"attribution_{name}"], static * [0, 1])
    with pytest.raises(InputError, match=r"3 inputs came in a tuple; the model takes \['series', 'static'\]"):
        attrkit.extract(forecast, (x, static, static), "occlusion")


def test_several_outputs(x):
    def by_name(x):
        return {"price": x[:, -1], "volume": x.sum(axis=(1, 2))}

    ds = attrkit.extract(by_name, x, "occlusion", target=("price", 1))
    assert ds["output"].values.tolist() == ["price: 0", "price: 1", "volume"]
    np.testing.assert_allclose(ds["attribution"][:, -1, 1], x[:, -1, 1])
    assert float(abs(ds["attribution"][:, :-1]).max()) == 0
    ds = attrkit.extract(lambda x: tuple(by_name(x).values()), x, "occlusion", target="all")
    assert ds["output"].values.tolist() == ["output_0: 0", "output_0: 1", "output_1"]
    np.testing.assert_allclose(ds["attribution"].sel(output="output_1"), x)


def test_a_function_of_the_outputs(x):
    ds = attrkit.extract(lambda x: x[:, -1], x, "occlusion", target=lambda y: y[:, 0] - y[:, 1])
    np.testing.assert_allclose(ds["attribution"][:, -1], x[:, -1] * [1, -1])


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: x.sum(), RefusedError, r"batch of 4 samples the model gives output \(\)"),
        (lambda x: x[0], RefusedError, r"gives output \(6, 2\); outputs must have samples on their first axis"),
        (lambda x: None, RefusedError, "the function returns output of object; accepted is an array of numbers"),
        (lambda x: np.full(len(x), "up"), RefusedError, "returns output of <U2"),
        (lambda x: [[1.0], [1.0, 2.0]], RefusedError, r"gives output_0 \(1,\), output_1 \(2,\)"),
        (lambda x: {"y": [[1.0], [1.0, 2.0]]}, InputError, "fails on inputs of shape x .4, 6, 2. of float64"),
        (lambda x: x @ np.ones((3, 1)), InputError, "fails on inputs of shape .*matmul"),
        (lambda x: x - x.mean(axis=0), RefusedError, "depends on the other samples of the batch"),
        (lambda x: np.random.default_rng().normal(size=len(x)), RefusedError, "random at inference"),
    ],
)
def test_functions_without_an_answer_a_sample_are_refused(x, function, error, words):
    with pytest.raises(error, match=words):
        attrkit.extract(function, x, "occlusion")


def test_a_function_may_work_in_place(x):
    def rude(x):
        x *= 2
        return x.sum(axis=1) @ KERNEL

    before = x.copy()
    ds = attrkit.extract(rude, x, "occlusion")
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(ds["attribution"], 2 * x * KERNEL[:, 0])
    np.testing.assert_array_equal(ds["input"], x)


def test_whole_numbers_do_not_wrap_around():
    x = np.ones((2, 3, 1))
    ds = attrkit.extract(lambda x: (3 - x.sum(axis=1)).astype("uint8"), x, "occlusion")
    np.testing.assert_array_equal(ds["attribution"], -np.ones((2, 3, 1)))


def test_token_ids_stay_whole_numbers():
    ids = np.array([[1, 2, 0], [3, 1, 2]])
    table = np.array([0.0, 1.0, 10.0, 100.0])
    ds = attrkit.extract(lambda ids: table[ids].sum(axis=1), ids, "occlusion")
    np.testing.assert_allclose(ds["attribution"], table[ids])


def test_callable_objects_and_partial_functions(x):
    class Model:
        def __call__(self, x):
            return linear(x)

    for model, name in ((Model(), "Model"), (partial(lambda kernel, x: x.sum(axis=1) @ kernel, KERNEL), "partial")):
        ds = attrkit.extract(model, x, "occlusion")
        np.testing.assert_allclose(ds["attribution"], x * KERNEL[:, 0])
        assert ds.attrs["model"] == name


def fails(error):
    def model(x):
        raise error

    return model


@pytest.mark.parametrize("error", [RuntimeError("down"), AttributeError("down"), AssertionError("down")])
def test_errors_of_a_function_name_its_inputs(x, error):
    with pytest.raises(InputError, match=r"fails on inputs of shape x \(4, 6, 2\) of float64: down") as caught:
        attrkit.extract(fails(error), x, "occlusion")
    assert caught.value.__cause__ is error
    with pytest.raises(InputError, match="of float64: AssertionError"):
        attrkit.extract(fails(AssertionError()), x, "occlusion")


def test_errors_of_attrkit_inside_of_a_function_stay_what_they_are(x):
    with pytest.raises(RefusedError, match=r"^not here$"):
        attrkit.extract(fails(RefusedError("not here")), x, "occlusion")


# Adapters of other packages

OTHER_PACKAGE = """
    from attrkit.adapters.function import NumpyFunction

    HANDLES = ("other_framework", "torch.nn.modules.module")

    class Other(NumpyFunction):
        framework = "other"

    def adapt(model):
        return Other(model.answer)
"""

ASKS = """
    import sys
    import numpy as np
    import attrkit

    class Model:
        def answer(self, x):
            return 3 * x.sum(axis=(1, 2))

    # A module that attrkit has an adapter for: that of the other package goes first, and no framework is imported.
    for name in ("other_framework.models", "torch.nn.modules.module"):
        Model.__module__ = name
        ds = attrkit.extract(Model(), np.ones((2, 3, 1)), "occlusion")
        assert ds.attrs["framework"] == "other", ds.attrs
        np.testing.assert_array_equal(ds["attribution"], 3)
    assert "torch" not in sys.modules
    try:
        attrkit.adapt(3)
    except TypeError as err:
        print(err)
"""


def ask_with(tmp_path, **packages):
    """Run ASKS beside other packages, whose adapters are given by name."""
    for name, code in packages.items():
        (tmp_path / f"{name}_adapter.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{name}_adapter-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-adapter\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[attrkit.adapters]\n{name} = {name}_adapter\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ASKS)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran


def test_an_adapter_that_cannot_be_imported_is_left_out(tmp_path):
    ran = ask_with(tmp_path, broken="raise RuntimeError('half installed')\n", other=OTHER_PACKAGE)
    assert ran.stderr.count("AttrkitWarning") == 1
    assert "'broken' of another package (broken_adapter, entry point attrkit.adapters) cannot be imported" in ran.stderr
    assert "RuntimeError: half installed" in ran.stderr
    assert "models of keras, other, pytorch" in ran.stdout


def test_adapters_of_other_packages_go_first(tmp_path):
    ran = ask_with(tmp_path, other=OTHER_PACKAGE)
    assert "models of keras, other, pytorch" in ran.stdout


WRONG = {
    "logits": ("yes", "logits='yes' is not known; accepted are True and False"),
    "show_progress": (np.zeros(2), "show_progress=array.* accepted are True and False"),
    "seed": (2**70, "seed must be a whole number up to"),
    "embedding": (3, "embedding=3 is no layer"),
    "embedding_reduction": ({"a": 1}, "embedding_reduction={'a': 1} is not known; accepted are auto, sum"),
    "explain": (3, "explain=3 came; accepted are a name, or a list of names"),
    "method": (np.zeros(2), r"method array\(\[0., 0.\]\) is a ndarray; accepted are attention"),
    "window": (True, "window must be a whole number"),
    "per_channel": ("no", "per_channel='no' is not known"),
    "mask": (np.ma.masked, "the mask has masked values"),
    "output_labels": (np.array(None), "output_labels are .*; accepted is a list of text"),
    "store": (3, "path is a int; accepted is a str or Path"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_of_the_wrong_type_are_refused_by_name(x, name):
    value, said = WRONG[name]
    asked = {"method": "occlusion", "show_progress": False, name: value}
    with pytest.raises(InputError, match=said):
        attrkit.extract(linear, x, **asked)


@pytest.mark.parametrize("method", [len, int, lambda model: 0])
def test_a_function_that_is_no_method_is_refused_by_what_it_takes(x, method):
    with pytest.raises(InputError, match=r"accepted is a function f\(model, x, target, \*\*options\)"):
        attrkit.extract(linear, x, method, show_progress=False)


def test_a_method_may_take_its_arguments_as_they_come(x):
    ds = attrkit.extract(linear, x, lambda *args, **options: np.zeros(x.shape), show_progress=False)
    np.testing.assert_array_equal(ds["attribution"], 0)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (3, "methods=3 came; accepted are a list of methods"),
        (np.array(None), "methods=array.* came; accepted are a list"),
        ({"own": ("occlusion", {}, 3)}, r"method 'own' is .*; accepted are a method, or \(method, options\)"),
        ({"own": ("occlusion", 3)}, r"method 'own' is \('occlusion', 3\)"),
        ({"own": ("occlusion", {1: 2})}, r"options of 'own' are \{1: 2\}; accepted is text as the name"),
        ({"a/b": "occlusion"}, "'a/b' cannot name a group"),
        ({3: "occlusion"}, "3 cannot name a group"),
    ],
)
def test_methods_that_cannot_be_compared_are_refused_before_the_work(x, methods, said):
    def fails(x):
        raise AssertionError("the model was run")

    with pytest.raises(InputError, match=said):
        attrkit.compare(fails, x, methods, show_progress=False)


def test_results_without_samples_are_refused_by_their_dims(x):
    def two(x):
        return x.sum(axis=1)

    with pytest.raises(attrkit.schema.SchemaError, match=r"'attribution' has dims \('a', 'b', 'c'\); accepted are"):
        attrkit.extract(
            two, x, lambda model, x, target: xr.DataArray(x, dims=("a", "b", "c")), target="all", show_progress=False
        )


def test_one_value_among_several_inputs_is_refused(x):
    with pytest.raises(InputError, match=r"input 'b': got one value, 3; accepted are arrays with samples first"):
        attrkit.extract(lambda a, b: a.sum(axis=(1, 2)), {"a": x, "b": 3}, "occlusion", show_progress=False)


@pytest.mark.parametrize("given", [np.zeros((3, 1, 1)), np.zeros(1), np.zeros((99, 1)), np.array([["a"]] * 3)])
def test_a_prediction_of_another_shape_that_a_method_returns_is_refused(x, given):
    def mine(model, x, target):
        return {"attribution": np.zeros(x.shape), "prediction": given}

    said = r"mine returns a prediction of shape .*; accepted are numbers of shape \(\d+, 1\)"
    with pytest.raises(InputError, match=said):
        attrkit.extract(linear, x, mine, show_progress=False)


def test_what_is_asked_of_all_methods_is_no_option_of_one(x):
    methods = {"first": ("occlusion", {"layer": "a"}), "second": ("occlusion", {"layer": "b"})}
    with pytest.raises(InputError, match=r"no option 'layer'; .*; layer: said once for all methods, beside them"):
        attrkit.compare(linear, x, methods)
