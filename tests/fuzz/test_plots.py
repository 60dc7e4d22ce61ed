"""Arguments of plots and of the report, and hostile names on them."""

import inspect

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import attrkit
from attrkit.schema import build
from tests.fuzz import strategies
from tests.fuzz.contract import fuzz, outcome, refused
from tests.fuzz.test_results import collections

PLOTS = ("heatmap", "curves", "hist", "attention", "overlay", "difference", "heads", "tokens")
RNG = np.random.default_rng(0)
WORDS = np.array([["a", "b", "c", "d", "e", "f"]] * 3)
FIRST = build(
    {"attribution": RNG.normal(size=(3, 6, 2)), "input": RNG.normal(size=(3, 6, 2))}, attrs={"method": "first"}
)
TREE = xr.DataTree.from_dict({"first": FIRST, "second": 2 * FIRST.assign_attrs(method="second")})
WEIGHTS = build({"attention": RNG.dirichlet(np.ones(6), size=(3, 2, 6))}, attrs={"method": "attention"})
RIGHT = {
    "attention": WEIGHTS,
    "heads": WEIGHTS,
    "tokens": build({"attribution": RNG.normal(size=(3, 6))}, coords={"token": (("sample", "timestep"), WORDS)}),
}


def check(panels):
    assert type(panels).__name__ == "Panels"


@st.composite
def arguments(draw):
    plot = draw(st.sampled_from(PLOTS))
    known = [name for name in inspect.signature(getattr(attrkit.plot, plot)).parameters if name != "data"]
    return (
        plot,
        draw(st.sampled_from(known)),
        draw(strategies.odd() | st.sampled_from([{"title": False}, {"title": 3}])),
    )


@given(arguments())
@fuzz(60)
def test_arguments_of_plots_are_taken_or_refused(asked):
    plot, name, value = asked
    outcome(
        f"arguments of {plot}",
        lambda: getattr(attrkit.plot, plot)(RIGHT.get(plot, TREE), **{name: value}),
        about={name: value, "visual": None, "Axes": None, "channel": None, "sample": None},
        valid=check,
    )


@given(st.sampled_from(PLOTS), collections())
@fuzz(25)
def test_data_are_drawn_or_refused(plot, data):
    about = {"data": data, "attribution": None, "attention": None, "extractor": None, "Dataset": None, "sample": None}
    outcome(
        f"data of {plot}",
        lambda: getattr(attrkit.plot, plot)(data),
        about={**about, "accepted": None, "empty": None, "dims": None, "value": None, "series": None},
        valid=check,
    )


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    "javascript:alert(1)",
    "<!--",
    "]]>",
    "\u2028alert(1)\u2029",
    "$\\frac{1}{$",
    "$$",
    "a_b^c\\",
    "\\input{/etc/passwd}",
    "%s%d{0}{x!r}",
    "\x1b[31m",
    "\x07",
    "\u202egnp.exe",
    "日本 °C",
    "",
    " ",
    "x" * 300,
]


def hostile(draw, count):
    texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6)
    return [f"{draw(texts)}{number or ''}" for number in range(count)]


@st.composite
def hostile_trees(draw):
    """Results all of whose names are hard on a page or a figure."""
    names = hostile(draw, 12)
    inputs = xr.DataArray(
        RNG.normal(size=(2, 3, 2)),
        dims=("sample", "timestep", "channel"),
        coords={"sample": [f"s{names[0]}", f"t{names[1]}"], "channel": [f"c{names[2]}", f"d{names[3]}"]},
        attrs={"units": names[4], "long_name": names[5]},
    )
    groups = {}
    for number, group in enumerate((names[6], names[7])):
        ds = build(
            {"attribution": RNG.normal(size=(2, 3, 2)), "prediction": np.zeros(2)},
            inputs=inputs,
            coords={"target": ("sample", [names[8], names[9]])},
            attrs={"method": names[10], "model": names[11], names[0] or "key": names[1]},
        )
        ds["attribution"].attrs |= {"units": names[2], "long_name": names[3]}
        groups[group.replace("/", "|").strip(".") + str(number)] = ds
    return groups, names


@given(hostile_trees(), st.sampled_from(("heatmap", "curves", "hist", "overlay")))
@fuzz(5)
def test_hostile_names_are_drawn_as_they_are(tmp_path_factory, made, plot):
    data, _ = made
    found = outcome(
        "hostile names on figures",
        lambda: getattr(attrkit.plot, plot)(
            data, channels=None if plot == "hist" else data[next(iter(data))].channel.values[:1]
        ),
        about={"data": data},
        valid=check,
    )
    if not refused(found):
        found.save(tmp_path_factory.mktemp("figure") / "a figure.svg", dpi=40)
