"""How many rows a pass holds: what is tried out, and what happens when memory runs out."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attrkit
from attrkit.adapters import _pace
from attrkit.adapters._pace import Pace, Plan, first_size
from attrkit.adapters.memory import is_out_of_memory


def run(pace, rows, seconds, *, compiling=0.0, fits=np.inf):
    """Run rows as an adapter does, on a clock of its own; return the plans and the seconds they took."""
    plans, done, spent, compiled = [], 0, 0.0, set()
    while done < rows:
        plan = pace.choose(rows - done)
        count = min(plan.size, rows - done)
        if plan.size > fits:
            assert pace.halve(plan)
            continue
        took = seconds(plan.way, count) + (0 if plan in compiled else compiling)
        compiled.add(plan)
        pace.took(plan, count, took, 0)
        plans.append(plan)
        done, spent = done + count, spent + took
    return plans, spent


def saturating(way, rows):
    """Half a second a pass and a millisecond a row; by XLA half of it."""
    return (0.5 + 0.001 * rows) * (0.5 if way == "xla" else 1)


def test_rows_are_doubled_while_it_pays():
    pace = Pace(64, ["plain"])
    run(pace, 10**6, saturating)
    # Twice as many would give 3 percent more.
    assert pace.best.size == 8192


def test_another_way_is_taken_where_it_is_faster_and_only_there():
    fast, slow = Pace(64, ["plain", "xla"]), Pace(64, ["plain", "xla"])
    run(fast, 10**6, saturating, compiling=2)
    run(slow, 10**6, lambda way, rows: saturating("plain", rows) * (2 if way == "xla" else 1), compiling=2)
    assert fast.best.way == "xla"
    assert slow.best.way == "plain"
    assert slow.best.size > 64


def test_nothing_is_tried_out_for_little_work():
    pace = Pace(64, ["plain", "xla"])
    plans, _ = run(pace, 500, lambda way, rows: 0.001 * rows, compiling=2)
    assert set(plans) == {Plan("plain", 64)}
    # Little work many times over is worth it in the end.
    for _ in range(40):
        run(pace, 500, lambda way, rows: 0.001 * rows * (0.4 if way == "xla" else 1), compiling=2)
    assert pace.best.way == "xla"


def test_a_given_size_stays():
    pace = Pace(7, ["plain", "xla"], fixed=True)
    assert set(run(pace, 10**5, saturating)[0]) == {Plan("plain", 7)}


def test_a_way_that_fails_is_left_out():
    pace = Pace(8, ["plain", "xla"])
    run(pace, 8 * 3, lambda way, rows: 1.0)
    plan = pace.choose(10**6)
    assert plan == Plan("xla", 8)
    assert pace.failed(plan)
    assert pace.choose(10**6).way == "plain"
    # Of the way in use a failure is the model's own.
    assert not pace.failed(pace.best)


@given(fits=st.integers(1, 5000), first=st.sampled_from([1, 8, 64]))
@settings(max_examples=40, deadline=None)
def test_where_memory_ends_the_rest_is_done_with_what_fits(fits, first):
    pace = Pace(first, ["plain"])
    plans, _ = run(pace, 50_000, saturating, fits=fits)
    assert max(plan.size for plan in plans) <= fits
    assert pace.best.size > fits / 4 or pace.best.size >= 4096


def test_one_row_that_does_not_fit_cannot_be_halved():
    pace = Pace(1, ["plain"])
    assert not pace.halve(Plan("plain", 1))


def test_rows_are_not_doubled_into_memory_that_is_not_there(monkeypatch):
    pace = Pace(64, ["plain"])
    monkeypatch.setattr(_pace, "free_memory", lambda: 1000 * 2**20)
    for _ in range(50):
        plan = pace.choose(10**6)
        pace.took(plan, plan.size, saturating("plain", plan.size), plan.size * 2**20)
    assert pace.best.size == 256


def test_a_first_pass_of_large_rows_is_small():
    assert first_size(240 * 4, 240, 64) == 64
    assert first_size(10_000 * 4, 10_000, 64) == 1
    assert first_size(1, 1, 64) == 64


def test_few_rows_are_filled_up_to_a_size_that_is_compiled():
    pace = Pace(64, ["jit"])
    assert pace.padded(Plan("jit", 64), 10) == 16
    assert pace.padded(Plan("jit", 64), 12) == 16
    assert pace.padded(Plan("jit", 64), 64) == 64
    assert pace.padded(Plan("jit", 64), 20) == 64
    assert pace.padded(Plan("jit", 128), 128) == 128


@pytest.mark.parametrize(
    ("err", "is_one"),
    [
        (MemoryError(), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 3 bytes"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(err, is_one):
    assert is_out_of_memory(err) is is_one


LIMITED = """
    import resource
    import numpy as np
    import attrkit

    def hungry(x):
        # 8 MiB a row, twice, all at once.
        sizes.append(len(x))
        return (np.ones((len(x), 2**20)) * x.sum(axis=(1, 2))[:, None]).mean(axis=1)

    sizes = []
    x = np.random.default_rng(0).standard_normal((3, 20, 2))
    limit = resource.getrlimit(resource.RLIMIT_AS)
    held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 400 * 2**20, limit[1]))
    ds = attrkit.extract(hungry, x, "occlusion", show_progress=False, BATCH)
    np.testing.assert_allclose(ds["attribution"], x, rtol=1e-6)
    print(max(sizes), min(sizes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is one of Linux")
@pytest.mark.parametrize("given", ["", "batch_size=100"])
def test_a_model_that_runs_out_of_memory_goes_on_with_fewer_rows(given):
    code = textwrap.dedent(LIMITED).replace(", BATCH", f", {given}" if given else "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    most, least = map(int, done.stdout.split())
    assert least < most
    assert most == (100 if given else 64)
    assert ("batch_size=100 does not fit into memory" in done.stderr) == bool(given)


def test_one_row_that_does_not_fit_is_said_to():
    def hungry(x):
        if len(sizes) > 2:
            raise MemoryError("no more")
        sizes.append(len(x))
        return x.sum(axis=(1, 2))

    sizes = []
    with pytest.raises(MemoryError, match="memory does not hold one row"):
        attrkit.extract(hungry, np.ones((3, 5, 2)), "occlusion", show_progress=False)
