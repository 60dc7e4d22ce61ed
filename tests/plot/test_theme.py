import threading

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from attrkit import plot
from attrkit.errors import InputError
from attrkit.plot.theme import DARK, LIGHT, THEMES, luminance, readable_on


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("own", THEMES.values(), ids=list(THEMES))
def test_words_and_marks_stand_out_from_their_page(own):
    assert contrast(own.text, own.page) > 7
    assert contrast(own.note, own.page) > 4.5
    assert contrast(own.ink, own.page) > 4.5
    assert min(contrast(color, own.page) for color in own.cycle) > 2
    assert len({to_hex(color) for color in own.cycle}) == 7


@pytest.mark.parametrize("own", THEMES.values(), ids=list(THEMES))
def test_zero_is_the_page_and_padding_is_not(own):
    for cmap in (own.diverging, own.difference):
        assert contrast(cmap(0.5), own.page) < 1.1
        # Both ends are as far from the page.
        ends = [contrast(cmap(end), own.page) for end in (0.0, 1.0)]
        assert min(ends) > 7
        assert max(ends) / min(ends) < 2.2
    assert contrast(own.sequential(0.0), own.page) < 1.1
    assert contrast(own.blank, own.page) > 1.3


def test_dark_figures_are_dark_whatever_stands_around(tree):
    before = dict(matplotlib.rcParams)
    with plot.theme("dark"):
        panels = plot.heatmap(tree)
    assert dict(matplotlib.rcParams) == before
    assert to_hex(panels.figure.get_facecolor()) == DARK.page
    mesh = panels.artists["mesh"].values[0, 0]
    assert mesh.cmap.name == "RdBu_night"
    assert to_rgba(mesh.cmap.get_bad()) == to_rgba(DARK.blank)
    panels.figure.draw_without_rendering()
    bar = panels.artists["colorbar"].item()
    words = [*panels.axes.values[0, 0].get_yticklabels(), *bar.ax.get_yticklabels(), bar.ax.yaxis.label]
    words += [panels.artists["title"].values[0, 0], panels.artists["row_title"].values[0, -1]]
    words += [panels.artists["note"].item()]
    assert all(contrast(word.get_color(), DARK.page) > 4.5 for word in words)
    assert to_hex(plot.heatmap(tree).figure.get_facecolor()) == "#ffffff"


def test_a_dark_style_of_matplotlib_is_followed(tree):
    with pyplot.style.context("dark_background"):
        panels = plot.curves(tree)
        light = None
        with plot.theme("light"):
            light = plot.curves(tree)
    line = panels.artists["curve"].sel(channel="wind", extractor="gradient").item()
    assert line.get_color() == DARK.cycle[0]
    assert to_hex(panels.figure.get_facecolor()) == "#000000"
    assert to_hex(light.figure.get_facecolor()) == "#ffffff"
    assert light.artists["curve"].sel(channel="wind", extractor="gradient").item().get_color() == LIGHT.cycle[0]


def test_dark_axes_of_the_user_are_drawn_on_as_such(gradient):
    figure = Figure(facecolor="black")
    axes = figure.subplots()
    axes.set_facecolor("black")
    panels = plot.heatmap(gradient, samples="a", ax=axes)
    assert panels.artists["mesh"].item().cmap.name == "RdBu_night"
    white = Figure().subplots()
    assert plot.heatmap(gradient, samples="a", ax=white).artists["mesh"].item().cmap.name == "RdBu_r"


def test_a_theme_holds_for_its_thread(gradient):
    found = []
    with plot.theme("dark"):
        other = threading.Thread(target=lambda: found.append(plot.heatmap(gradient).figure.get_facecolor()))
        other.start()
        other.join()
        with pytest.raises(ZeroDivisionError), plot.theme("light"):
            _ = 1 / 0
        assert to_hex(plot.heatmap(gradient).figure.get_facecolor()) == DARK.page
    assert to_hex(found[0]) == "#ffffff"


def test_dark_figures_are_saved_dark(gradient, tmp_path):
    with plot.theme("dark"):
        panels = plot.heatmap(gradient)
    with matplotlib.rc_context({"savefig.facecolor": "white"}):
        (path,) = panels.save(tmp_path / "a.png", dpi=40)
    np.testing.assert_allclose(pyplot.imread(path)[0, 0, :3], to_rgba(DARK.page)[:3], atol=0.01)


def test_words_on_cells_are_readable():
    for cmap in (LIGHT.diverging, DARK.diverging):
        cells = [cmap(at) for at in np.linspace(0, 1, 21)]
        assert min(contrast(readable_on(cell), cell) for cell in cells) > 3


def test_another_theme_is_refused():
    with (
        pytest.raises(InputError, match="name='night' is not known"),
        plot.theme("night"),
    ):
        pass
