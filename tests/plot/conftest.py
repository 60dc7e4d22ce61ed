import numpy as np
import pandas as pd
import pytest
import xarray as xr

from attrkit.schema import build

SAMPLES = ["a", "b", "c", "d"]
CHANNELS = ["rain", "wind", "sun"]
N_STEPS = 12


@pytest.fixture
def inputs():
    values = np.random.default_rng(0).normal(size=(len(SAMPLES), N_STEPS, len(CHANNELS)))
    coords = {"sample": SAMPLES, "timestep": pd.date_range("2012-01-01", periods=N_STEPS), "channel": CHANNELS}
    return xr.DataArray(values, coords, ("sample", "timestep", "channel"))


@pytest.fixture
def mask():
    mask = np.ones((len(SAMPLES), N_STEPS), dtype=bool)
    mask[1, :4] = False
    return mask


@pytest.fixture
def gradient(inputs, mask):
    values = np.random.default_rng(1).normal(size=inputs.shape)
    # The largest value of all lies on padding: it must not reach any range.
    values[1, 0] = 99.0
    return build({"attribution": values, "mask": mask}, inputs=inputs, attrs={"method": "gradient"})


@pytest.fixture
def saliency(inputs):
    values = 100 * np.random.default_rng(2).random(inputs.shape[:2])
    return build({"attribution": values}, inputs=inputs, attrs={"method": "saliency"})


@pytest.fixture
def weights(inputs, mask):
    values = np.random.default_rng(3).dirichlet(np.ones(N_STEPS), size=(len(SAMPLES), 2, N_STEPS))
    return build({"attention": values, "mask": mask}, inputs=inputs, attrs={"method": "attention"})


@pytest.fixture
def weighted(inputs):
    values = np.random.default_rng(4).dirichlet(np.ones(N_STEPS), size=len(SAMPLES))
    return build({"attention": values}, inputs=inputs, attrs={"method": "attention"})


@pytest.fixture
def tree(gradient, saliency):
    return xr.DataTree.from_dict({"gradient": gradient, "saliency": saliency})


@pytest.fixture
def layers():
    rng = np.random.default_rng(5)
    lstm = build({"activation": rng.normal(size=(3, 9, 2))}, attrs={"method": "layer_outputs", "layer": "lstm"})
    dense = build({"activation": rng.random((3, 5))}, attrs={"method": "layer_outputs", "layer": "dense"})
    return xr.DataTree.from_dict({"lstm": lstm, "block/dense": dense})
