import numpy as np
import pytest
import xarray as xr

from attrkit.errors import InputError
from attrkit.plot import heatmap
from attrkit.plot.scale import colors, divide


def array(values, **attrs):
    return xr.DataArray(np.asarray(values, dtype=float), dims=("sample", "timestep"), name="attribution", attrs=attrs)


small = array([[1.0, -2.0], [0.5, 0.0]])
large = array([[10.0, 20.0], [5.0, np.nan]])


def test_by_extractor_each_is_divided_by_its_own_maximum():
    scaled = divide([small, large], ["a", "b"])
    np.testing.assert_allclose(scaled.arrays[0], small / 2)
    np.testing.assert_allclose(scaled.arrays[1], large / 20)
    assert scaled.label == "attribution / max |attribution| of each extractor"
    norm = colors(scaled).norm
    np.testing.assert_array_equal([norm.vmin, norm.vmax], [-1, 1])


def test_arrays_of_one_extractor_are_divided_by_one_number():
    scaled = divide([small, large], ["a", "a"], scale="extractor")
    np.testing.assert_allclose(scaled.arrays[0], small / 20)


def test_by_sample_each_sample_reaches_one():
    scaled = divide([small, large], ["a", "b"], scale="sample")
    for values in scaled.arrays:
        np.testing.assert_allclose(abs(values).max("timestep"), 1)
    assert scaled.label == "attribution / max |attribution| of each extractor and sample"


def test_of_one_extractor_the_label_names_no_other():
    assert divide([small], ["a"], scale="sample").label == "attribution / max |attribution| of each sample"
    assert divide([small], ["a"], scale="extractor").label == "attribution / max |attribution|"
    clipped = divide([small], ["a"], scale="sample", robust=95).label
    assert clipped == "attribution / percentile 95 of |attribution| of each sample, clipped"


@pytest.mark.parametrize(
    ("scale", "over"), [("shared", ("sample", "extractor")), ("extractor", ("sample",)), ("sample", ())]
)
def test_a_scale_makes_equal_what_it_says(tree, scale, over):
    panels = heatmap(tree, samples=["a", "b"], scale=scale)
    tops = xr.DataArray(
        [
            [float(abs(panels.artists["mesh"].sel(sample=s, extractor=e).item().get_array()).max()) for s in "ab"]
            for e in ("gradient", "saliency")
        ],
        {"extractor": ["gradient", "saliency"], "sample": ["a", "b"]},
        ("extractor", "sample"),
    )
    bar = panels.artists["colorbar"].item()
    # The colours end at the largest value of all that are divided by one number.
    np.testing.assert_allclose(tops.max(over), bar.norm.vmax)
    words = {"shared": "attribution", "extractor": "each extractor", "sample": "each extractor and sample"}[scale]
    assert bar.ax.get_ylabel().replace("\n", " ").endswith(words)


def test_shared_leaves_values_and_names_common_units_only():
    with_units = [array([[1.0, 3.0]], units="logit"), array([[2.0, 4.0]], units="logit")]
    scaled = divide(with_units, ["a", "b"], scale="shared")
    np.testing.assert_array_equal(scaled.arrays[1], with_units[1])
    assert scaled.label == "attribution [logit]"
    assert divide([with_units[0], large], ["a", "b"], scale="shared").label == "attribution"
    norm = colors(scaled).norm
    np.testing.assert_array_equal([norm.vmin, norm.vmax], [0, 4])


def test_one_extractor_alone_keeps_its_values():
    scaled = divide([small], ["a"])
    np.testing.assert_array_equal(scaled.arrays[0], small)
    assert scaled.label == "attribution"


def test_colours_are_symmetric_if_any_is_signed_and_start_at_zero_if_none_is():
    signed = colors(divide([small, large], ["a", "b"], scale="shared"))
    np.testing.assert_array_equal([signed.norm.vmin, signed.norm.vmax], [-20, 20])
    assert signed.cmap.name == "RdBu_r"
    unsigned = colors(divide([large], ["b"]))
    np.testing.assert_array_equal([unsigned.norm.vmin, unsigned.norm.vmax], [0, 20])
    assert unsigned.cmap.name == "Blues"


@pytest.mark.parametrize("scale", ["extractor", "sample", "shared"])
def test_zero_and_blank_values_have_a_range(scale):
    nothing = [array([[0.0, 0.0]]), array([[np.nan, np.nan]])]
    scaled = divide(nothing, ["a", "b"], scale=scale, robust=90)
    np.testing.assert_array_equal(scaled.arrays[0], nothing[0])
    norm = colors(scaled, robust=90).norm
    np.testing.assert_array_equal([norm.vmin, norm.vmax], [0, 1])


def test_clipping_is_stated(gradient, tree):
    one = heatmap(gradient, robust=90).artists["colorbar"].item()
    assert one.extend == "both"
    assert one.ax.get_ylabel().replace("\n", " ") == "attribution, clipped at percentile 90 of |attribution|"
    drawn = gradient["attribution"].where(gradient["mask"]).isel(sample=slice(3))
    np.testing.assert_allclose(one.norm.vmax, np.nanpercentile(abs(drawn), 90))
    both = heatmap(tree, robust=90).artists["colorbar"].item()
    label = "attribution / percentile 90 of |attribution| of each extractor, clipped"
    assert both.ax.get_ylabel().replace("\n", " ") == label


def test_clipping_counts_all_values_of_an_extractor():
    values = array(np.arange(1, 101, dtype=float).reshape(4, 25))
    scaled = divide([values], ["a"], scale="extractor", robust=90)
    np.testing.assert_allclose(scaled.arrays[0], values / np.percentile(values, 90))


def test_a_percentile_of_zero_falls_back_to_the_maximum():
    sparse = array([[0.0] * 99 + [5.0]])
    np.testing.assert_allclose(colors(divide([sparse], ["a"]), robust=90).norm.vmax, 5)


def test_unknown_scales_and_percentiles_are_refused():
    with pytest.raises(InputError, match="scale='global' is not known; accepted are 'extractor', 'sample', 'shared'"):
        divide([small], ["a"], scale="global")
    with pytest.raises(InputError, match=r"robust=0\.99 is no percentile to clip at; accepted are numbers between 50"):
        divide([small], ["a"], robust=0.99)
