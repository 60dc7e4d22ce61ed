"""How many rows a pass holds, and how it is compiled: tried out while the work is done, on the work itself."""

import math
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from attrkit.adapters.memory import free_memory, is_out_of_memory, peak_memory
from attrkit.errors import AttrkitWarning

SLOWEST_SHARE = 1.05
"""Rows a second must go up by this for more rows, or another way to compile, to pay."""

TIMED_PASSES = 2
"""Passes that are timed of each that is tried, after one that compiles; the faster counts."""

FIRST_PASS = 256 * 2**20
"""Bytes that the first pass may need, by a guess that holds for models of moderate width."""

COMPILES_IN = {"xla": 1.0, "inductor": 30.0}
"""Seconds that it takes to compile a small model in these ways, at the least."""

WORTH = 3
"""To try something, this many times of what it costs must have been spent already, or lie ahead."""


class Plan(NamedTuple):
    """One way to run a pass: how it is compiled, and how many rows it holds."""

    way: str
    size: int


class Pace:
    """How passes of one kind are run best.

    Parameters
    ----------
    size : int
        Rows of the first pass.
    ways : sequence of str
        Ways in which the framework can compile a pass, the cheapest to compile first.
    fixed : bool, default False
        Nothing is tried out: passes hold `size` rows unless memory runs out.

    Notes
    -----
    A pass of the first way and size is timed. Then the other ways are, one after the other, then twice the rows, as
    long as rows a second go up. Each try is work that has to be done anyway; what it costs is compiling, and so it must
    be worth it: enough time spent on passes of this kind, or still ahead.
    """

    def __init__(self, size: int, ways: Sequence[str], *, fixed: bool = False) -> None:
        self.best = Plan(ways[0], size)
        self.fixed = fixed
        self._others = list(ways[1:])
        self._rate = 0.0
        self._trying: Plan | None = None if fixed else self.best
        self._times: list[float] = []
        self._ceiling = math.inf
        self._compiling: dict[str, float] = {}
        self._row_bytes = 0.0
        self._spent = 0.0
        self._compiled: set[Plan] = set()
        # Threads that explain one model share its paces.
        self._lock = threading.Lock()

    def choose(self, remaining: int) -> Plan:
        """Return how to run the next pass, of `remaining` rows that are to be run."""
        with self._lock:
            if self._trying is None and not self.fixed and self._rate:
                self._trying = self._candidate(remaining)
                self._times = []
            return self._trying or self.best

    @property
    def is_trying(self) -> bool:
        """Whether the next pass is timed."""
        return self._trying is not None

    def padded(self, plan: Plan, count: int) -> int:
        """Return how many rows to fill a pass of `count` rows up to, so that nothing is compiled needlessly."""
        with self._lock:
            known = [other.size for other in self._compiled if other.way == plan.way and other.size >= count]
            size = min(known, default=min(plan.size, 1 << (count - 1).bit_length()))
            self._compiled.add(Plan(plan.way, size))
            return size

    def took(self, plan: Plan, count: int, seconds: float, grown: int) -> None:
        """Book a pass of `count` rows, and by how many bytes it made the process larger."""
        with self._lock:
            self._book(plan, count, seconds, grown)

    def _book(self, plan: Plan, count: int, seconds: float, grown: int) -> None:
        self._spent += seconds
        self._row_bytes = max(self._row_bytes, grown / count)
        if plan != self._trying or count < plan.size:
            return
        self._times.append(seconds)
        if len(self._times) <= TIMED_PASSES:
            return
        best = min(self._times[1:])
        self._compiling[plan.way] = max(self._times[0] - best, 0.0)
        rate = count / best
        if rate > SLOWEST_SHARE * self._rate:
            self.best, self._rate = plan, rate
        elif plan.size > self.best.size:
            self._ceiling = self.best.size
        self._trying = None

    def failed(self, plan: Plan) -> bool:
        """Give up a way that was tried and does not work; False if it is the one in use."""
        with self._lock:
            if plan != self._trying or plan.way == self.best.way:
                return False
            self._trying = None
            return True

    def halve(self, plan: Plan) -> bool:
        """Go on with fewer rows after memory ran out; False if there is but one."""
        if plan.size == 1:
            return False
        with self._lock:
            half = plan.size // 2
            self._ceiling, self._trying = half, None
            if self.best.size > half:
                self.best, self._rate = self.best._replace(size=half), 0.0
                self._trying = None if self.fixed else self.best
                self._times = []
        return True

    def _candidate(self, remaining: int) -> Plan | None:
        ahead = self._spent + remaining / self._rate
        compiling = self._compiling.get(self.best.way, 0.0)
        if self._others and remaining >= (TIMED_PASSES + 1) * self.best.size:
            # What is compiled more takes longer to compile.
            if ahead < WORTH * max(2 * compiling, COMPILES_IN[self._others[0]]):
                return None
            return self.best._replace(way=self._others.pop(0))
        size = 2 * self.best.size
        if size > self._ceiling or remaining < (TIMED_PASSES + 1) * size or ahead < WORTH * compiling:
            return None
        if self._row_bytes * size > free_memory() / 2:
            self._ceiling = self.best.size
            return None
        return self.best._replace(size=size)


def run_passes(
    pace: Pace,
    total: int,
    run: Callable[[np.ndarray, int, str], None],
    *,
    fixed_rows: Callable[[str], bool],
    bar: Any,
    beyond: int = 0,
) -> None:
    """Call ``run(rows, size, way)`` until `total` rows are done; `beyond` as many come in further calls.

    ``fixed_rows(way)`` says whether what is compiled in a way takes one number of rows only: a pass is then filled up
    to ``size``. Where memory runs out the pass is run again with half the rows; what is done stays.
    """
    done = 0
    while done < total:
        plan = pace.choose(total - done + beyond)
        rows = np.arange(done, min(done + plan.size, total))
        size = pace.padded(plan, len(rows)) if fixed_rows(plan.way) else len(rows)
        started, before = time.perf_counter(), peak_memory()
        try:
            run(rows, size, plan.way)
        except Exception as err:
            if is_out_of_memory(err):
                _halve(pace, plan, err)
            elif not pace.failed(plan):
                raise
            continue
        pace.took(plan, len(rows), time.perf_counter() - started, peak_memory() - before)
        done += len(rows)
        bar.update(len(rows))


def _halve(pace: Pace, plan: Plan, err: Exception) -> None:
    if not pace.halve(plan):
        raise MemoryError(f"memory does not hold one row, one sample at one step: {err}") from err
    if pace.fixed:
        warnings.warn(
            f"batch_size={plan.size} does not fit into memory; passes hold {pace.best.size} rows",
            AttrkitWarning,
            stacklevel=2,
        )


def first_size(row_values: int, length: int, most: int) -> int:
    """Return the rows of a first pass: a power of two, few where a row is large.

    A row is taken to need 64 numbers for each of its values, and one for each pair of its timesteps.
    """
    guess = 4 * (64 * row_values + length**2)
    return max(1, min(most, 1 << max(int(FIRST_PASS / guess), 1).bit_length() - 1))
