"""The way through: what was done before, the chunks that are left, the finished store."""

import copy
import datetime
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attrkit import errors
from attrkit.adapters import adapt
from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import difference_of
from attrkit.checks import flag, whole_number
from attrkit.errors import StoreError
from attrkit.explained import Explained
from attrkit.methods import find_method, method_names
from attrkit.models import load_model
from attrkit.progress import progress_bar
from attrkit.question import Asked
from attrkit.store import ZARR, as_path, load
from attrkit.streaming.by_sample import check_by_sample, check_independent
from attrkit.streaming.chunk import DATA, Chunk, Job, explain, naming_samples, predictions_of, run_chunk
from attrkit.streaming.cluster import check_client, file_of, spread
from attrkit.streaming.finish import finish
from attrkit.streaming.identity import (
    describe_asked,
    describe_inputs,
    describe_model,
    describe_value,
    differences,
    inputs_digest,
    versions,
)
from attrkit.streaming.means import mean_of
from attrkit.streaming.records import check_streamed, read_record, write_record
from attrkit.streaming.regions import grow
from attrkit.streaming.samples import asked_of, check_lengths
from attrkit.streaming.sources import Source, read_samples, source_of

AIM, MOST = 64 * 2**20, 256 * 2**20
"""Bytes of results that a chunk should have, and those beyond which even a batch is too many samples."""


def stream(
    model: Any,
    inputs: Any,
    method: str | Callable[..., Any],
    options: dict[str, Any],
    asked: Asked,
    *,
    store: str | Path,
    chunk_size: int | None,
    client: Any,
    batch_size: int | None,
    show_progress: bool,
    explained: str | Sequence[str] | None,
) -> xr.Dataset:
    """Explain chunk by chunk into a zarr folder; go on where an earlier call stopped."""
    target = _target(store)
    flag(show_progress, "show_progress")
    if client is not None:
        check_client(client)
    if chunk_size is not None:
        whole_number(chunk_size, "chunk_size", least=1)
    adapter = copy.copy(adapt(load_model(model) if isinstance(model, str | Path) else model))
    name, function = find_method(method)
    check_by_sample(name, options)
    source = source_of(adapter, inputs, explained)
    if source.count is not None:
        check_lengths(asked, source.peek, source.count)
    few = asked_of(asked, 0, source.peek.main["sample"].values, source.peek)
    question = {
        "method": name if isinstance(method, str) else describe_value(method),
        "options": describe_value(options),
        "asked": describe_asked(asked),
        "batch_size": batch_size,
        "inputs": describe_inputs(source.peek, source.count, source.labels),
        "model": describe_model(adapter),
        "versions": {**versions(), **getattr(function, "provenance", {})},
    }
    with adapter.left_as_found():
        prediction = predictions_of(adapter, source.peek, few, batch_size)
    adapter.frozen = True
    folder = target.with_name(f"{target.name}.partial")
    if target.exists():
        record = check_streamed(target, contents=False)
        if record is None:
            raise StoreError(
                f"{target} exists already, and was not written chunk by chunk; delete it or choose another"
            )
        _check_same(record, question, chunk_size, prediction, adapter.precision, target)
        for chunk in _chunks(source, asked, record["chunk_size"]):
            _check_inputs(adapter, chunk, record["chunks"])
        shutil.rmtree(folder, ignore_errors=True)
        _say(record["chunks"])
        return _opened(target)
    record = _begun(folder)
    if record is not None:
        _check_same(record, question, chunk_size, prediction, adapter.precision, folder)
    shared: dict[str, Any] = {"method": method, "options": options, "batch_size": batch_size, "count": source.count}
    job = Job(folder, chunk_size=1, baseline=None, **shared)
    if record is None:
        if name not in method_names():
            check_independent(adapter, job, source.peek, asked)
        size = chunk_size if chunk_size is not None else _fitting(adapter, job, source, few)
        record = {
            "question": question,
            "chunk_size": size,
            "prediction": prediction.tolist(),
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        write_record(folder / "run.json", record)
    text = None
    if isinstance(asked.baseline, str) and asked.baseline == "mean":
        means, text = mean_of(adapter, source, asked, chunk_size=record["chunk_size"])
        asked = asked._replace(baseline=means if len(means) > 1 else next(iter(means.values())))
    job = Job(folder, chunk_size=record["chunk_size"], baseline=text, **shared)
    chunks = _chunks(source, asked, job.chunk_size)
    done: Iterator[dict[str, Any]]
    if client is None:
        done = (run_chunk(adapter, job, chunk) for chunk in _with_room(chunks, job))
    else:
        file = file_of(model, adapter, folder, source.peek, few, prediction)
        done = spread(client, file, job, _with_room(chunks, job))
    with adapter.weights_held():
        markers = _watched(done, folder, name, source.count, show=show_progress)
    if source.count is None:
        check_lengths(asked, source.peek, markers[-1]["stop"])
    finish(folder, target, markers, record)
    _say(markers)
    return _opened(target)


def _target(store: str | Path) -> Path:
    target = as_path(store).absolute()
    if target.suffix not in ZARR:
        raise StoreError(f"{target} ends in {target.suffix!r}; what is written chunk by chunk is a folder in .zarr")
    return target


def _opened(target: Path) -> xr.Dataset:
    found = load(target, lazy=True)
    assert isinstance(found, xr.Dataset)
    return found


def _begun(folder: Path) -> dict[str, Any] | None:
    """Return what is noted of a run that was stopped; make the folder of a new one."""
    record = read_record(folder / "run.json")
    if record is None or not any((folder / "done").glob("*.json")):
        # Nothing was finished, so nothing is lost.
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("done", "text"):
            (folder / name).mkdir(parents=True)
        return None
    return dict(record)


def _check_same(
    record: Mapping[str, Any],
    question: dict[str, Any],
    chunk_size: int | None,
    prediction: np.ndarray,
    precision: float,
    path: Path,
) -> None:
    """Refuse to go on with what another question has begun."""
    found = differences(question, record["question"])
    if chunk_size not in (None, record["chunk_size"]):
        found.append(f"chunk_size is {chunk_size} now and was {record['chunk_size']}")
    known = np.array(record["prediction"])
    same_inputs = question["inputs"] == record["question"]["inputs"]
    if same_inputs and known.shape != prediction.shape:
        found.append(f"the model's outputs have shape {prediction.shape[1:]} now and had {known.shape[1:]}")
    elif same_inputs:
        scale, difference = difference_of(known, prediction)
        if not difference <= precision * scale:
            found.append(
                f"the model's predictions of the first samples differ by {difference:.3g} (largest {scale:.3g})"
            )
    if found:
        raise StoreError(
            f"{path} is the answer to another question: {'; '.join(found)}. Ask the same question to go on, delete it "
            "to begin anew, or choose another store"
        )


def _check_inputs(adapter: Adapter, chunk: Chunk, known: Sequence[Mapping[str, Any]]) -> None:
    with naming_samples(chunk):
        same = chunk.number < len(known) and known[chunk.number]["inputs"] == inputs_digest(
            read_samples(adapter, chunk.samples)
        )
        if not same:
            raise StoreError("the store is there, and is of other inputs; choose another store, or delete it")


def _fitting(adapter: Adapter, job: Job, source: Source, few: Asked) -> int:
    """Return how many samples a chunk of sensible size has."""
    ds, _ = explain(adapter, job, source.peek, few, 0)
    size = max(ds.nbytes // ds.sizes["sample"], 1)
    return int(min(max(AIM // size, min(64, MOST // size), 1), 2**16))


def _chunks(source: Source, asked: Asked, size: int) -> Iterator[Chunk]:
    start = 0
    for number, samples in enumerate(source.pieces(size)):
        own = samples.main["sample"].values if isinstance(samples, Explained) else None
        labels = own if source.labels is None else source.labels[start : start + size]
        assert labels is not None, "what is not read yet has labels that are known"
        stop = start + len(labels)
        yield Chunk(number, start, stop, samples, asked_of(asked, start, labels, source.peek))
        start = stop


def _with_room(chunks: Iterable[Chunk], job: Job) -> Iterator[Chunk]:
    """Lengthen the arrays before a chunk, where it was not known how long they become."""
    for chunk in chunks:
        if job.count is None and chunk.number and (job.folder / DATA).exists():
            grow(job.folder / DATA, chunk.stop)
        yield chunk


def _watched(
    done: Iterator[dict[str, Any]], folder: Path, name: str, count: int | None, *, show: bool
) -> list[dict[str, Any]]:
    """Return what is noted of all chunks, in order, under one bar."""
    before = {(mark["start"], mark["stop"]) for mark in map(read_record, (folder / "done").glob("*.json"))}
    held = sum(stop - start for start, stop in before)
    markers = []
    with progress_bar(count, initial=held, label=name, unit="sample", show=show) as bar:
        for marker in done:
            markers.append(marker)
            if (marker["start"], marker["stop"]) not in before:
                bar.update(marker["stop"] - marker["start"])
    return sorted(markers, key=lambda marker: int(marker["start"]))


def _say(markers: Sequence[Mapping[str, Any]]) -> None:
    """Warn once of what was warned of in chunks."""
    said: dict[tuple[str, str], list[tuple[Mapping[str, Any], str]]] = {}
    for marker in markers:
        for category, text in marker["warnings"]:
            said.setdefault((category, errors.without_numbers(text)), []).append((marker, text))
    for (category, _), found in said.items():
        first, text = found[0]
        chunks = len({marker["start"] for marker, _ in found})
        if len(markers) > 1:
            text = (
                f"in {chunks} of {len(markers)} chunks; of the first, samples {first['start']} to {first['stop'] - 1}: "
                f"{text}"
            )
        warnings.warn(text, getattr(errors, category, errors.AttrkitWarning), stacklevel=4)
