"""Data and factories of models for studies: functions of numpy, which train in no time."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

import attrkit


def data(count=60, steps=6, seed=0):
    """Return samples of two channels, whose class is the sign of the first at the last two timesteps."""
    rng = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        x = rng.standard_normal((count, steps, 2))
        sides.append((x, (x[:, -2:, 0].sum(axis=1) > 0).astype(int)))
    return sides


def features(x, y, seed):
    """Train the last layer of a net whose first is drawn."""
    kernel = np.random.default_rng(seed).standard_normal((x[0].size, 40)) / 4

    def hidden(x):
        return np.tanh(x.reshape(len(x), -1) @ kernel)

    last = np.linalg.lstsq(hidden(x), np.eye(2)[y], rcond=None)[0]
    return lambda x: hidden(x) @ last


def late(model, x, target):
    """Say that timesteps matter the more the later they are."""
    return np.broadcast_to(np.arange(x.shape[1], dtype=float), x.shape[:2])


ASK = {"show_progress": False, "seeds": [3, 1], "extractors": {"occlusion": "occlusion", "late": late}}


def slow(model, x, target):
    """Take a while, so that a study can be killed meanwhile."""
    time.sleep(0.03)
    return late(model, x, target)


def killable(store):
    """Do a study that takes some seconds."""
    asked = {"extractors": {f"slow_{number}": slow for number in range(8)}, "tests": ["agreement", "seed_variance"]}
    return attrkit.study(features, data(), store=store, show_progress=False, seeds=range(3), gate=None, **asked)


def contents(store):
    """Return every file of a store; of what is noted of a step, only what another run of it has too."""
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            attrs = json.loads(raw) if path.name == ".zattrs" else {}
            if "attrkit_step" in attrs:
                record = json.loads(attrs["attrkit_step"])
                del record["seconds"], record["finished_at"], record["of_the_run"]
                raw = json.dumps({**attrs, "attrkit_step": record}, sort_keys=True).encode()
            found[path.relative_to(store).as_posix()] = raw
    return found


def kill_often(store, times):
    """Do it in processes that are killed, each once it has written something, and in a last one; count the killed."""
    assert attrkit.study  # brings what it needs along, once for all processes
    rng, store, killed = np.random.default_rng(0), Path(store), 0
    while True:
        steps, process = _steps_in(store), os.fork()
        if not process:
            killable(store)
            os._exit(0)
        if killed < times:
            while _steps_in(store) == steps:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.15))
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            return killed
        killed += 1


def _steps_in(store):
    return len([*store.glob("seeds/*/*"), *store.glob("seeds/*/extractors/*")])
