import itertools

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from attrkit.errors import InputError
from attrkit.plot import tokens
from attrkit.plot.words import Place, break_lines, draw_words
from attrkit.schema import build

TEXT = [
    ["[CLS]", "the", "plot", "is", "thin", ",", "but", "the", "act", "##ing", "is", "not", "bad", "at", "all", "[SEP]"],
    [
        "[CLS]",
        "dread",
        "##ful",
        "$",
        "5",
        "and",
        "$",
        "6",
        "\n",
        "[SEP]",
        "[PAD]",
        "[PAD]",
        "[PAD]",
        "[PAD]",
        "[PAD]",
        "[PAD]",
    ],
    ["[PAD]"] * 2 + ["[CLS]", "fine", "[SEP]"] + ["[PAD]"] * 11,
]


@pytest.fixture
def words():
    return np.array(TEXT, dtype=object)


@pytest.fixture
def lrp(words):
    values = np.random.default_rng(0).normal(size=words.shape)
    # The largest value of all lies on padding: it must not reach any range.
    values[1, -1] = 99.0
    coords = {"sample": ["kind", "harsh", "short"], "token": (("sample", "timestep"), words)}
    return build({"attribution": values, "mask": words != "[PAD]"}, coords=coords, attrs={"method": "lrp"})


@pytest.fixture
def weighted(words):
    values = np.random.default_rng(1).dirichlet(np.ones(words.shape[1]), size=len(words))
    coords = {"sample": ["kind", "harsh", "short"]}
    return build({"attention": values, "mask": words != "[PAD]"}, coords=coords, attrs={"method": "attention"})


def written(panels, **at):
    return [word.get_text() for word in panels.artists["text"].sel(at).item()]


def test_words_stand_in_reading_order_without_padding(lrp):
    panels = tokens(lrp)
    assert panels.axes.dims == ("sample", "extractor")
    assert written(panels, sample="kind", extractor="lrp") == TEXT[0]
    # Dollars are no mathematics, and a new line breaks none.
    assert written(panels, sample="harsh", extractor="lrp") == [*TEXT[1][:8], r"\n", "[SEP]"]
    assert written(panels, sample="short", extractor="lrp") == ["[CLS]", "fine", "[SEP]"]
    assert not panels.artists["text"].sel(sample="harsh", extractor="lrp").item()[3].get_parse_math()


def test_cells_hold_the_values_of_their_words_on_one_symmetric_scale(lrp, words):
    panels = tokens(lrp)
    for i, sample in enumerate(lrp["sample"].values):
        cells = panels.artists["cells"].sel(sample=sample, extractor="lrp").item()
        real = words[i] != "[PAD]"
        np.testing.assert_array_equal(cells.get_array(), lrp["attribution"].values[i, real])
    top = np.abs(lrp["attribution"].values[words != "[PAD]"]).max()
    norms = {id(cells.norm): cells.norm for cells in panels.artists["cells"].values.ravel()}
    assert [(norm.vmin, norm.vmax) for norm in norms.values()] == [(-top, top)]


def test_every_word_lies_inside_its_cell_and_no_two_cells_overlap(lrp):
    panels = tokens(lrp, figsize=(3.3, 4.0))
    panels.figure.draw_without_rendering()
    renderer = RendererAgg(1, 1, panels.figure.dpi)
    lines = set()
    for axes, cells, artists in zip(
        panels.axes.values.ravel(),
        panels.artists["cells"].values.ravel(),
        panels.artists["text"].values.ravel(),
        strict=True,
    ):
        edge = axes.get_window_extent()
        boxes = [path.get_extents(axes.transData) for path in cells.get_paths()]
        for box, word in zip(boxes, artists, strict=True):
            extent = word.get_window_extent(renderer)
            assert box.x0 <= extent.x0
            assert extent.x1 <= box.x1
            assert edge.x0 - 0.5 <= box.x0
            assert box.x1 <= edge.x1 + 0.5
            lines.add(round(box.y0))
        for a, b in itertools.pairwise(boxes):
            assert b.x0 > a.x1 or b.y1 < a.y0 + 0.5
    assert len(lines) > 3


def test_the_figure_is_as_high_as_its_lines(lrp):
    low, high = tokens(lrp, samples="short"), tokens(lrp, samples="kind", figsize=None)
    assert high.figure.get_figheight() >= low.figure.get_figheight()
    assert low.figure.get_figwidth() == 7.0
    long = tokens(lrp.isel(timestep=np.arange(320) % 16).assign_coords(timestep=np.arange(320)), samples="kind")
    assert long.figure.get_figheight() > 2 * high.figure.get_figheight() - 0.7
    assert long.artists["note"].item().get_text() == "sample kind  ·  128 of 320 tokens"
    assert len(long.artists["text"].item()) == 128


def test_the_first_tokens_are_the_first_real_ones(lrp):
    panels = tokens(lrp, samples="short", max_timesteps=2)
    assert written(panels, sample="short", extractor="lrp") == ["[CLS]", "fine"]
    assert panels.artists["note"].item().get_text() == "sample short  ·  2 of 3 tokens"


def test_extractors_are_in_one_unit_and_share_words(lrp, weighted):
    panels = tokens({"lrp": lrp, "attention": weighted}, samples=["kind", "harsh"])
    assert written(panels, sample="harsh", extractor="attention") == written(panels, sample="harsh", extractor="lrp")
    for name, values in {"lrp": lrp["attribution"], "attention": weighted["attention"]}.items():
        real = values.values[:2][lrp["mask"].values[:2]]
        cells = panels.artists["cells"].sel(sample="kind", extractor=name).item()
        np.testing.assert_allclose(cells.get_array(), values.values[0] / np.abs(real).max())
    titles = [title.get_text() for title in panels.artists["title"].values.ravel()]
    assert titles == ["sample kind, lrp", "sample kind, attention", "sample harsh, lrp", "sample harsh, attention"]
    assert panels.artists["note"].item().get_text() == "2 of 3 samples"


def test_labels_of_timesteps_that_are_text_are_words(lrp):
    ds = lrp.isel(sample=[0]).drop_vars("token")
    labels = [f"{i}.{word}" for i, word in enumerate(TEXT[0])]
    assert written(tokens(ds.assign_coords(timestep=labels)), sample="kind", extractor="lrp") == labels


def test_a_missing_value_is_grey_and_said(lrp):
    holed = lrp.copy(deep=True)
    holed["attribution"][0, 2] = np.nan
    panels = tokens(holed, samples="kind")
    np.testing.assert_array_equal(np.flatnonzero(panels.artists["cells"].item().get_array().mask), [2])
    assert "grey: no value" in panels.artists["note"].item().get_text()
    assert "grey" not in tokens(lrp, samples="kind").artists["note"].item().get_text()


def test_ink_stands_out_from_every_colour():
    for name in ("RdBu_r", "Blues", "viridis"):
        paper = colormaps[name](np.linspace(0, 1, 64))
        artists = draw_words(["x"] * 64, Figure().subplots(), places=[Place(0, 9, 0)] * 64, paper=paper)
        linear = np.where(paper[:, :3] <= 0.04045, paper[:, :3] / 12.92, ((paper[:, :3] + 0.055) / 1.055) ** 2.4)
        light = linear @ [0.2126, 0.7152, 0.0722]
        ink = np.array([{"black": 0.0, "white": 1.0}[artist.get_color()] for artist in artists])
        contrast = (np.maximum(light, ink) + 0.05) / (np.minimum(light, ink) + 0.05)
        # What the guidelines for the web ask of small text (WCAG 2.1, 1.4.3).
        assert contrast.min() >= 4.5, name


def test_a_word_longer_than_a_line_is_cut_in_its_middle():
    words, places = break_lines(["a", "w" * 400, "b"], FontProperties(size=8), room=60)
    assert words[1].startswith("ww")
    assert "…" in words[1]
    assert words[1].endswith("ww")
    assert places[1].width <= 60
    assert [place.line for place in places] == [0, 1, 2]


def test_it_draws_on_axes_of_the_user(lrp):
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots(2)
    panels = tokens(lrp, samples=["kind", "harsh"], ax=axes)
    assert panels.axes.values.ravel().tolist() == list(axes)
    assert "note" not in panels.artists
    assert figure.get_size_inches().tolist() == [5, 4]
    right = max(path.vertices[:, 0].max() for path in panels.artists["cells"].values[0, 0].get_paths())
    assert right <= axes[0].get_xlim()[1]


@pytest.mark.parametrize("name", ["cells", "text", "title", "colorbar", "note"])
def test_false_omits_a_visual(lrp, name):
    assert name in tokens(lrp, samples="kind").artists
    assert name not in tokens(lrp, samples="kind", visuals={name: False}).artists


def test_what_is_no_text_is_refused(lrp, gradient, weights):
    with pytest.raises(
        InputError, match=r"timesteps of 'lrp' are no text, but 0, 1, 2, .* \(16 in all\); name the token"
    ):
        tokens(lrp.drop_vars("token"))
    with pytest.raises(
        InputError, match="attribution of 'gradient' has 3 channels, and a token is drawn in one colour"
    ):
        tokens(gradient)
    with pytest.raises(InputError, match=r"has queries \(12\); this plot needs one value a timestep"):
        tokens(weights)
    with pytest.raises(InputError, match="unknown sample 'mild'; accepted are 'kind', 'harsh', 'short'"):
        tokens(lrp, samples="mild")
    with pytest.raises(InputError, match="max_timesteps must be a whole number, 1 or more, got 0"):
        tokens(lrp, max_timesteps=0)
    with pytest.raises(InputError, match="unknown visual 'mesh'; this plot has cells, text"):
        tokens(lrp, visuals={"mesh": False})
    with pytest.raises(InputError, match="'vmin' is no style: all panels share one range"):
        tokens(lrp, visuals={"cells": {"vmin": 0}})
