"""Classes of Captum that replace the gradient of layers: they run on a copy of a torch module, once it is looked at."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import difference_of
from attrkit.adapters.pytorch import TorchModule
from attrkit.engines._baselines import mean_prediction, placed, read_baselines
from attrkit.engines._torch_copy import copied
from attrkit.engines._torch_graph import Graph, graph_of
from attrkit.engines.captum._call import Group, attribute, captum_class
from attrkit.engines.captum._refusals import check_rescaled, check_ruled, check_through_relu, torch_module
from attrkit.errors import ForwardMismatchError
from attrkit.method import (
    OUTPUT,
    OUTPUT_PER_INPUT,
    attribution,
    checked_first,
    measured,
    needs_gradient,
    predicted_at,
)
from attrkit.parts import Parts, arrays_of, by_name, row_count, unnamed


def _check_layers(name: str) -> Callable[..., None]:
    """Return the check of a class before any pass: the layers that are plain gradients to it."""

    def check(model: Adapter, x: Parts | None, **options: Any) -> None:
        torch_module(model, name)
        if x is not None and "baselines" in options:
            read_baselines(options["baselines"], x, least=2)

    return check


@cache
def _rows_class() -> Any:
    """Return the class of the module that Captum hooks; torch is imported by now."""
    import torch

    class ExplainedRows(torch.nn.Module):
        """A model's explained outputs of rows, a tensor a part, and the number of each row's sample."""

        def __init__(self, adapter: TorchModule, x: Parts, target: np.ndarray) -> None:
            super().__init__()
            self.model = adapter.model
            self.adapter, self.names, self.target = adapter, list(by_name(x)), target
            self.seen: list[np.ndarray] = []
            self.row_count = 0

        def forward(self, *given: Any) -> Any:
            *points, at = given
            rows = at.numpy()
            found = self.adapter.traced_rows(
                unnamed(dict(zip(self.names, points, strict=True))), rows, self.target[rows]
            )
            self.row_count += len(rows)
            self.seen.append(found.detach().numpy().copy())
            # Autograd refuses an input that the explained output does not depend on.
            return found + sum(0 * point.flatten(1).sum(1) for point in points) if len(points) > 1 else found

    return ExplainedRows


class _Hooked:
    """A copy of a model for Captum's hooks, which leave traces on layers, and which other threads would run."""

    def __init__(self, model: Adapter, name: str, x: Parts, target: np.ndarray, *, own_weights: bool = False) -> None:
        module = torch_module(model, name)
        self.adapter = copied(module, own_weights=own_weights)
        for layer in self.adapter.model.modules():
            # Captum hooks the tensor that goes into a layer. Where that comes out of another layer with hooks, or goes
            # elsewhere too, they would undo each other, or replace all of its gradient: each layer has its own.
            if not list(layer.children()):
                layer.register_forward_pre_hook(_with_own_inputs)
        self.name, self.model, self.x, self.target = name, module, x, target
        self.rows = _rows_class()(self.adapter, x, target)

    def graph(self) -> Graph:
        return graph_of(self.adapter, self.x, self.target)

    def check(self, group: Group, prediction: np.ndarray) -> None:
        """Refuse numbers of a pass that Captum's hooks have changed."""
        expected = prediction[group.rows, self.target[group.rows]]
        # The first pass: in a second one, LRP may have other weights.
        got = self.rows.seen[0][: len(expected)]
        self.rows.seen.clear()
        scale, difference = difference_of(expected, got)
        if not difference <= self.model.precision * scale:
            raise ForwardMismatchError(
                f"with the hooks of captum:{self.name} the model predicts something else, by {difference:.3g} (of "
                f"{scale:.3g}): a layer that works in place is handed a copy by them. Build it with inplace=False"
            )


def _with_own_inputs(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if hasattr(value, "clone") else value for value in given)


@needs_gradient
@checked_first(_check_layers("GuidedBackprop"))
def guided_backprop(model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray) -> dict[str, Any]:
    """Return Captum's ``GuidedBackprop``: gradients that only go through ReLUs where positive (arXiv:1412.6806).

    Parameters
    ----------
    model : Adapter
        A torch module whose only operations beside linear ones and max-pooling are layers ``nn.ReLU``.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    return _through_relu("GuidedBackprop", "guided backpropagation", model, x, target, prediction)


@needs_gradient
@checked_first(_check_layers("Deconvolution"))
def deconvolution(model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray) -> dict[str, Any]:
    """Return Captum's ``Deconvolution``: gradients with ReLUs in the backward pass alone (arXiv:1311.2901).

    Parameters
    ----------
    model : Adapter
        A torch module whose only operations beside linear ones and max-pooling are layers ``nn.ReLU``.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    return _through_relu("Deconvolution", "deconvolution", model, x, target, prediction)


def _through_relu(
    name: str, long_name: str, model: Adapter, x: Parts, target: np.ndarray, prediction: np.ndarray
) -> dict[str, Any]:
    hooked = _Hooked(model, name, x, target)
    check_through_relu(name, hooked.graph())
    instance = captum_class(name)(hooked.rows)

    def call(group: Group) -> Any:
        found = instance.attribute(group.inputs, additional_forward_args=(group.at,))
        hooked.check(group, prediction)
        return found

    values = attribute(model, x, call, size=model.batch_size, label=name)
    model.cost["gradient_evaluations"] += hooked.rows.row_count
    return {"attribution": attribution(values, long_name=long_name, units=OUTPUT_PER_INPUT)}


@needs_gradient
@checked_first(_check_layers("DeepLift"))
def deep_lift(
    model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray, baseline: Parts, eps: float = 1e-10
) -> dict[str, Any]:
    """Return Captum's ``DeepLift``, the rescale rule (Shrikumar et al. 2017, arXiv:1704.02685, section 3.5.2).

    Parameters
    ----------
    model : Adapter
        A torch module whose only operations beside linear ones are layers that Captum has the rule for: ReLU, ELU,
        LeakyReLU, Sigmoid, Tanh, Softplus, and MaxPool whose windows do not overlap.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What the input is compared with.
    eps : float, default 1e-10
        Difference at a layer below which its gradient is taken.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction`` and ``completeness_gap`` of
        shape (sample,): the sum of the attributions less the change in output, which is 0 by the rule.
    """
    hooked = _Hooked(model, "DeepLift", x, target)
    alone = check_rescaled("DeepLift", hooked.graph())
    instance = captum_class("DeepLift")(hooked.rows, eps=eps)

    def call(group: Group) -> Any:
        found = instance.attribute(group.inputs, baselines=group.starts, additional_forward_args=(group.at,))
        hooked.check(group, prediction)
        return found

    size = 1 if alone else max(1, model.batch_size // 2)
    values = attribute(model, x, call, size=size, label="DeepLift", baseline=baseline)
    model.cost["gradient_evaluations"] += hooked.rows.row_count
    found = measured(values, predicted_at(model, x, target, baseline), prediction, target)
    return {"attribution": attribution(values, long_name="DeepLIFT", units=OUTPUT), **found}


@needs_gradient
@checked_first(_check_layers("DeepLiftShap"))
def deep_lift_shap(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baselines: Any,
    masks: Any = None,
) -> dict[str, Any]:
    """Return Captum's ``DeepLiftShap``: the mean of DeepLIFT over many baselines (arXiv:1705.07874, section 4.2).

    Parameters
    ----------
    model : Adapter
        As of `deep_lift`.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baselines : Parts of shape (baseline, timestep[, channel])
        Two or more, which every sample is compared with; where a sample is padded, they are too.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction``, the mean over all
        baselines, and ``completeness_gap``, both of shape (sample,).
    """
    compared = read_baselines(baselines, x, least=2)
    hooked = _Hooked(model, "DeepLiftShap", x, target)
    alone = check_rescaled("DeepLiftShap", hooked.graph())
    # Through Captum's rule of max-pooling, pairs that run together are not told apart.
    name = "DeepLift" if alone else "DeepLiftShap"
    instance = captum_class(name)(hooked.rows)
    pairs = 1 if alone else max(2, model.batch_size // 2)
    count = row_count(compared)

    def call(group: Group) -> Any:
        sums = None
        for some in np.array_split(np.arange(count), max(1, count // pairs)):
            starts = placed(compared, some, x, np.repeat(group.rows, len(some)), masks)
            given = tuple(
                group.at.new_tensor(b, dtype=a.dtype) for b, a in zip(arrays_of(starts), group.inputs, strict=True)
            )
            found = instance.attribute(group.inputs, baselines=given, additional_forward_args=(group.at,))
            hooked.check(group, prediction)
            parts = [value.detach() * (len(some) / count) for value in found]
            sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
        return sums

    values = attribute(model, x, call, size=1, label="DeepLiftShap")
    model.cost["gradient_evaluations"] += hooked.rows.row_count
    at_start = mean_prediction(model, x, target, compared, masks)
    return {
        "attribution": attribution(values, long_name="DeepLIFT SHAP", units=OUTPUT),
        **measured(values, at_start, prediction, target),
    }


@needs_gradient
@checked_first(_check_layers("LRP"))
def lrp(model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray) -> dict[str, Any]:
    """Return Captum's ``LRP``: the epsilon rule, or what a layer's attribute ``rule`` says.

    Parameters
    ----------
    model : Adapter
        A torch module of layers that Captum has rules for, Linear, Conv2d, ReLU, Tanh and pooling among them, with no
        other operations than such as put values elsewhere.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``completeness_gap`` of shape (sample,): the sum
        of the attributions less the output. It is what biases and stabilisers have absorbed.
    """
    hooked = _Hooked(model, "LRP", x, target, own_weights=True)
    check_ruled(hooked.graph(), hooked.adapter)
    instance = captum_class("LRP")(hooked.rows)

    given = {layer: layer.rule for layer in hooked.adapter.model.modules() if hasattr(layer, "rule")}

    def call(group: Group) -> Any:
        # Captum takes rules off when it is done.
        for layer, rule in given.items():
            layer.rule = rule
        found = instance.attribute(group.inputs, additional_forward_args=(group.at,))
        hooked.check(group, prediction)
        return found

    values = attribute(model, x, call, size=model.batch_size, label="LRP")
    # A forward pass that changes weights, and one with a backward pass.
    half = hooked.rows.row_count // 2
    model.cost.update(forward_evaluations=half, gradient_evaluations=half)
    nothing = np.zeros(len(prediction))
    gap = measured(values, nothing, prediction, target)["completeness_gap"]
    return {"attribution": attribution(values, long_name="relevance", units=OUTPUT), "completeness_gap": gap}
