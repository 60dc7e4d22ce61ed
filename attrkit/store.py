"""Results to files and back: zarr or netCDF, by the file's suffix."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import xarray as xr

from attrkit import schema
from attrkit.collect import as_datasets
from attrkit.errors import SchemaError, StoreError

ZARR = (".zarr",)
NETCDF = (".nc", ".nc4", ".h5netcdf")


def save(data: Any, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a dataset or a tree to a file.

    Parameters
    ----------
    data : Dataset, DataTree or mapping of str to Dataset
        Valid under the schema.
    path : str or Path
        Ends in ``.zarr`` or ``.nc``.
    overwrite : bool, default False
        Replace what is there.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    SchemaError
        If `data` is not valid; nothing is written.
    StoreError
        If the suffix is not known, something is there already, or writing fails. Files appear under their name when
        they are complete, never before.

    Examples
    --------
    >>> attrkit.save(tree, "run.zarr")  # doctest: +SKIP
    """
    target = Path(path)
    _engine(target)
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already; pass overwrite=True to replace it")
    if not isinstance(data, xr.Dataset | xr.DataTree):
        data = xr.DataTree.from_dict(as_datasets(data))
    schema.validate(data)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename on one file system.
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        part = scratch / target.name
        if target.suffix in ZARR:
            data.to_zarr(part, consolidated=False)
        else:
            data.to_netcdf(part, engine="h5netcdf")
        if target.is_dir():
            shutil.rmtree(target)
        part.replace(target)
    except OSError as err:
        raise StoreError(f"{target} could not be written: {err}") from err
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def load(path: str | Path) -> xr.Dataset | xr.DataTree:
    """Read a dataset or a tree that `save` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Dataset or DataTree
        What was saved, in memory and validated.

    Raises
    ------
    StoreError
        If there is nothing there, the suffix is not known, or the file cannot be read.
    SchemaError
        If it is not an attrkit dataset.

    Examples
    --------
    >>> attrkit.load("run.zarr")  # doctest: +SKIP
    """
    source = Path(path)
    engine = _engine(source)
    if not source.exists():
        raise StoreError(f"there is no file {source}")
    try:
        options: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
        with xr.open_datatree(source, engine=engine, **options) as opened:
            tree = opened.load()
    except (OSError, ValueError, KeyError) as err:
        raise StoreError(f"{source} cannot be read as {engine}: {err}") from err
    data: xr.Dataset | xr.DataTree = tree if tree.children else tree.to_dataset()
    try:
        schema.validate(data)
    except SchemaError as err:
        raise SchemaError(f"{source}: {err}") from err
    return data


def _engine(path: Path) -> str:
    if path.suffix in ZARR:
        return "zarr"
    if path.suffix in NETCDF:
        return "h5netcdf"
    raise StoreError(f"{path} ends in {path.suffix!r}; accepted are {', '.join((*ZARR, *NETCDF))}")
