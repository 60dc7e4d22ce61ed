"""The tests of a study, by name: each asks one thing of the model of one seed, or of those of all seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from attrkit.attention.reduce import reduce_attention
from attrkit.errors import InputError, RefusedError
from attrkit.extract import extract
from attrkit.metrics import (
    agreement,
    data_randomisation,
    faithfulness,
    ground_truth,
    parameter_randomisation,
    self_agreement,
)
from attrkit.metrics.randomisation.randomisation import HOW
from attrkit.studies.attention.adversarial import adversarial_attention
from attrkit.studies.attention.adversarial_training import adversarial_training
from attrkit.studies.attention.diagnostic import diagnostic
from attrkit.studies.attention.permutation import permute_attention
from attrkit.studies.attention.uniform import uniform_training
from attrkit.studies.running.case import Case


class Test(NamedTuple):
    """A test, and what it is about.

    Attributes
    ----------
    run : callable
    about : {"model", "results", "seeds"}
        The model of one seed; what extractors say of it; what they say of the models of all seeds.
    after : tuple of str
        Tests of the same seed whose findings it takes, where they are part of the study and were not refused.
    """

    run: Callable[..., xr.Dataset]
    about: str
    after: tuple[str, ...] = ()


def _agreement(case: Case, *, n_random: int = 20, **options: Any) -> xr.Dataset:
    return agreement(case.results, **{**case.asked.how, "n_random": n_random, **options})


def _permutation(case: Case, **options: Any) -> xr.Dataset:
    return permute_attention(case.model, case.inputs, **{**case.at_layer, **options})


def _adversarial(case: Case, *, epsilon: float = 0.01, **options: Any) -> xr.Dataset:
    return adversarial_attention(case.model, case.inputs, epsilon=epsilon, **{**case.at_layer, **options})


def _faithfulness(case: Case, **options: Any) -> xr.Dataset:
    asked = {**case.asked.how, **case.asked.quiet, **options}
    # It draws random rankings of its own, several a sample.
    results = {name: ds for name, ds in case.results.items() if name != "random"}
    return faithfulness(case.model, results, inputs=case.inputs, **asked)


def _ground_truth(case: Case, **options: Any) -> xr.Dataset:
    saliency, how = case.asked.explained.saliency, case.asked.how
    if saliency is None:
        raise RefusedError("which cells matter is not known: the test data have no variable saliency")
    if how["channels"] is not None and "channel" in saliency.dims:
        # Scores are of timesteps, and so is the truth: a timestep matters if one of its channels does.
        saliency = saliency.any("channel")
    return ground_truth(case.results, saliency, **{**how, **options})


def _uniform_training(case: Case, **options: Any) -> xr.Dataset:
    asked = case.asked
    own: dict[str, Any] = {"seeds": [case.seed], "models": [case.model], "threshold": case.threshold}
    test = asked.test.inputs, asked.test.labels
    found = uniform_training(asked.factory, case.train, test, **own, **{**asked.quiet, **options})
    return found.isel(seed=0, drop=True)


def _diagnostic(case: Case, **options: Any) -> xr.Dataset:
    asked, how = case.asked, case.asked.how
    reduction = {"reduce": how["attention"], "layer": how["layer"], "head": how["head"]}
    splits = asked.train, asked.explained
    own = [extract(case.model, split.inputs, "attention", **asked.quiet) for split in splits]
    train, test = ((split.inputs, split.labels) for split in splits)
    weights: dict[str, tuple[Any, Any]] = {"model": (own[0], own[1])}
    adversaries = case.found.get("adversarial_training")
    if adversaries is not None and "train_weight" in adversaries:
        for penalty in adversaries["lambda_"].values:
            found = adversaries.sel(lambda_=penalty, drop=True)
            on_train = found["train_weight"].rename(train_sample="sample")
            weights[f"adversary {penalty:g}"] = on_train, _one_a_timestep(found["attention"], how)
    given = {"seeds": [case.seed], **reduction, "show_progress": False, **options}
    return diagnostic(train, test, weights, **given).isel(seed=0, drop=True)


def _one_a_timestep(attention: xr.DataArray, how: Mapping[str, Any]) -> xr.DataArray:
    """Bring the weights of one layer to one a timestep, as they are wherever a study compares attention."""
    query = how["attention"] if "query_timestep" in attention.dims else "mean"
    head = how["head"] if "head" in attention.dims else None
    return reduce_attention(xr.Dataset({"attention": attention}), query, head=head)["attribution"]


def _adversarial_training(
    case: Case, *, lambdas: Sequence[float] = (0.0, 0.01, 0.1), epochs: int = 20, **options: Any
) -> xr.Dataset:
    train, given = case.asked.train.inputs, {"layer": case.asked.how["layer"], "seed": case.seed}
    asked = {**given, "epochs": epochs, "show_progress": False, **options}
    found = adversarial_training(case.model, train, lambdas=lambdas, test=case.inputs, on_train=True, **asked)
    weights, how = found["train_attention"], case.asked.how
    # All queries of all training samples would be more than all else that a study keeps.
    found = found.drop_vars("train_attention")
    if "query_timestep" in weights.dims and how["attention"] is None:
        return found
    each = [_one_a_timestep(own.rename(train_sample="sample"), how) for own in weights]
    reduced = xr.concat(each, dim=weights["lambda_"]).rename(sample="train_sample")
    return found.assign(train_weight=reduced.assign_attrs(weights.attrs))


def _parameter_randomisation(case: Case, *, how: Sequence[str] = HOW, **options: Any) -> xr.Dataset:
    given = {**case.of_methods, **case.to_timesteps, "seed": case.seed, **options}
    found = [parameter_randomisation(case.model, case.inputs, case.methods, how=one, **given) for one in how]
    # Layers are the same either way, those closest to the output first.
    return xr.concat(found, dim=xr.DataArray(list(how), dims="how", name="how"), combine_attrs="drop_conflicts")


def _data_randomisation(case: Case, **options: Any) -> xr.Dataset:
    given = {**case.of_methods, **case.to_timesteps, "threshold": case.threshold, "seed": case.seed, **options}
    train, factory = case.train, case.asked.factory
    return data_randomisation(factory, train, case.inputs, case.methods, model=case.model, **given)


def _seed_variance(
    results: Mapping[int, Mapping[str, xr.Dataset]], how: Mapping[str, Any], **options: Any
) -> xr.Dataset:
    if len(results) < 2:
        raise RefusedError("one seed is left, and by how much seeds differ is known from two on")
    return self_agreement(results, **{**how, **options})


TESTS = {
    "agreement": Test(_agreement, "results"),
    "permutation": Test(_permutation, "model"),
    "adversarial": Test(_adversarial, "model"),
    "uniform_training": Test(_uniform_training, "model"),
    "adversarial_training": Test(_adversarial_training, "model"),
    "diagnostic": Test(_diagnostic, "model", after=("adversarial_training",)),
    "faithfulness": Test(_faithfulness, "results"),
    "ground_truth": Test(_ground_truth, "results"),
    "parameter_randomisation": Test(_parameter_randomisation, "results"),
    "data_randomisation": Test(_data_randomisation, "results"),
    "seed_variance": Test(_seed_variance, "seeds"),
}
"""In the order in which they are done."""


def read_tests(tests: Any, *, truth: bool) -> dict[str, tuple[Test, dict[str, Any]]]:
    """Return the tests that are asked for, each with its options; all that there is an answer to, if none are named.

    `truth` says whether it is known what matters.

    Raises
    ------
    InputError
        If one is not known.
    """
    if tests is None:
        return {name: (test, {}) for name, test in TESTS.items() if truth or name != "ground_truth"}
    if isinstance(tests, str):
        raise InputError(f"tests={tests!r} is text; give a list of names, or a mapping of names to options")
    given = dict(tests) if isinstance(tests, Mapping) else {name: {} for name in tests}
    found: dict[str, tuple[Test, dict[str, Any]]] = {}
    for name, value in given.items():
        if name in TESTS and (value is None or isinstance(value, Mapping)):
            found[name] = TESTS[name], dict(value or {})
        elif callable(value) and name not in TESTS and str(name).isidentifier():
            found[name] = Test(value, "results"), {}
        else:
            raise InputError(
                f"test {name!r} with {value!r} is not known; accepted are {', '.join(TESTS)}, each with a mapping of "
                "its options, or another plain name with a function of a case"
            )
    order = [*TESTS, *(name for name in found if name not in TESTS)]
    return {name: found[name] for name in order if name in found}
