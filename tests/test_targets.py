import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from attrkit.errors import InputError
from attrkit.targets import Output, label_prediction, output_coordinate, resolve_target

N = 3
CLASSES = ["cold", "mild", "warm"]


def resolve(target, *shapes, labels=None, n=N, seed=0):
    """Resolve a target of a model with one output ``y`` of a shape, or with outputs of several named shapes."""
    outputs = [Output(*shape) if shape and isinstance(shape[0], str) else Output("y", shape) for shape in shapes]
    flat = np.random.default_rng(seed).normal(size=(n, sum(o.size for o in outputs)))
    found = resolve_target(target, outputs, predictions=flat, output_labels=labels)
    assert found.index.shape == found.label.shape == (n,)
    assert found.index.dtype.kind == "i"
    np.testing.assert_array_equal(found.label, output_coordinate(outputs, labels)[found.index])
    return found.index


# Accepted forms


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1), ()], ids=repr)
def test_a_model_of_one_output_needs_no_target(shape):
    np.testing.assert_array_equal(resolve(None, shape), [0, 0, 0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), ()], ids=repr)
def test_axes_of_length_one_alone_need_no_index_at_all(shape):
    np.testing.assert_array_equal(resolve((), shape), [0, 0, 0])


@pytest.mark.parametrize("shape", [(1,), (1, 1), ()])
@pytest.mark.parametrize("target", [0, -1, [0, 0, 0]], ids=repr)
def test_the_only_output_has_the_index_zero(shape, target):
    np.testing.assert_array_equal(resolve(target, shape), [0, 0, 0])


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (0, [0, 0, 0]),
        (2, [2, 2, 2]),
        (-1, [2, 2, 2]),
        (-3, [0, 0, 0]),
        (np.int64(1), [1, 1, 1]),
        (np.uint8(1), [1, 1, 1]),
        ((1,), [1, 1, 1]),
        ((np.int32(-1),), [2, 2, 2]),
        ([2, 0, 1], [2, 0, 1]),
        ([-1, 0, -2], [2, 0, 1]),
        (np.array([2, 0, 1]), [2, 0, 1]),
        (np.array([2, 0, 1], dtype="uint8"), [2, 0, 1]),
        ([np.int64(2), 0, 1], [2, 0, 1]),
    ],
    ids=repr,
)
def test_indices_and_one_a_sample(target, index):
    np.testing.assert_array_equal(resolve(target, (3,)), index)
    np.testing.assert_array_equal(resolve(target, (3,), labels=CLASSES), index)


@pytest.mark.parametrize(
    ("target", "index"),
    [
        ("warm", [2, 2, 2]),
        (np.str_("mild"), [1, 1, 1]),
        (("cold",), [0, 0, 0]),
        (["warm", "cold", "mild"], [2, 0, 1]),
        (np.array(["warm", "cold", "mild"]), [2, 0, 1]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("labels", [CLASSES, tuple(CLASSES), np.array(CLASSES)], ids=lambda v: type(v).__name__)
def test_labels_and_one_a_sample(target, index, labels):
    np.testing.assert_array_equal(resolve(target, (3,), labels=labels), index)


def test_a_label_of_objects_is_found_too():
    target = np.array(["warm", "cold", "mild"], dtype=object)
    np.testing.assert_array_equal(resolve(list(target), (3,), labels=CLASSES), [2, 0, 1])


@pytest.mark.parametrize(
    "target",
    [
        pd.Series(["warm", "cold", "mild"]),
        pd.Series(["warm", "cold", "mild"], dtype="category"),
        pd.Series([2, 0, 1], dtype="Int64"),
        pd.Index(["warm", "cold", "mild"]),
        xr.DataArray(["warm", "cold", "mild"], dims="sample"),
        np.array(["warm", "cold", "mild"], dtype=object),
    ],
    ids=["Series", "categories", "Int64", "Index", "DataArray", "objects"],
)
@pytest.mark.parametrize("labels", [CLASSES, pd.Index(CLASSES), pd.Series(CLASSES, index=[5, 6, 7])])
def test_one_a_sample_in_other_containers(target, labels):
    np.testing.assert_array_equal(resolve(target, (3,), labels=labels), [2, 0, 1])


def test_the_predicted_class_is_the_largest_output_of_each_sample():
    flat = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
    found = resolve_target("predicted", [Output("y", (3,))], predictions=flat, output_labels=CLASSES)
    np.testing.assert_array_equal(found.index, [1, 0, 2])
    np.testing.assert_array_equal(found.label, ["mild", "cold", "warm"])


@pytest.mark.parametrize(
    ("target", "index"), [(3, 3), (-1, 23), ((3, 0), 3), ((-1, -1), 23), ([5, 0, 23], [5, 0, 23])], ids=repr
)
@pytest.mark.parametrize("shape", [(24, 1), (1, 24)])
def test_axes_of_length_one_need_no_index(target, index, shape):
    target = target[::-1] if isinstance(target, tuple) and shape == (1, 24) else target
    np.testing.assert_array_equal(resolve(target, shape), np.broadcast_to(index, N))


@pytest.mark.parametrize(
    ("target", "index"),
    [((0, "wind"), 1), ((23, "rain"), 46), ((-1, -1), 47), ((3, 1), 7), ((3, np.str_("rain")), 6)],
)
def test_a_label_stands_for_the_last_axis(target, index):
    np.testing.assert_array_equal(resolve(target, (24, 2), labels=["rain", "wind"]), [index] * N)


@pytest.mark.parametrize(
    ("target", "index"),
    [
        ("price", 0),
        (("price",), 0),
        (("price", 0), 0),
        (("volume", 0, 1), 2),
        (("volume", -1, -1), 6),
        (("risk", 2), 9),
        (["price", "price", "price"], 0),
    ],
    ids=repr,
)
def test_the_name_of_an_output_goes_first(target, index):
    found = resolve(target, ("price", (1,)), ("volume", (3, 2)), ("risk", (4,)))
    np.testing.assert_array_equal(found, [index] * N)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@given(st.data(), shapes)
@settings(max_examples=50, deadline=None)
def test_a_tuple_selects_what_numpy_selects(data, shape):
    place = tuple(data.draw(st.integers(-size, size - 1)) for size in shape)
    positive = tuple(i % size for i, size in zip(place, shape, strict=True))
    outputs = np.random.default_rng(0).normal(size=(N, *shape))
    found = resolve_target(place, [Output("y", shape)], predictions=outputs.reshape(N, -1)).index
    np.testing.assert_array_equal(found, np.full(N, np.ravel_multi_index(positive, shape)))
    np.testing.assert_array_equal(outputs.reshape(N, -1)[np.arange(N), found], outputs[(slice(None), *place)])


@given(st.data(), st.lists(shapes, min_size=2, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_name_and_a_tuple_select_what_numpy_selects(data, all_shapes):
    arrays = {f"y{i}": np.random.default_rng(i).normal(size=(N, *shape)) for i, shape in enumerate(all_shapes)}
    name = data.draw(st.sampled_from(sorted(arrays)))
    place = tuple(data.draw(st.integers(0, size - 1)) for size in arrays[name].shape[1:])
    flat = np.concatenate([a.reshape(N, -1) for a in arrays.values()], axis=1)
    outputs = [Output(key, a.shape[1:]) for key, a in arrays.items()]
    found = resolve_target((name, *place), outputs, predictions=flat)
    np.testing.assert_array_equal(flat[np.arange(N), found.index], arrays[name][(slice(None), *place)])
    assert len(set(output_coordinate(outputs))) == flat.shape[1]


# Names of the outputs


@pytest.mark.parametrize(
    ("outputs", "labels", "names"),
    [
        ([Output("y", (3,))], None, [0, 1, 2]),
        ([Output("y", (3, 1))], None, [0, 1, 2]),
        ([Output("y", (3,))], CLASSES, CLASSES),
        ([Output("y", (1, 3))], CLASSES, CLASSES),
        ([Output("y", (2, 2))], None, ["0, 0", "0, 1", "1, 0", "1, 1"]),
        ([Output("y", (2, 2))], ["rain", "wind"], ["0, rain", "0, wind", "1, rain", "1, wind"]),
        ([Output("a", (1,)), Output("b", (2,))], None, ["a: 0", "b: 0", "b: 1"]),
        ([Output("a", ()), Output("b", (1, 2))], None, ["a", "b: 0, 0", "b: 0, 1"]),
        ([Output("y", ())], None, [0]),
    ],
)
def test_every_output_has_a_name_that_reads_like_its_target(outputs, labels, names):
    np.testing.assert_array_equal(output_coordinate(outputs, labels), names)


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        ([Output("y", (3,))], ["a", "b"], r"2 entries; they name the last axis .*'y' of shape \(3,\)"),
        ([Output("y", (3, 2))], CLASSES, "3 entries"),
        ([Output("a", (3,)), Output("b", (3,))], CLASSES, "of a single output"),
        ([Output("y", ())], ["a"], "1 entries"),
        ([Output("y", (3,))], ["a", "b", "a"], r"repeat: \['a', 'b', 'a'\]"),
        ([Output("y", (3,))], [1, 2, 3], r"output_labels are \[1, 2, 3\]; .*text: integer labels would be read as ind"),
        ([Output("y", (3,))], [2, 1, 0], "read as indices"),
        ([Output("y", (2,))], [False, True], "read as indices"),
        ([Output("y", (2,))], [0.0, 1.0], "accepted is a list of text"),
        ([Output("y", (2,))], ["a", 1], "accepted is a list of text"),
        ([Output("y", (2,))], [["a"], ["b", "c"]], "accepted is a list of text"),
        ([Output("y", (2,))], "ab", "accepted is a list of text"),
        ([Output("y", (1,))], 3, "accepted is a list of text"),
        ([Output("y", (1,))], [], "accepted is a list of text"),
    ],
)
def test_labels_that_do_not_fit_the_output_are_refused(outputs, labels, message):
    with pytest.raises(InputError, match=message):
        output_coordinate(outputs, labels)


def test_predictions_are_labelled():
    flat = np.arange(6.0).reshape(2, 3)
    xr.testing.assert_identical(
        label_prediction(flat, [Output("y", (3,))], CLASSES),
        xr.DataArray(flat, dims=("sample", "output"), coords={"output": CLASSES}),
    )
    xr.testing.assert_identical(
        label_prediction(flat[:, :1], [Output("y", (1, 1))]), xr.DataArray(flat[:, 0], dims="sample")
    )


# Refused


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            None,
            "the model has 3 outputs, say which to explain; accepted are an index from 0 to 2, 'predicted', a list",
        ),
        (3, r"target 3 is out of range for an output of shape \(3,\); accepted are an index from 0 to 2"),
        (-4, "target -4 is out of range"),
        ([0, 1, 3], "target 3 is out of range"),
        (True, "target True is not an index"),
        (np.True_, "is not an index"),
        (1.0, r"target 1.0 is not an index or a known label"),
        (np.float64(1), "is not an index"),
        ("warm", "target 'warm' is not an index or a known label; accepted"),
        (["a", "b", "c"], "target 'a' is not an index or a known label"),
        ((0, 1), r"has 2 entries, output 'y' has shape \(3,\)"),
        ((), r"has 0 entries, output 'y' has shape \(3,\)"),
        ({1}, "is not an index"),
        ([0, 1], r"one index a sample has shape \(3,\) and integers or labels, got shape \(2,\)"),
        ([], r"got shape \(0,\)"),
        (np.array(1), r"got shape \(\)"),
        ([0.0, 1.0, 2.0], r"got shape \(3,\) of float64"),
        ([True, False, True], r"got shape \(3,\) of bool"),
        ([None, 0, 1], r"got shape \(3,\) of object"),
        (np.eye(3), r"got shape \(3, 3\) of float64; this looks one-hot, pass its argmax"),
        (np.eye(3, dtype=int), "one-hot"),
        (np.eye(3, dtype=bool), "one-hot"),
        (np.eye(3).tolist(), "one-hot"),
        (np.full((3, 3), 0.5), r"got shape \(3, 3\) of float64; accepted"),
        ([(0,), (1,)], "has 3 entries, got 2"),
        ([(0,), (1,), (0, 1)], r"target \(0, 1\) has 2 entries"),
        ([(0,), (1,), None], "target None is not an index"),
        (np.zeros((3, 2), dtype=str), r"got shape \(3, 2\) of <U1; accepted"),
        (xr.DataArray(1), r"got shape \(\)"),
        (np.array([[1], [1, 2], 3], dtype=object), "the target cannot be read as one array"),
        (dict.fromkeys(range(999)), r"target \{0: None, .*\.\.\.\} is not an index or a known label; accepted"),
        (pd.DataFrame(np.zeros((99, 9))), r"target .{,40} is not an index or a known label; accepted"),
        (len, "target <built-in function len> is not an index or a known label; accepted"),
    ],
    ids=repr,
)
def test_other_targets_are_refused_with_what_is_accepted(target, message):
    with pytest.raises(InputError, match=message):
        resolve(target, (3,))


@pytest.mark.parametrize("target", [None, 0, "predicted", [0, 0, 0]])
def test_a_table_of_outputs_needs_a_tuple(target):
    with pytest.raises(InputError, match=r"accepted are a tuple of 2 indices into \(24, 2\), a list"):
        resolve(target, (24, 2))


@pytest.mark.parametrize(
    "target",
    [
        None,
        0,
        "predicted",
        "speed",
        ("speed", 0),
        (0, 0),
        "volume",
        ("volume", 0),
        ("volume", 9, 0),
        ("price", "x"),
    ],
    ids=repr,
)
def test_several_outputs_need_a_name_and_an_index(target):
    with pytest.raises(
        InputError, match=r"accepted are tuples of .*name and its index; outputs are 'price' \(1,\), 'vol"
    ):
        resolve(target, ("price", (1,)), ("volume", (3, 2)))


@pytest.mark.parametrize(
    "target", ["hot", ["warm", "hot", "cold"], ("hot",), ["0", "1", "2"], [0, "warm", 1]], ids=repr
)
def test_an_unknown_label_is_refused_with_the_known_ones(target):
    with pytest.raises(InputError, match=r"is not an index or a known label; .* a label of 'cold', 'mild', 'warm'"):
        resolve(target, (3,), labels=CLASSES)


def test_the_text_names_some_of_many_labels():
    with pytest.raises(InputError, match=r"a label of '0', .*, '7' \.\.\., "):
        resolve("none", (100,), labels=[str(i) for i in range(100)])


@pytest.mark.parametrize(
    "target",
    [
        True,
        1.0,
        [True, False, True],
        [1.0, 0.0, 2.0],
    ],
    ids=repr,
)
def test_what_only_equals_a_label_is_refused(target):
    with pytest.raises(InputError, match="accepted"):
        resolve(target, (3,), labels=[0, 1, 2])


@pytest.mark.parametrize(
    ("target", "shapes_", "index"),
    [
        ([(0, 1), (1, 1), (2, 0)], [(3, 2)], [1, 3, 4]),
        ([("a", 1), ("b", 0), ("a", 0)], [("a", (2,)), ("b", (2,))], [1, 2, 0]),
        ([(0, "wind"), (1, "wind"), (2, "rain")], [(3, 2)], [1, 3, 4]),
    ],
    ids=["indices", "names", "labels"],
)
def test_one_tuple_a_sample(target, shapes_, index):
    labels = ["rain", "wind"] if "wind" in target[0] else None
    np.testing.assert_array_equal(resolve(target, *shapes_, labels=labels), index)


@pytest.mark.parametrize(
    ("target", "shape"),
    [([[1], [1, 2], 3], (3,)), ((0, np.array([0, 1])), (3, 2))],
    ids=["ragged", "array in a tuple"],
)
def test_targets_numpy_cannot_read_are_refused(target, shape):
    with pytest.raises(InputError, match="accepted"):
        resolve(target, shape, labels=["a", "b"] if len(shape) == 2 else None)
