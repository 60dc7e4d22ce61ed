import numpy as np
import pandas as pd
import pytest
import xarray as xr

from attrkit import stack
from attrkit.errors import InputError
from attrkit.plot import difference
from attrkit.schema import build

MINUS = "\N{MINUS SIGN}"


def mesh(panels, **labels):
    return panels.artists["mesh"].sel(labels).item()


@pytest.fixture
def two(gradient, inputs):
    values = 50 * np.random.default_rng(9).normal(size=inputs.shape)
    other = build({"attribution": values, "mask": gradient["mask"].values}, inputs=inputs, attrs={"method": "other"})
    return xr.DataTree.from_dict({"gradient": gradient, "other": other})


def test_each_sample_is_in_its_own_unit_and_the_third_panel_is_the_difference(two):
    panels = difference(two, "gradient", "other")
    assert dict(panels.axes.sizes) == {"sample": 3, "panel": 3}
    for sample in "ab":
        values = {}
        for name in ("gradient", "other"):
            real = two[name]["attribution"].where(two[name]["mask"]).sel(sample=sample).transpose("channel", ...)
            values[name] = real / abs(real).max()
            np.testing.assert_allclose(mesh(panels, sample=sample, panel=name).get_array().filled(np.nan), values[name])
        less = mesh(panels, sample=sample, panel="difference").get_array()
        np.testing.assert_allclose(less.filled(np.nan), values["gradient"] - values["other"])
        np.testing.assert_array_equal(
            less.mask, ~np.broadcast_to(two["gradient"]["mask"].sel(sample=sample), less.shape)
        )
    titles = [artist.get_text().replace("\n", " ") for artist in panels.artists["title"].values[0]]
    assert titles == ["gradient", "other", f"gradient {MINUS} other"]
    assert panels.artists["note"].item().get_text() == "3 of 4 samples  ·  grey: padding"


def test_both_share_one_scale_and_the_difference_has_its_own_about_zero(two):
    panels = difference(two)
    both = {id(mesh(panels, sample=s, panel=p).norm) for s in "abc" for p in ("gradient", "other")}
    less = {id(mesh(panels, sample=s, panel="difference").norm) for s in "abc"}
    assert len(both) == len(less) == 1
    assert both != less
    left, right, own = panels.artists["colorbar"].values
    assert left is right
    assert own is not left
    np.testing.assert_array_equal([left.norm.vmin, left.norm.vmax], [-1, 1])
    drawn = [abs(mesh(panels, sample=s, panel="difference").get_array()).max() for s in "abc"]
    np.testing.assert_allclose([-own.norm.vmin, own.norm.vmax], max(drawn))
    words = [bar.ax.get_ylabel().replace("\n", " ") for bar in (left, own)]
    assert words == ["attribution / max |attribution| of each extractor and sample", f"gradient {MINUS} other"]
    assert left.cmap.name != own.cmap.name


def test_differences_without_a_negative_are_still_about_zero(inputs):
    low = np.random.default_rng(0).random(inputs.shape) * 0.5
    low[:, 0, 0] = 1.0
    high = np.clip(low + 0.3, 0, 1)
    data = {
        name: build({"attribution": v}, inputs=inputs, attrs={"method": name})
        for name, v in (("high", high), ("low", low))
    }
    panels = difference(data)
    left, _, own = panels.artists["colorbar"].values
    assert left.norm.vmin == 0
    np.testing.assert_allclose([own.norm.vmin, own.norm.vmax], [-0.3, 0.3])


def test_extractors_of_one_unit_can_keep_it(two):
    panels = difference(two, samples="a", scale="shared")
    values = {
        name: two[name]["attribution"].sel(sample="a").transpose("channel", ...) for name in ("gradient", "other")
    }
    np.testing.assert_allclose(
        mesh(panels, sample="a", panel="difference").get_array(), values["gradient"] - values["other"]
    )
    clipped = difference(two, robust=90).artists["colorbar"].values
    assert [bar.extend for bar in clipped] == ["both"] * 3
    assert clipped[2].ax.get_ylabel().replace("\n", " ").endswith("other, clipped at percentile 90 of magnitudes")


def test_without_channels_they_are_compared_as_metrics_do(tree):
    with pytest.raises(InputError, match="saliency does not resolve channels and the others do; pass channels='sum'"):
        difference(tree)
    panels = difference(tree, channels="sum", samples="a")
    expected = stack(tree, channels="sum").sel(sample="a")
    expected = expected / abs(expected).max("timestep")
    np.testing.assert_allclose(
        mesh(panels, sample="a", panel="difference").get_array()[0],
        expected.sel(extractor="gradient") - expected.sel(extractor="saliency"),
    )
    assert panels.artists["note"].item().get_text() == "1 of 4 samples  ·  channels: sum"


def test_windows_show_their_own_dates(two):
    days = pd.date_range("2012-01-01", periods=20)
    stamps = days.values[np.arange(4)[:, None] + np.arange(12)]
    moved = {
        name: ds.to_dataset()
        .drop_vars("timestep")
        .assign_coords(timestep=np.arange(12), time=(("sample", "timestep"), stamps))
        for name, ds in two.children.items()
    }
    panels = difference(moved)
    np.testing.assert_allclose(np.diff([ax.get_xlim()[0] for ax in panels.axes.values[:, 2]]), 1)


@pytest.mark.parametrize("name", ["mesh", "title", "row_title", "colorbar", "note"])
def test_false_omits_a_visual(two, name):
    assert name in difference(two).artists
    assert name not in difference(two, visuals={name: False}).artists


def test_wrong_arguments_are_refused(two, gradient):
    with pytest.raises(InputError, match="a='lrp', b=None; accepted are two of 'gradient', 'other'"):
        difference(two, "lrp")
    with pytest.raises(InputError, match="a=None, b=None; accepted are two of 'gradient'"):
        difference(gradient)
    with pytest.raises(InputError, match="'vmax' is no style"):
        difference(two, visuals={"mesh": {"vmax": 1}})
    with pytest.raises(InputError, match="scale='max' is not known"):
        difference(two, scale="max")
