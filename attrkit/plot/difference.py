"""Two extractors side by side, and what one finds that the other does not."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.metrics.scores import read_scores
from attrkit.plot.data import Data, datasets, two_of
from attrkit.plot.grid import VISUALS, Column, draw_grid, grey_means, grid_panels, mesh_colors, pick_samples
from attrkit.plot.panels import Panels
from attrkit.plot.scale import Scaled, colors, divide
from attrkit.plot.size import FigSize
from attrkit.plot.style import Visuals, check_visuals, styled
from attrkit.plot.theme import palette
from attrkit.plot.ticks import OWN_LABELS

MOST_SAMPLES = 3


@styled
def difference(
    data: Data,
    a: str | None = None,
    b: str | None = None,
    *,
    samples: Any = None,
    scale: str = "sample",
    robust: float | None = None,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw two extractors on one scale, and the first less the second on a scale of its own.

    Attributions of two extractors have different units, so each is brought to its own largest magnitude first, in each
    sample or in all that are drawn; the colour bar says which.

    Parameters
    ----------
    data : DataTree, or mapping of str to Dataset
        Two extractors, or more of which two are named.
    a, b : str, optional
        Names of the two extractors; the first two if not given.
    samples : label or list of labels, optional
        The first three if not given.
    scale : {"sample", "extractor", "shared"}, default "sample"
        Divide by the largest magnitude in each sample, in all samples drawn, or not at all: for extractors of one unit.
    robust : float, optional
        Percentile of magnitudes at which colours end, such as 99, in place of their maximum.
    channels, attention, layer, head : optional
        How to bring both to one shape, as `attrkit.stack` takes it: ``channels="sum"`` where only one resolves
        channels, ``attention="mean"`` for queries by keys.
    visuals : mapping of str to mapping or bool, optional
        Style of mesh, title, row_title, xlabel, ylabel, colorbar, note; False leaves one out. All panels take a
        colormap that is given for the mesh.
    ax : Axes or array of Axes, optional
        Where to draw; three for each sample. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims ``sample`` and ``panel``, of the labels `a`, `b` and ``"difference"``; of the colour bars, the first
        two are the same one.

    Raises
    ------
    InputError
        If an extractor or a label is not there, or the two cannot be compared without `channels` or `attention`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tree = attrkit.from_arrays({"gradient": rng.normal(size=(2, 8, 3)), "occlusion": rng.normal(size=(2, 8, 3))})
    >>> panels = attrkit.plot.difference(tree, "gradient", "occlusion")
    >>> left, right, less = (panels.artists["mesh"].values[0, i].get_array() for i in range(3))
    >>> np.allclose(left - right, less)
    True
    """
    styles = check_visuals(visuals, VISUALS)
    cmap = mesh_colors(styles["mesh"])
    found = datasets(data)
    names = two_of(list(found), a=a, b=b)
    shown, few = pick_samples([found[name] for name in names], samples, MOST_SAMPLES)
    pair = dict(zip(names, shown, strict=True))
    how = {"channels": channels, "attention": attention, "layer": layer, "head": head}
    scores, real = read_scores(pair, **how)
    scores = _labelled(scores.where(np.isfinite(scores) & real), shown[0])
    scaled = divide([scores.sel(extractor=name, drop=True) for name in names], names, scale=scale, robust=robust)
    less = scaled.arrays[0] - scaled.arrays[1]
    both = colors(scaled, robust=robust, cmap=cmap)
    words = f"{names[0]} \N{MINUS SIGN} {names[1]}"
    clipped = "" if robust is None else f", clipped at percentile {robust:g} of magnitudes"
    own = colors(Scaled([less], words + clipped, None), robust=robust, cmap=cmap or palette().difference, signed=True)
    labels = pd.Index([*names, "difference"], name="panel")
    titles = [*names, words]
    columns = [
        Column({"extractor": label}, title, array)
        for label, title, array in zip(labels, titles, [*scaled.arrays, less], strict=True)
    ]
    panels = grid_panels(columns, row="sample", col="panel", labels=labels, ax=ax, figsize=figsize)
    pooled = draw_grid(panels, columns, [both, both, own], styles)
    grey = grey_means([less], masked=any("mask" in ds for ds in shown))
    chosen = [f"{key}: {value}" for key, value in how.items() if value is not None]
    panels.note([few, *chosen, grey, pooled], styles["note"])
    return panels


def _labelled(scores: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Give the time stamps or tokens of each sample back to what was stacked."""
    own = {name: ds.coords[name] for name in OWN_LABELS if name in ds.coords}
    return scores.assign_coords(own)
