"""Integrated gradients with as many steps as each sample needs."""

import warnings
from typing import NamedTuple

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.errors import CompletenessWarning
from attrkit.half import way_out_of
from attrkit.parts import Parts, each, row_count, row_sums
from attrkit.quadrature import SETTLED, nested_rules
from attrkit.result_checks import COMPLETENESS_TOLERANCE, share_of_change


class Integral(NamedTuple):
    """Attributions, of the shape of the input, and the gradients taken, of shape (sample,)."""

    values: Parts
    evaluations: np.ndarray


def integrate(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    start: Parts,
    explained: np.ndarray,
    at_start: np.ndarray,
    tolerance: float,
    most: int,
) -> Integral:
    """Integrate by one nested rule after another, of 7, 15, 31, ... steps, each on the samples that are not done.

    A finer rule takes gradients at its new nodes only: the sums of all rules are kept, and each gradient is added to
    those of its own rule and of all finer ones.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
    start : Parts of the shape of `x`
    explained, at_start : ndarray of shape (sample,)
        The explained output at `x` and at `start`.
    tolerance : float
        Largest completeness gap of a sample that is done, as a share of the change in output.
    most : int
        Largest number of steps.
    """
    rules = nested_rules(most)
    # The coarsest rule costs nothing: it is there for the second to be compared with.
    first = tuple(np.concatenate(both) for both in zip(*rules[:2], strict=True))
    active, values, evaluations = np.arange(row_count(x)), each(np.zeros_like, x), np.zeros(row_count(x), int)
    share = np.zeros(row_count(x))
    sums: Parts | None = None
    for rule, (nodes, weights) in enumerate([first, *rules[2:]], start=1):
        own, own_start = (each(lambda a, rows=active: a[rows], parts) for parts in (x, start))
        found = model.path_gradient(
            own, target[active], baseline=own_start, alphas=nodes, weights=weights, sample=active
        )
        sums = found if sums is None else each(np.add, sums, found)
        coarse, fine = (each(lambda a, b, s, k=k: (a - b) * s[k], own, own_start, sums) for k in (rule - 1, rule))
        _put(values, active, fine)
        evaluations[active] += len(nodes)
        gap = row_sums(fine) - (explained[active].astype(float) - at_start[active])
        share[active] = share_of_change(gap, explained[active], at_start[active])
        moved, size = row_sums(each(lambda a, b: np.abs(a - b), fine, coarse)), row_sums(each(np.abs, fine))
        done = (share[active] <= tolerance) & (moved <= SETTLED * tolerance * size)
        # What is no number stays none.
        left = ~done & np.isfinite(share[active])
        active, sums = active[left], each(lambda s, left=left: s[:, left], sums)
        if not len(active):
            break
    # What misses more than this is warned about for every method.
    quiet = active[share[active] <= COMPLETENESS_TOLERANCE]
    if len(quiet):
        advice = way_out_of(model.half) if model.half else "Raise max_steps or tolerance"
        warnings.warn(
            f"integrated_gradients: {len(quiet)} of {len(share)} samples are not done after {evaluations.max()} steps; "
            f"they miss up to {share[quiet].max():.2g} of the change in output, with tolerance={tolerance:g}, or their "
            f"attributions still move. {advice}",
            CompletenessWarning,
            stacklevel=5,
        )
    return Integral(values, evaluations)


def _put(whole: Parts, sample: np.ndarray, values: Parts) -> None:
    def put(into: np.ndarray, own: np.ndarray) -> None:
        into[sample] = own

    each(put, whole, values)
