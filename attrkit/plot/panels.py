"""The figure that a plot returns: its axes and artists, addressed by the labels of the data."""

import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from attrkit.errors import InputError
from attrkit.plot.style import DENSE, SAVE_RC, fold, rc, settle
from attrkit.plot.theme import palette

FORMATS = (".png", ".pdf", ".svg")

MOST_LAID_OUT = 64
"""Panels of a grid that make room for their labels; to find the places of more takes seconds."""


class Panels:
    """A figure whose axes and artists are found by label.

    Parameters
    ----------
    figure : Figure or SubFigure
        What is saved and shown.
    axes : DataArray of Axes
        With a coordinate on every dim.
    own : bool, optional
        Whether attrkit made the figure, and so may write outside the axes.

    Attributes
    ----------
    figure : Figure or SubFigure
        What is saved and shown.
    axes : DataArray of Axes
    artists : dict of str to DataArray
        What was drawn, by name of visual; the labels are those of `axes`, or fewer for what the panels share.

    Examples
    --------
    >>> panels = make_panels({"sample": ["a", "b"], "extractor": ["gradient"]})
    >>> panels.axes.sel(sample="b", extractor="gradient").item()
    <Axes: >
    """

    def __init__(self, figure: Figure | SubFigure, axes: xr.DataArray, *, own: bool = True) -> None:
        self.figure = figure
        self.axes = axes
        self.artists: dict[str, xr.DataArray] = {}
        self.own = own

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim}: {size}" for dim, size in self.axes.sizes.items())
        return f"<Panels ({sizes}); artists: {', '.join(self.artists) or 'none'}>"

    def keep(self, name: str, artist: Any, at: tuple[int, ...] | None = None) -> None:
        """Hold an artist under the name of its visual: that of the panel `at`, or one for all panels."""
        if at is None:
            cell = np.empty((), dtype=object)
            cell[()] = artist
            self.artists[name] = xr.DataArray(cell)
            return
        if name not in self.artists:
            self.artists[name] = xr.DataArray(np.full(self.axes.shape, None), self.axes.coords, self.axes.dims)
        self.artists[name].values[at] = artist

    def note(self, parts: Sequence[str], style: Mapping[str, Any] | None) -> None:
        """Say in small letters above the panels what they leave out; not in a figure of the user's."""
        points = 72 * self.figure.bbox.width / self.figure.dpi
        words = _in_lines([fold(part, points, size=7) for part in parts if part], points)
        if words and style is not None and self.own:
            settings = {"fontsize": 7, "color": palette().note, "x": 0.01, "ha": "left", **style}
            self.keep("note", self.figure.suptitle(words, **settings))

    def save(self, paths: str | PathLike[str] | Sequence[str | PathLike[str]], *, dpi: float = 200) -> list[Path]:
        """Write the figure to one file or several.

        Parameters
        ----------
        paths : path or sequence of paths
            The suffix says the format: .png, .pdf or .svg.
        dpi : float, optional
            Dots per inch of PNG, and of heat maps inside PDF and SVG. Text and lines stay vectors there.

        Returns
        -------
        list of Path

        Raises
        ------
        InputError
            If a suffix is not known or a folder is not there; then nothing is written.
        """
        several = [paths] if isinstance(paths, str | PathLike) else list(paths)
        files = [Path(path) for path in several]
        for file in files:
            if file.suffix.lower() not in FORMATS:
                raise InputError(f"cannot save {file.name!r}: accepted suffixes are {', '.join(FORMATS)}")
            if not file.parent.is_dir():
                raise InputError(f"cannot save {file.name!r}: there is no folder {str(file.parent)!r}")
        root = self._root()
        with rc(SAVE_RC):
            # Lay the panels out once, not for every file; without an engine, files are drawn once too.
            _lay_out(root)
            engine = root.get_layout_engine()
            root.set_layout_engine(None)
            try:
                for file in files:
                    # A date of creation would make every run a new file.
                    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(file.suffix.lower())
                    root.savefig(file, dpi=dpi, metadata=undated)
            finally:
                root.set_layout_engine(engine)
        return files

    def show(self) -> None:
        """Open the figure in a window or notebook, by pyplot."""
        from matplotlib import pyplot

        root = self._root()
        canvas = pyplot.figure(figsize=root.get_size_inches()).canvas
        canvas.figure = root
        root.set_canvas(canvas)
        pyplot.show()

    def _root(self) -> Figure:
        """Return the whole figure, of which the user's axes may fill a part."""
        return self.figure.figure if isinstance(self.figure, SubFigure) else self.figure

    def _repr_png_(self) -> bytes:
        with rc(SAVE_RC), io.BytesIO() as buffer:
            _lay_out(self._root())
            self._root().savefig(buffer, format="png", dpi=120)
            return buffer.getvalue()


def _lay_out(figure: Figure) -> None:
    """Let the layout find the places of all axes."""
    # Axes within axes change their size with these, and then take up another part of the figure.
    for _ in range(3 if any(ax.child_axes for ax in figure.axes) else 1):
        figure.draw_without_rendering()


def _in_lines(parts: Sequence[str], points: float) -> str:
    """Join the parts of a note, in as many lines as the figure is wide."""
    lines: list[list[str]] = [[]]
    for part in parts:
        if lines[-1] and len("  ·  ".join([*lines[-1], part])) > points / (0.52 * 7):
            lines.append([])
        lines[-1].append(part)
    return "\n".join("  ·  ".join(line) for line in lines)


def make_panels(
    index: Mapping[str, Sequence[Any] | pd.Index],
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
    cells: Sequence[tuple[int, int]] | None = None,
    width_ratios: Sequence[float] | None = None,
    labelsize: float = 7,
) -> Panels:
    """Lay out panels, or take the user's axes for them.

    Parameters
    ----------
    index : mapping of str to sequence of labels
        Dims of the axes: two for a grid of rows and columns, or one with `cells`.
    ax : Axes or array of Axes, optional
        Axes to draw on, in the order of the panels, row by row.
    figsize : (float, float), optional
        Inches.
    cells : sequence of (int, int), optional
        Row and column of every panel.
    width_ratios : sequence of float, optional
        How wide the columns are beside each other.
    labelsize : float, optional
        Size of tick labels.

    Returns
    -------
    Panels

    Raises
    ------
    InputError
        If the number of given axes is not that of the panels.

    Examples
    --------
    >>> make_panels({"channel": ["rain", "wind", "sun"]}, cells=[(0, 0), (0, 1), (1, 0)])
    <Panels (channel: 3); artists: none>
    """
    coords = {dim: labels if isinstance(labels, pd.Index) else pd.Index(labels) for dim, labels in index.items()}
    shape = tuple(len(labels) for labels in coords.values())
    # Panels one after the other lose their ticks and titles where they are many; those of a grid keep them.
    most = MOST_LAID_OUT if cells is None else DENSE
    if cells is None:
        rows, columns = shape
        cells = [(row, column) for row in range(rows) for column in range(columns)]
    figure: Any
    if ax is None:
        # Of so many there is nothing to make room for, and to try takes seconds.
        dense = len(cells) > most
        figure = Figure(figsize=figsize, layout=None if dense else "constrained")
        if dense:
            width, height = figure.get_size_inches()
            edges = {"left": 0.3 / width, "right": 1 - 0.1 / width, "bottom": 0.3 / height, "top": 1 - 0.3 / height}
            figure.subplots_adjust(wspace=0.06, hspace=0.06, **edges)
        rows, columns = (1 + max(at) for at in zip(*cells, strict=True))
        grid = figure.add_gridspec(rows, columns, width_ratios=width_ratios)
        flat = [figure.add_subplot(grid[cell]) for cell in cells]
        for axes in flat:
            settle(axes, labelsize=labelsize)
    else:
        flat = _given(ax, shape, tuple(coords))
        figure = flat[0].figure
    held = np.empty(len(flat), dtype=object)
    held[:] = flat
    array = xr.DataArray(held.reshape(shape), dims=tuple(coords))
    for dim, labels in coords.items():
        if isinstance(labels, pd.MultiIndex):
            array = array.assign_coords(xr.Coordinates.from_pandas_multiindex(labels, dim))
        else:
            array = array.assign_coords({dim: labels})
    return Panels(figure, array, own=ax is None)


def _given(ax: Any, shape: tuple[int, ...], dims: tuple[str, ...]) -> list[Axes]:
    values = ax.values if isinstance(ax, xr.DataArray) else ax
    flat = list(np.asarray(values, dtype=object).ravel())
    wrong = next((axes for axes in flat if not isinstance(axes, Axes)), None)
    if wrong is not None:
        raise InputError(f"ax holds a {type(wrong).__name__}; accepted are an Axes or an array of Axes")
    n = int(np.prod(shape))
    if len(flat) != n:
        sizes = " by ".join(f"{size} {dim}{'s' * (size > 1)}" for size, dim in zip(shape, dims, strict=True))
        raise InputError(
            f"{n} panel{'s are' if n > 1 else ' is'} needed ({sizes}), but ax holds {len(flat)}; "
            f"give an array of {n} Axes, or none for a figure of its own"
        )
    return flat


def title_rows(
    panels: Panels, titles: Sequence[str], style: Mapping[str, Any], *, beside: np.ndarray | None = None
) -> None:
    """Write the title of every row at its right end, where it takes no height from the panels.

    That is beside the last panel of each row, or beside the axes `beside` of shape (rows,).
    """
    for row, words in enumerate(titles):
        last = (panels.axes.values[:, -1] if beside is None else beside)[row]
        look = {"rotation": -90, "ha": "left", "va": "center", "fontsize": "medium", "color": palette().ink}
        artist = last.annotate(
            fold(words, last.get_window_extent().height / last.figure.dpi * 72),
            (1, 0.5),
            xytext=(4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            **{**look, **style},
        )
        panels.keep("row_title", artist, (row, panels.axes.shape[1] - 1))
