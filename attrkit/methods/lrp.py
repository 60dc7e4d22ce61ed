"""Layer-wise relevance propagation."""

import warnings
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.checks import flag
from attrkit.errors import CompletenessWarning, RefusedError
from attrkit.half import check_relevance
from attrkit.method import OUTPUT, attribution, checked_first, needs_gradient
from attrkit.parts import Parts, arrays_of, each, row_sums
from attrkit.relevance.composites import Composite, composite_of
from attrkit.relevance.flow import BIAS, EPSILON, INTO, OUT_OF
from attrkit.relevance.rewrite import Plan, rewrite_of
from attrkit.relevance.rules import KernelRule, input_leaves

TOLERANCE = 0.01
"""Largest share of the output that may be missing from relevance and ledger without a warning."""


def _planned(
    model: Adapter,
    x: Parts | None,
    *,
    composite: str | Composite = "arras",
    epsilon: float | None = None,
    input_rule: str | KernelRule | None = None,
    by_layer: bool = False,
) -> tuple[Composite, Plan]:
    """Return the rules that options stand for, and the pass that is made of them.

    Raises
    ------
    RefusedError
        Also if the model computes in half precision, as far as that is known by now.
    """
    flag(by_layer, "by_layer")
    check_relevance(model.half, "lrp")
    bounds = _bounds(x) if x is not None and input_rule == "z_box" else (0.0, 0.0)
    chosen = composite_of(composite, epsilon=epsilon, input_rule=input_rule, bounds=bounds)
    return chosen, rewrite_of(model, chosen, by_layer=by_layer)


def _check(model: Adapter, x: Parts | None, **options: Any) -> None:
    """Refuse options that are not known, and a model with layers or operations that have no rule."""
    _, plan = _planned(model, x, **options)
    if x is not None and plan.trial is not None:
        plan.trial(x)


@checked_first(_check)
@needs_gradient
def lrp(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    composite: str | Composite = "arras",
    epsilon: float | None = None,
    input_rule: str | KernelRule | None = None,
    by_layer: bool = False,
) -> dict[str, Any]:
    """Return layer-wise relevance (Bach et al. 2015, doi:10.1371/journal.pone.0130140).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    composite : str or Composite, default "arras"
        Which rule each kind of layer has: a name of `attrkit.relevance.COMPOSITES`, or one of your own.
    epsilon : float, optional
        Stabiliser of denominators, in place of the composite's.
    input_rule : {"flat", "w_square", "z_box"} or rule, optional
        Rule of the layers of weights that are called with the model's input; the box of ``"z_box"`` goes from the
        smallest to the largest value of `x`.
    by_layer : bool, default False
        Tell layers apart: what of the relevance each was given, passed on, and lost to its bias and stabiliser.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``bias_relevance`` and ``epsilon_relevance`` of
        shape (sample,), what biases and stabilisers absorb; ``completeness_gap``: the sum of all three less the
        output, 0 for a composite that conserves. With `by_layer`, ``layer_relevance``, ``layer_bias_relevance``,
        ``layer_epsilon_relevance`` and ``layer_gap`` of dims (sample, layer).

    Raises
    ------
    RefusedError
        If a layer or an operation of the model has no rule, or a softmax makes the output that is explained; if the
        model computes in half precision.
    ForwardMismatchError
        If the pass with rules does not predict what the model predicts.
    InputError
        If an option is not known.

    Warns
    -----
    CompletenessWarning
        If more than 1 percent of an output is missing, with the layers that lose it.
    """
    chosen, plan = _planned(model, x, composite=composite, epsilon=epsilon, input_rule=input_rule, by_layer=by_layer)
    values, others = model.rewritten_gradient(x, target, plan.rewrite, prediction=prediction)
    beside = [leaf for name, leaf in others.items() if repr(chosen.first) in name]
    if input_leaves(chosen.first, "", np.ones(1)) and _size(values).any() and not any(leaf.any() for leaf in beside):
        raise RefusedError(
            f"input_rule {input_rule!r} is for layers of weights that are called with the model's input, and there is "
            "none; leave it out, or give rules by a layer's type or path: composite=COMPOSITES['arras'].extended(...)"
        )
    explained = prediction[np.arange(len(prediction)), target].astype(float)
    ledger = _ledger(plan, others, len(explained))
    bias, eps = ledger["layer_bias_relevance"], ledger["layer_epsilon_relevance"]
    # Inputs that are handed on carry relevance too.
    handed = sum(
        array.reshape(len(array), -1).sum(axis=1, dtype=float) for name, array in others.items() if name[0] != "#"
    )
    gap = row_sums(values) + handed + bias.sum(1, dtype=float) + eps.sum(1, dtype=float) - explained
    result = {
        "attribution": attribution(values, long_name=f"relevance ({_name(composite)})", units=OUTPUT),
        "bias_relevance": bias.sum(axis=1),
        "epsilon_relevance": eps.sum(axis=1),
        "completeness_gap": gap,
    }
    if by_layer:
        result |= {
            name: xr.DataArray(table, dims=("sample", "layer"), coords={"layer": plan.layers})
            for name, table in ledger.items()
        }
    if plan.conserves and (np.abs(gap) > TOLERANCE * np.maximum(np.abs(explained), 1e-3 * _size(values))).any():
        if not by_layer:
            # Once more, layers told apart.
            plan = rewrite_of(model, chosen, by_layer=True)
            _, others = model.rewritten_gradient(x, target, plan.rewrite, prediction=prediction)
            ledger = _ledger(plan, others, len(gap))
        _warn_of_leaks(gap, explained, plan.layers, ledger["layer_gap"])
    return result


def _ledger(plan: Plan, others: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Return what layers were given and lost, of shape (sample, layer); zeros where nothing is booked."""
    nothing = np.zeros((rows, len(plan.layers)))
    given, passed, bias, epsilon = (others.get(leaf, nothing) for leaf in (OUT_OF, INTO, BIAS, EPSILON))
    return {
        "layer_relevance": given,
        "layer_bias_relevance": bias,
        "layer_epsilon_relevance": epsilon,
        "layer_gap": passed + bias + epsilon - given,
    }


def _name(composite: str | Composite) -> str:
    return composite if isinstance(composite, str) else "own composite"


def _bounds(x: Parts) -> tuple[float, float]:
    return min(float(a.min()) for a in arrays_of(x)), max(float(a.max()) for a in arrays_of(x))


def _size(values: Parts) -> np.ndarray:
    return row_sums(each(np.abs, values))


def _warn_of_leaks(gap: np.ndarray, explained: np.ndarray, layers: list[str], lost: np.ndarray) -> None:
    """Name the layers that lose most, of what each loses of each sample."""
    worst = int(np.abs(gap).argmax())
    leaks = ", ".join(f"{layers[i]} {lost[worst, i]:.3g}" for i in np.argsort(-np.abs(lost[worst]))[:3])
    warnings.warn(
        f"lrp: relevance and ledger miss the output by more than {TOLERANCE:.0%} of it; in sample {worst} by "
        f"{gap[worst]:.3g} of {explained[worst]:.3g}. Layers that pass on less, or more, than they are given: {leaks}; "
        "the rest is lost where no rule stands",
        CompletenessWarning,
        stacklevel=5,
    )
