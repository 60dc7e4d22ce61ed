import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.errors import InputError
from attrkit.metrics.scores import read_scores


@pytest.fixture
def tree():
    x = np.arange(30.0).reshape(2, 5, 3)
    mask = np.array([[True] * 5, [True, True, False, False, False]])
    return attrkit.from_arrays({"cells": x, "steps": x.sum(-1, dtype="float32")}, inputs=x, mask=mask)


def test_scores_of_all_extractors_have_one_shape_and_one_mask(tree):
    scores, real = read_scores(tree, channels="sum")
    assert scores.dims == ("extractor", "sample", "timestep")
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores.sel(extractor="cells"), scores.sel(extractor="steps"))
    np.testing.assert_array_equal(real, tree["cells"]["mask"])


def test_scores_of_cells(tree):
    scores, real = read_scores(tree["cells"].to_dataset())
    assert scores.dims == ("extractor", "sample", "timestep", "channel")
    assert real.dims == ("sample", "timestep")


def test_what_cannot_be_compared_is_refused(tree):
    with pytest.raises(InputError, match="channels="):
        read_scores(tree)
    other = tree["steps"].to_dataset()
    other["mask"] = ~other["mask"]
    with pytest.raises(InputError, match="other timesteps for padding"):
        read_scores({"cells": tree["cells"].to_dataset(), "steps": other}, channels="sum")
    outputs = attrkit.from_arrays({"a": np.zeros((2, 4, 5, 3))}, dims=("sample", "output", "timestep", "channel"))
    with pytest.raises(InputError, match="4 outputs"):
        read_scores(outputs)
    for dims in ((), ("sample",), ("a", "b")):
        with pytest.raises(InputError, match=r"attributions have dims \(.*\), without '(sample|timestep)'"):
            read_scores(xr.DataArray(np.zeros([2] * len(dims)), dims=dims))
