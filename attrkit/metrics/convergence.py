"""How many steps integrated gradients need: what is missing, and what still moves, by the number of steps."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.checks import real_number, some_of, whole_number
from attrkit.errors import CompletenessWarning, InputError
from attrkit.extract import extract
from attrkit.methods.integrated_gradients import TOLERANCE
from attrkit.quadrature import QUADRATURES, SETTLED
from attrkit.result_checks import share_of_change
from attrkit.schema import build_table

N_STEPS = (4, 8, 16, 32, 64, 128)


def convergence(
    model: Any,
    inputs: Any,
    *,
    n_steps: Sequence[int] = N_STEPS,
    quadrature: str | Sequence[str] = "gauss_legendre",
    tolerance: float = TOLERANCE,
    **asked: Any,
) -> xr.Dataset:
    r"""Say what integrated gradients miss, and how far they still move, by the number of steps.

    For :math:`n` steps, the gap is :math:`|\sum_i a_i^{(n)} - \Delta f| / |\Delta f|`, where :math:`\Delta f` is the
    change of the output from the baseline to the input (Sundararajan et al. 2017, arXiv:1703.01365, section 5). A gap
    may be small by luck, with attributions that are wrong and cancel; so the change from the number of steps :math:`m`
    before, :math:`\sum_i |a_i^{(n)} - a_i^{(m)}| / \sum_i |a_i^{(n)}|`, is asked too.

    Parameters
    ----------
    model, inputs
        As `attrkit.extract` takes them.
    n_steps : sequence of int, default (4, 8, 16, 32, 64, 128)
        Rising numbers of steps, two at least.
    quadrature : str or sequence of str, default "gauss_legendre"
        Rule, or rules to compare, as ``integrated_gradients`` takes them.
    tolerance : float, default 0.01
        The largest gap of a sample that is done. It may change by 5 tolerances, as with ``n_steps="auto"``.
    **asked
        What else `attrkit.extract` takes: ``target``, ``baseline``, ``mask``, ``batch_size`` and others.

    Returns
    -------
    Dataset
        Of dims ([quadrature, ]n_steps, sample[, output]): ``completeness_gap`` in units of the output, with its sign;
        ``gap_share``, its size as a share of the change in output; ``attribution_change``, NaN for the fewest steps.
        ``steps_needed``, without ``n_steps``: the fewest steps from which on all gaps are within the tolerance and all
        changes within 5, NaN where there are none.

    Raises
    ------
    InputError
        If numbers of steps do not rise, a rule or option is not known, or attributions are asked for that do not add
        up.

    Examples
    --------
    >>> from attrkit.metrics import convergence
    >>> found = convergence(model, x, n_steps=[2, 4, 8, 16], show_progress=False)
    >>> found["gap_share"].dims, bool((found["gap_share"].sel(n_steps=16) < 0.01).all())
    (('n_steps', 'sample'), True)
    """
    steps = [whole_number(n, "n_steps", least=1) for n in n_steps] if isinstance(n_steps, Sequence) else []
    if len(steps) < 2 or steps != sorted(set(steps)):
        raise InputError(f"n_steps={n_steps!r}; accepted are two or more whole numbers that rise, such as {N_STEPS}")
    rules = some_of(quadrature, "quadrature", QUADRATURES)
    tolerance = real_number(tolerance, "tolerance", above=0)
    if asked.get("embedding_reduction", "sum") not in ("sum", "auto", None):
        raise InputError(
            f"embedding_reduction={asked['embedding_reduction']!r} makes attributions that do not add up to the change "
            "in output; leave it out"
        )
    adapter = adapt(model)
    by_rule = []
    for rule in rules:
        runs = []
        for n in steps:
            with warnings.catch_warnings():
                # What few steps miss is what is asked.
                warnings.simplefilter("ignore", CompletenessWarning)
                runs.append(extract(adapter, inputs, n_steps=n, quadrature=rule, **asked))
        by_rule.append(_measured(runs, steps))
    found = by_rule[0] if isinstance(quadrature, str) else xr.concat(by_rule, _labels("quadrature", rules))
    found["steps_needed"] = _needed(found, tolerance)
    found["steps_needed"].attrs = {"long_name": "steps needed", "units": "1"}
    about = {
        name: runs[0].attrs[name] for name in ("framework", "model", "target", "baseline") if name in runs[0].attrs
    }
    about |= {"quadratures": ", ".join(rules), "tolerance": tolerance}
    return build_table("convergence", found, {**about, "change_tolerance": float(SETTLED * tolerance)})


def _measured(runs: Sequence[xr.Dataset], steps: Sequence[int]) -> xr.Dataset:
    """Return the gap and the change for each number of steps, of dims (n_steps, sample[, output])."""
    gaps, shares, changes = [], [], []
    before: dict[str, xr.DataArray] = {}
    for run in runs:
        parts = {str(name): run[name] for name in run.data_vars if str(name).startswith("attribution")}
        gap, start = run["completeness_gap"], run["baseline_prediction"]
        total = sum(_sum(values.astype(float), gap) for values in parts.values())
        share = share_of_change(gap.values, (total - gap + start).values, start.values)
        gaps.append(gap)
        shares.append(gap.copy(data=share))
        size = sum(_sum(abs(values), gap) for values in parts.values())
        moved = sum(_sum(abs(values - before[name]), gap) for name, values in parts.items()) if before else np.nan
        changes.append(gap.copy(data=np.broadcast_to(moved / size, gap.shape)))
        before = parts
    named = {"completeness_gap": gaps, "gap_share": shares, "attribution_change": changes}
    words = {"gap_share": "completeness gap / change in output", "attribution_change": "change of attribution"}
    about = {name: {"long_name": text, "units": "1", "direction": "lower is better"} for name, text in words.items()}
    about["completeness_gap"] = gaps[0].attrs
    joined = {
        name: xr.concat(arrays, _labels("n_steps", steps)).assign_attrs(about[name]) for name, arrays in named.items()
    }
    return xr.Dataset(joined)


def _labels(dim: str, labels: Sequence[Any]) -> xr.DataArray:
    return xr.DataArray(list(labels), dims=dim, name=dim)


def _sum(values: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Sum over what the gap has no dim of: timesteps and channels."""
    return values.sum([dim for dim in values.dims if dim not in like.dims], skipna=False)


def _needed(found: xr.Dataset, tolerance: float) -> xr.DataArray:
    """Return the fewest steps from which on all are done."""
    within = (found["gap_share"] <= tolerance) & ~(found["attribution_change"] > SETTLED * tolerance)
    fewer = within.isel(n_steps=slice(None, None, -1)).cumprod("n_steps").sum("n_steps")
    last = found.sizes["n_steps"]
    at = (last - fewer).astype(int)
    steps = found["n_steps"].values
    return at.copy(data=np.where(at.values < last, steps[np.minimum(at.values, last - 1)], np.nan))
