"""The worker process: started with the first question, asked one question at a time, started again if it has died."""

import atexit
import os
import shlex
import signal
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrkit.engines.innvestigate import worker
from attrkit.errors import EngineError, InputError, MissingDependencyError, RefusedError

PYTHON = "ATTRKIT_INNVESTIGATE_PYTHON"
"""Environment variable: the interpreter that the worker runs in, if not the one that asks."""

START = 300.0
"""Seconds that the worker may take to import TensorFlow."""


class Worker:
    """A process with iNNvestigate in it, and the channel to it."""

    def __init__(self) -> None:
        try:
            import execnet
        except ImportError as err:
            raise MissingDependencyError(f"execnet is needed to run innvestigate: {_INSTALL}") from err
        self.timed_out = execnet.gateway_base.TimeoutError
        self.python = interpreter()
        # What it prints goes to a file, and comes back if it dies.
        log, name = tempfile.mkstemp(prefix="attrkit-innvestigate-", suffix=".log")
        os.close(log)
        self.log = Path(name)
        self.pid = 0
        self.group = execnet.Group()
        environment = "//env:TF_USE_LEGACY_KERAS=1//env:TF_CPP_MIN_LOG_LEVEL=3"
        self.gateway = self.group.makegateway(f"popen//python={shlex.quote(self.python)}{environment}")
        self.channel = self.gateway.remote_exec(worker)
        self.channel.send({"log": str(self.log), "sys_path": _own_paths()})
        _, self.pid = self._received(START)
        kind, found = self._received(START)
        if kind == "failed":
            self.stop()
            raise MissingDependencyError(f"innvestigate cannot be used in {self.python} ({found}): {_INSTALL}")
        self.versions: Mapping[str, Any] = found

    def ask(self, question: Mapping[str, Any], timeout: float) -> Any:
        """Return the answer to a question.

        Raises
        ------
        RefusedError
            If what is asked cannot be analysed.
        InputError
            If the analyzer does not take its options.
        EngineError
            If it fails, takes longer than `timeout` seconds, or the process dies; it is started again when asked next.
        """
        try:
            self.channel.send(dict(question))
        except OSError as err:
            raise self._died() from err
        kind, found = self._received(timeout)
        if kind == "refused":
            raise RefusedError(found)
        if kind == "wrong option":
            raise InputError(found)
        if kind == "failed":
            raise EngineError(f"innvestigate failed: {found}")
        return found

    def _received(self, timeout: float) -> Any:
        try:
            return self.channel.receive(timeout)
        except self.timed_out:
            self.stop()
            raise EngineError(
                f"innvestigate did not answer within {timeout:g} s, and was stopped; pass timeout= for more"
            ) from None
        except EOFError:
            raise self._died() from None
        except BaseException:
            # Interrupted: what it answers later would be taken for the answer to the next question.
            self.stop()
            raise

    def _died(self) -> EngineError:
        last = self.log.read_text(errors="replace").strip().splitlines()[-3:] if self.log.exists() else []
        self.stop()
        return EngineError("; ".join(["innvestigate's process has died, and is started again when asked next", *last]))

    def stop(self) -> None:
        """End the process, at once."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self.group.terminate(timeout=1.0)
        self.log.unlink(missing_ok=True)
        _running.pop("worker", None)


_running: dict[str, Worker] = {}
_LOCK = threading.RLock()
_INSTALL = (
    "pip install 'attrkit[innvestigate]' on Python 3.11 or older, or name an interpreter that has it: "
    f"{PYTHON}=/path/to/python"
)


def interpreter() -> str:
    """Return the interpreter that the worker runs in."""
    return os.environ.get(PYTHON) or sys.executable


def ask(question: Mapping[str, Any], *, timeout: float) -> Any:
    """Ask the worker, which is started if none runs."""
    with _LOCK:
        return running().ask(question, timeout)


def running() -> Worker:
    """Return the worker that runs, started if none does, or one of another interpreter."""
    with _LOCK:
        found = _running.get("worker")
        if found is not None and found.python != interpreter():
            found.stop()
            found = None
        if found is None:
            found = _running["worker"] = Worker()
        return found


def stop() -> None:
    """End the worker, if one runs."""
    with _LOCK:
        found = _running.get("worker")
        if found is not None:
            found.stop()


atexit.register(stop)


def _own_paths() -> list[str]:
    """Return where the user's modules are, without the packages of this interpreter, which may not be the worker's."""
    packages = {str(Path(path).resolve()) for path in sysconfig.get_paths().values()}
    found = [str(Path(path or os.curdir).resolve()) for path in sys.path]
    return [path for path in found if not any(path.startswith(package) for package in packages)]
