"""The same numbers as iNNvestigate's, where it has rules: dense and convolutional nets."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import attrkit
from attrkit.relevance import COMPOSITES, AlphaBeta, Epsilon
from tests.relevance.common import plain_net
from tests.relevance.innvestigate_relevance import KINDS

ROOT = Path(__file__).parents[2]
LEGACY = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
KERNELS = {
    "lrp.z": Epsilon(0.0),
    "lrp.epsilon": Epsilon(1e-7),
    "lrp.alpha_2_beta_1": AlphaBeta(2, 1, bias="innvestigate", epsilon=0.0),
    "lrp.alpha_1_beta_0": AlphaBeta(1, 0, bias="innvestigate", epsilon=0.0),
    "lrp.z_plus": AlphaBeta(1, 0, bias="ignore", epsilon=0.0),
}


# Without biases, an output that none of its inputs raises passes nothing on.
@pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")
def test_relevance_is_that_of_innvestigate(keras, tmp_path):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((16, 24, 4)).astype("float32")
    models = {kind: plain_net(keras, kind) for kind in KINDS}
    given = {"x": x}
    for kind, model in models.items():
        # Biases that are not zero, because the rules differ in them.
        weights = [(0.4 * rng.standard_normal(np.shape(w))).astype("float32") for w in model.get_weights()]
        model.set_weights(weights)
        given |= {f"{kind}/{i}": w for i, w in enumerate(weights)}
    np.savez(tmp_path / "given.npz", **given)
    script = [sys.executable, "-m", "tests.relevance.innvestigate_relevance"]
    subprocess.run([*script, tmp_path / "given.npz", tmp_path / "found.npz"], check=True, cwd=ROOT, env=LEGACY)
    found = np.load(tmp_path / "found.npz")
    for kind, model in models.items():
        for rule, kernel in KERNELS.items():
            composite = replace(COMPOSITES["innvestigate"], kernel=kernel)
            ds = attrkit.extract(model, x, "lrp", target=1, composite=composite, show_progress=False)
            np.testing.assert_allclose(ds["prediction"], found[f"{kind}/prediction"], rtol=1e-4, atol=1e-5)
            own, other = ds["attribution"].values, found[f"{kind}/{rule}"]
            difference = np.abs(own - other).max(axis=(1, 2)) / np.abs(other).max(axis=(1, 2))
            print(f"{kind} {rule}: median {np.median(difference):.1e}, largest {difference.max():.1e}")
            # Near-zero denominators magnify what single precision leaves: most samples are away from them.
            np.testing.assert_array_less(np.quantile(difference, 0.75), 1e-5, err_msg=f"{kind} {rule}")
