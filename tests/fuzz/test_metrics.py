"""Arguments of metrics, and results that they cannot compare."""

import inspect

import numpy as np
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

import attrkit
from tests.fuzz import strategies
from tests.fuzz.contract import fuzz, outcome
from tests.fuzz.models import model
from tests.fuzz.test_results import collections

RNG = np.random.default_rng(0)
X = strategies.right_inputs()
TREE = attrkit.from_arrays({"a": RNG.normal(size=X.shape), "b": RNG.normal(size=X.shape)}, inputs=X, target=0)
FAITH = attrkit.metrics.faithfulness(model, TREE, channels="sum", n_random=1, show_progress=False)
BY_OPERATOR = attrkit.metrics.faithfulness(
    model, TREE, channels="sum", operator=["zero", "mean"], n_random=1, show_progress=False
)
SEEDS = {0: TREE, 1: TREE}

CALLS = {
    "agreement": lambda **asked: attrkit.metrics.agreement(**{"results": TREE, **asked}),
    "self_agreement": lambda **asked: attrkit.metrics.self_agreement(**{"runs": SEEDS, **asked}),
    "faithfulness": lambda **asked: attrkit.metrics.faithfulness(
        **{"model": model, "results": TREE, "channels": "sum", "n_random": 1, "show_progress": False, **asked}
    ),
    "f_fidelity": lambda **asked: attrkit.metrics.f_fidelity(
        **{"model": model, "results": TREE, "channels": "sum", "n_draws": 2, "show_progress": False, **asked}
    ),
    "ground_truth": lambda **asked: attrkit.metrics.ground_truth(**{"results": TREE, "saliency": X > 0, **asked}),
    "infidelity": lambda **asked: attrkit.metrics.infidelity(
        **{
            "model": model,
            "results": TREE,
            "target": 0,
            "kind": "share",
            "n_samples": 3,
            "show_progress": False,
            **asked,
        }
    ),
    "max_sensitivity": lambda **asked: attrkit.metrics.max_sensitivity(
        **{
            "model": model,
            "inputs": X,
            "methods": ["occlusion"],
            "target": 0,
            "n_samples": 2,
            "show_progress": False,
            **asked,
        }
    ),
    "interval": lambda **asked: attrkit.metrics.interval(
        **{"values": FAITH["aopc_comprehensiveness"], "n_resamples": 100, **asked}
    ),
    "paired_tests": lambda **asked: attrkit.metrics.paired_tests(
        **{"values": FAITH["aopc_comprehensiveness"], **asked}
    ),
    "rank_stability": lambda **asked: attrkit.metrics.rank_stability(
        **{"values": FAITH["aopc_comprehensiveness"].rename(sample="seed"), **asked}
    ),
    "ranking_sensitivity": lambda **asked: attrkit.metrics.ranking_sensitivity(**{"faith": BY_OPERATOR, **asked}),
}


def arguments_of(name):
    parameters = inspect.signature(getattr(attrkit.metrics, name)).parameters.values()
    return [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]


@st.composite
def arguments(draw):
    metric = draw(st.sampled_from(sorted(CALLS)))
    return metric, draw(st.sampled_from(arguments_of(metric))), draw(strategies.odd())


@given(arguments())
@fuzz(120)
def test_arguments_of_metrics_are_taken_or_refused(asked):
    metric, name, value = asked
    # A function of the user's may fail in its own ways.
    assume(name != "fine_tune" or not callable(value))
    outcome(
        f"arguments of {metric}",
        lambda: CALLS[metric](**{name: value}),
        about={name: value, **dict.fromkeys(("adapter", "method", "Dataset", "array", "dims", "attribution", "group"))},
        valid=lambda found: found.sizes,
    )


@given(st.sampled_from(["agreement", "faithfulness", "ground_truth", "interval"]), collections())
@fuzz(40)
def test_results_are_measured_or_refused(metric, data):
    first = next(iter(inspect.signature(getattr(attrkit.metrics, metric)).parameters))
    name = "results" if first == "model" else first
    outcome(
        f"results of {metric}",
        lambda: CALLS[metric](**{name: data}),
        about={
            name: data,
            "Dataset": None,
            "extractor": None,
            "attribution": None,
            "sample": None,
            "saliency": None,
            "channels": None,
        },
        valid=lambda found: found.sizes,
    )


def test_every_metric_is_asked():
    assert set(CALLS) <= set(dir(attrkit.metrics))
    assert isinstance(FAITH, xr.Dataset)
