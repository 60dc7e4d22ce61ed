import numpy as np
import pytest
import xarray as xr

from attrkit.errors import InputError
from attrkit.plot import overlay
from attrkit.schema import build


def test_a_line_is_coloured_by_the_relevance_of_its_steps(gradient):
    panels = overlay(gradient, samples="c")
    line = panels.artists["relevance"].sel(channel="wind", extractor="gradient").item()
    np.testing.assert_array_equal(line.get_array(), gradient["attribution"].sel(sample="c", channel="wind"))
    segments = np.array(line.get_segments())
    np.testing.assert_allclose(segments[:, 1, 1], gradient["input"].sel(sample="c", channel="wind"))
    # A segment goes half way to its neighbours, so that the line has no gaps.
    np.testing.assert_allclose(segments[1:, 0], segments[:-1, 2])
    assert panels.artists["note"].item().get_text() == "sample c"
    assert panels.artists["ylabel"].sel(channel="wind", extractor="gradient").item().get_text() == "wind"


def test_a_background_is_shaded_by_relevance_behind_the_series(gradient):
    panels = overlay(gradient, kind="background")
    mesh = panels.artists["relevance"].sel(channel="sun", extractor="gradient").item()
    np.testing.assert_array_equal(mesh.get_array()[0], gradient["attribution"].sel(sample="a", channel="sun"))
    line = panels.artists["series"].sel(channel="sun", extractor="gradient").item()
    np.testing.assert_array_equal(line.get_ydata(), gradient["input"].sel(sample="a", channel="sun"))
    assert line.get_zorder() > mesh.get_zorder()


def test_a_background_leaves_the_range_to_the_series(gradient):
    far = gradient.assign(input=gradient["input"] + 1000)
    for kind in ("line", "background"):
        low, high = overlay(far, channels="sun", kind=kind).axes.item().get_ylim()
        series = far["input"].sel(sample="a", channel="sun")
        assert float(series.min()) - 2 < low < float(series.min())
        assert float(series.max()) < high < float(series.max()) + 2


def test_a_long_channel_is_written_in_a_few_lines(gradient):
    named = gradient.assign_coords(channel=["temperature [C]", "soil_temperature_level_7_to_28_cm", "sun"])
    labels = [label.get_text() for label in overlay(named).artists["ylabel"].values[:, 0]]
    assert labels == ["temperature\n[C]", "soil_\ntemperat…l_\n7_to_28_cm", "sun"]


def test_relevance_without_channels_shades_backgrounds_and_says_so(tree, saliency):
    panels = overlay(tree, samples="a")
    for channel in panels.axes["channel"].values:
        mesh = panels.artists["relevance"].sel(channel=channel, extractor="saliency").item()
        values = saliency["attribution"].sel(sample="a")
        np.testing.assert_allclose(mesh.get_array()[0], values / values.max())
    title = panels.artists["title"].sel(channel="rain", extractor="saliency").item().get_text()
    assert title == "saliency\nover all channels"
    artists = panels.artists["relevance"].values.ravel()
    assert len({id(artist.norm) for artist in artists}) == 1
    np.testing.assert_array_equal([artists[0].norm.vmin, artists[0].norm.vmax], [-1, 1])


def test_padding_is_blank(gradient):
    panels = overlay(gradient, samples="b")
    line = panels.artists["relevance"].values[0, 0]
    np.testing.assert_array_equal(line.get_array().mask[:4], True)
    assert [len(segment) for segment in line.get_segments()] == [0] * 4 + [3] * 8
    shaded = overlay(gradient, samples="b", kind="background")
    np.testing.assert_array_equal(shaded.artists["relevance"].values[0, 0].get_array().mask[0, :4], True)
    assert shaded.artists["note"].item().get_text() == "sample b  ·  grey: padding"


def test_weighted_attention_needs_no_reduction(weighted):
    panels = overlay(weighted, channels=["sun"])
    np.testing.assert_array_equal(
        panels.artists["relevance"].item().get_array()[0], weighted["attention"].sel(sample="a")
    )
    assert panels.artists["note"].item().get_text() == "sample a  ·  1 of 3 channels"


def test_channels_are_as_many_as_fill_a_page():
    rng = np.random.default_rng(0)
    x = xr.DataArray(rng.normal(size=(1, 6, 30)), dims=("sample", "timestep", "channel"))
    data = {name: build({"attribution": 2 * x.values}, inputs=x, attrs={"method": name}) for name in "abc"}
    assert dict(overlay(data).axes.sizes) == {"channel": 8, "extractor": 3}
    assert overlay(data["a"]).axes.sizes["channel"] == 12
    assert overlay(data, channels=range(9)).axes.sizes["channel"] == 9


@pytest.mark.parametrize("name", ["relevance", "series", "title", "ylabel", "colorbar", "note"])
def test_false_omits_a_visual(gradient, name):
    assert name in overlay(gradient, channels="sun").artists
    assert name not in overlay(gradient, channels="sun", visuals={name: False}).artists


def test_what_cannot_be_laid_over_is_refused(gradient, weights, layers):
    with pytest.raises(
        InputError,
        match=r"attention of 'attention' has queries \(12\).*such as attrkit.reduce_attention\(ds, \"mean\"\)",
    ):
        overlay(weights)
    with pytest.raises(InputError, match="no series to draw: 'gradient' hold no 'input'"):
        overlay(gradient.drop_vars("input"))
    with pytest.raises(InputError, match=r"nothing to lay over the series; the variables are .*; 'attribution' is nee"):
        overlay(layers)
    with pytest.raises(
        InputError, match="an overlay shows one sample, and 2 came; give one label, such as samples='a'"
    ):
        overlay(gradient, samples=["a", "b"])
    with pytest.raises(InputError, match="kind='area' is not known; accepted are 'line', 'background'"):
        overlay(gradient, kind="area")
    short = gradient.drop_vars(["input", "mask"]).isel(timestep=slice(5))
    with pytest.raises(InputError, match="'short' has 5 timesteps and the series 12; an overlay needs one value a"):
        overlay({"gradient": gradient, "short": short})
    with pytest.raises(InputError, match="unknown visual 'line'; this plot has relevance, series"):
        overlay(gradient, visuals={"line": False})
