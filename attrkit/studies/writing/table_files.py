"""One table as a file: raw numbers, or as many digits as a reader needs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attrkit.digits import number, with_interval
from attrkit.packages import needed

FORMATS = ("csv", "md", "tex")

_LONG = 40
"""From so many rows on a table of LaTeX runs over pages."""

_WIDE = 40
"""From so many letters on a column of LaTeX has lines broken."""


def write_table(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table in the format that the suffix says."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        text = as_markdown(frame) if path.suffix == ".md" else as_latex(frame, path.stem)
        path.write_text(text, encoding="utf-8")
    return path


def for_readers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of text, in which an estimate and its limits are one column.

    Examples
    --------
    >>> from attrkit.studies.writing.table_files import for_readers
    >>> frame = pd.DataFrame({"metric": ["tau"], "estimate": [0.4123], "low": [0.351], "high": [0.4704], "n": [60]})
    >>> for_readers(frame).values.tolist()
    [['tau', '0.41 [0.35, 0.47]', '60']]
    """
    merged: dict[str, list[str]] = {}
    limits = _limits(frame)
    skipped = {name for pair in limits.values() for name in pair}
    for name in map(str, frame.columns):
        if name in limits:
            low, high = limits[name]
            triples = zip(frame[name], frame[low], frame[high], strict=True)
            merged[name] = [with_interval(*triple) for triple in triples]
        elif name not in skipped:
            merged[name] = [_cell(value, name) for value in frame[name]]
    if "over" in merged and len(set(merged["over"])) == 1:
        # The line above the table says it.
        del merged["over"]
    table = pd.DataFrame(merged)
    empty = [name for name in table if (table[name] == "").all()]
    return table.drop(columns=empty)


def _limits(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return which columns have limits in two others: ``x_low`` and ``x_high``, or ``low`` and ``high``."""
    names = list(map(str, frame.columns))
    found = {name: (f"{name}_low", f"{name}_high") for name in names if {f"{name}_low", f"{name}_high"} <= set(names)}
    plain = next((name for name in ("estimate", "mean_rank") if name in names), None)
    if plain is not None and {"low", "high"} <= set(names):
        found[plain] = ("low", "high")
    return found


def _cell(value: Any, name: str) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float):  # numpy's double is one
        if name.endswith("p") or name.startswith("p_"):
            return "<0.001" if value < 0.001 else f"{value:.3f}"
        whole = float(value).is_integer() and abs(value) < 1e9
        return str(int(value)) if whole else number(float(value))
    return re.sub(r"\s+", " ", str(value))


def as_markdown(frame: pd.DataFrame) -> str:
    """Return a table of Markdown, below a line that says what it shows."""
    tabulate = needed("tabulate", "tables of Markdown", extra="study").tabulate
    table = for_readers(frame)
    cells = [[cell.replace("|", "\\|") for cell in row] for row in table.values.tolist()]
    sides = ["right" if numeric else "left" for numeric in _numeric(table)]
    text = tabulate(cells, headers=list(table), tablefmt="pipe", disable_numparse=True, colalign=sides)
    about = _about(frame)
    return f"{about}\n\n{text}\n" if about else f"{text}\n"


def as_latex(frame: pd.DataFrame, name: str) -> str:
    """Return a table of LaTeX with rules of booktabs, over pages if it is long."""
    needed("jinja2", "tables of LaTeX", extra="study")
    table = for_readers(frame)
    styler = table.style.hide(axis="index")
    styler = styler.format(_cell_of_latex, escape="latex").format_index(escape="latex", axis="columns")
    columns = ["r" if numeric else "l" for numeric in _numeric(table)]
    for at, column in enumerate(table):
        if max(map(len, table[column].tolist())) > _WIDE:
            columns[at] = r"p{6cm}"
    long = len(table) > _LONG
    text = styler.to_latex(
        hrules=True,
        column_format="".join(columns),
        caption=_escape(_about(frame) or name),
        label=f"tab:{name}",
        environment="longtable" if long else None,
        position=None if long else "htbp",
        position_float=None if long else "centering",
    )
    return f"% Needs \\usepackage{{booktabs}}{' and longtable' if long else ''}.\n{text}"


def _about(frame: pd.DataFrame) -> str:
    """Return what a table shows, and what its intervals are over if that is the same in all rows."""
    words = frame.attrs.get("about", "")
    over = set(frame["over"]) if "over" in frame else set()
    return f"{words}{f'; over {next(iter(over))}' if len(over) == 1 else ''}." if words else ""


def _numeric(table: pd.DataFrame) -> list[bool]:
    return [bool(table[name].str.fullmatch(r"(<?-?[\d.]+(e[-+]\d+)?( \[.*\])?|inf|-inf)?").all()) for name in table]


def _cell_of_latex(value: object) -> str:
    # A minus before a number, not the hyphen of a date or of a name.
    cell = re.sub(r"(?<![\w.])-(?=[\d.])", "$-$", str(value))
    # After the end of a row, LaTeX would take a bracket for an option of it.
    return "{[}" + cell[1:] if cell.startswith("[") else cell


def _escape(text: str) -> str:
    return re.sub(r"([_%&#$])", r"\\\1", text)
