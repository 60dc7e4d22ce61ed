"""Times of things that are to be compared: taken in turn, so that what slows the machine down slows all of them."""

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil


@dataclass
class Timing:
    """The first call, and the later ones: seconds on the clock, and seconds of all processors."""

    first: float | None
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the median of the later calls, on the clock."""
        return statistics.median(self.seconds)

    def cells(self) -> dict[str, float | None]:
        """Return what a table or dataset keeps of it."""
        return {
            "seconds": self.median,
            "seconds_fastest": min(self.seconds),
            "cpu_seconds": statistics.median(self.cpu),
            "first_call_seconds": self.first,
        }


SETTLING = 4
"""Calls before any that is timed."""


def settle(run: Callable[[], object], seconds: float) -> None:
    """Call it until what attrkit tries out on the work itself has been tried: a few times, and for so many seconds."""
    began, calls = time.perf_counter(), 0
    while calls < SETTLING or time.perf_counter() - began < seconds:
        run()
        calls += 1


def clock(run: Callable[[], object]) -> tuple[float, float]:
    """Return seconds on the clock and of all processors; `run` returns when its results are there."""
    started, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - cpu


def interleaved(
    contestants: Mapping[str, Callable[[], object]], repeats: int, *, first: Mapping[str, float] | None = None
) -> dict[str, Timing]:
    """Run each once, which traces and compiles, and then all in turn, every other round backwards.

    With `first`, all of them have run before, and these are the times of first calls that are known.
    """
    timings = {name: Timing(clock(run)[0] if first is None else first.get(name)) for name, run in contestants.items()}
    for i in range(repeats):
        for name in sorted(contestants, key=list(contestants).index, reverse=bool(i % 2)):
            seconds, cpu = clock(contestants[name])
            timings[name].seconds.append(seconds)
            timings[name].cpu.append(cpu)
    return timings


def ratio(one: Timing, other: Timing) -> float:
    """Return how many times as long as `other` it took: the median over rounds."""
    return statistics.median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))


def peak_memory(run: Callable[[], object], *, every: float = 0.002) -> float:
    """Return the most memory that the process held while it ran, in MiB."""
    process, done = psutil.Process(), threading.Event()
    held = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(every):
            held.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return max(held) / 2**20
