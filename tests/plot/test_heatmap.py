from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from attrkit.errors import InputError
from attrkit.plot import heatmap
from attrkit.schema import build


def mesh(panels, **labels):
    return panels.artists["mesh"].sel(labels).item()


def shown(ax, axis):
    ax.figure.draw_without_rendering()
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")() if label.get_text()]


def test_the_mesh_is_the_data_and_padding_is_blank(gradient):
    panels = heatmap(gradient)
    for sample in "abc":
        values = mesh(panels, sample=sample, extractor="gradient").get_array()
        expected = gradient["attribution"].sel(sample=sample).transpose("channel", "timestep")
        padded = np.broadcast_to(~gradient["mask"].sel(sample=sample).values, values.shape)
        np.testing.assert_array_equal(values.mask, padded)
        np.testing.assert_array_equal(values[~padded], expected.values[~padded])


def test_all_panels_share_one_norm_that_padding_does_not_reach(tree, gradient, saliency):
    panels = heatmap(tree)
    meshes = panels.artists["mesh"].values.ravel()
    norms = {id(artist.norm) for artist in [*meshes, panels.artists["colorbar"].item()]}
    assert len(norms) == 1
    np.testing.assert_array_equal([meshes[0].norm.vmin, meshes[0].norm.vmax], [-1, 1])
    real = gradient["attribution"].where(gradient["mask"]).isel(sample=slice(3))
    expected = real.sel(sample="a").transpose("channel", ...) / abs(real).max()
    np.testing.assert_allclose(mesh(panels, sample="a", extractor="gradient").get_array(), expected)
    label = panels.artists["colorbar"].item().ax.get_ylabel().replace("\n", " ")
    assert label == "attribution / max |attribution| of each extractor"
    raw = heatmap(tree, scale="shared").artists["colorbar"].item().norm
    np.testing.assert_allclose(raw.vmax, saliency["attribution"].isel(sample=slice(3)).max())
    np.testing.assert_allclose(raw.vmin, -raw.vmax)


def test_an_extractor_without_channels_has_one_row(tree):
    panels = heatmap(tree)
    assert mesh(panels, sample="a", extractor="saliency").get_array().shape == (1, 12)
    assert shown(panels.axes.sel(sample="a", extractor="saliency").item(), "y") == ["all channels"]


def test_channels_are_named_from_the_top_and_dates_are_short(gradient):
    panels = heatmap(gradient)
    top, bottom = panels.axes.values[[0, -1], 0]
    assert shown(top, "y") == ["rain", "wind", "sun"]
    low, high = top.get_ylim()
    assert low > high
    assert shown(top, "x") == []
    assert shown(bottom, "x")[:2] == ["Jan", "03"]
    assert panels.artists["title"].values[0, 0].get_text() == "gradient"
    assert [artist.get_text() for artist in panels.artists["row_title"].values[:, -1]] == [
        "sample a",
        "sample b",
        "sample c",
    ]


def test_channels_come_in_the_order_that_is_asked_for(gradient):
    panels = heatmap(gradient, samples="d", channels=["sun", "rain"])
    assert shown(panels.axes.item(), "y") == ["sun", "rain"]
    expected = gradient["attribution"].sel(sample="d", channel=["sun", "rain"]).transpose("channel", ...)
    np.testing.assert_array_equal(mesh(panels, sample="d", extractor="gradient").get_array(), expected)


def test_rows_and_columns_can_change_places(tree):
    panels = heatmap(tree, row="extractor", col="sample")
    assert panels.axes.dims == ("extractor", "sample")
    assert panels.artists["title"].values[0, 2].get_text() == "sample c"
    assert panels.artists["row_title"].values[1, -1].get_text() == "saliency"
    upright = heatmap(tree)
    for at in ({"sample": "b", "extractor": "saliency"}, {"sample": "c", "extractor": "gradient"}):
        np.testing.assert_array_equal(mesh(panels, **at).get_array(), mesh(upright, **at).get_array())
    with pytest.raises(InputError, match="row='channel' is not known; accepted are 'sample', 'extractor'"):
        heatmap(tree, row="channel")


def test_self_attention_is_the_matrix_of_each_head(weights, gradient):
    panels = heatmap({"attention": weights, "gradient": gradient})
    np.testing.assert_array_equal(panels.axes["extractor"], ["attention, head 0", "attention, head 1", "gradient"])
    assert panels.artists["title"].values[0, 1].get_text() == "attention\nhead 1"
    values = mesh(panels, sample="a", extractor="attention, head 1").get_array()
    drawn = weights["attention"].where(weights["mask"].rename(timestep="key_timestep").values[:, None, None])
    drawn = drawn.where(weights["mask"].values[:, None, :, None]).isel(sample=slice(3))
    np.testing.assert_allclose(values, drawn.sel(sample="a", head=1) / drawn.max())
    padded = mesh(panels, sample="b", extractor="attention, head 0").get_array().mask
    assert padded[:4].all()
    assert padded[:, :4].all()
    assert not padded[4:, 4:].any()


def test_many_heads_are_capped_and_the_note_says_so():
    values = np.full((1, 3, 4, 5, 5), 0.2)
    panels = heatmap(build({"attention": values}, attrs={"method": "attention"}))
    assert panels.axes.sizes["extractor"] == 8
    assert panels.artists["note"].item().get_text() == "8 of 12 attention heads"


def test_weighted_attention_is_one_row(weighted):
    panels = heatmap(weighted)
    np.testing.assert_array_equal(
        mesh(panels, sample="a", extractor="attention").get_array()[0], weighted["attention"].sel(sample="a")
    )
    assert panels.artists["mesh"].values[0, 0].norm.vmin == 0


def test_windows_show_their_own_dates(gradient):
    days = pd.date_range("2012-01-01", periods=20)
    stamps = days.values[np.arange(4)[:, None] + np.arange(12)]
    windows = gradient.drop_vars("timestep").assign_coords(
        timestep=np.arange(12), time=(("sample", "timestep"), stamps)
    )
    panels = heatmap(windows)
    left = [ax.get_xlim()[0] for ax in panels.axes.values[:, 0]]
    np.testing.assert_allclose(np.diff(left), 1)
    # Rows that differ have labels of their own.
    assert all(shown(ax, "x") for ax in panels.axes.values[:, 0])


def test_dates_missing_on_padding_are_carried_on(gradient):
    stamps = np.tile(pd.date_range("2012-01-01", periods=12).values, (4, 1))
    stamps[:, :3] = np.datetime64("NaT")
    padded = gradient.assign_coords(timestep=np.arange(12), time=(("sample", "timestep"), stamps))
    left, right = heatmap(padded).axes.values[0, 0].get_xlim()
    np.testing.assert_allclose(right - left, 12)


def test_uneven_steps_keep_their_widths(gradient):
    uneven = gradient.assign_coords(timestep=np.arange(12) ** 2)
    artist = mesh(heatmap(uneven), sample="a", extractor="gradient")
    assert artist.get_array().shape == (3, 12)
    np.testing.assert_allclose(artist.get_coordinates()[0, :3, 0], [-0.5, 0.5, 2.5])


def test_tokens_and_falling_numbers_stand_one_after_the_other(gradient):
    tokens = gradient.assign_coords(timestep=[f"token_{i}" for i in range(12)])
    panels = heatmap(tokens, samples="a", figsize=(7, 3))
    assert shown(panels.axes.item(), "x") == [f"token_{i}" for i in range(12)]
    falling = heatmap(gradient.assign_coords(timestep=np.arange(12)[::-1]), samples="a")
    assert shown(falling.axes.item(), "x")[0] == "11"


def test_durations_have_a_unit(gradient):
    hours = gradient.assign_coords(timestep=pd.to_timedelta(np.arange(12), unit="h"))
    panels = heatmap(hours, samples="a")
    assert panels.axes.item().get_xlabel() == "timestep [hours]"
    np.testing.assert_allclose(panels.axes.item().get_xlim(), [-0.5, 11.5])


def test_long_names_of_channels_are_cut_in_the_middle(gradient):
    long = gradient.assign_coords(channel=["soil_temperature_level_7_to_28_cm", "b", "c"])
    assert shown(heatmap(long).axes.values[0, 0], "y")[0] == "soil_tempe…_to_28_cm"


def test_labels_of_many_channels_do_not_touch():
    ds = xr.Dataset({"attribution": (("sample", "timestep", "channel"), np.zeros((1, 20, 240)))})
    ax = heatmap(ds).axes.item()
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels() if label.get_text()]
    assert len(boxes) > 5
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_numbers_and_dates_of_narrow_panels_do_not_touch_and_are_two_at_least():
    values = np.random.default_rng(0).normal(size=(1, 2000, 2))
    steps = {"number": np.arange(2000) * 50, "date": pd.date_range("2012-01-01", periods=2000).values}
    for kind, labels in steps.items():
        ds = build({"attribution": values}, attrs={"method": "m"}).assign_coords(timestep=labels)
        panels = heatmap({str(i): ds for i in range(5)}, figsize="page")
        panels.figure.draw_without_rendering()
        for ax in panels.axes.values.ravel():
            seen = [label for label in ax.get_xticklabels() if label.get_text()]
            left, right = ax.get_xlim()
            seen = [label for label in seen if left <= label.get_position()[0] <= right]
            assert len(seen) >= 2, kind
            boxes = [label.get_window_extent() for label in seen]
            assert not any(one.overlaps(other) for one, other in pairwise(boxes)), kind
            assert "00:00" not in [label.get_text() for label in seen]


def test_outputs_of_a_layer_are_drawn_timestep_by_unit():
    values = np.random.default_rng(0).normal(size=(2, 6, 5))
    panels = heatmap(build({"activation": values}, attrs={"method": "layer_outputs", "layer": "lstm"}))
    mesh = panels.artists["mesh"].sel(sample=1, extractor="lstm").item()
    np.testing.assert_allclose(mesh.get_array(), values[1].T)
    with pytest.raises(InputError, match=r"'dense' has no timesteps.*curves or hist"):
        heatmap(build({"activation": values[:, 0]}, attrs={"method": "layer_outputs", "layer": "dense"}))
