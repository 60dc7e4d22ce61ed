import numpy as np
import pytest
import xarray as xr

from attrkit.errors import InputError
from attrkit.plot import attention, heatmap
from attrkit.plot.data import datasets


def test_what_users_pass_is_ordered_by_extractor(gradient, saliency, tree, layers):
    assert list(datasets(gradient)) == ["gradient"]
    assert list(datasets(tree)) == ["gradient", "saliency"]
    assert list(datasets(tree["saliency"])) == ["saliency"]
    assert list(datasets({"two": saliency, "one": gradient["attribution"]})) == ["two", "one"]
    assert list(datasets(layers)) == ["lstm", "block/dense"]
    assert list(datasets(layers["lstm"].to_dataset())) == ["lstm"]
    stacked = xr.concat([gradient["attribution"]] * 2, dim=xr.Variable("extractor", ["x", "y"]))
    assert list(datasets(stacked)) == ["x", "y"]


def test_a_bare_array_and_a_single_sample_can_be_drawn(gradient):
    assert dict(heatmap(gradient["attribution"]).axes.sizes) == {"sample": 3, "extractor": 1}
    panels = heatmap(gradient.sel(sample="b"))
    np.testing.assert_array_equal(panels.axes["sample"], ["b"])


def test_bare_attention_is_known_by_its_dims():
    bare = xr.DataArray(np.full((1, 4, 4), 0.25), dims=("sample", "query_timestep", "key_timestep"))
    assert attention(bare).artists["mesh"].item().get_array().shape == (4, 4)


def check(match, call):
    with pytest.raises(InputError, match=match):
        call()


def test_what_cannot_be_drawn_is_refused(gradient):
    check("got a list; accepted are a Dataset, a DataTree", lambda: heatmap([gradient]))
    check("the dict is empty; at least one extractor is needed", lambda: heatmap({}))
    check("the DataTree is empty", lambda: heatmap(xr.DataTree.from_dict({"a/b": None})))
    check("'mine' is a ndarray; accepted are a Dataset or a DataArray", lambda: heatmap({"mine": np.zeros(3)}))
    wrong = xr.Dataset({"relevance": ("sample", [1.0])}, attrs={"method": "mine"})
    check(r"'mine' is not an attrkit dataset: its variables are \['relevance'\]; a plot needs", lambda: heatmap(wrong))
    check("'gradient' is empty: its sizes are", lambda: heatmap(gradient.isel(sample=slice(0))))


def test_unknown_labels_are_refused(gradient, saliency, tree):
    check("unknown sample 'z'; accepted are 'a', 'b', 'c', 'd'", lambda: heatmap(gradient, samples="z"))
    check("unknown channel 'snow'; accepted are 'rain', 'wind'", lambda: heatmap(gradient, channels=["rain", "snow"]))
    check("no sample to draw: an empty list came; accepted are 'a'", lambda: heatmap(gradient, samples=[]))
    check("nothing here has a dim 'channel'", lambda: heatmap(saliency, channels="rain"))
    other = gradient.assign_coords(sample=["a", "b", "c", "x"])
    check(
        "unknown sample 'd'; accepted are 'a', 'b', 'c', 'x'", lambda: heatmap({"g": gradient, "o": other}, samples="d")
    )
    assert heatmap(tree, channels="rain").artists["mesh"].sel(sample="a", extractor="gradient").item()


def test_many_labels_are_cut_in_messages(gradient):
    many = xr.concat([gradient["attribution"].isel(sample=[0])] * 30, "sample").assign_coords(sample=np.arange(30))
    check(
        r"unknown sample 99; accepted are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... \(30 in all\)",
        lambda: heatmap(many, samples=99),
    )


def test_an_output_has_to_be_chosen(gradient):
    both = gradient.drop_vars("mask").copy()
    both["attribution"] = both["attribution"].expand_dims(output=[24, 48]).transpose("sample", "output", ...)
    check(
        r"attribution of 'gradient' has 2 labels along 'output' \(24, 48\).*select one label first, such as "
        r".sel\(output=24\)",
        lambda: heatmap(both),
    )
    assert heatmap(both.sel(output=48)).axes.sizes["sample"] == 3
    assert heatmap(both.sel(output=[48])).axes.sizes["sample"] == 3


def test_dates_label_samples(gradient):
    dated = gradient.assign_coords(sample=np.array(["2012-01-01", "2012-01-02", "2012-01-03", "2012-01-04"], "M8[ns]"))
    panels = heatmap(dated, samples=["2012-01-02"])
    assert panels.artists["row_title"].values[0, -1].get_text() == "sample 2012-01-02"


def test_dims_in_another_order_are_drawn_alike(gradient):
    ours = heatmap(gradient).artists["mesh"].values
    for own, other in zip(ours.flat, heatmap(gradient.transpose()).artists["mesh"].values.flat, strict=True):
        np.testing.assert_array_equal(own.get_array(), other.get_array())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"samples": xr.Dataset()}, "is no label and no list of labels of 'sample'"),
        ({"samples": {"a": 1}}, "is no label and no list of labels of 'sample'"),
        ({"samples": [{}]}, r"\[{}\] is no label and no list of labels of 'sample'"),
        ({"channels": np.ma.masked}, "is no label and no list of labels of 'channel'"),
        ({"visuals": 3}, "visuals=3; accepted is a mapping of mesh"),
        ({"scale": np.zeros(2)}, "scale=array.* is not known"),
        ({"robust": "99"}, "robust='99' is no percentile"),
        ({"col": {}}, "col={} is not known; accepted are 'sample', 'extractor'"),
        ({"figsize": float("inf")}, "figsize=inf; accepted are"),
    ],
    ids=str,
)
def test_arguments_of_the_wrong_type_are_refused_by_name(gradient, asked, said):
    with pytest.raises(InputError, match=said):
        heatmap(gradient, **asked)


def test_dollars_that_are_no_formula_are_written_as_they_are(gradient, tmp_path):
    names = ["$\\frac{1}{$", "price $ of $", "m s$^{-1}$"]
    panels = heatmap(gradient.assign_coords(channel=names))
    panels.save(tmp_path / "names.svg", dpi=30)
    written = (tmp_path / "names.svg").read_text(encoding="utf-8")
    assert "$\\frac{1}{$" in written
