"""What ``import attrkit`` costs beside ``import xarray``: run ``uv run python benchmarks/startup.py``."""

import statistics
import subprocess
import sys
import time


def seconds(code: str, repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    seconds("import xarray, attrkit", 1)
    xarray, attrkit = seconds("import xarray"), seconds("import attrkit")
    print(f"import xarray {xarray:.3f} s, import attrkit {attrkit:.3f} s, ratio {attrkit / xarray:.2f}")


if __name__ == "__main__":
    main()
