"""Chunk by chunk beside all at once: samples a second, MiB a second, memory, and two worker processes beside one.

Run ``uv run python benchmarks/streaming.py``. The function of numpy is light, so that what is timed is the way to the
disk; the net is one of Keras. Each measurement of memory is a process of its own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.console import Console
from rich.table import Table

import attrkit

SHAPE = (100, 10)

PEAK = f"""
import resource, sys
import numpy as np
import attrkit

def mean(x):
    return x.mean(axis=(1, 2))

def batches(count):
    source = np.random.default_rng(0)
    for _ in range(0, count, 1000):
        yield source.standard_normal((1000, *{SHAPE})).astype("float32")

attrkit.extract(mean, batches(int(sys.argv[1])), "occlusion", window=50, per_channel=False, store=sys.argv[2],
                chunk_size=1000, show_progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(1, 2))


def timed(run: Callable[[Path], object], repeats: int) -> float:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats + 1):
            started = time.perf_counter()
            run(Path(folder) / f"{number}.zarr")
            times.append(time.perf_counter() - started)
    # The first imports and compiles.
    return statistics.median(times[1:])


def peak(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-c", PEAK, str(count), f"{folder}/out.zarr"]
        return float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


def net() -> object:
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.layers.Input(SHAPE), keras.layers.LSTM(32), keras.layers.Dense(1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--net-samples", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((given.samples, *SHAPE)).astype("float32")
    asked = {"window": 50, "per_channel": False, "show_progress": False, "batch_size": 1000}
    table = Table("what", "samples", "seconds", "samples/s", "MiB/s", "peak MiB")

    def row(what: str, count: int, seconds: float, size: float) -> None:
        table.add_row(what, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{size / seconds:.0f}", "")

    size = attrkit.extract(mean, x[:100], "occlusion", **asked).nbytes / 100 * len(x) / 2**20
    row(
        "numpy, in memory",
        len(x),
        timed(lambda path: attrkit.extract(mean, x, "occlusion", **asked), given.repeats),
        size,
    )
    for chunk in (250, 1000, 4000):
        seconds = timed(
            lambda path, chunk=chunk: attrkit.extract(mean, x, "occlusion", **asked, store=path, chunk_size=chunk),
            given.repeats,
        )
        row(f"numpy, streamed, chunks of {chunk}", len(x), seconds, size)
    for count in (10_000, 100_000):
        table.add_row("numpy, streamed from batches", f"{count:,}", "", "", "", f"{peak(count):.0f}")
    scaling(table, row, x[: given.net_samples], given.repeats)
    Console().print(table)


def scaling(table: Table, row: Callable[..., None], x: np.ndarray, repeats: int) -> None:
    from distributed import Client, LocalCluster

    # One thread each, or one worker would take all cores.
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    os.environ.update(threads)
    model, asked = net(), {"n_steps": 32, "batch_size": 64, "chunk_size": 32, "show_progress": False}
    size = 2 * x.nbytes / 2**20
    for workers in (1, 2):
        cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            seconds = timed(
                lambda path, client=client: attrkit.extract(
                    model, x, "integrated_gradients", store=path, client=client, **asked
                ),
                repeats,
            )
        row(f"LSTM, {workers} worker{'s' * (workers > 1)} of one thread", len(x), seconds, size)


if __name__ == "__main__":
    main()
