"""Calls in the tables of docs/coming_from that need packages of the default environment; all others: tests/pytorch."""

import keras
import numpy as np
import pytest

import attrkit
from tests.docs.calls import HERE_ONLY, PAGES, calls_of, run_calls


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttrkitWarning")
def test_calls_of_xplique_and_of_the_report_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(3, 8, 3)).astype("float32")
    tree = attrkit.compare(model, x, ["gradient", "input_x_gradient"], target=1)
    calls = [call for page in PAGES for call in calls_of(page) if any(word in call for word in HERE_ONLY)]
    assert len(calls) == 3
    run_calls(calls, {"model": model, "x": x, "tree": tree})


def test_a_call_that_fails_is_named():
    with pytest.raises(AssertionError, match=r"attrkit\.gone.* fails: AttributeError"):
        run_calls(["attrkit.gone()"], {})
