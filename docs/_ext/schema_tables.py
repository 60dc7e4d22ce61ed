"""Directives that write the tables of the schema from `attrkit.schema` itself, so that the two cannot differ."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

import attrkit.errors
from attrkit import schema
from attrkit.methods import find_method, method_names

VARIABLES = {
    "attribution": "what a method gives each value of the input; without channel: each timestep",
    "attention": "the weights as the layer used them; without query_timestep: weighted attention",
    "activation": "what a layer puts out; channel counts its units",
    "input": "what was explained",
    "prediction": "what the model put out",
    "baseline": 'what stands for "no signal", where it is an array; with the dims that it varies over',
    "baseline_prediction": "what the model puts out at the baseline",
    "completeness_gap": "sum of the attributions, and of what biases and stabilisers took, less what they share out",
    "bias_relevance": "relevance that ended in biases",
    "epsilon_relevance": "relevance that a stabiliser absorbed",
    "mask": "booleans: false where padded",
}
DIMS = {
    "sample": "one input of the model: a window, a series",
    "timestep": "place in the sequence, or its time stamp",
    "channel": "variable of a multivariate series; unit of a layer in ``activation``",
    "query_timestep": "the timestep that attends",
    "key_timestep": "the timestep attended to",
    "layer": "attention layer, where several are read together",
    "head": "attention head",
    "output": "output of the model",
    "extractor": "method, or result of another tool; made by `attrkit.stack` only",
}
"""What the tables say beyond the words that the schema itself has for axes of plots."""


def variables() -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Name, dims and meaning of every variable."""
    rows = (
        (f"``{name}``", ", ".join(f"``{dim}``" for dim in spec.dims), VARIABLES.get(name, spec.long_name))
        for name, spec in schema.VARIABLES.items()
    )
    return ("variable", "dims, in this order", "meaning"), rows


def coordinates() -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Every dim that has a name of its own."""
    return ("dim", "meaning"), ((f"``{name}``", DIMS.get(name, text)) for name, text in schema.COORDINATES.items())


def methods() -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Every built-in method with the first line of its docstring."""
    rows = []
    for name in method_names():
        function = find_method(name)[1]
        summary = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        options = [
            f"``{p.name}={p.default!r}``"
            for p in inspect.signature(function).parameters.values()
            if p.default is not inspect.Parameter.empty and p.name not in ("layer", "mask", "masks", "seed")
        ]
        rows.append((f"``{name}``", summary.rstrip("."), ", ".join(options) or "none"))
    return ("method", "what it returns", "options"), iter(rows)


def errors() -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Every error and warning, what it stands for, and what else catches it."""
    rows = []
    for name, cls in vars(attrkit.errors).items():
        if isinstance(cls, type) and issubclass(cls, Exception) and name != "AttrkitError":
            plain = next(base.__name__ for base in cls.__mro__ if base.__module__ == "builtins")
            rows.append((f"`attrkit.errors.{name}`", (inspect.getdoc(cls) or "").rstrip("."), f"``{plain}``"))
    return ("class", "when", "also caught as"), iter(rows)


TABLES = {"variables": variables, "coordinates": coordinates, "methods": methods, "errors": errors}


class SchemaTable(Directive):
    """``.. schema-table:: variables``: one of `TABLES`."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Write the table as text and let docutils read it."""
        head, rows = TABLES[self.arguments[0]]()
        lines = [".. list-table::", "   :header-rows: 1", "   :class: schema-table", ""]
        for row in (head, *rows):
            lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
        holder = nodes.container()
        self.state.nested_parse(StringList([*lines, ""], source="attrkit.schema"), self.content_offset, holder)
        return holder.children


def setup(app: Any) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("schema-table", SchemaTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
