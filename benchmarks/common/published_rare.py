"""Rare features and rare times: a function whose attributions are known, so nothing is trained."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import attrkit
from attrkit.datasets import rare_feature, rare_time
from common.scores import pooled, random

EXPERIMENTS = {"rare_feature": rare_feature, "rare_time": rare_time}


def measured(folds: int, n_samples: int) -> xr.Dataset:
    """Return scores of dims (experiment, fold, method); a fold is a draw of series and of salient cells."""
    by_experiment = [
        xr.concat([_of_fold(make, fold, n_samples) for fold in range(folds)], dim="fold")
        for make in EXPERIMENTS.values()
    ]
    return xr.concat(by_experiment, dim=xr.Variable("experiment", list(EXPERIMENTS)))


def exact(folds: int, n_samples: int) -> xr.Dataset:
    """Return scores of what integrated gradients are in theory, of the same dims, for many folds."""
    found = []
    for make in EXPERIMENTS.values():
        by_fold = []
        for fold in range(folds):
            data = make(n_samples=n_samples, per_sample=False, seed=1000 + fold)
            squares = (data["input"] ** 2).where(data["saliency"], 0).values
            by_fold.append(pooled({"integrated_gradients": squares}, data["saliency"].values))
        found.append(xr.concat(by_fold, dim="fold").rename(extractor="method"))
    return xr.concat(found, dim=xr.Variable("experiment", list(EXPERIMENTS)))


def _of_fold(make: Callable[..., xr.Dataset], fold: int, n_samples: int) -> xr.Dataset:
    data = make(n_samples=n_samples, per_sample=False, seed=fold)
    x, saliency = data["input"].values.astype("float32"), data["saliency"].values
    model = white_box(saliency[0])
    shuffled = np.random.default_rng(fold).permuted(x, axis=1)
    asked: dict[str, tuple[Any, Any]] = {
        "gradient": ("gradient", 0.0),
        "integrated_gradients": ("integrated_gradients", 0.0),
        # What is published puts the mean over time in a cell's place; a permutation, another timestep's value. Both are
        # of single cells here: what the function adds up at a timestep knows nothing of the others.
        "occlusion": ("occlusion", x.mean(axis=1, keepdims=True).repeat(x.shape[1], axis=1)),
        "permutation": ("occlusion", shuffled),
        "random": (random, 0.0),
    }
    values = {}
    for name, (method, baseline) in asked.items():
        given = {} if method in ("gradient", random) else {"baseline": baseline}
        values[name] = attrkit.extract(model, x, method, seed=fold, show_progress=False, **given)["attribution"].values
    exact = np.where(saliency, x**2, 0)
    np.testing.assert_allclose(values["integrated_gradients"], exact, atol=1e-4)
    return pooled({**values, "salient cells": saliency.astype(float)}, saliency).rename(extractor="method")


def white_box(salient: np.ndarray) -> Any:
    """Return the sum over the salient cells of their squares, as a function of JAX or a module of torch."""
    if importlib.util.find_spec("jax"):
        return attrkit.adapt(_sum_of_squares, params=salient.astype("float32"))
    import torch

    class WhiteBox(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("salient", torch.tensor(salient))

        def forward(self, x: Any) -> Any:
            return (self.salient * x**2).sum((1, 2))[:, None]

    return WhiteBox().eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _sum_of_squares(salient: Any, x: Any) -> Any:
    return (salient * x**2).sum((1, 2))
