"""Chunks spread over the workers of a Dask cluster, which write into one folder that they all see."""

import hashlib
import pickle
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attrkit.adapters import adapt
from attrkit.adapters.base import Adapter
from attrkit.adapters.function import Function
from attrkit.adapters.outputs import check_same
from attrkit.errors import AttrkitError, InputError, RefusedError
from attrkit.explained import Explained
from attrkit.models import load_model
from attrkit.packages import needed
from attrkit.question import Asked
from attrkit.streaming.chunk import Chunk, Job, predictions_of, run_chunk
from attrkit.streaming.identity import digest_of

IN_FLIGHT = 2
"""Chunks that are handed out for each worker: one that it works on, one that waits for it."""

RETRIES = 2


@dataclass(frozen=True)
class ModelFile:
    """Where workers load the model from, and the predictions by which they know that it is the same.

    Attributes
    ----------
    path : Path
    key : tuple
        What tells this model from another, so that a worker loads it once.
    framework : str or None
        For a function: what it is made of.
    probe : Explained
        A few samples.
    asked : Asked
        What is asked of them.
    prediction : ndarray of shape (sample, output)
        What the model of the caller says of them.
    """

    path: Path
    key: tuple[Any, ...]
    framework: str | None
    probe: Explained
    asked: Asked
    prediction: np.ndarray


def file_of(
    model: Any, adapter: Adapter, folder: Path, probe: Explained, asked: Asked, prediction: np.ndarray
) -> ModelFile:
    """Return a file that workers can load the model from; one in memory is written to the run's folder.

    Raises
    ------
    RefusedError
        If the model can neither be saved nor pickled.
    """
    if isinstance(model, str | Path):
        path = Path(model).absolute()
        stamp = path.stat()
        key: tuple[Any, ...] = (path, stamp.st_mtime_ns, stamp.st_size)
        return ModelFile(path, key, None, probe, asked, prediction)
    own = adapter.model
    framework = None
    try:
        if hasattr(own, "to_json") and hasattr(own, "save"):
            path = folder / "model.keras"
            own.save(path)
            # Not of the file, which says when it was written.
            key = ("keras", own.to_json(), digest_of(*own.get_weights()))
        else:
            from distributed.protocol.pickle import dumps

            path, content = folder / "model.pickle", dumps(own)
            path.write_bytes(content)
            key = ("pickle", hashlib.sha256(content).hexdigest())
            framework = adapter.framework if isinstance(adapter, Function) else None
    except Exception as err:  # Models fail in their own ways where they cannot be written.
        raise RefusedError(
            f"the model, a {type(own).__name__}, cannot be written to a file for the workers: {err}; save it, and pass "
            "the path of the file instead"
        ) from err
    return ModelFile(path, key, framework, probe, asked, prediction)


def spread(client: Any, model: ModelFile, job: Job, chunks: Iterator[Chunk]) -> Iterator[dict[str, Any]]:
    """Yield what is noted of each chunk, as workers finish them.

    The first one is waited for, because it makes the arrays.
    """
    as_completed = check_client(client)
    run = uuid.uuid4().hex[:8]

    def submit(chunk: Chunk) -> Any:
        name = f"attrkit-{run}-{chunk.number}"
        return client.submit(_work, model, job, chunk, key=name, pure=False, retries=RETRIES)

    running: set[Any] = set()
    try:
        for chunk in chunks:
            running = {submit(chunk)}
            yield _result(next(iter(running)))
            break
        waiting = as_completed()
        running = set()
        for chunk in chunks:
            # Workers come and go.
            while len(running) >= IN_FLIGHT * max(len(client.nthreads()), 1):
                done = next(waiting)
                running.discard(done)
                yield _result(done)
            future = submit(chunk)
            running.add(future)
            waiting.add(future)
        for done in waiting:
            running.discard(done)
            yield _result(done)
    finally:
        client.cancel(list(running))


def check_client(client: Any) -> Any:
    """Return what waits for the tasks of a client; refuse what is no client of dask.distributed."""
    if not (hasattr(client, "submit") and hasattr(client, "nthreads")):
        raise InputError(f"client is a {type(client).__name__}; accepted is a dask.distributed.Client")
    return needed("distributed", "client=", extra="dask").as_completed


def _result(future: Any) -> dict[str, Any]:
    found = future.result()
    if isinstance(found, AttrkitError):
        raise found
    return dict(found)


# ---- in the worker --------------------------------------------------------------------------------------------

# A model has state, and is loaded once.
_WORKING = threading.Lock()
_LOADED: dict[Any, Adapter] = {}


def _work(model: ModelFile, job: Job, chunk: Chunk) -> Any:
    """Run one chunk; what attrkit refuses is returned, because it would be refused again."""
    with _WORKING:
        try:
            return run_chunk(_adapter_of(model, job), job, chunk)
        except AttrkitError as err:
            return err


def _adapter_of(model: ModelFile, job: Job) -> Adapter:
    key = (*model.key, digest_of(model.prediction))
    if key not in _LOADED:
        if model.path.suffix == ".pickle":
            # Of the run's own folder, where the caller has just written it.
            adapter = adapt(pickle.loads(model.path.read_bytes()), framework=model.framework)
        else:
            adapter = adapt(load_model(model.path))
        # What was pickled is this process's own, and nobody changes it.
        adapter.frozen = True
        found = predictions_of(adapter, model.probe, model.asked, job.batch_size)
        what = f"the model that a worker loaded from {model.path} predicts something else than yours,"
        check_same(model.prediction, found, adapter.precision, what)
        _LOADED.clear()
        _LOADED[key] = adapter
    return _LOADED[key]
