"""A function to explain, and what two stores of one question have in common."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import numpy as np

OF_THE_RUN = ("created_at", "seconds", "process_peak_memory_mib")
WEIGHTS = np.array([1.0, 2.0, -1.0])


def model(x):
    """A function of numpy with two outputs, without a gradient."""
    hidden = np.tanh(x)
    return np.stack([hidden.mean(axis=1) @ WEIGHTS, (hidden[:, -1] ** 2) @ WEIGHTS], axis=1)


def inputs(count=50, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 6, 3)).astype("float32")


def alike(ds):
    """Return a dataset in memory, without what another run of the same question has otherwise."""
    ds = ds.load().copy()
    ds.attrs = {key: value for key, value in ds.attrs.items() if key not in OF_THE_RUN}
    return ds


def contents(store):
    """Return the SHA-256 of every file of a store by its path; of the manifest, of what is the question's alone."""
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            if path.name == ".attrkit.json":
                manifest = json.loads(raw)["manifest"]
                # Predictions by which the model is known again may differ in the last digit.
                del manifest["run"], manifest["created_at"], manifest["prediction"]
                for chunk in manifest["chunks"]:
                    del chunk["seconds"]
                raw = json.dumps(manifest, sort_keys=True).encode()
            found[path.relative_to(store).as_posix()] = hashlib.sha256(raw).hexdigest()
    return found


def kill_after(code, folder, markers, *, delay=0.0):
    """Run Python code until so many chunks are done, and then kill it; return whether it was still at work."""
    process = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 120
    while process.poll() is None and len(list(folder.glob("done/*.json"))) < markers:
        assert time.monotonic() < end, "the process does nothing"
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL
