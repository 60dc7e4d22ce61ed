"""The last steps of a run: what is known at the end only, the manifest, the name."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attrkit.errors import StoreError
from attrkit.streaming.chunk import DATA, OF_THE_RUN, text_path
from attrkit.streaming.records import MANIFEST, checksums, faults_of, on_disk, write_manifest
from attrkit.streaming.regions import grow, read_labels, set_attributes, write_text


def finish(folder: Path, target: Path, markers: Sequence[dict[str, Any]], record: Mapping[str, Any]) -> None:
    """Complete the arrays of `folder` and give them their name; may be stopped anywhere, and called again."""
    store, length = folder / DATA, markers[-1]["stop"]
    # What was stopped while it wrote has left pieces of files.
    for path in [*store.rglob("*.partial"), *store.rglob("*.part")]:
        path.unlink()
    grow(store, length, cut=True)
    texts: dict[int, list[str]] = {number: [] for number in range(len(markers))}
    for name in markers[0]["text"]:
        width = max(marker["text"][name] for marker in markers)
        for number, file in enumerate(
            write_text(store, name, _text_of(folder, name, len(markers)), width=width, length=length)
        ):
            texts[number].append(file)
    _check_labels(store)
    attrs, of_the_run = _attributes(markers)
    set_attributes(store, attrs)
    chunks = [
        {
            **{key: marker[key] for key in ("start", "stop", "inputs", "warnings")},
            "seconds": marker["attrs"].get("seconds"),
            "files": {**marker["files"], **checksums(store, texts[number])},
        }
        for number, marker in enumerate(markers)
    ]
    of_chunks = {name for chunk in chunks for name in chunk["files"]}
    found = [fault for chunk in chunks for fault in faults_of(store, chunk["files"], contents=False)]
    if found:
        raise StoreError(f"{folder} is damaged: {'; '.join(found[:3])}; run again")
    every = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    manifest = {
        **record,
        "run": {"created_at": record["created_at"], **of_the_run},
        "chunks": chunks,
        "files": checksums(store, every - of_chunks - {MANIFEST}),
    }
    write_manifest(store, manifest)
    for path in [store, *store.iterdir()]:
        if path.is_dir():
            on_disk(path)
    store.rename(target)
    on_disk(target.parent)
    shutil.rmtree(folder)


def _text_of(folder: Path, name: str, count: int) -> Iterator[np.ndarray]:
    for number in range(count):
        with np.load(text_path(folder, number), allow_pickle=False) as held:
            yield held[name]


def _check_labels(store: Path) -> None:
    values, counts = np.unique(read_labels(store), return_counts=True)
    if len(values) and counts.max() > 1:
        raise StoreError(
            f"{int((counts > 1).sum())} labels of sample came more than once, {values[counts.argmax()]!r} for one; "
            "every sample needs a label of its own"
        )


def _attributes(markers: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of the whole, and apart from them those that another run has otherwise."""
    found: dict[str, list[Any]] = {}
    for marker in markers:
        for key, value in marker["attrs"].items():
            found.setdefault(key, []).append(value)
    of_the_run = {
        "seconds": round(sum(found.get("seconds", [])), 3),
        "process_peak_memory_mib": max(found.get("process_peak_memory_mib", [0.0])),
    }
    attrs: dict[str, Any] = {}
    for key, values in found.items():
        if key in OF_THE_RUN:
            continue
        distinct = list(dict.fromkeys(values))
        if key.endswith("_evaluations"):
            attrs[key] = sum(values)
        elif len(distinct) == 1:
            attrs[key] = distinct[0]
        else:
            attrs[key] = "one a sample" if key == "target" else ", ".join(map(str, distinct[:8]))
    return attrs, of_the_run
