import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from attrkit.errors import InputError
from attrkit.plot import Panels, curves, heatmap
from attrkit.plot.panels import make_panels

PNG = b"\x89PNG"


def test_axes_and_artists_are_found_by_label(tree):
    panels = heatmap(tree)
    assert isinstance(panels, Panels)
    ax = panels.axes.sel(sample="b", extractor="saliency").item()
    assert ax in panels.figure.axes
    assert panels.artists["mesh"].sel(sample="b", extractor="saliency").item().axes is ax
    assert panels.artists["colorbar"].item().ax in panels.figure.axes
    assert repr(panels).startswith("<Panels (sample: 3, extractor: 2); artists: mesh, title")


def test_figures_are_saved_in_several_formats_at_once(gradient, tmp_path):
    paths = heatmap(gradient).save([tmp_path / "a.png", str(tmp_path / "a.pdf"), tmp_path / "a.svg"], dpi=50)
    assert [path.suffix for path in paths] == [".png", ".pdf", ".svg"]
    png, pdf, svg = (path.read_bytes() for path in paths)
    assert png.startswith(PNG)
    assert pdf.startswith(b"%PDF")
    # Text stays text: TrueType in PDF, words in SVG.
    assert b"/Type3" not in pdf.replace(b" ", b"")
    assert b">gradient</text>" in svg


def test_saving_twice_gives_the_same_file(gradient, tmp_path):
    first, second = (heatmap(gradient, samples="a").save(tmp_path / f"{name}.pdf")[0].read_bytes() for name in "ab")
    assert first == second


def test_paths_that_cannot_be_written_are_refused_before_any_is(gradient, tmp_path):
    panels = heatmap(gradient)
    with pytest.raises(InputError, match=r"cannot save 'a.bmp': accepted suffixes are .png, .pdf, .svg"):
        panels.save([tmp_path / "a.png", tmp_path / "a.bmp"])
    assert not (tmp_path / "a.png").exists()
    with pytest.raises(InputError, match="there is no folder"):
        panels.save(tmp_path / "none" / "a.png")


def test_saving_leaves_the_layout_to_follow_later_changes(gradient, tmp_path):
    panels = heatmap(gradient, samples="a")
    engine = panels.figure.get_layout_engine()
    panels.save(tmp_path / "a.png", dpi=40)
    assert panels.figure.get_layout_engine() is engine


def test_notebooks_get_a_picture(gradient):
    assert heatmap(gradient)._repr_png_().startswith(PNG)


def test_show_hands_the_figure_to_pyplot(gradient, monkeypatch):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: None)
    panels = heatmap(gradient)
    with matplotlib.rc_context({"backend": "agg"}):
        panels.show()
        assert pyplot.gcf() is panels.figure
        pyplot.close("all")


def test_drawing_and_saving_leave_pyplot_alone(tmp_path):
    code = f"""
import sys
import numpy as np
from attrkit import plot
from attrkit.schema import build
ds = build({{"attribution": np.zeros((1, 4, 2)), "input": np.zeros((1, 4, 2)), "attention": np.ones((1, 4, 4))}})
drawn = [draw(ds) for draw in (plot.heatmap, plot.curves, plot.hist, plot.attention, plot.overlay)]
drawn[0].save([{str(tmp_path / "a.png")!r}, {str(tmp_path / "a.pdf")!r}], dpi=30)
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_parameters_of_matplotlib_are_left_as_they_were(gradient, tmp_path):
    before = dict(matplotlib.rcParams)
    problems = []

    def draw(name):
        try:
            curves(gradient).save(tmp_path / f"{name}.svg")
        except Exception as err:
            problems.append(err)

    threads = [threading.Thread(target=draw, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert dict(matplotlib.rcParams) == before


def test_given_axes_are_drawn_on_and_their_figure_is_left_alone(gradient, tree):
    figure = Figure()
    axes = figure.subplots(3, 2)
    panels = heatmap(tree, ax=axes)
    assert panels.figure is figure
    np.testing.assert_array_equal(panels.axes.values, axes)
    assert all(ax.images for ax in axes.ravel())
    assert figure.get_suptitle() == ""
    assert "note" not in panels.artists
    one = Figure().subplots()
    assert heatmap(gradient, samples="a", ax=one).axes.item() is one


def test_axes_of_a_subfigure_can_be_given(gradient, tmp_path):
    left, right = Figure(layout="constrained").subfigures(1, 2)
    panels = heatmap(gradient, samples="a", ax=left.subplots())
    assert panels.figure is left
    assert panels.save(tmp_path / "a.png", dpi=40)[0].read_bytes().startswith(PNG)
    assert not right.axes


def test_a_wrong_number_of_axes_is_refused(tree, gradient):
    axes = Figure().subplots(1, 2)
    with pytest.raises(
        InputError, match=r"6 panels are needed \(3 samples by 2 extractors\), but ax holds 2; give an array of 6 Axes"
    ):
        heatmap(tree, ax=axes)
    with pytest.raises(InputError, match=r"1 panel is needed \(1 sample by 1 extractor\), but ax holds 2"):
        heatmap(gradient, samples="a", ax=axes)
    with pytest.raises(InputError, match="ax holds a Figure; accepted are an Axes or an array of Axes"):
        heatmap(gradient, samples="a", ax=Figure())


def test_a_note_says_what_is_left_out(tree, saliency):
    assert heatmap(tree).artists["note"].item().get_text() == "3 of 4 samples  ·  grey: padding"
    assert "note" not in heatmap(saliency, samples=["a", "b", "c", "d"]).artists
    missing = saliency.copy()
    missing["attribution"][0, 0] = np.nan
    assert "grey: no value" in heatmap(missing).artists["note"].item().get_text()


@pytest.mark.parametrize("name", ["mesh", "title", "row_title", "xlabel", "ylabel", "colorbar", "note"])
def test_false_omits_a_visual(weights, name):
    assert name in heatmap(weights).artists
    assert name not in heatmap(weights, visuals={name: False}).artists


def test_visuals_take_style(tree):
    style = {"mesh": {"cmap": "PuOr"}, "title": {"color": "red"}, "colorbar": {"label": "x"}, "note": True}
    panels = heatmap(tree, visuals=style)
    assert panels.artists["mesh"].values[0, 0].cmap.name == "PuOr"
    assert panels.artists["colorbar"].item().cmap.name == "PuOr"
    assert panels.artists["title"].values[0, 0].get_color() == "red"
    assert style["mesh"] == {"cmap": "PuOr"}


def test_unknown_visuals_are_refused(tree):
    with pytest.raises(InputError, match="unknown visual 'mash'; this plot has mesh, title, row_title, xlabel"):
        heatmap(tree, visuals={"mash": False})
    with pytest.raises(InputError, match="visual 'mesh' is a str; accepted are a dict of style, or False"):
        heatmap(tree, visuals={"mesh": "PuOr"})
    with pytest.raises(InputError, match="'vmin' is no style: all panels share one range; choose it by scale"):
        heatmap(tree, visuals={"mesh": {"vmin": 0}})


def test_panels_of_one_dim_stand_in_cells():
    panels = make_panels({"channel": ["x", "y", "z"]}, cells=[(0, 0), (0, 1), (1, 0)])
    assert len(panels.figure.axes) == 3
    assert panels.axes.sel(channel="z").item().get_subplotspec().rowspan.start == 1


def test_a_note_takes_as_many_lines_as_it_needs():
    panels = make_panels({"a": [0], "b": [0]}, figsize=(3.5, 2))
    parts = ["3 of 4 samples", "each dot: the largest |value| of its timesteps", "grey: padding"]
    panels.note(parts, {})
    words = panels.artists["note"].item().get_text()
    assert words.replace("\n", "  ·  ").split("  ·  ") == parts
    assert words.count("\n") == 1
    assert panels.artists["note"].item().get_window_extent().x1 <= panels.figure.bbox.width


def test_grids_of_many_panels_keep_room_for_their_labels(inputs):
    many = {f"extractor_{i}": xr.ones_like(inputs).rename("attribution") for i in range(9)}
    panels = heatmap(many, samples=list("abcd"), figsize=(12, 7))
    assert panels.axes.size == 36
    panels.figure.draw_without_rendering()
    shown = panels.axes.values[0, 0].get_yticklabels()
    assert [label.get_text() for label in shown] == ["rain", "wind", "sun"]
    assert all(label.get_window_extent().x0 >= 0 for label in shown)
    bar = panels.artists["colorbar"].item().ax.get_tightbbox()
    assert bar.x1 <= panels.figure.bbox.width + 1
