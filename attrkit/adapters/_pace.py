"""How many rows a pass holds, and how it is compiled: tried out while the work is done, on the work itself."""

import math
import threading
from collections.abc import Sequence
from typing import NamedTuple

from attrkit.adapters.memory import free_memory

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
        self.compiled: set[Plan] = set()
        self.lock = threading.Lock()

    def choose(self, remaining: int) -> Plan:
        """Return how to run the next pass, of `remaining` rows that are to be run."""
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
        known = [other.size for other in self.compiled if other.way == plan.way and other.size >= count]
        size = min(known, default=min(plan.size, 1 << (count - 1).bit_length()))
        self.compiled.add(Plan(plan.way, size))
        return size

    def took(self, plan: Plan, count: int, seconds: float, grown: int) -> None:
        """Book a pass of `count` rows, and by how many bytes it made the process larger."""
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
        if plan != self._trying or plan.way == self.best.way:
            return False
        self._trying = None
        return True

    def halve(self, plan: Plan) -> bool:
        """Go on with fewer rows after memory ran out; False if there is but one."""
        if plan.size == 1:
            return False
        self._ceiling = max(plan.size // 2, 1)
        self._trying = None
        if self.best.size > self._ceiling:
            self.best, self._rate = self.best._replace(size=int(self._ceiling)), 0.0
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


def first_size(row_values: int, length: int, most: int) -> int:
    """Return the rows of a first pass: a power of two, few where a row is large.

    A row is taken to need 64 numbers for each of its values, and one for each pair of its timesteps.
    """
    guess = 4 * (64 * row_values + length**2)
    return max(1, min(most, 1 << max(int(FIRST_PASS / guess), 1).bit_length() - 1))
