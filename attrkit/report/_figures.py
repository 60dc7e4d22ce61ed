"""The figures of a page, without numbers: a browser fills them with those of the chosen sample."""

from typing import Any

from attrkit.plot.scale import shades
from attrkit.plot.ticks import Steps
from attrkit.report._contents import Contents

LEFT = 132
"""Dots left of every panel, for names of channels: so that all have one time axis."""

MARK = "#00a36c"
"""Of lines that mark where a reader points: seen on paper as on every colour of both scales."""

TOOLS = ("xbox_zoom", "xpan", "xwheel_zoom", "reset", "save")


def figures(contents: Contents) -> dict[str, Any]:
    """Lay out the figures of a page, as what ``Bokeh.embed.embed_item`` takes.

    Parameters
    ----------
    contents : Contents

    Returns
    -------
    dict
        JSON-safe. Models that a browser fills have names: ``series``, ``strip-0`` ..., ``bar``, ``weights``, ``matrix``
        and ``matrix-bar``, the ranges ``time`` and ``keys``, and the colours ``colours`` and ``weight-colours``.

    Examples
    --------
    >>> from attrkit.report._contents import read_contents
    >>> sorted(figures(read_contents(tree)))
    ['doc', 'root_id', 'target_id', 'version']
    """
    from bokeh.embed import json_item
    from bokeh.layouts import gridplot
    from bokeh.models import BoxZoomTool, LinearColorMapper, Range1d

    signed = any((strip.values < 0).any() for strip in contents.strips)
    time = Range1d(0, 1, name="time")
    panels = []
    if contents.series is not None:
        panel = _panel("series", "input, each channel from its least to its largest value", time, contents.places[0])
        panel.multi_line("xs", "ys", line_width=1.2, source=_source(xs=[], ys=[]))
        # A value without neighbours is no line.
        panel.scatter("x", "y", size=4, line_color=None, source=_source(x=[], y=[]), name="alone")
        panels.append(panel)
    if contents.strips:
        colours = LinearColorMapper(palette=shades(signed=signed), low=-1 if signed else 0, high=1, name="colours")
        for place, strip in enumerate(contents.strips):
            title = f"{strip.name} ({strip.note})" if strip.note else strip.name
            panel = _panel(f"strip-{place}", title, time, contents.places[0])
            _image(panel, colours)
            panels.append(panel)
        panels.append(_bar("bar", colours))
    if contents.matrices:
        own = not all(matrix.is_time for matrix in contents.matrices)
        keys = Range1d(0, 1, name="keys") if own else time
        first = contents.matrices[0]
        panel = _panel("weights", "attention", keys, first.keys[0])
        for name, dash in (("given", "solid"), ("received", "dashed")):
            panel.line("x", "y", line_dash=dash, line_width=1.2, source=_source(x=[], y=[]), name=name)
        colours = LinearColorMapper(palette=shades(signed=False), low=0, high=1, name="weight-colours")
        matrix = _panel("matrix", "", keys, first.keys[0], y=first.queries[0])
        _image(matrix, colours)
        panels += [panel, matrix, _bar("matrix-bar", colours)]
    layout = gridplot(
        [[panel] for panel in panels],
        sizing_mode="stretch_width",
        toolbar_location="above",
        toolbar_options={"logo": None},
    )
    # To zoom is what a drag is for: in the toolbar that all share, and in those of the panels, which are hidden.
    layout.toolbar.active_drag = next(tool for tool in layout.toolbar.tools if isinstance(tool.tools[0], BoxZoomTool))
    for panel in panels:
        panel.toolbar.active_drag = next((tool for tool in panel.tools if isinstance(tool, BoxZoomTool)), None)
    item: dict[str, Any] = json_item(layout)
    return item


def _source(**data: Any) -> Any:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource(data)


def _panel(name: str, title: str, x_range: Any, x: Steps, *, y: Steps | None = None) -> Any:
    """Make one panel over steps `x`, with lines that mark where a reader points."""
    from bokeh.models import Range1d, Span
    from bokeh.plotting import figure

    panel = figure(
        name=name,
        title=plain(title),
        x_range=x_range,
        y_range=Range1d(0, 1),
        x_axis_type="datetime" if x.kind == "date" else "linear",
        y_axis_type="datetime" if y is not None and y.kind == "date" else "linear",
        height=120,
        tools=",".join(TOOLS),
        min_border_left=LEFT,
        min_border_right=28,
        sizing_mode="stretch_width",
    )
    panel.title.text_font_size = "13px"
    panel.grid.visible = False
    panel.axis.minor_tick_line_color = None
    for axis, steps in ((panel.xaxis[0], x), (panel.yaxis[0], y)):
        _tick(axis, steps)
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
    for dimension in ("height", "width"):
        look = {"line_color": MARK, "line_width": 1.5, "visible": False}
        panel.add_layout(Span(location=0, dimension=dimension, name=f"{name}-{dimension}", **look))
    return panel


def _tick(axis: Any, steps: Steps | None) -> None:
    """Let an axis of numbers have whole ones; what is named gets its ticks from the browser."""
    from bokeh.models import AdaptiveTicker, FixedTicker

    if steps is None or steps.kind == "text":
        axis.ticker = FixedTicker(ticks=[])
    elif steps.kind == "number":
        axis.ticker = AdaptiveTicker(min_interval=1 if (steps.positions % 1 == 0).all() else 0, mantissas=[1, 2, 5])


def _image(panel: Any, colours: Any) -> None:
    data = _source(image=[], x=[], y=[], dw=[], dh=[])
    panel.image("image", x="x", y="y", dw="dw", dh="dh", color_mapper=colours, source=data)


def _bar(name: str, colours: Any) -> Any:
    """Make a panel that holds nothing but a bar of colours."""
    from bokeh.models import ColorBar, PrintfTickFormatter, Range1d
    from bokeh.plotting import figure

    panel = figure(
        name=name,
        frame_height=1,
        min_border_top=4,
        x_range=Range1d(0, 1),
        y_range=Range1d(0, 1),
        tools="",
        toolbar_location=None,
        min_border_left=LEFT,
        min_border_right=28,
        outline_line_color=None,
        sizing_mode="stretch_width",
    )
    panel.axis.visible = False
    panel.grid.visible = False
    # Of a panel without marks, Bokeh warns.
    panel.scatter([], [])
    bar = ColorBar(
        color_mapper=colours,
        formatter=PrintfTickFormatter(format="%.3g"),
        orientation="horizontal",
        height=8,
        padding=0,
        title_text_font_style="normal",
        title_text_font_size="12px",
        major_label_text_font_size="12px",
        name=f"{name}-scale",
    )
    panel.add_layout(bar, "below")
    return panel


def plain(text: str) -> str:
    r"""Return text that Bokeh does not take for mathematics, for which it would ask a server for MathJax.

    Examples
    --------
    >>> plain("$$x$$") == "$$x$$", plain("rain")
    (False, 'rain')
    """
    for opening in ("$$", r"\(", r"\["):
        text = text.replace(opening, f"{opening[0]}\u200b{opening[1]}")
    return text
