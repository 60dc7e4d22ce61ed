"""What each extra is for, in one short call with a known answer; the lane ``release`` runs it where nothing else is.

``python -I extras.py tensorflow`` runs one in the folder it is called from; ``core`` is attrkit without any extra.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import attrkit

X = np.random.default_rng(0).standard_normal((3, 6, 2)).astype("float32")
KERNEL = np.array([[0.5], [-1.0]], "float32")
QUIET: Any = {"show_progress": False}


def linear(x: Any) -> Any:
    """Return an output whose gradient is known: `KERNEL` at every timestep."""
    return x.sum(axis=1) @ KERNEL


def check_linear(ds: xr.Dataset, expected: np.ndarray) -> None:
    """Hold an explanation of `linear` against what it must be."""
    np.testing.assert_allclose(ds["attribution"], np.broadcast_to(expected, X.shape), rtol=1e-4)


def core() -> None:
    ds = attrkit.extract(linear, X, "occlusion", **QUIET)
    check_linear(ds, X * KERNEL[:, 0])
    tree = attrkit.from_arrays({"occlusion": ds["attribution"].values, "mine": -X}, inputs=X)
    for name in ("run.nc", "run.zarr"):
        xr.testing.assert_identical(attrkit.load(attrkit.save(tree, name)), tree)
    for suffix in (".png", ".pdf", ".svg"):
        attrkit.plot.heatmap(tree).save(f"heatmap{suffix}")
        assert Path(f"heatmap{suffix}").stat().st_size > 5000
    command = ["plot", "run.zarr", "--kind", "curves", "--out", "curves.png"]
    subprocess.run([Path(sys.executable).with_name("attrkit"), *command], check=True)
    assert Path("curves.png").stat().st_size > 5000


def _explain_keras(keras: Any, *attention: Any) -> None:
    layers = keras.layers
    steps = layers.Input(X.shape[1:])
    found = layers.LSTM(4, return_sequences=True)(steps)
    for layer in attention:
        found = layer(found)
    model = keras.Model(steps, layers.Dense(1)(layers.Flatten()(found)))
    tree = attrkit.compare(model, X, ["attention", "integrated_gradients"] if attention else ["integrated_gradients"])
    ds = tree["integrated_gradients"]
    change = model.predict(X, verbose=0) - model.predict(0 * X, verbose=0)
    np.testing.assert_allclose(ds["attribution"].sum(["timestep", "channel"]), change[:, 0], atol=1e-3)
    if attention:
        np.testing.assert_allclose(tree["attention"]["attention"].sum("key_timestep"), 1, atol=1e-5)


def tensorflow() -> None:
    from keras_self_attention import SeqSelfAttention
    from tensorflow import keras

    _explain_keras(keras, SeqSelfAttention(attention_width=3))


def jax() -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    check_linear(attrkit.extract(jax.jit(linear), X, "gradient", **QUIET), KERNEL[:, 0])
    assert keras.backend.backend() == "jax"
    _explain_keras(keras)


def torch() -> None:
    check_linear(attrkit.extract(_torch_linear(), X, "gradient", **QUIET), KERNEL[:, 0])


def _torch_linear() -> Any:
    import torch

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(X[0].size, 1)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor(np.tile(KERNEL[:, 0], X.shape[1])))
    return model


def innvestigate() -> None:
    from tensorflow import keras

    model = keras.Sequential([keras.layers.Input(X.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.layers[-1].set_weights([np.tile(KERNEL, (X.shape[1], 1)), np.zeros(1, "float32")])
    check_linear(attrkit.extract(model, X, "innvestigate:gradient", **QUIET), KERNEL[:, 0])


def captum() -> None:
    model = _torch_linear()
    check_linear(attrkit.extract(model, X, "captum:Saliency", abs=False, **QUIET), KERNEL[:, 0])
    # It fits with scikit-learn.
    assert attrkit.extract(model, X, "captum:KernelShap", **QUIET)["attribution"].notnull().all()


def zennit() -> None:
    model = _torch_linear()
    model[1].bias.data.zero_()
    check_linear(attrkit.extract(model, X, "zennit:EpsilonPlus", **QUIET), X * KERNEL[:, 0])


def shap() -> None:
    ds = attrkit.extract(linear, X, "shap:PermutationExplainer", **QUIET)
    check_linear(ds, X * KERNEL[:, 0])


def xplique() -> None:
    from tensorflow import keras

    model = keras.Sequential([keras.layers.Input(X.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.layers[-1].set_weights([np.tile(KERNEL, (X.shape[1], 1)), np.zeros(1, "float32")])
    check_linear(attrkit.extract(model, X, "xplique:GradientInput", **QUIET), X * KERNEL[:, 0])


def transformers() -> None:
    import transformers

    small = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=30, **small)).eval()
    tokens = np.random.default_rng(0).integers(3, 30, (2, 5))
    ds = attrkit.extract(model, {"input_ids": tokens}, "attention", **QUIET)
    assert ds["attention"].sizes["head"] == 2
    np.testing.assert_allclose(ds["attention"].sum("key_timestep"), 1, atol=1e-5)


def metrics() -> None:
    scores = np.random.default_rng(0).normal([[0.0], [1.0], [1.0]], 0.5, (3, 40))
    values = xr.DataArray(scores, dims=("extractor", "sample"), coords={"extractor": ["a", "b", "c"]})
    differs = attrkit.metrics.paired_tests(values)["p_adjusted"] < 0.05
    np.testing.assert_array_equal(differs, [[0, 1, 1], [1, 0, 0], [1, 0, 0]])
    found = attrkit.metrics.agreement(attrkit.from_arrays({"mine": X, "yours": -X}))
    np.testing.assert_allclose(found["kendall_tau"], 1)


def datasets() -> None:
    assert attrkit.datasets.japanese_vowels()["input"].shape == (270, 29, 12)


def dask() -> None:
    import distributed

    with distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as client:
        ds = attrkit.extract(linear, X, "occlusion", store="spread.zarr", chunk_size=2, client=client, **QUIET)
        check_linear(ds, X * KERNEL[:, 0])


def report() -> None:
    page = attrkit.report(attrkit.compare(linear, X, ["occlusion"], **QUIET), "report.html")
    assert "Anaconda, Inc., and Bokeh Contributors" in Path(page).read_text(encoding="utf-8")


def study() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 4, 2))
    y = (x[:, -1, 0] > 0).astype(int)

    def fit(x: np.ndarray, y: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        kernel = np.linalg.lstsq(x.reshape(len(x), -1), np.eye(2)[y], rcond=None)[0]
        return lambda x: x.reshape(len(x), -1) @ kernel

    sides = ((x[:40], y[:40]), (x[40:], y[40:]))
    asked: Any = {"extractors": ["occlusion"], "tests": ["agreement"], "seeds": [0, 1], "gate": None, **QUIET}
    files = attrkit.study_output.write_study(attrkit.study(fit, sides, store="study.zarr", **asked), "results")
    assert {".csv", ".md", ".tex"} <= {file.suffix for file in files}


def demo() -> None:
    command = [Path(sys.executable).with_name("attrkit"), "demo", "--epochs", "1", "--samples", "3", "--quiet"]
    subprocess.run(command, check=True)
    assert "attention" in attrkit.load("attrkit-demo/explained.zarr").children


CALLS = {
    call.__name__: call
    for call in (
        *(core, tensorflow, jax, torch, innvestigate, captum, zennit, shap, xplique, transformers),
        *(metrics, datasets, dask, report, study, demo),
    )
}

if __name__ == "__main__":
    CALLS[sys.argv[1]]()
    print(f"{sys.argv[1]}: attrkit {attrkit.__version__} in {Path(attrkit.__file__).parent}")
