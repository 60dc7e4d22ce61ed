"""What ``import attrkit`` costs beside ``import xarray``: run ``uv run python benchmarks/startup.py``.

Each is a process of its own, started in turn; the first round, which reads the files into memory, does not count.
"""

import functools
import subprocess
import sys

from common.report import arguments, report
from common.timing import interleaved, ratio


def main() -> None:
    chosen = arguments(__doc__, repeats=15).parse_args()
    runs = {
        f"import {name}": functools.partial(subprocess.run, [sys.executable, "-c", f"import {name}"], check=True)
        for name in ("xarray", "attrkit")
    }
    timings = interleaved(runs, chosen.repeats)
    base = timings["import xarray"]
    rows = [{"by": by, **timing.cells(), "ratio": ratio(timing, base)} for by, timing in timings.items()]
    for row in rows:
        # This process's, which only waits.
        del row["cpu_seconds"]
    columns = ("seconds", "seconds_fastest", "ratio", "first_call_seconds")
    report("startup", "start-up, processes in turn", rows, chosen, labels=("by",), columns=columns)


if __name__ == "__main__":
    main()
