"""Files of data, looked at before they are read: whether that would run code, or read other files."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrkit.errors import StoreError

# What zarr packs arrays with. One that is not here may be a pickle, which runs any code when it is unpacked.
_PACKERS = frozenset(
    {
        *("adler32", "astype", "bitround", "blosc", "bytes", "bz2", "categorize", "crc32", "crc32c", "delta", "endian"),
        *("fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "pcodec", "quantize"),
        *("sharding_indexed", "shuffle", "transpose", "vlen-array", "vlen-bytes", "vlen-utf8", "zfpy", "zlib", "zstd"),
    }
)

_METADATA = (".zarray", ".zmetadata", "zarr.json")
_PACKED_BY = ("codecs", "compressor", "filters", "index_codecs")


def check_harmless(path: Path) -> None:
    """Refuse a folder of zarr that is unpacked by code, and a file of netCDF that reads other files.

    Parameters
    ----------
    path : Path
        Of a folder or file that is there.

    Raises
    ------
    StoreError
        Naming the place. What cannot be read at all is left to whoever reads it.
    """
    if path.is_dir():
        _check_zarr(path)
    else:
        _check_hdf5(path)


def _check_zarr(folder: Path) -> None:
    seen = set()
    # Links to folders are followed, as zarr does, but not in circles.
    for place, inner, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        for name in set(_METADATA).intersection(files):
            file = Path(place, name)
            try:
                described = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                continue
            for packer in _packers(described):
                if packer.removeprefix("numcodecs.") not in _PACKERS:
                    raise StoreError(
                        f"{file} is packed by {packer!r}, which may run code when it is read; accepted are "
                        f"{', '.join(sorted(_PACKERS))}. Write it anew without, where you trust it"
                    )


def _packers(described: Any) -> Iterator[str]:
    """Yield the name of everything that packs an array, however deep it is described."""
    todo = [described]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            for key in _PACKED_BY:
                named = value.get(key) or []
                for packer in named if isinstance(named, list) else [named]:
                    yield str(packer.get("id", packer.get("name")) if isinstance(packer, dict) else packer)


def _check_hdf5(path: Path) -> None:
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError:
        return
    with file:
        check_holds_all(file, path)


def check_holds_all(file: Any, path: Path) -> None:
    """Refuse an open file of HDF5, that of a path or in an archive of that path, which reads other files."""
    for name, reason in _other_files(file):
        raise StoreError(f"{path}: {name!r} {reason}; accepted are files that hold all their values")


def _other_files(group: Any) -> Iterator[tuple[str, str]]:
    """Yield what of a group of HDF5 is read from other files."""
    import h5py

    todo, seen = [group], set()
    while todo:
        own = todo.pop()
        # Groups may hold each other.
        address = h5py.h5o.get_info(own.id).addr
        if address in seen:
            continue
        seen.add(address)
        for name in own:
            link = own.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield f"{own.name}/{name}", f"is a link to the file {link.filename!r}"
            elif isinstance(link, h5py.HardLink):
                held = own[name]
                if isinstance(held, h5py.Group):
                    todo.append(held)
                elif isinstance(held, h5py.Dataset) and (held.external or held.is_virtual):
                    yield held.name, "has its values in another file"
