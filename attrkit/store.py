"""Results to files and back: zarr or netCDF, by the file's suffix."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import xarray as xr

from attrkit import schema
from attrkit.collect import as_datasets, as_tree
from attrkit.errors import SchemaError, StoreError
from attrkit.streaming.records import check_streamed

ZARR = (".zarr",)
NETCDF = (".nc", ".nc4", ".h5netcdf")

# Attribute of a tree in a file: the names of its groups in order, which a folder of zarr does not keep.
_ORDER = "attrkit_groups"


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
    >>> attrkit.save(tree, "run.zarr").name
    'run.zarr'
    """
    target = check_target(path, overwrite=overwrite)
    if not isinstance(data, xr.Dataset | xr.DataTree):
        data = as_tree(as_datasets(data))
    schema.validate(data)
    try:
        _write(data, target)
    except Exception as err:  # xarray, h5netcdf and zarr raise errors of every kind.
        raise StoreError(f"{target} could not be written: {err}") from err
    return target


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse, before the work is done, a path that `save` would refuse after it."""
    target = Path(path)
    _engine(target)
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already; pass overwrite=True to replace it")
    return target


def _write(data: xr.Dataset | xr.DataTree, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename on one file system.
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    if isinstance(data, xr.DataTree):
        data = data.copy()
        data.attrs[_ORDER] = "/".join(data.children)
    part, replaced = scratch / target.name, scratch / "replaced"
    try:
        if target.suffix in ZARR:
            # Version 3 has no specification of text of fixed width yet: zarr warns of it, others cannot read it.
            data.to_zarr(_local(part), consolidated=False, zarr_format=2)
        else:
            data.to_netcdf(part, engine="h5netcdf")
        # A file replaces a file in one step; what is a folder, or gives way to one, must be moved first.
        if target.exists() and (part.is_dir() or target.is_dir()):
            target.rename(replaced)
        part.replace(target)
    finally:
        # What interrupts between the two renames leaves nothing under the name: what was there goes back.
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        shutil.rmtree(scratch, ignore_errors=True)


def load(path: str | Path, *, lazy: bool = False) -> xr.Dataset | xr.DataTree:
    """Read a dataset or a tree that `save` or `extract` wrote.

    Parameters
    ----------
    path : str or Path
    lazy : bool, default False
        Read labels only, and values when they are used; the file stays open.

    Returns
    -------
    Dataset or DataTree
        What was saved, validated, and in memory if not `lazy`.

    Raises
    ------
    StoreError
        If there is nothing there, the suffix is not known, or the file cannot be read. Of what `extract` streamed,
        every file must be there in its size and, if not `lazy`, hold what was written, by its checksum.
    SchemaError
        If it is not an attrkit dataset.

    Examples
    --------
    >>> path = attrkit.save(tree, "run.zarr")
    >>> xr.testing.assert_identical(attrkit.load(path), tree)
    """
    source = Path(path)
    engine = _engine(source)
    if not source.exists():
        raise StoreError(f"there is no file {source}")
    manifest = check_streamed(source, contents=not lazy) if engine == "zarr" else None
    try:
        # Without dask too: what is lazy is read by xarray itself.
        options: dict[str, Any] = {"consolidated": False, "chunks": None} if engine == "zarr" else {}
        options["decode_timedelta"] = schema.UNITS_ARE_TEXT
        tree = xr.open_datatree(_local(source) if engine == "zarr" else source, engine=engine, **options)
        if not lazy:
            with tree as opened:
                tree = opened.load()
    except Exception as err:  # A damaged file makes xarray, h5netcdf and zarr raise errors of every kind.
        raise StoreError(f"{source} cannot be read as {engine}: {err}") from err
    order = tree.attrs.pop(_ORDER, "").split("/")
    if set(order) == set(tree.children):
        tree.children = {name: tree.children[name] for name in order}
    data: xr.Dataset | xr.DataTree = tree if tree.children else tree.to_dataset()
    data.attrs |= {} if manifest is None else manifest["run"]
    try:
        schema.validate(data)
    except SchemaError as err:
        raise SchemaError(f"{source}: {err}") from err
    return data


def _local(folder: Path) -> Any:
    """Return a folder as zarr's store: a path as text it may read as an address, in which %, # and ? have a meaning."""
    from zarr.storage import LocalStore

    return LocalStore(folder)


def _engine(path: Path) -> str:
    if path.suffix in ZARR:
        return "zarr"
    if path.suffix in NETCDF:
        return "h5netcdf"
    raise StoreError(f"{path} ends in {path.suffix!r}; accepted are {', '.join((*ZARR, *NETCDF))}")
