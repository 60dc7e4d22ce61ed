"""iNNvestigate's analyzers on Keras models, in a process of its own: eager mode, graphs and Keras 2 stay there."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.keras import KerasModel
from attrkit.adapters.outputs import difference_of
from attrkit.adapters.terms import Question
from attrkit.engines.innvestigate import process
from attrkit.engines.innvestigate.rebuild import describe
from attrkit.engines.innvestigate.worker import packed, unpacked
from attrkit.errors import InputError, RefusedError
from attrkit.half import check_relevance
from attrkit.method import OUTPUT, OUTPUT_PER_INPUT, attribution, checked_first, measured, predicted_at
from attrkit.parts import Parts, arrays_of

_LRP = (
    *("z", "epsilon", "w_square", "flat", "alpha_beta", "alpha_2_beta_1", "alpha_2_beta_1_IB", "alpha_1_beta_0"),
    *("alpha_1_beta_0_IB", "z_plus", "z_plus_fast", "sequential_preset_a", "sequential_preset_b"),
    *("sequential_preset_a_flat", "sequential_preset_b_flat", "sequential_preset_b_flat_until_idx"),
)
_SLOPES = ("gradient", "gradient.baseline", "smoothgrad", "deconvnet", "guided_backprop")
_NAMES = (
    *("input", "random", *_SLOPES, "input_t_gradient", "integrated_gradients"),
    *("lrp", *(f"lrp.{rule}" for rule in _LRP), "deep_taylor", "deep_taylor.bounded"),
)
_OURS = {
    "neuron_selection_mode": "say which output by target=",
    "disable_model_checks": "without its checks it passes on gradients where it has no rule",
    "noise_scale": "iNNvestigate 2.1.2 ignores it, and the noise is 1; use attrkit's own smoothgrad",
    "reference_inputs": "pass baseline=",
}


def names() -> list[str]:
    """Return the analyzers that are offered."""
    return list(_NAMES)


def method(name: str) -> Callable[..., Any]:
    """Return the method that runs an analyzer."""
    provenance: dict[str, Any] = {"engine": "innvestigate"}

    def check(model: Adapter, x: Parts | None, **options: Any) -> None:
        _check_model(name, model)
        if x is not None:
            _check_inputs(name, model, x)
        for option, why in _OURS.items():
            if option in options:
                raise RefusedError(f"innvestigate:{name}: leave {option}= out: {why}")

    def run(
        model: Adapter, x: Parts, target: np.ndarray, seed: int, timeout: float, options: Any, **more: np.ndarray
    ) -> np.ndarray:
        assert isinstance(model, KerasModel)
        (x,) = arrays_of(x)
        key = _loaded(model, x, timeout)
        try:
            text = json.dumps(options, sort_keys=True)
        except TypeError as err:
            raise InputError(f"innvestigate:{name}: options are handed on as text, and {err}") from err
        found, head = [], ""
        for start in range(0, len(x), model.batch_size):
            rows = slice(start, start + model.batch_size)
            question = {
                "do": "analyze",
                "key": key,
                "analyzer": name,
                "options": text,
                "logits": model.question.logits,
                "seed": seed,
                "rows": model.batch_size,
                "is_first": start == 0,
                "arrays": packed(x=x[rows], neuron=target[rows].astype("int32"), **more),
            }
            answer, head = _asked(name, question, timeout)
            found.append(unpacked(answer)["array"])
        versions = process.running().versions
        provenance["engine_version"] = versions["innvestigate"]
        provenance["engine_runs_on"] = f"Keras {versions['keras']}, TensorFlow {versions['tensorflow']}"
        if head:
            provenance["explained_before"] = head
        return np.concatenate(found)

    @checked_first(check)
    def analyzer(
        model: Adapter,
        x: Parts,
        target: np.ndarray,
        *,
        seed: int = 0,
        timeout: float = 600.0,
        **options: Any,
    ) -> dict[str, Any]:
        values = run(model, x, target, seed, timeout, options)
        return {"attribution": _labelled(name, values)}

    @checked_first(check)
    def integrated(
        model: Adapter,
        x: Parts,
        target: np.ndarray,
        *,
        prediction: np.ndarray,
        baseline: np.ndarray,
        seed: int = 0,
        timeout: float = 600.0,
        **options: Any,
    ) -> dict[str, Any]:
        if len(baseline) > 1 and not (baseline == baseline[:1]).all():
            raise RefusedError(f"innvestigate:{name} has one baseline for all samples; use integrated_gradients")
        (first,) = (array[:1] for array in arrays_of(x))
        start = np.broadcast_to(baseline[:1], first.shape).astype(first.dtype)
        values = run(model, x, target, seed, timeout, options, baseline=start)
        found = measured(values, predicted_at(model, x, target, baseline), prediction, target)
        return {"attribution": _labelled(name, values), **found}

    found = integrated if name == "integrated_gradients" else analyzer
    found.provenance = provenance  # type: ignore[attr-defined]
    return found


def _labelled(name: str, values: np.ndarray) -> Any:
    units = OUTPUT_PER_INPUT if name in _SLOPES else OUTPUT
    return attribution(values, long_name=f"iNNvestigate's {name}", units=units)


def _check_model(name: str, model: Adapter) -> None:
    if not isinstance(model, KerasModel):
        raise RefusedError(f"innvestigate:{name} takes Keras models, and this is a {type(model.model).__name__}")
    if name.startswith(("lrp", "deep_taylor")):
        check_relevance(model.half, f"innvestigate:{name}")
    if len(model.inputs) > 1 or len(getattr(model.model, "outputs", None) or [1]) > 1:
        raise RefusedError(f"innvestigate:{name} takes models of one input and one output; use attrkit's own methods")
    if model.question.head is not None:
        raise RefusedError(f"innvestigate:{name} explains one output; target= cannot be a function")
    describe(model)


def _check_inputs(name: str, model: Adapter, x: Parts) -> None:
    if not isinstance(x, np.ndarray):
        raise RefusedError(f"innvestigate:{name} takes one input")
    if x.dtype.kind != "f" and name.split(".")[0] not in ("lrp", "deep_taylor"):
        raise RefusedError(f"innvestigate:{name} has no gradient of token ids; use attrkit's own methods, or lrp")


def _loaded(model: KerasModel, x: np.ndarray, timeout: float) -> str:
    """Have the worker build the model, once, and compare what it predicts; return the key that it is kept by."""
    weights = model.model.get_weights()
    description = json.dumps(describe(model), sort_keys=True)
    digest = hashlib.sha256(description.encode())
    for array in weights:
        digest.update(array.tobytes())
    key = digest.hexdigest()
    if process.ask({"do": "knows", "key": key}, timeout=timeout):
        return key
    floatx = x.dtype.name if x.dtype.kind == "f" else "float32"
    arrays = packed(**{f"w{i}": array for i, array in enumerate(weights)})
    process.ask(
        {"do": "load", "key": key, "description": description, "weights": arrays, "floatx": floatx}, timeout=timeout
    )
    first = x[:32]
    answer = process.ask({"do": "predict", "key": key, "arrays": packed(x=first)}, timeout=timeout)
    rebuilt = unpacked(answer)["array"].reshape(len(first), -1)
    own = model.configured(question=Question()).predict(first)
    size, difference = difference_of(own, rebuilt)
    if not difference <= model.precision * size:
        raise RefusedError(
            f"innvestigate: the model that was built anew for Keras 2 predicts something else, by {difference:.3g} "
            f"(largest prediction {size:.3g}): it has layers that Keras 2 computes in another way"
        )
    return key


def _asked(name: str, question: dict[str, Any], timeout: float) -> Any:
    try:
        return process.ask(question, timeout=timeout)
    except InputError as err:
        raise InputError(f"innvestigate:{name}: {err}") from err
    except RefusedError as err:
        own = "lrp" if name.startswith(("lrp", "deep_taylor")) else "gradient, or another method"
        raise RefusedError(f"innvestigate:{name} does not hold for this model: {err}; use attrkit's own {own}") from err
