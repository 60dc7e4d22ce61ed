"""One chunk of samples: explained, written, marked as done."""

import copy
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.errors import AttrkitError, AttrkitWarning, StoreError
from attrkit.explained import Explained
from attrkit.question import Asked
from attrkit.run_method import run_method
from attrkit.streaming.identity import differences, inputs_digest
from attrkit.streaming.records import checksums, faults_of, on_disk, read_record, write_record
from attrkit.streaming.regions import by_sample, create, is_text, layout_of, plain, write
from attrkit.streaming.sources import Unread, read_samples

DATA = "data.zarr"
"""The arrays, in the folder of a run that is under way."""

LAYOUT = "layout.json"

OF_THE_RUN = ("created_at", "seconds", "process_peak_memory_mib")
"""Attributes that another run of the same question has otherwise: the manifest keeps them, not the arrays."""


@dataclass(frozen=True)
class Job:
    """What is the same for all chunks.

    Attributes
    ----------
    folder : Path
        Of the run that is under way.
    count : int or None
        Samples, where that is known.
    baseline : str or None
        What to record of a baseline that was found out beforehand.
    """

    folder: Path
    method: str | Callable[..., Any]
    options: dict[str, Any]
    batch_size: int | None
    chunk_size: int
    count: int | None
    baseline: str | None


@dataclass(frozen=True)
class Chunk:
    """Samples from number `start` to before `stop`, and what is asked of them."""

    number: int
    start: int
    stop: int
    samples: Explained | Unread
    asked: Asked


def marker_path(folder: Path, number: int) -> Path:
    """Return where it is noted that a chunk is done."""
    return folder / "done" / f"{number:08d}.json"


def text_path(folder: Path, number: int) -> Path:
    """Return where the text of a chunk waits for that of the others."""
    return folder / "text" / f"{number:08d}.npz"


def run_chunk(adapter: Adapter, job: Job, chunk: Chunk) -> dict[str, Any]:
    """Explain the samples of a chunk and write them, unless that is done; return what is noted of it.

    Raises
    ------
    StoreError
        If the chunk was done for other inputs, or does not go with the first one.
    AttrkitError
        As `attrkit.extract`, with the samples that it was about.
    """
    done = read_record(marker_path(job.folder, chunk.number))
    with naming_samples(chunk):
        explained = read_samples(adapter, chunk.samples)
        inputs = inputs_digest(explained)
        if done is not None and done["inputs"] != inputs:
            raise StoreError(
                f"the inputs are not those that were explained before; delete {job.folder} to begin anew, or give "
                "the same inputs"
            )
        if done is not None and not _damaged(job.folder, done):
            return dict(done)
        ds, said = explain(adapter, job, explained, chunk.asked, chunk.start)
        return _store(job, chunk, ds, said, inputs)


def explain(
    adapter: Adapter, job: Job, explained: Explained, asked: Asked, start: int
) -> tuple[xr.Dataset, list[tuple[str, str]]]:
    """Explain samples, the first of which is number `start`; return the dataset, and what was warned of."""
    own = copy.copy(adapter)
    own.first_sample = start
    with warnings.catch_warnings(record=True) as caught, own.left_as_found():
        warnings.simplefilter("always")
        ds = run_method(own, explained, job.method, job.options, asked, batch_size=job.batch_size, show_progress=False)
    if job.baseline is not None:
        ds.attrs["baseline"] = job.baseline
    ours = [warning for warning in caught if issubclass(warning.category, AttrkitWarning)]
    for warning in caught:
        if warning not in ours:
            # Of a library, which may warn in the first chunk of a process only.
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return ds, [(warning.category.__name__, str(warning.message)) for warning in ours]


def predictions_of(adapter: Adapter, explained: Explained, asked: Asked, batch_size: int | None) -> np.ndarray:
    """Return what the model says of some samples, as the question has it."""
    head = asked.target if callable(asked.target) else None
    question = explained.question(head=head, logits=asked.logits)
    return adapter.configured(batch_size=batch_size, question=question).predict(explained.parts())


def _store(job: Job, chunk: Chunk, ds: xr.Dataset, said: list[tuple[str, str]], inputs: str) -> dict[str, Any]:
    store, size = job.folder / DATA, ds.sizes["sample"]
    layout, known = layout_of(ds), read_record(job.folder / LAYOUT)
    if known is None:
        # What was stopped while it made the arrays.
        shutil.rmtree(store, ignore_errors=True)
        create(store, ds, chunk_size=job.chunk_size, length=job.count or size)
        write_record(job.folder / LAYOUT, layout)
    else:
        found = differences(layout, known)
        if found:
            raise StoreError(f"what was found differs from the first chunk: {'; '.join(found[:4])}")
    files = write(store, ds, start=chunk.start, chunk_size=job.chunk_size)
    text = {name: ds[name].values.astype(str) for name in by_sample(ds) if is_text(ds[name])}
    if text:
        with text_path(job.folder, chunk.number).open("wb") as file:
            np.savez(file, **text)  # type: ignore[arg-type]
    marker = {
        "start": chunk.start,
        "stop": chunk.start + size,
        "inputs": inputs,
        "files": checksums(store, files),
        "text": {name: values.dtype.itemsize // 4 for name, values in text.items()},
        "text_files": checksums(job.folder, [str(text_path(Path(), chunk.number))] if text else []),
        "attrs": {str(key): plain(value) for key, value in ds.attrs.items()},
        "warnings": said,
    }
    for folder in {(store / name).parent for name in files}:
        on_disk(folder)
    write_record(marker_path(job.folder, chunk.number), marker)
    return marker


def _damaged(folder: Path, done: dict[str, Any]) -> bool:
    return bool(
        faults_of(folder / DATA, done["files"], contents=True) or faults_of(folder, done["text_files"], contents=True)
    )


@contextmanager
def naming_samples(chunk: Chunk) -> Iterator[None]:
    """Say of an error which samples it is about."""
    where = f"samples {chunk.start} to {chunk.stop - 1} (chunk {chunk.number})"
    try:
        yield
    except AttrkitError as err:
        raise type(err)(f"{where}: {err}") from err
    except Exception as err:
        err.add_note(f"while attrkit explained {where}")
        raise
