import numpy as np
import pytest

from attrkit import plot
from attrkit.errors import InputError
from attrkit.plot.size import asked_width, fit
from attrkit.plot.wrap import wrap


def test_widths_have_names_and_heights_that_fit():
    assert fit("column", 7.0, lambda width: 2 * width) == (3.5, 7.0)
    assert fit("page", 4.0, 1.5) == (7.0, 1.5)
    assert fit(5.5, 4.0, 1.5) == (5.5, 1.5)
    assert fit((6, 2), 4.0, 1.5) == (6, 2)
    assert asked_width(None) is None


@pytest.mark.parametrize("wrong", ["wide", 0, -1.0, True, (1,), (3, 0), ("a", 2), [1, 2, 3]])
def test_other_sizes_are_refused(wrong, gradient):
    with pytest.raises(InputError, match=r"figsize=.*; accepted are 'column', 'page', a width in inches, or \(width"):
        plot.heatmap(gradient, figsize=wrong)


def test_panels_in_a_row_are_as_many_as_fit():
    assert wrap([9], None, "column")[-1] == (4, 0)
    assert wrap([9], None, "page")[-1] == (2, 2)
    assert wrap([9], 3, "column")[-1] == (2, 2)


@pytest.mark.parametrize("name", ["heatmap", "curves", "hist", "overlay", "attention"])
@pytest.mark.parametrize(("figsize", "width"), [("column", 3.5), ("page", 7.0), (5.0, 5.0)])
def test_every_plot_has_the_width_that_is_asked_for(name, figsize, width, tree, weights):
    panels = getattr(plot, name)(weights if name == "attention" else tree, figsize=figsize)
    np.testing.assert_allclose(panels.figure.get_size_inches()[0], width)


def test_extractors_stand_below_each_other_where_a_column_has_no_room(tree, gradient):
    narrow = plot.heatmap({**tree, "third": gradient}, samples=["a", "b"], figsize="column")
    assert narrow.axes.dims == ("extractor", "sample")
    assert plot.heatmap({**tree, "third": gradient}, samples=["a", "b"]).axes.dims == ("sample", "extractor")
    asked = plot.heatmap({**tree, "third": gradient}, samples=["a", "b"], figsize="column", row="sample")
    assert asked.axes.dims == ("sample", "extractor")


def test_nothing_is_cut_off_in_a_column(tree, tmp_path):
    panels = plot.heatmap(tree, samples=["a", "b"], figsize="column")
    panels.save(tmp_path / "a.png")
    box = panels.figure.get_tightbbox()
    width, height = panels.figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
    note = panels.artists["note"].item().get_window_extent()
    assert note.x1 <= panels.figure.bbox.width
