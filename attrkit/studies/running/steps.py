"""The folder of a study: one group of zarr a step, there whole or not at all, and known by what it depends on."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xarray as xr

from attrkit.errors import AttrkitWarning, MissingDependencyError, RefusedError, StoreError
from attrkit.migrations import migrate
from attrkit.store import ZARR, as_path, harmless, local_store
from attrkit.streaming.chunk import OF_THE_RUN
from attrkit.streaming.records import read_record, write_record

STEP = "attrkit_step"
"""Attribute of a group: JSON of what the step depends on, when it was done and how long that took."""

REFUSED = "refused"
"""Attribute of a step that was refused: why."""

_STUDY = "attrkit_study"
_PART = ".part-"


class StudyStore:
    """A folder of zarr to which steps are added.

    A step is written to a folder of its own beside the others, and gets its name in one move. What interrupts leaves a
    part, which the next study on this store removes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, key: str) -> xr.Dataset | None:
        """Return what a step has found, if it was done for the same key."""
        record = self.record(name)
        return self.open(name) if record is not None and record["key"] == key else None

    def record(self, name: str) -> dict[str, Any] | None:
        """Return what is noted of a step; None if it was not done."""
        attrs = read_record(self.path / name / ".zattrs")
        found = None if attrs is None else attrs.get(STEP)
        return None if found is None else dict(json.loads(found))

    def open(self, name: str) -> xr.Dataset:
        """Return what a step has found, in memory."""
        with xr.open_dataset(**harmless(self.path / name, "zarr")) as opened:
            ds = opened.load()
        ds.attrs.pop(STEP)
        return migrate(ds)

    def write(self, name: str, ds: xr.Dataset, record: dict[str, Any]) -> None:
        """Write what a step has found in the place of what is there."""
        # What another run of the same step has otherwise goes into the record, so that all else can be compared.
        of_the_run = {key: ds.attrs[key] for key in OF_THE_RUN if key in ds.attrs}
        ds = ds.assign_attrs({STEP: json.dumps({**record, "of_the_run": of_the_run})})
        ds.attrs = {key: value for key, value in ds.attrs.items() if key not in of_the_run}
        for variable in ds.variables.values():
            # Files that were read have encodings, which are not what is studied.
            variable.encoding = {}
        # What is described is no longer what is here, until the study that writes is through.
        self.describe({})
        with self._part() as part:
            ds.to_zarr(local_store(part / "step"), consolidated=False, zarr_format=2)
            target = self.path / name
            self._make_groups(target.parent)
            if target.exists():
                target.rename(part / "replaced")
            (part / "step").rename(target)

    def describe(self, record: dict[str, Any]) -> None:
        """Note what is studied here."""
        self._note(self.path / ".zattrs", {_STUDY: json.dumps(record)})

    def description(self) -> dict[str, Any]:
        """Return what is studied here."""
        return dict(json.loads((read_record(self.path / ".zattrs") or {})[_STUDY]))

    @contextmanager
    def _part(self) -> Iterator[Path]:
        part = Path(tempfile.mkdtemp(prefix=f"{_PART}{platform.node()}-{os.getpid()}-", dir=self.path))
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _note(self, path: Path, record: dict[str, Any]) -> None:
        """Write a record by way of a part, so that what is left of it when it is killed is removed as others are."""
        with self._part() as part:
            write_record(part / path.name, record)
            (part / path.name).replace(path)

    def _make_groups(self, folder: Path) -> None:
        """Make folders between the store and a step groups of zarr, so that the whole store is one tree."""
        if folder != self.path:
            self._make_groups(folder.parent)
        folder.mkdir(exist_ok=True)
        if not (folder / ".zgroup").exists():
            self._note(folder / ".zgroup", {"zarr_format": 2})


def begin_store(path: str | Path) -> StudyStore:
    """Open the store of a study, or make a new one; remove what a killed process has left unfinished.

    Raises
    ------
    StoreError
        If there is something else.
    """
    folder = as_path(path).absolute()
    if folder.suffix not in ZARR:
        raise StoreError(f"{folder} ends in {folder.suffix!r}; a study is a folder in {ZARR[0]}")
    for part in folder.glob(f"{_PART}{platform.node()}-*"):
        if not _lives(int(part.name.removeprefix(f"{_PART}{platform.node()}-").split("-")[0])):
            shutil.rmtree(part, ignore_errors=True)
    if folder.exists() and any(folder.iterdir()) and not is_study(folder):
        raise StoreError(f"{folder} is there and is no study; choose another store, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    if not is_study(folder):
        # First, so that a process that is killed just then leaves a study.
        StudyStore(folder).describe({})
    StudyStore(folder)._make_groups(folder)
    return StudyStore(folder)


def is_study(path: Path) -> bool:
    """Whether a folder is the store of a study."""
    return path.is_dir() and _STUDY in (read_record(path / ".zattrs") or {})


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Steps:
    """Steps of a study, in the order in which they are done.

    Attributes
    ----------
    done : list of str
        Names of the steps that this study consists of.
    """

    def __init__(self, store: StudyStore, shared: Any, advance: Callable[[str], None]) -> None:
        self.store, self._shared, self._advance = store, shared, advance
        self.done: list[str] = []

    def key(self, name: str, depends: Any) -> str:
        """Return by what a step is known: the SHA-256 of its name and all that it depends on."""
        text = json.dumps([name, self._shared, depends], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def run(
        self, name: str, depends: Any, make: Callable[[], xr.Dataset], *, needed: bool = False
    ) -> tuple[xr.Dataset, str]:
        """Return what a step has found, and its key; do it, if it was not done before.

        What is refused by name is a finding too, and the attribute ``refused`` says why; of a step that is `needed`, it
        ends the study.
        """
        key = self.key(name, depends)
        self._advance(name)
        ds = self.store.read(name, key)
        if ds is None:
            started = time.perf_counter()
            again = False
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", AttrkitWarning)
                try:
                    ds = make()
                except (RefusedError, MissingDependencyError) as err:
                    if needed:
                        raise
                    ds = xr.Dataset(attrs={REFUSED: str(err)})
                    # A package may be there next time; a refusal follows from the question.
                    again = isinstance(err, MissingDependencyError)
            record = {
                "key": "" if again else key,
                "warnings": _ours(caught),
                "seconds": round(time.perf_counter() - started, 3),
                "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            self.store.write(name, ds, record)
            # As it is read when a study goes on, so that what follows from it is the same.
            ds = self.store.open(name)
        self.done.append(name)
        return ds, key


def _ours(caught: list[warnings.WarningMessage]) -> list[list[str]]:
    """Return our warnings, which are said when all is done, and hand on those of others."""
    for found in caught:
        if not issubclass(found.category, AttrkitWarning):
            warnings.warn_explicit(found.message, found.category, found.filename, found.lineno)
    ours = [found for found in caught if issubclass(found.category, AttrkitWarning)]
    return [[found.category.__name__, " ".join(str(found.message).split())] for found in ours]


def was_refused(ds: xr.Dataset) -> bool:
    """Whether a step was refused."""
    return REFUSED in ds.attrs
