"""Results to files and back: zarr or netCDF, by the file's suffix."""

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from attrkit import schema
from attrkit.checksum import checksum, checksums_of
from attrkit.collect import as_datasets, as_tree
from attrkit.errors import AttrkitWarning, InputError, SchemaError, StoreError
from attrkit.file_checks import check_harmless
from attrkit.migrations import migrate
from attrkit.streaming.records import check_streamed

ZARR = (".zarr",)
NETCDF = (".nc", ".nc4", ".h5netcdf")

# Attribute of a tree in a file: the names of its groups in order, which a folder of zarr does not keep.
_ORDER = "attrkit_groups"

# Attribute in a file: the SHA-256 of what it holds, this attribute left out.
_CHECKSUM = "attrkit_sha256"


def save(data: Any, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a dataset or a tree to a file.

    Parameters
    ----------
    data : Dataset, DataTree or mapping of str to Dataset
        Results, or what metrics return; valid under the schema.
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
        If the suffix is not known, something is there already, writing fails, or what was written does not come back
        from the file as it was. Files appear under their name when they are complete, never before.

    See Also
    --------
    load : Reads it back.

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
    except StoreError:
        raise
    except Exception as err:  # xarray, h5netcdf and zarr raise errors of every kind.
        raise StoreError(f"{target} could not be written: {err}") from err
    return target


def as_path(path: Any) -> Path:
    """Return a path that a user gave; refuse what is none."""
    try:
        return Path(path)
    except TypeError as err:
        raise InputError(f"path is a {type(path).__name__}; accepted is a str or Path") from err


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse, before the work is done, a path that `save` would refuse after it."""
    target = as_path(path)
    _engine(target)
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already; pass overwrite=True to replace it")
    return target


def _write(data: xr.Dataset | xr.DataTree, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename on one file system.
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    data = data.copy()
    if isinstance(data, xr.DataTree):
        data.attrs[_ORDER] = "/".join(data.children)
    data.attrs[_CHECKSUM] = checksum(data)
    part, replaced = scratch / target.name, scratch / "replaced"
    try:
        if target.suffix in ZARR:
            # Version 3 has no specification of text of fixed width yet: zarr warns of it, others cannot read it.
            # A chunk of nothing but zeros is a file too, so that a file that is missing is one that was lost.
            data.to_zarr(local_store(part), consolidated=False, zarr_format=2, write_empty_chunks=True)
        else:
            data.to_netcdf(part, engine="h5netcdf")
        _check_written(data, part, target)
        # A file replaces a file in one step; what is a folder, or gives way to one, must be moved first.
        if target.exists() and (part.is_dir() or target.is_dir()):
            target.rename(replaced)
        part.replace(target)
    finally:
        # What interrupts between the two renames leaves nothing under the name: what was there goes back.
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        shutil.rmtree(scratch, ignore_errors=True)


def _check_written(data: xr.Dataset | xr.DataTree, part: Path, target: Path) -> None:
    """Refuse what a file does not keep: types, text or attributes that come back otherwise."""
    written = data.attrs[_CHECKSUM]
    # One variable after the other: what is read again is not kept beside what was written.
    with xr.open_datatree(**harmless(part, _engine(part)), cache=False) as found:
        if found.attrs.pop(_CHECKSUM, None) == written == checksum(found):
            return
        whole = data if isinstance(data, xr.DataTree) else xr.DataTree(data)
        differ, groups = [], {node.path: node for node in found.subtree}
        for node in whole.subtree:
            back = checksums_of(groups[node.path].to_dataset(inherit=False)) if node.path in groups else {}
            own = checksums_of(node.to_dataset(inherit=False))
            differ += [f"{node.path}/{name}".lstrip("/") for name, digest in own.items() if back.get(name) != digest]
    raise StoreError(
        f"{target} was not written: {', '.join(differ) or 'the attributes'} would come back from the file as something "
        "else; accepted are numbers, times and text in types that the format has, and text without zero bytes"
    )


def load(path: str | Path, *, lazy: bool = False) -> xr.Dataset | xr.DataTree:
    """Read a dataset or a tree that `save` or `extract` wrote.

    Parameters
    ----------
    path : str or Path
        A file or folder that `save` wrote, or a ``store`` of `extract`.
    lazy : bool, default False
        Read labels only, and values when they are used; the file stays open.

    Returns
    -------
    Dataset or DataTree
        What was saved, validated, and in memory if not `lazy`. What an earlier version of the schema has made is
        brought to this one, and says so in its attribute ``migrated_from``; see `attrkit.migrations`.

    Raises
    ------
    StoreError
        If there is nothing there, the suffix is not known, or the file cannot be read; if it holds something else than
        what was written, by its checksum; of a lazy one, if a file of it is missing, which zarr would read as zeros. If
        reading it would run code or read other files.
    SchemaError
        If it is not an attrkit dataset, or of a later version of attrkit.

    Warns
    -----
    AttrkitWarning
        If the file has no checksum, because something else than attrkit wrote it: what is damaged is not noticed then.

    See Also
    --------
    save : Writes it.

    Examples
    --------
    >>> path = attrkit.save(tree, "run.zarr")
    >>> xr.testing.assert_identical(attrkit.load(path), tree)
    """
    source = as_path(path)
    engine = _engine(source)
    if not source.exists():
        raise StoreError(f"there is no file {source}")
    manifest = check_streamed(source, contents=not lazy) if engine == "zarr" else None
    try:
        tree = _open(source, lazy=lazy)
    except StoreError:
        raise
    except Exception as err:  # A damaged file makes xarray, h5netcdf and zarr raise errors of every kind.
        raise StoreError(f"{source} cannot be read as {engine}: {err}") from err
    _check_whole(tree, source, lazy=lazy, streamed=manifest is not None)
    for node in tree.subtree:
        own = node.to_dataset(inherit=False)
        brought = migrate(own)
        if brought is not own:
            node.dataset = brought
    data: xr.Dataset | xr.DataTree = tree if tree.children else tree.to_dataset()
    data.attrs |= {} if manifest is None else manifest["run"]
    try:
        schema.validate(data)
    except SchemaError as err:
        raise SchemaError(f"{source}: {err}") from err
    return data


def _open(source: Path, *, lazy: bool) -> xr.DataTree:
    tree = xr.open_datatree(**harmless(source, _engine(source)))
    if lazy:
        return tree
    with tree as opened:
        return opened.load()


def _check_whole(tree: xr.DataTree, source: Path, *, lazy: bool, streamed: bool) -> None:
    """Refuse a file that holds something else than was written; take off what files alone have, and order groups."""
    damaged = f"{source} is damaged, or another program has changed it"
    written = tree.attrs.pop(_CHECKSUM, None)
    if written is None and not streamed and not lazy and any(_is_current(node) for node in tree.subtree):
        warnings.warn(
            f"{source} has no checksum, because something else than attrkit has written it: what is damaged in it is "
            "not noticed. attrkit.save writes one",
            AttrkitWarning,
            stacklevel=3,
        )
    if written is not None and not lazy and checksum(tree) != written:
        raise StoreError(
            f"{damaged}: by its checksum it holds something else than was written. Where the change was meant, take "
            f"the attribute {_CHECKSUM!r} off the file"
        )
    if written is not None and lazy and source.is_dir():
        lost = _lost_chunks(source)
        if lost:
            raise StoreError(f"{damaged}: of {', '.join(lost[:3])} files are missing")
    order = tree.attrs.pop(_ORDER, None)
    if order is not None:
        names = str(order).split("/")
        lost = [name for name in names if name not in tree.children]
        if lost:
            raise StoreError(f"{damaged}: of its groups {', '.join(names)} there is no {', '.join(lost)}")
        later = [name for name in tree.children if name not in names]
        tree.children = {name: tree.children[name] for name in [*names, *later]}


def _is_current(node: xr.DataTree) -> bool:
    return str(node.attrs.get("schema")) == schema.VERSION


def _lost_chunks(source: Path) -> list[str]:
    """Name the arrays of a folder of zarr that lack a file, which would be read as zeros."""
    import zarr

    members = zarr.open_group(local_store(source), mode="r", use_consolidated=False).members(max_depth=None)
    return [name for name, held in members if isinstance(held, zarr.Array) and held.nchunks_initialized < held.nchunks]


def harmless(source: Path, engine: str) -> dict[str, Any]:
    """Return the arguments by which every reader of xarray opens a file, once a look at it has found no harm in it."""
    check_harmless(source)
    options = {"engine": engine, "decode_timedelta": schema.UNITS_ARE_TEXT}
    if engine != "zarr":
        return {"filename_or_obj": source, **options}
    # Without dask too: what is lazy is read by xarray itself.
    return {"filename_or_obj": local_store(source), "consolidated": False, "chunks": None, **options}


def local_store(folder: Path) -> Any:
    """Return a folder as zarr's store: a path as text it may read as an address, in which %, # and ? have a meaning."""
    from zarr.storage import LocalStore

    return LocalStore(folder)


def _engine(path: Path) -> str:
    if path.suffix in ZARR:
        return "zarr"
    if path.suffix in NETCDF:
        return "h5netcdf"
    raise StoreError(f"{path} ends in {path.suffix!r}; accepted are {', '.join((*ZARR, *NETCDF))}")
