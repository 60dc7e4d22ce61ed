"""Inputs from files, for the command line."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import AttrkitError, StoreError
from attrkit.schema import UNITS_ARE_TEXT
from attrkit.series import windows

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
        If the file cannot be read, or holds more than one array.
    """
    source = Path(path)
    if source.suffix not in SUFFIXES:
        raise StoreError(f"{source} ends in {source.suffix!r}; accepted are {', '.join(SUFFIXES)}")
    if not source.exists():
        raise StoreError(f"there is no file {source}")
    try:
        if source.suffix == ".csv":
            return _from_csv(source, length=length, stride=stride)
        if source.suffix in (".npy", ".npz"):
            # Without pickles: a data file runs no code.
            loaded = np.load(source, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else loaded[_only(list(loaded), source, "array")]
        engine = "zarr" if source.suffix == ".zarr" else "h5netcdf"
        with xr.open_dataset(source, engine=engine, decode_timedelta=UNITS_ARE_TEXT) as opened:
            ds = opened.load()
    except AttrkitError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
        raise StoreError(f"{source} cannot be read: {err}") from err
    return ds[_only(list(map(str, ds.data_vars)), source, "variable")]


def _from_csv(source: Path, *, length: int | None, stride: int | None) -> Any:
    frame = pd.read_csv(source, index_col=0)
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
