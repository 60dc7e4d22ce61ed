"""What a benchmark says: one table, a labelled dataset of the same figures, and the files that the docs include."""

import argparse
import csv
import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from rich.console import Console
from rich.table import Table

PACKAGES = (
    "captum",
    "jax",
    "keras",
    "keras-self-attention",
    "numpy",
    "quantus",
    "tensorflow",
    "torch",
    "xarray",
    "xplique",
)

# Variable -> heading and format of its column.
COLUMNS: Mapping[str, tuple[str, str]] = {
    "seconds": ("seconds", ".3f"),
    "gradient_seconds": ("gradient [s]", ".3f"),
    "seconds_fastest": ("fastest [s]", ".3f"),
    "cpu_seconds": ("of all processors [s]", ".3f"),
    "first_call_seconds": ("first call [s]", ".2f"),
    "rows_per_second": ("rows/s", ".0f"),
    "samples_per_second": ("samples/s", ",.0f"),
    "ratio": ("ratio", ".2f"),
    "of_first": ("to the first row", ".2f"),
    "of_ceiling": ("of the ceiling", ".0%"),
    "difference": ("difference", ".0e"),
    "peak_memory": ("peak memory [MiB]", ".0f"),
    "time_growth": ("growth of time", ".2f"),
    "memory_growth": ("of memory", ".2f"),
    "accuracy": ("accuracy", ".2f"),
    "aup": ("AUP", ".3f"),
    "aur": ("AUR", ".3f"),
    "information": ("information [bit]", ".0f"),
    "entropy": ("entropy [bit]", ".0f"),
    "auroc": ("AUROC", ".3f"),
    "auprc": ("AUPRC", ".3f"),
    "time_precision": ("precision, time", ".2f"),
    "time_recall": ("recall, time", ".2f"),
    "feature_precision": ("precision, channels", ".2f"),
    "feature_recall": ("recall, channels", ".2f"),
}


def arguments(doc: str, *, repeats: int = 5) -> argparse.ArgumentParser:
    """Return a parser with what all benchmarks take."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds after the first call of each")
    parser.add_argument("--out", type=Path, help="NetCDF file for the labelled dataset of results")
    parser.add_argument("--write", type=Path, help="folder for the table as CSV, and what it was measured on as text")
    return parser


def settling(parser: argparse.ArgumentParser) -> None:
    """Let the user say how long attrkit works before it is timed."""
    parser.add_argument(
        "--settle", type=float, default=0.0, help="seconds of work before any is timed; torch.compile is tried after 90"
    )


def report(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    chosen: argparse.Namespace,
    *,
    labels: Sequence[str],
    columns: Sequence[str],
    attrs: Mapping[str, str] | None = None,
    group: str | None = None,
) -> None:
    """Print the rows as a table, and save them where the arguments say.

    `labels` tell a row from all others and become the dims of the dataset; `columns` are what the table shows, with
    ``NAME_sd`` behind them where a row has it. A script of several tables gives each a `group` in the file.
    """
    about = {**machine(), **(attrs or {}), "command": command()}
    heads = [*(label.replace("_", " ") for label in labels), *(COLUMNS.get(c, (c, ""))[0] for c in columns)]
    table = Table(title=f"{title}\n{about['device']}")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < len(labels) else "right")
    cells = [[str(row[label]) for label in labels] + [shown(row, column) for column in columns] for row in rows]
    for row in cells:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if chosen.out:
        found = as_dataset(rows, labels, {"title": title, **about})
        found.to_netcdf(chosen.out, mode="w" if group is None else "a", group=group, engine="h5netcdf")
    if chosen.write:
        chosen.write.mkdir(parents=True, exist_ok=True)
        with (chosen.write / f"{name}.csv").open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle, lineterminator="\n").writerows([heads, *cells])
        said = (
            f"{title}. Measured on {about['device']}, {about['date']}; {about['versions']}.\n\n``{about['command']}``\n"
        )
        (chosen.write / f"{name}.txt").write_text(said, encoding="utf-8")


def shown(row: Mapping[str, Any], column: str) -> str:
    """Return a cell; a column that a row lacks stays empty."""
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value or ""
    style = COLUMNS.get(column, ("", ""))[1]
    spread = row.get(f"{column}_sd")
    return format(value, style) + ("" if spread is None else f" ± {format(spread, style)}")


def as_dataset(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], attrs: Mapping[str, str]) -> xr.Dataset:
    """Return the rows over their labels; combinations that were not run are NaN, or empty where words are."""
    ds = pd.DataFrame(rows).set_index(list(labels)).to_xarray()
    for variable in ds.variables:
        if ds[variable].dtype.kind == "O":
            ds[variable] = ds[variable].fillna("").astype(str)
    for variable in ds.data_vars:
        if str(variable).endswith("seconds") or str(variable).startswith("seconds"):
            ds[variable].attrs["units"] = "s"
    return ds.assign_attrs(attrs)


def machine() -> dict[str, str]:
    """Return what the figures depend on beside the code."""
    found = {name: installed(name) for name in PACKAGES if name.replace("-", "_") in sys.modules}
    threads = os.environ.get("OMP_NUM_THREADS") or str(cores())
    return {
        "device": device(),
        "threads": threads,
        "versions": ", ".join(
            f"{name} {version}" for name, version in {"Python": platform.python_version(), **found}.items()
        ),
        "date": datetime.date.today().isoformat(),
    }


def installed(name: str) -> str:
    return importlib.metadata.version(name)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device() -> str:
    """Return the accelerator that a loaded framework computes on, or the processor."""
    torch, jax, tf = (sys.modules.get(name) for name in ("torch", "jax", "tensorflow"))
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    if jax is not None and jax.default_backend() != "cpu":
        return str(jax.devices()[0].device_kind)
    if tf is not None and tf.config.list_physical_devices("GPU"):
        return str(tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])["device_name"])
    return f"{processor()}, {cores()} cores"


def processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def command() -> str:
    """Return how to run it again; where files went is nobody else's business."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word.split("=")[0] in ("--out", "--write"):
            if "=" not in word:
                next(words, None)
            continue
        kept.append(word if os.sep not in word else Path(word).name)
    backend = os.environ.get("KERAS_BACKEND")
    return (f"KERAS_BACKEND={backend} " if backend else "") + shlex.join(
        ["python", f"benchmarks/{Path(sys.argv[0]).name}", *kept]
    )
