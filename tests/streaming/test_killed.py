"""A run that is killed, and called again, writes the bytes of one that ran through; memory does not grow."""

import random
import subprocess
import sys

import pytest
import xarray as xr

import attrkit
from tests.streaming.common import alike, contents, inputs, kill_after, model

COUNT = 60

CODE = """
import attrkit
from tests.streaming.common import inputs, model

attrkit.extract(model, {inputs}, "occlusion", target=0, show_progress=False, store={store!r}, chunk_size=3)
"""
KINDS = {
    "array": (f"inputs({COUNT})", (1, 6, 19)),
    "batches": (f"(inputs({COUNT})[i : i + 7] for i in range(0, {COUNT}, 7))", (6,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_killed_is_finished_with_the_same_bytes(kind, tmp_path):
    through, store = tmp_path / "through.zarr", tmp_path / "killed.zarr"
    (given, moments), chance = KINDS[kind], random.Random(kind)
    exec(CODE.format(inputs=given, store=str(through)), {})
    code = CODE.format(inputs=given, store=str(store))
    killed = 0
    for markers in moments:
        # At any moment of a chunk, and after the last of them within the last steps.
        killed += kill_after(code, tmp_path / "killed.zarr.partial", markers, delay=chance.uniform(0, 0.1))
        if not store.exists():
            assert (tmp_path / "killed.zarr.partial").is_dir()
    assert killed, "nothing was stopped"
    exec(code, {})
    assert contents(store) == contents(through)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.zarr", "through.zarr"]
    whole = attrkit.extract(model, inputs(COUNT), "occlusion", target=0, show_progress=False)
    xr.testing.assert_identical(alike(attrkit.load(store)), alike(whole))


PEAK = """
import resource

import numpy as np

import attrkit


def model(x):
    return x.mean(axis=(1, 2))


def batches(count):
    source = np.random.default_rng(0)
    for _ in range(count):
        yield source.standard_normal((500, 20, 10)).astype("float32")


attrkit.extract(
    *(model, batches({count}), "occlusion"), window=20, per_channel=False,
    store={store!r}, chunk_size=500, show_progress=False,
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say how much memory a process had")
def test_ten_times_the_samples_need_no_more_memory(tmp_path):
    peaks = []
    for count in (4, 40):
        code = PEAK.format(count=count, store=str(tmp_path / f"{count}.zarr"))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    # 40 batches of 0.4 MB and what is made of them, beside some 150 MB of libraries.
    assert peaks[1] < 1.15 * peaks[0]
