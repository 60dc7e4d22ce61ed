"""The steps of a study, from training to the last test."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.errors import RefusedError
from attrkit.explained import explain_inputs
from attrkit.extract import extract
from attrkit.metrics.held_out import predictions_of, score_name, scores_of
from attrkit.streaming.identity import describe_value
from attrkit.studies.attention.outputs import are_shares
from attrkit.studies.running.case import Asked, Case
from attrkit.studies.running.extractors import CONTROLS, takes_baseline
from attrkit.studies.running.splits import Split
from attrkit.studies.running.steps import REFUSED, Steps, was_refused
from attrkit.studies.running.tests import Test
from attrkit.studies.running.trained import Trained, Trainer

Tests = Mapping[str, tuple[Test, dict[str, Any]]]


class Explained(NamedTuple):
    """What extractors say of the model of one seed, and the keys of those steps."""

    results: dict[str, xr.Dataset]
    keys: dict[str, str]


def run_steps(steps: Steps, asked: Asked, tests: Tests, seeds: list[int]) -> None:
    """Do all steps of a study that the store does not hold.

    Raises
    ------
    RefusedError
        If no model passes the gate.
    """
    steps.run("data", [asked.rows.tolist()], lambda: _data_of(asked.explained))
    trainer = Trainer(asked.factory, asked.train)
    found = {seed: _of_seed(steps, asked, tests, Trained(trainer, seed)) for seed in seeds}
    passed = {seed: explained for seed, explained in found.items() if explained is not None}
    if not passed:
        raise RefusedError(
            f"no model passes the gate {asked.gate!r}: none has learned enough for an explanation to mean anything. "
            "Train better, or say gate=None"
        )
    shared = [name for name in asked.methods if all(name in explained.results for explained in passed.values())]
    results = {seed: {name: explained.results[name] for name in shared} for seed, explained in passed.items()}
    keys = {seed: [explained.keys[name] for name in shared] for seed, explained in passed.items()}
    for name, (test, options) in tests.items():
        if test.about == "seeds":
            depends = [describe_value(test.run), describe_value(options), describe_value(asked.how), keys]
            steps.run(name, depends, partial(test.run, results, asked.how, **options))


def count_steps(asked: Asked, tests: Tests, seeds: list[int]) -> int:
    """Return how many steps there are, if every model passes the gate."""
    of_all = sum(test.about == "seeds" for test, _ in tests.values())
    return 1 + of_all + len(seeds) * (2 + len(asked.methods) + len(tests) - of_all)


def _of_seed(steps: Steps, asked: Asked, tests: Tests, trained: Trained) -> Explained | None:
    """Train, gate, explain and test; None for a model that does not pass."""
    seed = trained.seed
    place = f"seeds/{seed}"
    weights, key = steps.run(f"{place}/weights", [seed], trained.train, needed=True)
    model, _ = steps.run(f"{place}/model", [key, asked.gate], lambda: _judged(trained, weights, asked), needed=True)
    if not model["passed"]:
        return None
    question = _question_of(model, asked)
    of_samples = [key, describe_value(question), asked.rows.tolist()]
    results, keys, refused = {}, {}, {}
    for name, (method, given) in asked.methods.items():
        options = {**given, "draw": seed} if name == "random" else given
        own = {key: value for key, value in question.items() if key != "baseline" or takes_baseline(method)}
        if name in CONTROLS:
            del own["logits"]

        def explain(method: Any = method, given: dict[str, Any] = own | options) -> xr.Dataset:
            return extract(trained.adapter(weights), asked.explained.inputs, method, **asked.quiet, **given)

        depends = [*of_samples, describe_value(method), describe_value(options)]
        ds, keys[name] = steps.run(f"{place}/extractors/{name}", depends, explain)
        if was_refused(ds):
            refused[name] = ds.attrs[REFUSED]
        else:
            results[name] = ds
    if results.keys() <= set(CONTROLS):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise RefusedError(f"no extractor holds for the model of seed {seed}. {reasons}")
    found: dict[str, tuple[xr.Dataset, str]] = {}
    for name, (test, options) in tests.items():
        if test.about == "seeds":
            continue
        before = {one: found[one] for one in test.after if one in found}

        def ask(test: Test = test, options: dict[str, Any] = options, before: Any = before) -> xr.Dataset:
            load, threshold = partial(trained.adapter, weights), model.attrs["threshold"]
            earlier = {one: ds for one, (ds, _) in before.items()}
            return test.run(Case(load, seed, results, question, threshold, earlier, asked), **options)

        known = [keys[one] for one in results] if test.about == "results" else []
        known += [key for _, key in before.values()]
        depends = [*of_samples, describe_value(test.run), describe_value(options), describe_value(asked.how), known]
        ds, key = steps.run(f"{place}/{name}", depends, ask)
        if not was_refused(ds):
            found[name] = ds, key
    return Explained(results, keys)


def _question_of(model: xr.Dataset, asked: Asked) -> dict[str, Any]:
    """Return what is asked of every method, as `extract` takes it."""
    outputs, target, logits = model["prediction"].values, asked.target, asked.logits
    if isinstance(target, str) and target == "auto":
        target = "predicted" if outputs.shape[1] > 1 else None
    if logits == "auto":
        # Behind a softmax or a sigmoid gradients vanish where a model is sure.
        logits = bool(model.attrs["has_logits"])
    return {"target": target, "baseline": asked.baseline, "logits": logits}


def _data_of(explained: Split) -> xr.Dataset:
    ds = xr.Dataset({"input": explained.inputs.drop_vars("mask", errors="ignore")})
    ds["label"] = _by_sample(explained.labels)
    if explained.mask is not None:
        ds["mask"] = (("sample", "timestep"), explained.mask)
    if explained.saliency is not None:
        ds["saliency"] = explained.saliency.reset_coords(drop=True)
    return ds


def _judged(trained: Trained, weights: xr.Dataset, asked: Asked) -> xr.Dataset:
    """Say what a model gets right, and whether that is enough to explain it."""
    adapter, test = trained.adapter(weights), asked.test
    outputs, of_train = (predictions_of(adapter, each.inputs, asked.batch_size) for each in (test, asked.train))
    # Of one output for two classes: a probability, or a score before a sigmoid.
    threshold = 0.5 if _is_probability(outputs) else 0.0
    found = scores_of(outputs, test.labels, threshold)
    score, train_score = (_score(own, each, threshold) for own, each in ((outputs, test), (of_train, asked.train)))
    if asked.gate is None:
        needed, passed = -np.inf, True
    elif asked.gate == "chance":
        needed = np.unique(test.labels, return_counts=True)[1].max() / len(test.labels) if test.of_classes else 0.0
        passed = score > needed
    else:
        needed = float(asked.gate)
        passed = score >= needed
    name, long_name = score_name(test.labels)
    told = "share of right classes" if test.of_classes else "coefficient of determination"
    return xr.Dataset(
        {
            "prediction": (("sample", "output"), outputs),
            name: ("sample", found, {"long_name": long_name}),
            "label": _by_sample(test.labels),
            "score": ((), score, {"long_name": f"{told}, test data"}),
            "train_score": ((), train_score, {"long_name": f"{told}, training data"}),
            "needed": ((), needed, {"long_name": "score needed to be explained"}),
            "passed": ((), bool(passed)),
        },
        coords={"sample": test.inputs["sample"].values, "output": np.arange(outputs.shape[1])},
        attrs={"threshold": threshold, "has_logits": int(_has_logits(adapter, test, outputs))},
    )


def _is_probability(outputs: np.ndarray) -> bool:
    return bool((outputs >= 0).all() and (outputs <= 1).all())


def _has_logits(adapter: Adapter, test: Split, outputs: np.ndarray) -> bool:
    """Whether outputs are probabilities of classes, made by a softmax or a sigmoid that can be seen."""
    if not (test.of_classes and (are_shares(outputs) or (outputs.shape[1] == 1 and _is_probability(outputs)))):
        return False
    explained = explain_inputs(adapter, test.inputs.isel(sample=slice(1)))
    own = adapter.configured(question=explained.question(logits=True))
    try:
        with adapter.left_as_found():
            own.predict(explained.parts())
    except RefusedError:
        return False
    return True


def _score(outputs: np.ndarray, split: Split, threshold: float) -> float:
    if split.of_classes:
        return float(scores_of(outputs, split.labels, threshold).mean())
    wanted = split.labels.reshape(outputs.shape)
    spread = ((wanted - wanted.mean(0)) ** 2).sum()
    return float(1 - ((wanted - outputs) ** 2).sum() / spread) if spread > 0 else float("nan")


def _by_sample(values: np.ndarray) -> tuple[Any, ...]:
    return (("sample", *(["output"] if values.ndim > 1 else [])), values)
