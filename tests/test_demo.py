"""The demo and the command line, run as a user runs them."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import attrkit
from attrkit import doctor
from attrkit.cli import app

ENV = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": ""}


def run(*args, cwd):
    return subprocess.run(
        [sys.executable, "-m", "attrkit.cli", *map(str, args)],
        cwd=cwd,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A short demo run: the folder it was run in, and what it printed."""
    cwd = tmp_path_factory.mktemp("a place with spaces")
    done = run("demo", "--epochs", 2, "--samples", 6, "--quiet", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd, done.stdout


def test_the_demo_writes_all_it_names(demo):
    cwd, printed = demo
    tree = attrkit.load(cwd / "attrkit-demo" / "explained.zarr")
    assert list(tree.children) == ["attention", "input x gradient", "integrated gradients", "occlusion"]
    ig = tree["integrated gradients"]
    assert ig["channel"].values.tolist() == ["temp_max", "temp_min", "precipitation", "wind"]
    assert str(ig["time"].values[0, -1])[:4] in ("2014", "2015")
    assert float(abs(ig["completeness_gap"]).max()) < 1e-3 * float(abs(ig["prediction"]).mean())
    assert tree["attention"]["attribution"].attrs["cell_methods"] == "query_timestep: mean"
    for name in ("heatmap", "overlay", "curves", "attention", "hist"):
        for suffix in (".png", ".pdf"):
            assert (cwd / "attrkit-demo" / "figures" / name).with_suffix(suffix).stat().st_size > 5000
    for words in ("persistence", "completeness gap", "rank correlation", "explained.zarr", "heatmap.png"):
        assert words in printed


def test_the_demo_does_not_overwrite(demo):
    cwd, _ = demo
    done = run("demo", cwd=cwd)
    assert done.returncode == 1
    assert "attrkit-demo is not empty; name another folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_extract_and_plot_from_files(demo, tmp_path, monkeypatch):
    cwd, _ = demo
    model = str(cwd / "attrkit-demo" / "forecaster.keras")
    monkeypatch.chdir(tmp_path)

    def here(*args):
        done = CliRunner().invoke(app, [str(arg) for arg in args])
        assert done.exit_code == 0, (done.output, done.exception)

    rng = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=65)
    frame = pd.DataFrame(rng.standard_normal((65, 4)), index=days, columns=["a", "b", "c", "d"])
    frame.to_csv("series.csv")
    here("extract", model, "series.csv", "--option", "n_steps=8", "--out", "ig.nc", "--quiet")
    ds = attrkit.load("ig.nc")
    assert dict(ds["attribution"].sizes) == {"sample": 4, "timestep": 14, "channel": 4}
    assert ds["channel"].values.tolist() == ["a", "b", "c", "d"]
    assert str(ds["time"].values[1, 0])[:10] == "2020-01-15"

    np.save("windows.npy", rng.standard_normal((3, 14, 4)))
    here("extract", model, "windows.npy", "--method", "attention", "--method", "gradient", "--out", "both.zarr")
    assert list(attrkit.load("both.zarr").children) == ["attention", "gradient"]
    here("plot", "both.zarr", "--kind", "heatmap", "--out", "both.svg")
    assert "<svg" in (tmp_path / "both.svg").read_text()[:500]
    here("plot", "ig.nc", "--out", "ig.pdf")
    assert (tmp_path / "ig.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["extract", "nothing.keras", "x.npy", "--out", "o.nc"], "there is no file nothing.keras"),
        (["extract", "model.pkl", "x.npy", "--out", "o.nc"], "there is no file model.pkl"),
        (["plot", "nothing.zarr"], "there is no file nothing.zarr"),
    ],
)
def test_errors_are_one_line(args, message, tmp_path):
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_is_usable(monkeypatch):
    # Each check imports a framework in a process of its own: those that take least.
    monkeypatch.setattr(doctor, "CHECKS", [check for check in doctor.CHECKS if check.name in ("JAX", "PyTorch")])
    assert len(doctor.CHECKS) == 2
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert done.output.count("yes") == sum(importlib.util.find_spec(name) is not None for name in ("jax", "torch"))
    assert ("pip install 'attrkit[torch]'" in done.output) == (importlib.util.find_spec("torch") is None)
