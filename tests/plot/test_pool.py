import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from attrkit.plot import attention, heatmap, overlay
from attrkit.plot.pool import dots, extremes, peaks, pool_steps
from attrkit.plot.ticks import place
from attrkit.schema import build

SAID = "each dot: the largest |value| of its timesteps"


def drawn(image, width):
    """Return the colours that an image draws, on a figure whose panel is that many dots wide."""
    figure = image.axes.figure
    figure.set_dpi(figure.dpi * width / image.axes.get_window_extent().width)
    colors, *_ = image.make_image(FigureCanvasAgg(figure).get_renderer())
    return colors


def test_of_each_bin_the_largest_magnitude_is_kept_with_its_sign():
    values = np.random.default_rng(0).normal(size=(2, 100_003))
    values[:, 500:1500] = np.nan
    found = peaks(values, 250)
    for number, own in enumerate(np.split(values, np.arange(1, 250) * 100_003 // 250, axis=1)):
        for row in range(2):
            known = own[row][~np.isnan(own[row])]
            expected = known[abs(known).argmax()] if known.size else np.nan
            np.testing.assert_array_equal(found[row, number], expected)
    assert np.isnan(found).sum() == 2 * 1
    np.testing.assert_array_equal(peaks(values, 100_003), values)


def test_bins_of_steps_lie_where_their_steps_do():
    stamps = pd.date_range("2012-01-01", periods=10).values
    pooled = pool_steps(place(stamps), 4)
    whole = place(stamps)
    np.testing.assert_array_equal(pooled.edges, whole.edges[[0, 2, 5, 7, 10]])
    assert pooled.kind == "date"


def test_a_line_through_the_extremes_has_the_range_of_the_line_through_all():
    values = np.cumsum(np.random.default_rng(1).normal(size=10_000))
    values[2000:3000] = np.nan
    kept, bins = extremes(values, 200)
    assert len(kept) <= 400
    assert (np.diff(kept) > 0).all()
    for number, own in enumerate(np.split(values, np.arange(1, 200) * 50)):
        of_bin = values[kept[bins == number]]
        if np.isnan(own).all():
            assert np.isnan(of_bin).all()
        else:
            np.testing.assert_array_equal([of_bin.min(), of_bin.max()], [own.min(), own.max()])


@pytest.mark.parametrize("spike", [-1.0, 1.0])
def test_one_peak_among_many_steps_is_seen_at_every_size(spike):
    values = np.zeros((1, 100_000, 4))
    values[0, 54_321, 2] = spike
    panels = heatmap(build({"attribution": values}, attrs={"method": "m"}))
    image = panels.artists["mesh"].item()
    # The artist still holds all of it.
    np.testing.assert_array_equal(image.get_array(), values[0].T)
    assert panels.artists["note"].item().get_text() == SAID
    full = np.array(image.cmap(image.norm(spike), bytes=True))
    for width in (150, 600):
        colors = drawn(image, width)
        hit = (colors == full).all(axis=-1)
        assert hit.any()
        # In the third of four channels, and nowhere else.
        rows, columns = np.nonzero(hit)
        assert ((rows / len(hit) > 0.24) & (rows / len(hit) < 0.51)).all()
        np.testing.assert_allclose(columns / hit.shape[1], 0.543, atol=0.02)


def test_few_steps_are_drawn_as_they_are():
    values = np.random.default_rng(0).normal(size=(1, 30, 2))
    panels = heatmap(build({"attribution": values}, attrs={"method": "m"}))
    assert "note" not in panels.artists
    image = panels.artists["mesh"].item()
    colors = drawn(image, 600)
    middles = ((np.arange(30) + 0.5) / 30 * colors.shape[1]).astype(int)
    rows = ((np.arange(2) + 0.5) / 2 * len(colors)).astype(int)
    expected = image.cmap(image.norm(values[0].T), bytes=True)
    # Rows of an image come from the lower end.
    found = colors[np.ix_(rows, middles)]
    upright = found if np.array_equal(found[0], expected[0]) else found[::-1]
    np.testing.assert_array_equal(upright, expected)


def test_channels_beyond_dots_are_said_too():
    values = np.random.default_rng(0).normal(size=(1, 20, 1000))
    panels = heatmap(build({"attribution": values}, attrs={"method": "m"}))
    assert panels.artists["note"].item().get_text() == "each dot: the largest |value| of its channels"
    weights = np.full((1, 1500, 1500), 1 / 1500)
    matrix = attention(build({"attention": weights}, attrs={"method": "attention"}))
    assert matrix.artists["note"].item().get_text() == "each dot: the largest |value| of its keys and queries"


def test_uneven_steps_are_pooled_where_they_are_drawn():
    values = np.random.default_rng(0).normal(size=(1, 20_000, 2))
    ds = build({"attribution": values}, attrs={"method": "m"}).assign_coords(timestep=np.arange(20_000.0) ** 1.2)
    panels = heatmap(ds)
    mesh = panels.artists["mesh"].item()
    width = mesh.get_array().shape[1]
    assert 500 < width < 2000
    np.testing.assert_array_equal(mesh.get_array(), peaks(values[0].T, width))
    assert panels.artists["note"].item().get_text() == SAID


def long_series(n):
    values = np.cumsum(np.random.default_rng(0).normal(size=(1, n, 2)), axis=1)
    x = xr.DataArray(values, dims=("sample", "timestep", "channel"))
    relevance = np.random.default_rng(1).normal(size=values.shape)
    return build({"attribution": relevance}, inputs=x, attrs={"method": "m"})


def test_long_series_are_overlaid_by_their_extremes():
    ds = long_series(100_000)
    panels = overlay(ds)
    line = panels.artists["relevance"].values[0, 0]
    assert panels.artists["note"].item().get_text() == f"sample 0  ·  {SAID}"
    width = dots(panels.axes.values[0, 0])[0]
    assert width < len(line.get_segments()) <= 2 * width + 200
    found = np.array([segment[1] for segment in line.get_segments()])
    series = ds["input"].values[0, :, 0]
    np.testing.assert_array_equal(found[:, 1], series[found[:, 0].astype(int)])
    np.testing.assert_array_equal([found[:, 1].min(), found[:, 1].max()], [series.min(), series.max()])
    largest = abs(ds["attribution"].isel(channel=0)).max()
    np.testing.assert_array_equal(abs(line.get_array()).max(), largest)
    shaded = overlay(ds, kind="background").artists["relevance"].values[0, 0]
    np.testing.assert_array_equal(abs(shaded.get_array()).max(), largest)


def test_short_series_are_overlaid_step_by_step():
    ds = long_series(600)
    panels = overlay(ds)
    assert len(panels.artists["relevance"].values[0, 0].get_segments()) == 600
    assert panels.artists["note"].item().get_text() == "sample 0"
