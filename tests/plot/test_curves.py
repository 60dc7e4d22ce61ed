import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from attrkit.errors import InputError
from attrkit.plot import curves
from attrkit.plot.theme import LIGHT
from attrkit.schema import build


def curve(panels, **labels):
    return panels.artists["curve"].sel(labels).item()


def names(panels):
    return [words.get_text() for words in panels.artists["legend"].item().get_texts()]


def test_one_dataset_has_a_panel_for_each_channel_and_a_curve_for_each_sample(gradient):
    panels = curves(gradient)
    assert dict(panels.artists["curve"].sizes) == {"channel": 3, "sample": 4}
    real = gradient["attribution"].where(gradient["mask"])
    for sample, channel in (("a", "sun"), ("b", "rain")):
        line = curve(panels, sample=sample, channel=channel)
        np.testing.assert_array_equal(line.get_ydata(), real.sel(sample=sample, channel=channel))
        assert line.axes is panels.axes.sel(channel=channel).item()
    assert [artist.get_text() for artist in panels.artists["title"].values] == ["rain", "wind", "sun"]
    assert names(panels) == ["a", "b", "c", "d"]
    assert to_hex(curve(panels, sample="b", channel="sun").get_color()).upper() == LIGHT.cycle[1]


def test_axes_are_shared_on_request_and_zero_is_marked(gradient):
    shared = curves(gradient)
    assert len({ax.get_ylim() for ax in shared.axes.values}) == 1
    assert "zero_line" in shared.artists
    own = curves(gradient, share_y=False, zero_line=False)
    assert len({ax.get_ylim() for ax in own.axes.values}) == 3
    assert "zero_line" not in own.artists


def test_timesteps_can_be_capped(gradient):
    panels = curves(gradient, samples="a", max_timesteps=5)
    np.testing.assert_array_equal(
        curve(panels, sample="a", channel="sun").get_ydata(), gradient["attribution"].sel(sample="a", channel="sun")[:5]
    )
    assert panels.artists["note"].item().get_text() == "1 of 4 samples  ·  5 of 12 timesteps"


def test_extractors_are_compared_on_one_sample_in_units_of_their_own(tree, gradient, saliency):
    panels = curves(tree, samples="c")
    np.testing.assert_array_equal(panels.axes["channel"], ["rain", "wind", "sun", "all channels"])
    top = abs(gradient["attribution"].sel(sample="c")).max()
    np.testing.assert_allclose(
        curve(panels, channel="wind", extractor="gradient").get_ydata(),
        gradient["attribution"].sel(sample="c", channel="wind") / top,
    )
    np.testing.assert_allclose(
        curve(panels, channel="all channels", extractor="saliency").get_ydata(),
        saliency["attribution"].sel(sample="c") / saliency["attribution"].sel(sample="c").max(),
    )
    assert curve(panels, channel="rain", extractor="saliency") is None
    assert names(panels) == ["gradient", "saliency"]
    assert panels.artists["note"].item().get_text() == "sample c"
    label = panels.artists["ylabel"].item().get_text().replace("\n", " ")
    assert label == "attribution / max |attribution| of each extractor"


def test_layers_have_panels_of_their_own_and_keep_their_values(layers):
    panels = curves(layers)
    assert list(panels.axes.indexes["panel"]) == [("lstm", 0), ("lstm", 1), ("block/dense", "units")]
    line = panels.artists["curve"].sel(layer="lstm", channel=1, sample=2).item()
    np.testing.assert_array_equal(line.get_ydata(), layers["lstm"]["activation"].sel(sample=2, channel=1))
    unit = panels.artists["curve"].sel(layer="block/dense", channel="units", sample=0).item()
    np.testing.assert_array_equal(unit.get_ydata(), layers["block/dense"]["activation"].sel(sample=0))
    assert panels.artists["title"].values[1].get_text() == "lstm\nchannel 1"
    # The layers have ranges of their own, and a row each.
    lstm, _, dense = panels.axes.values
    assert lstm.get_ylim() != dense.get_ylim()
    assert [ax.get_subplotspec().rowspan.start for ax in panels.axes.values] == [0, 0, 1]


def test_each_query_of_self_attention_is_a_curve(weights):
    panels = curves(weights, samples="c")
    assert panels.axes.dims == ("head",)
    bundle = curve(panels, head=1)
    ys = np.array([segment[:, 1] for segment in bundle.get_segments()])
    np.testing.assert_allclose(ys, weights["attention"].sel(sample="c", head=1))
    assert panels.artists["colorbar"].item().ax.get_ylabel() == "timestep that attends"
    assert [ax.get_title() for ax in panels.axes.values] == ["head 0", "head 1"]
    cut = curve(curves(weights, max_timesteps=5), head=0)
    assert {len(segment) for segment in cut.get_segments()} == {5}


def test_queries_beside_other_extractors_have_to_be_reduced(weights, gradient):
    with pytest.raises(InputError, match=r"attention of 'w' has queries; reduce it first, such as attrkit.reduce_att"):
        curves({"g": gradient, "w": weights})
    with pytest.raises(InputError, match="curves of queries show one sample, and 2 came; give one label, such as s"):
        curves(weights, samples=["a", "b"])


def test_a_variable_can_be_named(gradient, weighted):
    panels = curves(gradient, variable="input", samples="a")
    np.testing.assert_array_equal(
        curve(panels, sample="a", channel="sun").get_ydata(), gradient["input"].sel(sample="a", channel="sun")
    )
    assert panels.artists["ylabel"].sel(channel="rain").item().get_text() == "input"
    weight = curve(curves(weighted), channel="all channels", sample="b")
    np.testing.assert_array_equal(weight.get_ydata(), weighted["attention"].sel(sample="b"))


def test_a_value_between_gaps_is_a_dot(saliency):
    saliency["attribution"][0, [1, 3]] = np.nan
    line = curve(curves(saliency, samples="a"), channel="all channels", sample="a")
    assert (line.get_marker(), line.get_markevery()) == ("o", [0, 2])


def test_windows_lie_over_each_other_by_position(gradient):
    stamps = pd.date_range("2012-01-01", periods=20).values[np.arange(4)[:, None] + np.arange(12)]
    windows = gradient.drop_vars("timestep").assign_coords(
        timestep=np.arange(12), time=(("sample", "timestep"), stamps)
    )
    several, one = curves(windows), curves(windows, samples="b")
    np.testing.assert_allclose(several.axes.values[0].get_xlim(), [-0.5, 11.5])
    assert one.axes.values[0].get_xlim()[0] > 10000


def test_many_samples_have_shades_and_a_short_legend():
    values = np.random.default_rng(0).normal(size=(30, 6))
    panels = curves(build({"attribution": values}, attrs={"method": "m"}), samples=range(30))
    assert panels.artists["curve"].sizes["sample"] == 30
    assert len(names(panels)) == 10


def test_more_channels_than_fit_are_capped_and_the_note_says_so(monkeypatch):
    # The function of the same name hides the module.
    monkeypatch.setattr(sys.modules["attrkit.plot.curves"], "MOST_PANELS", 4)
    wide = xr.DataTree.from_dict({name: build({"activation": np.zeros((1, 3, 5))}) for name in ("one", "two")})
    panels = curves(wide)
    assert panels.axes.sizes["panel"] == 4
    assert panels.artists["note"].item().get_text() == "2 of 5 channels of one  ·  2 of 5 channels of two"


def test_of_a_thousand_channels_sixty_are_drawn_with_room_for_names_and_legend():
    rng = np.random.default_rng(0)
    names_of = ("gradient", "integrated_gradients_of_a_long_name")
    data = {name: build({"attribution": rng.normal(size=(1, 5, 1000))}, attrs={"method": name}) for name in names_of}
    panels = curves(data)
    assert panels.axes.size == 60
    assert "60 of 1,000 channels" in panels.artists["note"].item().get_text()
    panels.figure.draw_without_rendering()
    legend = panels.artists["legend"].item().get_window_extent()
    assert legend.x0 > max(ax.get_window_extent().x1 for ax in panels.axes.values)
    assert legend.x1 <= panels.figure.bbox.width
    top = max(line.get_ydata().max() for line in panels.artists["curve"].values.ravel())
    low, high = panels.axes.values[0].get_ylim()
    assert high - top > 0.25 * (top - low)


@pytest.mark.parametrize("name", ["curve", "zero_line", "title", "xlabel", "ylabel", "legend", "note"])
def test_false_omits_a_visual(saliency, name):
    plain = saliency.assign_coords(timestep=np.arange(12))
    plain["attribution"] = plain["attribution"] - 50
    assert name in curves(plain, samples=["a", "b"]).artists
    assert name not in curves(plain, samples=["a", "b"], visuals={name: False}).artists


def test_wrong_arguments_are_refused(gradient, tree, layers):
    with pytest.raises(InputError, match="unknown visual 'line'; this plot has curve, zero_line, title"):
        curves(gradient, visuals={"line": False})
    with pytest.raises(InputError, match=r"curves of several extractors show one sample, and 2 came; .* samples='a'"):
        curves(tree, samples=["a", "b"])
    with pytest.raises(InputError, match=r"'gradient' holds none of activation; its variables are \['attribution'"):
        curves(gradient, variable="activation")
    with pytest.raises(InputError, match="max_timesteps must be a whole number, 1 or more, got 0"):
        curves(gradient, max_timesteps=0)
    with pytest.raises(InputError, match="activation of 'dense' has no timesteps; draw it alone, or beside other lay"):
        curves({"gradient": gradient, "dense": layers["block/dense"].to_dataset()})
    with pytest.raises(InputError, match="channels='x', but 'dense' has no dim 'channel'; accepted is None"):
        curves(layers["block/dense"], channels="x")
