"""Chunk by chunk beside all at once: samples a second, memory, and two worker processes beside one.

Run ``uv run python benchmarks/streaming.py``. The function of numpy is light, so that what is timed is the way to the
disk; the net is one of Keras. Each measurement of memory is a process of its own.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common.report import arguments, report
from common.timing import Timing, interleaved, ratio

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


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--net-samples", type=int, default=2048)
    chosen = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((chosen.samples, *SHAPE)).astype("float32")
    rows = [*to_the_disk(x, chosen), *memory(), *workers(x[: chosen.net_samples], chosen)]
    report(
        "streaming",
        "results to a folder; ratio to all at once in memory, and of workers to one worker",
        rows,
        chosen,
        labels=("what", "samples"),
        columns=("seconds", "ratio", "samples_per_second", "peak_memory", "first_call_seconds"),
    )


def to_the_disk(x: np.ndarray, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    asked = {"window": 50, "per_channel": False, "show_progress": False, "batch_size": 1000}
    extract = functools.partial(attrkit.extract, mean, x, "occlusion", **asked)
    with folders() as new:
        runs: dict[str, Callable[[], object]] = {"numpy, in memory": extract}
        for size in (250, 1000, 4000):
            runs[f"numpy, chunks of {size}"] = functools.partial(
                lambda size: extract(store=new(), chunk_size=size), size
            )
        return rows_of(interleaved(runs, chosen.repeats), len(x))


def memory() -> list[dict[str, Any]]:
    return [
        {"what": "numpy, from batches", "samples": f"{number:,}", "peak_memory": peak(number)}
        for number in (10_000, 100_000)
    ]


def peak(number: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-c", PEAK, str(number), f"{folder}/out.zarr"]
        return float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


def workers(x: np.ndarray, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Time one worker process and two, of one thread each, in turn."""
    from distributed import Client, LocalCluster

    # One thread each, or one worker would take all cores.
    os.environ.update({"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"})
    model, asked = net(), {"n_steps": 32, "batch_size": 64, "chunk_size": 64, "show_progress": False}
    with folders() as new, ExitStack() as stack:

        def runner(n_workers: int) -> Callable[[], object]:
            cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
            client = stack.enter_context(Client(stack.enter_context(cluster)))
            return lambda: attrkit.extract(model, x, "integrated_gradients", store=new(), client=client, **asked)

        runs = {"LSTM, one worker": runner(1), "LSTM, two workers": runner(2)}
        return rows_of(interleaved(runs, chosen.repeats), len(x))


def net() -> object:
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.layers.Input(SHAPE), keras.layers.LSTM(32), keras.layers.Dense(1)])


def rows_of(timings: dict[str, Timing], samples: int) -> list[dict[str, Any]]:
    first = next(iter(timings.values()))
    return [
        {
            "what": what,
            "samples": f"{samples:,}",
            **timing.cells(),
            "ratio": ratio(timing, first),
            "samples_per_second": samples / timing.median,
        }
        for what, timing in timings.items()
    ]


@contextmanager
def folders() -> Iterator[Callable[[], Path]]:
    """Give a new store at every call, and remove them all."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()
        yield lambda: Path(folder, f"{next(numbers)}.zarr")


if __name__ == "__main__":
    main()
