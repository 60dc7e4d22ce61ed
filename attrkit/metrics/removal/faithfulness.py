"""Is a ranking faithful to the model: what the output loses when the items that are ranked first are removed."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.checks import one_of, some_of, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError, RefusedError
from attrkit.metrics.removal.case import (
    RANK_BY,
    Case,
    how_recorded,
    items_of,
    read_case,
    scores_of_items,
)
from attrkit.metrics.removal.curves import Points, read_points
from attrkit.metrics.removal.measures import METRICS, measure
from attrkit.metrics.removal.operators import find_operators
from attrkit.metrics.removal.removed import Ranked, check_padding
from attrkit.schema import build_table

ERASER_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""The bins of DeYoung et al. 2020."""

ERRORS = ("absolute", "squared", "signed")

ORDERS = ["most_relevant_first", "least_relevant_first"]


def faithfulness(
    model: Any,
    results: Any,
    *,
    inputs: Any = None,
    target: Any = None,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    resolution: str = "timestep",
    rank_by: str | None = None,
    operator: str | Callable[..., Any] | Sequence[Any] = "mean",
    background: Any = None,
    shares: Sequence[float] = ERASER_SHARES,
    n_removed: Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
    kind: str | None = None,
    error: str | None = None,
    output_labels: Sequence[Any] | None = None,
    n_random: int = 5,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> xr.Dataset:
    r"""Remove what an extractor ranks first, and see what the model loses.

    Parameters
    ----------
    model : object
        The model that was explained, or what `attrkit.adapt` made of it.
    results : DataTree, Dataset, or mapping of str to Dataset
        Attributions or attention of one or several extractors.
    inputs : optional
        What was explained, as `attrkit.extract` takes it; the results' own ``input`` if not given. Of several inputs,
        values are removed from the primary one, the first sequence; the others are handed on as they are.
    target : optional
        Which output to look at, as `attrkit.extract` takes it; what the results explain if not given. What ERASER
        defines is of the predicted class: ``"predicted"``.
    channels, attention, layer, head : optional
        How to bring attributions to one value a timestep, as `attrkit.stack` takes it.
    resolution : {"timestep", "cell"}, default "timestep"
        What is removed at once, an item: a timestep with all its channels, or one channel at one timestep. Extractors
        that do not resolve channels are refused for cells.
    rank_by : {"value", "magnitude"}, optional
        Whether the largest scores come first, or those farthest from 0. If not given, the largest where losses are
        signed, those farthest from 0 where a loss is the size of a change.
    operator : str, callable, or list of such, default "mean"
        What a removed value becomes: ``"zero"``; ``"mean"`` of its channel in the background; ``"sample"``, what
        another sample has at the same timestep and channel; ``"interpolate"``, the line between the nearest timesteps
        that are kept; ``"noise"``, Gaussian with the mean and standard deviation of its channel. Or a function
        ``f(values, removed, *, real, background, rng, number)`` of one sample's values, of shape (timestep, channel),
        and of what each row is to lose, of shape (row, timestep, channel). Several give a dim ``operator``.
    background : array_like, optional
        Data of the shape of the inputs that means and samples are taken from; the explained inputs if not given.
    shares : sequence of float, default (0.01, 0.05, 0.1, 0.2, 0.5)
        Shares of the real items of a sample: of :math:`n` items :math:`\lceil s n \rceil` are removed. 0 and 1 are
        added.
    n_removed : sequence of int, optional
        Numbers of items instead of shares, along a dim ``n_removed``; 0 is added. NaN where a sample has fewer.
    metrics : sequence of str, optional
        Only these, with no more passes than they need; all that hold for the outputs if not given.
    kind : {"probability", "logit", "value"}, optional
        What the outputs are: probabilities of classes (of one output: of the second of two), scores that a softmax (of
        one output: a sigmoid) makes such, or numbers. If not given, probabilities if there are two outputs or more and
        they sum to 1 for every sample, else numbers.
    error : {"signed", "absolute", "squared"}, optional
        What a loss is: :math:`f(x) - f(x')`, its size, or its square. If not given, signed for probabilities, its size
        for numbers.
    output_labels : sequence, optional
        As in `attrkit.extract`.
    n_random : int, default 5
        Random rankings of each sample, whose mean is the extractor ``"random"``: the floor. 0 for none.
    batch_size : int, optional
        Rows a pass; a row is one sample with one set of items removed.
    seed : int, default 0
        What is drawn for a sample depends on it and on the sample's place, not on batches.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.

    Returns
    -------
    Dataset
        For each sample, along ``extractor`` (and ``operator``): the curves ``deletion`` (along ``order``) and
        ``insertion`` of the explained output, for classes also ``deletion_predicted`` and ``insertion_predicted`` of
        the class that is predicted for the sample as it is; the metrics, each with an attribute ``direction``;
        ``decision_flips``, 1 where the class changes at all; ``undefined``, where a ranking has NaN, nothing is real,
        or the model gives no number, and all is NaN; ``constant``, where all scores are equal and the order is by
        chance alone. ``removed`` and ``items`` count the items of a sample.

    Raises
    ------
    InputError
        If inputs, results and options do not fit each other, or the model predicts something else than the results
        hold.
    RefusedError
        If a metric needs classes and the outputs are numbers, an extractor does not resolve channels that are to be
        removed, or an operator does not hold for the inputs' type.

    Warns
    -----
    AttrkitWarning
        If the model takes what is removed for padding.

    Notes
    -----
    :math:`S_k` are the :math:`k` items ranked first, and :math:`x \setminus S_k` is :math:`x` without them. Then
    deletion is :math:`f(x \setminus S_k)` and insertion :math:`f(S_k)`, with all real items but :math:`S_k` removed.
    Comprehensiveness is the loss to deletion and sufficiency the loss to insertion (DeYoung et al. 2020,
    arXiv:1911.03429, section 4), AOPC the plain mean of either over the points that were asked for. Areas are by
    trapezoids over the share of items removed (Petsiuk et al. 2018, arXiv:1806.07421, section 4.1). The degradation
    score is the area between the deletion with the last items first and that with the first items first (Schulz et
    al. 2020, arXiv:2001.00396); for numbers, between their losses. The decision flip is the smallest share at which
    another class is largest, of the points there are (Serrano and Smith 2019, arXiv:1906.03731, section 4); its mass is
    the share of the absolute scores then removed. The log odds are :math:`\log(p / (1 - p))`, p within 1e-6 of 0 and 1
    at most; what is elsewhere called log odds is often a difference of :math:`\log p`.

    Ties are broken at random by `seed`, never by position, and least relevant first is the same order backwards.
    Insertion with the least relevant first is the deletion curve read from its end.

    Examples
    --------
    >>> weights = np.array([3.0, 1.0, 0.0, -1.0])
    >>> x = np.ones((2, 4, 1))
    >>> tree = attrkit.from_arrays({"exact": x[..., 0] * weights}, inputs=x)
    >>> def f(x):
    ...     return x[..., 0] @ weights
    >>> found = faithfulness(f, tree, operator="zero", n_removed=[1, 2, 4], error="signed", n_random=0)
    >>> found["deletion"].sel(extractor="exact", order="most_relevant_first", sample=0).values
    array([ 3.,  0., -1.,  0.])
    >>> found["aopc_comprehensiveness"].values.round(3)
    array([[3.333, 3.333]])
    """
    started = time.perf_counter()
    datasets = as_datasets(results)
    n_random = whole_number(n_random, "n_random", least=0)
    seed = whole_number(seed, "seed", least=0)
    if error is not None:
        one_of(error, "error", ERRORS)
    if rank_by is not None:
        one_of(rank_by, "rank_by", RANK_BY)
    if n_random and "random" in datasets:
        raise InputError("an extractor is named 'random', as the random rankings are; rename it, or pass n_random=0")
    points = read_points(shares, n_removed)
    asked = None if metrics is None else some_of(metrics, "metrics", METRICS)
    how = {"channels": channels, "attention": attention, "layer": layer, "head": head}
    scores, real = scores_of_items(datasets, resolution, **how)
    adapter = adapt(model)
    with adapter.left_as_found():
        case = read_case(
            *(adapter, datasets, real),
            inputs=inputs,
            target=target,
            background=background,
            kind=kind,
            output_labels=output_labels,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        names = _names(asked, case)
        error = error or ("signed" if case.of_classes else "absolute")
        rank_by = rank_by or ("value" if error == "signed" else "magnitude")
        operators = find_operators(operator, case.values, case.background)
        values = np.abs(scores.values) if rank_by == "magnitude" else scores.values
        ranked = Ranked(values, items_of(case, scores, resolution), seed=seed, n_random=n_random)
        found = []
        for name, own in operators.items():
            check_padding(case, name, own, seed=seed)
            found.append(measure(case, ranked, own, points, chosen=names, error=error, seed=seed))
    ds = _joined(found, list(operators) if isinstance(operator, list | tuple) else None)
    rows = [*map(str, scores["extractor"].values), *(["random"] if n_random else [])]
    ds = ds.assign_coords(extractor=rows, sample=scores["sample"].values, target=("sample", case.target.label))
    options = {
        **case.model.describe(),
        "resolution": resolution,
        "rank_by": rank_by,
        **how_recorded(how),
        "operator": ", ".join(operators),
        "background": "the explained inputs" if background is None else "given",
        "outputs": case.kind,
        "error": error,
        "ties": "at random, by seed and sample",
        "n_random": n_random,
        "seed": seed,
        **case.model.cost,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return build_table("faithfulness", _described(ds, case, ranked, points, error), options)


def _names(metrics: list[str] | None, case: Case) -> list[str]:
    """Return the metrics that were asked for, else all that hold for the outputs."""
    if metrics is None:
        return [name for name, metric in METRICS.items() if case.of_classes or not metric.classes]
    for name in metrics:
        if METRICS[name].classes and not case.of_classes:
            raise RefusedError(
                f"{name} needs probabilities of classes, and the outputs are taken for numbers; use "
                f"{METRICS[name].instead}, or say that they are classes: kind='probability' or kind='logit'"
            )
    return metrics


def _joined(found: list[dict[str, np.ndarray]], operators: list[str] | None) -> xr.Dataset:
    """Name the axes, with one for the operators if several were asked for."""
    variables = {}
    for name, first in found[0].items():
        dims = ["extractor", *(["order"] if first.ndim == 4 else []), "sample", *(["point"] if first.ndim > 2 else [])]
        values = first
        if operators is not None:
            dims.insert(1, "operator")
            values = np.stack([one[name] for one in found], axis=1)
        variables[name] = (dims, values)
    return xr.Dataset(variables, coords={} if operators is None else {"operator": operators})


def _described(ds: xr.Dataset, case: Case, ranked: Ranked, points: Points, error: str) -> xr.Dataset:
    """Add what belongs to samples and points, and the words that readers need."""
    totals = ranked.items.sum(axis=1)
    ds = ds.assign(
        constant=(("extractor", "sample"), ranked.constant[: ds.sizes["extractor"]]),
        prediction=("sample", case.prediction[np.arange(len(totals)), case.target.index]),
        removed=(("sample", "point"), points.counts(totals)),
        items=("sample", totals),
    )
    ds = ds.rename(point=points.dim).assign_coords({points.dim: points.labels})
    if "order" in ds.dims:
        ds = ds.assign_coords(order=ORDERS[: ds.sizes["order"]])
    if case.of_classes:
        ds = ds.assign_coords(predicted=("sample", case.predicted))
    loss_units = "output squared" if error == "squared" else "output"
    for name, metric in METRICS.items():
        if name in ds:
            units = "1" if metric.classes or case.of_classes else loss_units
            ds[name].attrs = {"long_name": metric.long_name, "units": units, "direction": metric.direction}
    output = "probability" if case.of_classes else "output"
    texts = {
        "deletion": f"{output} without the items removed first",
        "insertion": f"{output} with the first items only",
        "deletion_predicted": "probability of the predicted class without the items removed first",
        "insertion_predicted": "probability of the predicted class with the first items only",
        "decision_flips": "whether the class changes",
        "undefined": "ranking or output is not defined",
        "constant": "all scores are equal",
        "prediction": f"{output} of the input as it is",
        "removed": "items removed",
        "items": "real items",
    }
    for name, text in texts.items():
        if name in ds:
            ds[name].attrs = {"long_name": text}
    return ds
