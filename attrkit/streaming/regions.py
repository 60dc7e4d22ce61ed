"""Results on the disk: zarr arrays in chunks of samples, one file a chunk, written side by side."""

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attrkit.errors import StoreError
from attrkit.store import local_store
from attrkit.streaming.identity import digest_of

_LARGEST = 2**30
"""Bytes that the file of a chunk may have; its compressor takes no more than twice that."""


def by_sample(ds: xr.Dataset) -> list[str]:
    """Return the names of what has a value a sample."""
    return [str(name) for name, variable in ds.variables.items() if "sample" in variable.dims]


def is_text(variable: xr.Variable | xr.DataArray) -> bool:
    """Whether a variable is text, whose width is known at the end only."""
    return variable.dtype.kind not in "biufcmM"


def layout_of(ds: xr.Dataset) -> dict[str, Any]:
    """Describe what all chunks must have in common: variables, dims, types, labels that are no sample's."""
    found: dict[str, Any] = {}
    for name, variable in sorted(ds.variables.items(), key=lambda item: str(item[0])):
        shared = "sample" not in variable.dims
        found[str(name)] = {
            "sizes": {str(dim): size for dim, size in variable.sizes.items() if dim != "sample"},
            "dtype": "text" if is_text(variable) else str(variable.dtype),
            "attrs": {str(key): plain(value) for key, value in variable.attrs.items()},
            "values": digest_of(variable.values) if shared else None,
        }
    return found


def plain(value: Any) -> Any:
    """Return an attribute as JSON has it."""
    return value.item() if isinstance(value, np.generic) else value


def create(store: Path, ds: xr.Dataset, *, chunk_size: int, length: int) -> None:
    """Make the arrays for `length` samples, empty, like those of the first chunk's dataset `ds`."""
    empty = ds.isel(sample=slice(0, 0)).drop_encoding().drop_attrs(deep=False)
    for name in by_sample(ds):
        if is_text(ds[name]):
            # As narrow as can be, until all of it is known.
            empty[name] = (ds[name].dims, np.empty(empty[name].shape, "<U1"), ds[name].attrs)
    encoding: dict[Hashable, dict[str, Any]] = {}
    for name in by_sample(ds):
        variable = ds[name].variable
        if variable.dims[0] != "sample":
            raise StoreError(f"{name!r} has dims {variable.dims}; what is written chunk by chunk has 'sample' first")
        size = chunk_size * max(variable.dtype.itemsize * variable[:1].size, 1)
        if size > _LARGEST:
            raise StoreError(
                f"{chunk_size} samples of {name!r} are {size / 2**30:.1f} GiB, and a chunk may have 1; take a smaller "
                "chunk_size"
            )
        chunks = tuple(chunk_size if dim == "sample" else max(size, 1) for dim, size in variable.sizes.items())
        encoding[name] = {"chunks": chunks, **_time_encoding(variable)}
    # Version 2 as `attrkit.save` has it.
    empty.to_zarr(local_store(store), zarr_format=2, consolidated=False, encoding=encoding)
    grow(store, length)


def _time_encoding(variable: xr.Variable) -> dict[str, Any]:
    """Return how times are counted: not from the first of the first chunk, as xarray would."""
    words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    if variable.dtype.kind not in "mM":
        return {}
    word = words[np.datetime_data(variable.dtype)[0]]
    return {"dtype": "int64", "units": word if variable.dtype.kind == "m" else f"{word} since 1970-01-01"}


def grow(store: Path, length: int, *, cut: bool = False) -> None:
    """Make room for `length` samples; with `cut`, for no more than those."""
    for _, array in _sample_arrays(store):
        if array.shape[0] < length or (cut and array.shape[0] > length):
            array.resize((length, *array.shape[1:]))


def write(store: Path, ds: xr.Dataset, *, start: int, chunk_size: int) -> list[str]:
    """Write a chunk's samples in their place, text left out; return the files, by their paths below the store."""
    files = []
    for name, array in _sample_arrays(store):
        variable = ds[name].variable
        if is_text(variable):
            continue
        packed = variable.copy(deep=False)
        packed.encoding = _time_encoding(variable)
        array[start : start + variable.sizes["sample"]] = xr.conventions.encode_cf_variable(packed, name=name).values
        files.append(_file(name, start // chunk_size, variable.ndim))
    return files


def write_text(store: Path, name: str, pieces: Iterable[np.ndarray], *, width: int, length: int) -> list[str]:
    """Write the text of all samples, `width` characters wide; return the files."""
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):
        group = _group(store)
        narrow: Any = group[name]
        array = group.create_array(
            name,
            shape=(length, *narrow.shape[1:]),
            chunks=narrow.chunks,
            dtype=f"<U{max(width, 1)}",
            fill_value="",
            attributes=dict(narrow.attrs),
            overwrite=True,
        )
        start, files = 0, []
        for number, values in enumerate(pieces):
            array[start : start + len(values)] = values
            start += len(values)
            files.append(_file(name, number, values.ndim))
    return files


def _file(name: str, number: int, ndim: int) -> str:
    # Along the other dims there is one chunk.
    return f"{name}/{number}" + ".0" * (ndim - 1)


def _sample_arrays(store: Path) -> list[tuple[str, Any]]:
    import zarr

    # A chunk of nothing but zeros is a file too, so that a file that is missing is one that was lost.
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = _group(store)
        return [(name, array) for name, array in sorted(group.arrays()) if "sample" in _dims(array)]


def set_attributes(store: Path, attrs: dict[str, Any]) -> None:
    """Set the attributes of the dataset."""
    _group(store).attrs.put({key: plain(value) for key, value in attrs.items()})


def read_labels(store: Path) -> np.ndarray:
    """Return the labels of all samples."""
    labels: Any = _group(store)["sample"]
    return np.asarray(labels[:])


def _group(store: Path) -> Any:
    """Open the arrays as they are, to read and to write."""
    import zarr

    return zarr.open_group(local_store(store), mode="r+", zarr_format=2)


def _dims(array: Any) -> list[str]:
    return list(array.attrs["_ARRAY_DIMENSIONS"])
