"""Tables of a page: how alike extractors are, what was checked of each, and where it comes from."""

import json
import warnings
from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.attention.diagnose import diagnose
from attrkit.digits import number, with_interval
from attrkit.errors import AttrkitError
from attrkit.metrics import agreement, interval
from attrkit.plot.labels import text
from attrkit.report._contents import reduced_attention
from attrkit.result_checks import COMPLETENESS_TOLERANCE, check_result, explained_output, share_of_change

METRICS = {
    "kendall_tau": "Kendall's tau",
    "spearman": "Spearman",
    "cosine": "cosine",
    "top_k_overlap": "top 10 % in common",
    "jensen_shannon": "Jensen-Shannon [bit]",
}


class Table(NamedTuple):
    """A table of text: what it says, its columns with an explanation each, and its rows."""

    caption: str
    columns: list[tuple[str, str]]
    rows: list[list[str]]


def agreement_table(found: Mapping[str, xr.Dataset]) -> Table | str:
    """Compare every two extractors over all samples, or say in words why that cannot be done.

    Examples
    --------
    >>> agreement_table({"a": tree["attention"].to_dataset()})
    'One extractor: there is none to compare it with.'
    """
    if len(found) < 2:
        return "One extractor: there is none to compare it with."
    reduced = {name: ds if "attribution" in ds else reduced_attention(ds, name) for name, ds in found.items()}
    scores = {name: ds for name, ds in reduced.items() if ds is not None}
    channels = {"channel" in ds["attribution"].dims for ds in scores.values()}
    try:
        alike = agreement(scores, metrics=list(METRICS), channels="sum" if len(channels) > 1 else None)
    except AttrkitError as err:
        return f"Not compared: {err}"
    one = alike.sizes["sample"] == 1
    bounds = {name: interval(alike[name]) for name in METRICS} if not one else {}
    rows = []
    for first, second in combinations(scores, 2):
        cells = [first, second]
        for name in METRICS:
            pair = {"extractor": first, "other": second}
            if one:
                cells.append(_number(float(alike[name].sel(pair).item())))
                continue
            at = bounds[name].sel(pair)
            cells.append(
                with_interval(*(round(float(at[key]), 3) for key in ("estimate", "low", "high"))) or "undefined"
            )
        rows.append(cells)
    n = alike.sizes["sample"]
    means = "One sample" if one else f"Means over {n:,} samples with 95 percent intervals"
    summed = ", channels summed" if len(channels) > 1 else ""
    weights = [name for name, ds in found.items() if "attribution" not in ds and name in scores]
    attention = f"; {', '.join(weights)}: last layer, mean over heads and queries" if weights else ""
    about = {name: f"{alike[name].attrs['long_name']}; {alike[name].attrs['direction']}" for name in METRICS}
    columns = [("extractor", ""), ("compared with", ""), *((words, about[name]) for name, words in METRICS.items())]
    return Table(f"{means}, items ranked by magnitude{summed}{attention}.", columns, rows)


def check_table(found: Mapping[str, xr.Dataset]) -> Table:
    """Say of each extractor what its sum misses, what its ledger holds, and what it has cost; empty columns go.

    Examples
    --------
    >>> table = check_table({"a": tree["attention"].to_dataset()})
    >>> [name for name, _ in table.columns][:2], table.rows[0][:2]
    (['extractor', 'values that are no numbers'], ['a', '0'])
    """
    measures = {name: _measures(ds) for name, ds in found.items()}
    present = [column for column in _COLUMNS if any(own.get(column) for own in measures.values())]
    rows = [[name, *(own.get(column, "") for column in present)] for name, own in measures.items()]
    columns = [("extractor", ""), *((column, _COLUMNS[column]) for column in present)]
    return Table("Of all samples.", columns, rows)


_COLUMNS = {
    "values that are no numbers": "NaN or infinite, outside of padding",
    "largest completeness gap": "how far the sum of attributions is from the change in the output",
    "gap beyond 1 %": "samples whose gap is more than 1 percent of the change in the output",
    "taken by biases": "mean of the absolute relevance that biases absorb",
    "taken by epsilon": "mean of the absolute relevance that stabilisers absorb",
    "entropy of attention": "mean over samples, of the largest possible: 1 is flat",
    "attention on padding": "largest share of the weight of real queries that lies on padding",
    "forward evaluations": "rows that went through the model",
    "gradient evaluations": "rows that gradients were taken of",
    "seconds": "time of this result",
    "peak memory [MiB]": "the most memory that the process held up to its end",
}


def _measures(ds: xr.Dataset) -> dict[str, str]:
    said = {}
    kept = next(name for name in ("attribution", "attention") if name in ds)
    values = ds[kept]
    if "mask" in ds and "timestep" in values.dims:
        values = values.where(ds["mask"], 0)
    said["values that are no numbers"] = str(int((~np.isfinite(values)).sum()))
    output = explained_output(ds)
    explained = None if output is None else output.values
    if "completeness_gap" in ds:
        gap = ds["completeness_gap"].values
        said["largest completeness gap"] = _number(float(np.abs(gap).max()))
        if explained is not None and gap.shape == explained.shape:
            start = ds["baseline_prediction"].values if "baseline_prediction" in ds else np.zeros_like(explained)
            over = share_of_change(gap, explained, start) > COMPLETENESS_TOLERANCE
            said["gap beyond 1 %"] = f"{int(over.sum())} of {len(over)}"
    for name, column in (("bias_relevance", "taken by biases"), ("epsilon_relevance", "taken by epsilon")):
        if name in ds:
            said[column] = _number(float(np.abs(ds[name]).mean()))
    if "attention_entropy" in ds:
        said["entropy of attention"] = _number(float(ds["attention_entropy"].mean()))
    if "attention_on_padding" in ds:
        said["attention on padding"] = f"{float(ds['attention_on_padding'].max()):.1%}"
    for key, column in (
        ("forward_evaluations", "forward evaluations"),
        ("gradient_evaluations", "gradient evaluations"),
        ("seconds", "seconds"),
        ("process_peak_memory_mib", "peak memory [MiB]"),
    ):
        if key in ds.attrs:
            said[column] = f"{ds.attrs[key]:,}" if not isinstance(ds.attrs[key], str) else ds.attrs[key]
    return said


def warnings_of(found: Mapping[str, xr.Dataset]) -> list[str]:
    """Say again what attrkit warns of in these results; results do not keep warnings themselves.

    Examples
    --------
    >>> flat = xr.Dataset({"attention": (("sample", "key_timestep"), np.full((1, 4), 0.25))})
    >>> warnings_of({"flat": flat})
    ['flat: its rows are flat (entropy 1.000 of the largest possible): it tells timesteps apart hardly or not']
    """
    said = []
    for name, ds in found.items():
        output = explained_output(ds)
        explained = None if output is None else output.values
        beside = [ds[key] for key in ("completeness_gap", "baseline_prediction") if key in ds]
        if any(each.dims != ("sample",) for each in beside):
            explained = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_result(ds, name, explained)
        said += [str(each.message) for each in caught]
        if "attention" in ds:
            said += [f"{name}: {note}" for note in _notes_on_attention(ds)]
    return said


def _notes_on_attention(ds: xr.Dataset) -> list[str]:
    weights = ds["attention"]
    masks: dict[str, Any] = {}
    for dim, key in (("query_timestep", "query_mask"), ("key_timestep", "key_mask")):
        if "mask" in ds and weights.sizes.get(dim) == ds.sizes["timestep"]:
            masks[key] = ds["mask"].values
    return diagnose(weights, **masks)[1]


def provenance(ds: xr.Dataset) -> Table:
    """List the attributes of a dataset and of its variables.

    Examples
    --------
    >>> table = provenance(xr.Dataset(attrs={"method": "gradient", "seed": 0}))
    >>> table.rows
    [['method', 'gradient'], ['seed', '0']]
    """
    rows = [[str(key), _readable(value)] for key, value in ds.attrs.items()]
    for name, variable in ds.data_vars.items():
        words = ", ".join(f"{key}: {_readable(value)}" for key, value in variable.attrs.items())
        sizes = ", ".join(f"{dim} {size:,}" for dim, size in variable.sizes.items())
        rows.append([str(name), f"({sizes}) {words}".strip()])
    return Table("", [("attribute or variable", ""), ("value", "")], rows)


def _readable(value: Any) -> str:
    """Write a value; options, which are kept as JSON, as name=value."""
    words = text(value)
    try:
        options = json.loads(words) if words.startswith("{") else None
    except json.JSONDecodeError:
        return words
    return words if not isinstance(options, dict) else ", ".join(f"{k}={v}" for k, v in options.items()) or "none"


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else number(value)
