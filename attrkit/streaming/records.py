"""What is noted beside the data: small JSON files that are there whole or not at all, and checksums of others."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrkit.errors import StoreError

MANIFEST = "sample/.attrkit.json"
"""Where a finished store keeps its manifest. Beside the arrays, zarr would take it for a broken one and warn."""


def write_record(path: Path, record: Any) -> None:
    """Write JSON so that, whatever happens meanwhile, the file is the old one or the new one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    on_disk(path.parent)


def read_record(path: Path) -> Any:
    """Return what `write_record` wrote; None if there is nothing."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as err:
        raise StoreError(f"{path} is damaged: {err}; delete the folder {path.parent} and run again") from err


def on_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk itself."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders.
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksums(root: Path, files: Iterable[str]) -> dict[str, list[Any]]:
    """Return size and SHA-256 of files, by their paths below a folder, when they are on the disk."""
    found = {}
    for name in sorted(files):
        on_disk(root / name)
        with (root / name).open("rb") as file:
            found[name] = [os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    return found


def faults_of(root: Path, files: dict[str, list[Any]], *, contents: bool) -> list[str]:
    """Say what is wrong with files that `checksums` has seen: missing, of another size; with `contents`, changed."""
    found = []
    for name, (size, digest) in files.items():
        try:
            now = (root / name).stat().st_size
        except FileNotFoundError:
            found.append(f"{name} is missing")
            continue
        if now != size:
            found.append(f"{name} has {now} bytes, {size} were written")
        elif contents:
            with (root / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    found.append(f"{name} has changed since it was written")
    return found


def write_manifest(store: Path, manifest: dict[str, Any]) -> None:
    """Note what a finished store consists of, with a checksum of the note itself."""
    write_record(store / MANIFEST, {"sha256": _digest(manifest), "manifest": manifest})


def check_streamed(store: Path, *, contents: bool) -> dict[str, Any] | None:
    """Return the manifest of a streamed store, after a look at its files; None for a store that was saved whole.

    Zarr reads a chunk whose file is missing as zeros. So every file must be there and have its size; with `contents`,
    its checksum too.
    """
    record = read_record(store / MANIFEST)
    if record is None:
        return None
    try:
        # The first streamed stores have a manifest without a checksum.
        manifest = record if "files" in record else record["manifest"]
        if manifest is not record and record["sha256"] != _digest(manifest):
            raise ValueError("it holds something else than was written")
        files = dict(manifest["files"])
        for chunk in manifest["chunks"]:
            files |= chunk["files"]
        found = faults_of(store, files, contents=contents)
    except (TypeError, KeyError, ValueError, AttributeError) as err:
        raise StoreError(f"{store / MANIFEST} is damaged: {err}. Delete {store} and run again") from err
    if found:
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        raise StoreError(f"{store} is damaged: {'; '.join(found[:3])}{more}. Delete it and run again")
    return dict(manifest)


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
