"""Random draws that belong to a sample, and data sets made of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.inputs import DIMS
from attrkit.schema import COORDINATES, installed_version

# Samples drawn at a time: series with their burn-in need several times the memory of the result.
_BLOCK = 256

# Draws of the samples, and of the order of their labels.
_SAMPLES, _LABELS = 0, 1

Variables = dict[str, tuple[tuple[str, ...], np.ndarray, str]]
"""Dims, values and long name, by name."""


def generators(seed: int, n_samples: int) -> list[np.random.Generator]:
    """Return one generator a sample; what it draws depends on the seed and the number of the sample only."""
    return [_generator(seed, _SAMPLES, number) for number in range(n_samples)]


def balanced_labels(seed: int, n_samples: int, n_classes: int) -> np.ndarray:
    """Return labels from 0 on in a random order, each once in every `n_classes` samples that follow each other."""
    rounds = range(-(-n_samples // n_classes))
    labels = [_generator(seed, _LABELS, number).permutation(n_classes) for number in rounds]
    return np.concatenate(labels)[:n_samples]


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    # Draws count up the first word of the counter, so those of two numbers never meet.
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, number]))


def blocks(n_samples: int) -> Iterator[slice]:
    """Cut samples into blocks to draw at a time; no draw depends on how they are cut."""
    for start in range(0, n_samples, _BLOCK):
        yield slice(start, start + _BLOCK)


def dataset(
    x: np.ndarray,
    saliency: np.ndarray,
    variables: Variables,
    *,
    process: str,
    parameters: Mapping[str, Any],
    seed: int,
    source: str,
    classes: Sequence[str] | None = None,
) -> xr.Dataset:
    """Label a synthetic data set.

    Parameters
    ----------
    x : ndarray of shape (sample, timestep, channel)
    saliency : ndarray of bool of the shape of `x`
    variables : Variables
        What else there is, such as ``label``.
    process, parameters, seed, source, classes
        Attributes of the data set: the name of the function that made it, all its options but the seed, where it comes
        from, and the names of the labels. What is no text or number is kept as JSON.

    Returns
    -------
    Dataset
        ``input``, ``saliency``, ``has_saliency`` and `variables`, with coordinates that count from 0.
    """
    described = {
        "input": (DIMS, x, "input"),
        "saliency": (DIMS, saliency, "whether the cell carries the label"),
        "has_saliency": (("sample",), saliency.any(axis=(1, 2)), "whether the sample has a ground truth"),
        **variables,
    }
    attrs: dict[str, str | int] = {"process": process, "parameters": json.dumps(dict(parameters)), "seed": seed}
    if classes is not None:
        attrs["classes"] = json.dumps(list(classes))
    return xr.Dataset(
        {name: (dims, values, {"long_name": text}) for name, (dims, values, text) in described.items()},
        coords={
            dim: (dim, np.arange(size), {"long_name": COORDINATES[dim]})
            for dim, size in zip(DIMS, x.shape, strict=True)
        },
        attrs={**attrs, "source": source, "attrkit_version": installed_version("attrkit")},
    )
