"""What draws random numbers: the same seed, the same bytes, and the generators of the process are left alone."""

import random

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit import metrics

RNG = np.random.default_rng(2)
X = RNG.standard_normal((6, 10, 2))
WEIGHTS = RNG.standard_normal((10, 2))
SCORES = {"exact": X * WEIGHTS, "noise": RNG.standard_normal(X.shape)}
LABELS = (X[:, 2, 0] > 0).astype(int)
QUIET = {"show_progress": False}


def linear(x):
    return np.tanh((x * WEIGHTS).sum((1, 2)))


def drawn(model, x, target, seed):
    """A method that draws, by its seed."""
    return np.random.default_rng(seed).standard_normal(x.shape)


def fit(x, y, seed):
    weights = np.linalg.lstsq(x.reshape(len(x), -1), 2.0 * y - 1, rcond=None)[0]
    return lambda x: x.reshape(len(x), -1) @ weights


def tree():
    return attrkit.from_arrays(SCORES, inputs=X)


CALLS = {
    "agreement": lambda seed: metrics.agreement(tree(), n_random=9, seed=seed),
    "faithfulness": lambda seed: metrics.faithfulness(
        linear, tree(), channels="sum", operator=["noise", "sample"], n_random=2, seed=seed, **QUIET
    ),
    "f_fidelity": lambda seed: metrics.f_fidelity(linear, tree(), channels="sum", n_draws=5, seed=seed, **QUIET),
    "random_masking": lambda seed: metrics.random_masking(X, max_share=0.5, operator="noise", seed=seed),
    "max_sensitivity": lambda seed: metrics.max_sensitivity(linear, X, [drawn], n_samples=2, seed=seed, **QUIET),
    "infidelity": lambda seed: metrics.infidelity(linear, tree(), n_samples=5, kind="share", seed=seed, **QUIET),
    "interval": lambda seed: metrics.interval(
        xr.DataArray(X[..., 0], dims=("sample", "extractor")), method="bootstrap", n_resamples=100, seed=seed
    ),
    "roar": lambda seed: metrics.roar(
        *(fit, (X, LABELS), (X, LABELS), lambda x: attrkit.from_arrays({"own": x[..., 0]}, inputs=x)),
        shares=[0.5],
        seeds=[0],
        operator="noise",
        threshold=0,
        seed=seed,
        **QUIET,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_seed_alone_decides(name):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = CALLS[name](4)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    again, other = CALLS[name](4), CALLS[name](5)
    if isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
        return
    xr.testing.assert_equal(first, again)
    assert not first.equals(other)
