"""What a user passes as inputs, by samples: in memory, read a piece at a time, or handed over in batches."""

import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.errors import InputError
from attrkit.explained import Explained, explain_inputs
from attrkit.inputs import DIMS, SYNONYMS, rename_synonyms
from attrkit.streaming.samples import joined, numbered, samples_of

PEEKED = 4
"""Samples that are looked at before the work begins."""


@dataclass(frozen=True)
class Unread:
    """Some samples that are still where they are kept: on a disk, behind a graph of dask.

    Attributes
    ----------
    read : callable
        Reads them: returns what `attrkit.extract` takes.
    first : int or None
        Number of the first, where samples have no labels of their own.
    explain : list of str or None
        The inputs to explain; None to find those that can be.
    """

    read: Callable[[], Any]
    first: int | None
    explain: Any


@dataclass(frozen=True)
class Source:
    """Where samples come from.

    Attributes
    ----------
    peek : Explained
        The first samples, a few.
    count : int or None
        How many there are; None if that is known at the end only.
    labels : ndarray or None
        Their labels, as far as they are known without reading.
    pieces : callable
        Maps a number of samples to an iterator of as many samples at a time.
    """

    peek: Explained
    count: int | None
    labels: np.ndarray | None
    pieces: Callable[[int], Iterator[Explained | Unread]]


def source_of(adapter: Adapter, inputs: Any, explain: Any) -> Source:
    """Find out where samples come from.

    Raises
    ------
    InputError
        If inputs do not fit the model, or cannot be read by samples.
    """
    if isinstance(inputs, Iterator):
        return _from_batches(adapter, inputs, explain)
    parts = _parts_of(inputs)
    if not any(_is_lazy(part) for part in parts.values()):
        return _from_memory(explain_inputs(adapter, inputs, explain))
    if isinstance(inputs, list) or (isinstance(inputs, tuple) and len(adapter.inputs) == 1):
        raise InputError(
            f"a {type(inputs).__name__} of {len(inputs)} arrays that are not in memory came for one input; give one "
            "array with samples first, or an iterator of batches"
        )
    return _from_disk(adapter, inputs, parts, explain)


def read_samples(adapter: Adapter, samples: Explained | Unread) -> Explained:
    """Bring some samples to memory, labelled."""
    if isinstance(samples, Explained):
        return samples
    explained = explain_inputs(adapter, samples.read(), samples.explain)
    return explained if samples.first is None else numbered(explained, samples.first)


def _from_memory(explained: Explained) -> Source:
    count = len(explained.main)

    def pieces(size: int) -> Iterator[Explained]:
        for start in range(0, count, size):
            yield samples_of(explained, start, min(start + size, count))

    return Source(samples_of(explained, 0, PEEKED), count, explained.main["sample"].values, pieces)


# ---- what is read a piece at a time ---------------------------------------------------------------------------


def _parts_of(inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, xr.Dataset):
        return {"": inputs["input"]} if "input" in inputs else {"": inputs}
    if isinstance(inputs, Mapping):
        return {str(name): part for name, part in inputs.items()}
    return {str(i): part for i, part in enumerate(inputs)} if isinstance(inputs, list | tuple) else {"": inputs}


def _is_lazy(part: Any) -> bool:
    if isinstance(part, xr.DataArray):
        return not part.variable._in_memory
    if isinstance(part, np.memmap):
        return True
    # Arrays of zarr, dask and HDF5 are known by their chunks; tensors and tables have none.
    return hasattr(part, "chunks") and hasattr(part, "shape") and hasattr(part, "__getitem__")


def _from_disk(adapter: Adapter, inputs: Any, parts: dict[str, Any], explain: Any) -> Source:
    counts = {name or "inputs": _sample_count(part) for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"inputs differ in their samples: {counts}; give each one the same")
    count = next(iter(counts.values()))
    if not count:
        raise InputError("inputs are empty: there are no samples")
    owned = [own for own in map(_labels_of, parts.values()) if own is not None]
    labels = owned[0] if owned else np.arange(count)
    if len(set(labels.tolist())) < count:
        raise InputError(f"labels of sample repeat: {labels.tolist()[:8]}; every sample needs a label of its own")

    def piece(start: int, stop: int, explain: Any) -> Unread:
        readers = {name: _reader(part, start, stop) for name, part in parts.items()}
        # A Dataset of attrkit's is its variable ``input`` here, with the mask beside it.
        masks = inputs["mask"] if isinstance(inputs, xr.Dataset) and "mask" in inputs else None
        mask = None if masks is None else _reader(masks, start, stop)
        several = not isinstance(inputs, xr.Dataset) and isinstance(inputs, Mapping | tuple)
        kind = (tuple if isinstance(inputs, tuple) else dict) if several else None
        return Unread(partial(_read_parts, readers, mask, kind), None if owned else start, explain)

    peek = read_samples(adapter, piece(0, min(PEEKED, count), explain))
    # What can be explained is settled once.
    names = list(peek.inputs)

    def pieces(size: int) -> Iterator[Unread]:
        for start in range(0, count, size):
            yield piece(start, min(start + size, count), names)

    return Source(peek, count, labels, pieces)


def _sample_dim(array: xr.DataArray) -> str:
    known = [str(dim) for dim in array.dims if dim == DIMS[0] or SYNONYMS.get(str(dim)) == DIMS[0]]
    if len(known) != 1:
        raise InputError(f"the DataArray has dims {array.dims}; one of them must be 'sample'")
    return known[0]


def _sample_count(part: Any) -> int:
    if isinstance(part, xr.DataArray):
        return int(part.sizes[_sample_dim(part)])
    shape = part.shape if hasattr(part, "shape") else np.shape(part)
    if not shape:
        raise InputError(f"got a {type(part).__name__} without axes; accepted are arrays with samples first")
    return int(shape[0])


def _labels_of(part: Any) -> np.ndarray | None:
    if not isinstance(part, xr.DataArray):
        return None
    named = rename_synonyms(part)
    return np.asarray(named["sample"].values) if "sample" in named.coords else None


def _reader(part: Any, start: int, stop: int) -> Callable[[], Any]:
    """Return what reads some samples of one input, in another process too."""
    if isinstance(part, xr.DataArray):
        return partial(_read_labelled, _culled(part.isel({_sample_dim(part): slice(start, stop)})))
    if isinstance(part, np.memmap) and isinstance(part.base, mmap.mmap) and part.flags.c_contiguous:
        # Not the array itself: another process would be sent all that it holds.
        return partial(_read_file, part.filename, part.dtype, part.offset, part.shape, start, stop)
    if hasattr(part, "dask"):
        return partial(_computed, _culled(part[start:stop]))
    if type(part).__module__.startswith("zarr."):
        return partial(_read_rows, part, start, stop)
    # A view of a file, HDF5, or an array in memory beside lazy ones: read here, and sent.
    return partial(_same, np.array(part[start:stop]) if _is_lazy(part) else part[start:stop])


def _culled(lazy: Any) -> Any:
    """Leave out of a graph of dask what other samples are made of."""
    if not hasattr(lazy, "__dask_graph__") or lazy.__dask_graph__() is None:
        return lazy
    import dask

    return dask.optimize(lazy)[0]


def _computed(lazy: Any) -> Any:
    # In threads of this process: a worker that waits for its own cluster may wait for ever.
    return lazy.compute(scheduler="threads")


def _read_labelled(array: xr.DataArray) -> xr.DataArray:
    # A new array: loaded in place, the slice would stay in memory as long as what reads it.
    return array.compute(**({} if array.chunks is None else {"scheduler": "threads"}))


def _read_file(path: Any, dtype: Any, offset: int, shape: Any, start: int, stop: int) -> np.ndarray:
    whole = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
    return np.array(whole[start:stop])


def _read_rows(array: Any, start: int, stop: int) -> np.ndarray:
    return np.asarray(array[start:stop])


def _same(values: Any) -> Any:
    return values


def _read_parts(readers: dict[str, Callable[[], Any]], mask: Any, kind: type | None) -> Any:
    found = {name: read() for name, read in readers.items()}
    if kind is None:
        (values,) = found.values()
        return values if mask is None else values.assign_coords(mask=mask().variable)
    return tuple(found.values()) if kind is tuple else found


# ---- what is handed over in batches ---------------------------------------------------------------------------


def _from_batches(adapter: Adapter, batches: Iterator[Any], explain: Any) -> Source:
    stream = _labelled_batches(adapter, batches, explain)
    held: list[Explained] = []
    for batch in stream:
        held.append(batch)
        if sum(len(part.main) for part in held) >= PEEKED:
            break
    if not held:
        raise InputError("the iterator of inputs gave no batch; a generator that was used up gives nothing again")

    def pieces(size: int) -> Iterator[Explained]:
        return _in_pieces(chain(held, stream), size)

    return Source(samples_of(joined(held), 0, PEEKED), None, None, pieces)


def _labelled_batches(adapter: Adapter, batches: Iterator[Any], explain: Any) -> Iterator[Explained]:
    first, seen = 0, explain
    for number, batch in enumerate(batches):
        try:
            explained = explain_inputs(adapter, batch, seen)
        except InputError as err:
            raise InputError(f"batch {number}, whose first sample is number {first}: {err}") from err
        seen = list(explained.inputs)
        counted = np.array_equal(explained.main["sample"].values, np.arange(len(explained.main)))
        yield numbered(explained, first) if counted else explained
        first += len(explained.main)


def _in_pieces(batches: Iterator[Explained], size: int) -> Iterator[Explained]:
    held: list[Explained] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch.main)
        if count < size:
            continue
        whole = joined(held)
        for start in range(0, count - size + 1, size):
            yield samples_of(whole, start, start + size)
        rest = count % size
        held, count = ([samples_of(whole, count - rest, count)] if rest else []), rest
    if held:
        yield joined(held)
