"""Inputs from files, for the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.checks import whole_number
from attrkit.errors import StoreError
from attrkit.series import windows
from attrkit.store import as_path, harmless

SUFFIXES = (".npy", ".npz", ".csv", ".nc", ".zarr")


def read_inputs(path: str | Path, *, length: int | None = None, stride: int | None = None) -> Any:
    """Read what `attrkit.extract` takes from a file.

    Parameters
    ----------
    path : str or Path
        ``.npy`` with an array of shape (sample, timestep, channel); ``.csv`` with one row a timestep, its first column
        the labels of the rows; ``.npz``, ``.nc`` or ``.zarr`` with one array or variable, or one named ``input``.
    length : int, optional
        Timesteps the model takes. A CSV of more rows is cut into windows of it.
    stride : int, optional
        From one window to the next; `length` if not given.

    Returns
    -------
    ndarray, DataFrame or DataArray

    Raises
    ------
    StoreError
        If the file cannot be read, holds more than one array, or would run code or read other files.
    InputError
        If `path` is no path, or `length` or `stride` no whole number of 1 or more.
    """
    source = as_path(path)
    if source.suffix not in SUFFIXES:
        raise StoreError(f"{source} ends in {source.suffix!r}; accepted are {', '.join(SUFFIXES)}")
    for name, number in (("length", length), ("stride", stride)):
        if number is not None:
            whole_number(number, name, least=1)
    if not source.exists():
        raise StoreError(f"there is no file {source}")
    if source.suffix == ".csv":
        return _from_csv(source, length=length, stride=stride)
    if source.suffix in (".npy", ".npz"):
        arrays = read_arrays(source)
        return arrays[_only(list(arrays), source, "array")]
    ds = read_dataset(source)
    return ds[_only(list(map(str, ds.data_vars)), source, "variable")]


def read_arrays(source: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a ``.npz`` by name, or that of a ``.npy``; one that is a pickle is refused unread."""
    try:
        # Without pickles: a data file runs no code.
        loaded = np.load(source, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"input": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except Exception as err:  # A damaged archive makes zipfile, zlib and numpy raise errors of every kind.
        raise StoreError(f"{source} cannot be read: {err}") from err


def read_dataset(source: Path) -> xr.Dataset:
    """Return what is in a file of netCDF or a folder of zarr, in memory; see `attrkit.file_checks`."""
    try:
        with xr.open_dataset(**harmless(source, "zarr" if source.suffix == ".zarr" else "h5netcdf")) as opened:
            return opened.load()
    except StoreError:
        raise
    except Exception as err:  # As in `attrkit.load`.
        raise StoreError(f"{source} cannot be read: {err}") from err


def _from_csv(source: Path, *, length: int | None, stride: int | None) -> Any:
    try:
        frame = pd.read_csv(source, index_col=0)
    except (OSError, ValueError, pd.errors.ParserError) as err:
        raise StoreError(f"{source} cannot be read: {err}") from err
    try:
        frame.index = (
            pd.to_datetime(frame.index, format="ISO8601") if frame.index.dtype.kind not in "iuf" else frame.index
        )
    except (ValueError, TypeError):
        frame.index = frame.index.astype(str)
    if length is None or len(frame) <= length:
        return frame
    return windows(frame, length, stride=length if stride is None else stride)


def _only(names: list[str], source: Path, what: str) -> str:
    if "input" in names:
        return "input"
    if len(names) != 1:
        raise StoreError(
            f"{source} holds {len(names)} {what}s ({', '.join(names)}); one is needed, or one named 'input'"
        )
    return names[0]
