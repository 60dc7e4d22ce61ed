"""F-Fidelity: small random parts of what is ranked first are removed, of a model trained with such gaps."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from reprlib import repr as short
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.checks import one_of, real_number, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.inputs import label_inputs
from attrkit.metrics.draws import DRAWS, OPERATOR, generator
from attrkit.metrics.removal.case import (
    RANK_BY,
    RESOLUTIONS,
    Case,
    how_recorded,
    items_of,
    read_case,
    scores_of_items,
)
from attrkit.metrics.removal.curves import Points, ratio, read_shares
from attrkit.metrics.removal.operators import Operator, find_operators, make_background, replaced
from attrkit.metrics.removal.removed import Ranked, check_padding, chunks, remove
from attrkit.schema import build_table


def f_fidelity(
    model: Any,
    results: Any,
    *,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.5),
    removal: float = 0.5,
    max_share: float = 0.1,
    n_draws: int = 50,
    fine_tune: Callable[[Any, Callable[..., np.ndarray]], Any] | None = None,
    inputs: Any = None,
    target: Any = None,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    resolution: str = "timestep",
    rank_by: str = "value",
    operator: str | Callable[..., Any] = "mean",
    background: Any = None,
    kind: str | None = None,
    output_labels: Sequence[Any] | None = None,
    n_random: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> xr.Dataset:
    r"""Remove small random parts of what is ranked first, and of the rest (Zheng et al. 2025, arXiv:2410.02970).

    Removing half of an input makes one that the model has never seen, and what it says then may be an accident of that.
    F-Fidelity fine-tunes the model on inputs with small random gaps, the same for all extractors, and then makes only
    such gaps.

    Parameters
    ----------
    model : object
        A model that was fine-tuned with `random_masking`; with `fine_tune`, the model that was explained. It is not
        checked whether it was fine-tuned.
    results : DataTree, Dataset, or mapping of str to Dataset
        Attributions of the model that was explained.
    shares : sequence of float, default (0.05, 0.1, 0.2, 0.5)
        Sizes of the set :math:`S` of items ranked first: of :math:`n` real items :math:`\lceil s n \rceil`.
    removal : float, default 0.5
        Probability at most with which an item of the set is removed.
    max_share : float, default 0.1
        Share of all real items that is removed at most, on average: what the model was fine-tuned with.
    n_draws : int, default 50
        Random parts that are averaged over; the same for all extractors and shares.
    fine_tune : callable, optional
        Maps `model` and a masking function to the fine-tuned model. The function, ``mask(inputs, seed=0)``, is
        `random_masking` with the options of this call; use another seed each epoch.
    inputs, target, channels, attention, layer, head, resolution, rank_by, background
        As in `faithfulness`.
    kind, output_labels, batch_size, seed, show_progress
        As in `faithfulness`.
    operator : str or callable, default "mean"
        As in `faithfulness`; one.
    n_random : int, default 1
        Random rankings, whose mean is the extractor ``"random"``.

    Returns
    -------
    Dataset
        Along (extractor, sample, share): ``f_fidelity_plus``, higher is better, and ``f_fidelity_minus``, lower is
        better; where outputs are classes also ``kept_plus`` and ``kept_minus``, the share of draws in which the class
        stays. ``removal_plus`` and ``removal_minus`` (sample, share) are the probabilities. ``undefined`` as in
        `faithfulness`.

    Raises
    ------
    InputError, RefusedError
        As `faithfulness`.

    Notes
    -----
    With :math:`B_q` a random part that has each item with probability :math:`q`,

    .. math::

       \mathrm{FFid}^+ = f(x) - \mathrm{E} f(x \setminus B_{q^+}(S)), \qquad
       \mathrm{FFid}^- = f(x) - \mathrm{E} f(x \setminus B_{q^-}(\bar S)), \qquad
       q^\pm = \min(\alpha, \beta n / |\cdot|)

    with ``removal`` :math:`\alpha`, ``max_share`` :math:`\beta` and :math:`|\cdot|` the size of the set that is removed
    from. Items are drawn one by one, as in the code of the paper. Both terms are of the fine-tuned model, and signed
    for numbers too. Where :math:`f` is additive, :math:`\mathrm{FFid}^+` is :math:`q^+` times the comprehensiveness.

    Examples
    --------
    >>> x = np.random.default_rng(0).random((3, 10, 1))
    >>> tree = attrkit.from_arrays({"exact": x[..., 0], "wrong": -x[..., 0]}, inputs=x)
    >>> def f(x):
    ...     return x.sum((1, 2))
    >>> found = f_fidelity(f, tree, operator="zero", shares=[0.2], n_random=0)
    >>> found["f_fidelity_plus"].mean(("sample", "share")).argmax("extractor").item()
    0
    """
    started = time.perf_counter()
    sizes = _read_shares(shares)
    removal, max_share = (
        real_number(removal, "removal", above=0, most=1),
        real_number(max_share, "max_share", above=0, most=1),
    )
    n_draws, n_random = whole_number(n_draws, "n_draws", least=1), whole_number(n_random, "n_random", least=0)
    seed = whole_number(seed, "seed", least=0)
    one_of(rank_by, "rank_by", RANK_BY)
    if fine_tune is not None and not callable(fine_tune):
        raise InputError(
            f"fine_tune={fine_tune!r} is no function; accepted is one of the model and what masks its data"
        )
    if isinstance(operator, list | tuple):
        raise InputError(f"operator={operator!r}; one is accepted here, the one that the model was fine-tuned with")
    datasets = as_datasets(results)
    if n_random and "random" in datasets:
        raise InputError("an extractor is named 'random', as the random rankings are; rename it, or pass n_random=0")
    how = {"channels": channels, "attention": attention, "layer": layer, "head": head}
    scores, real = scores_of_items(datasets, resolution, **how)
    if fine_tune is not None:
        own = {"max_share": max_share, "resolution": resolution, "operator": operator, "background": background}
        model = fine_tune(model, partial(random_masking, **own))
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
            same_model=False,
        )
        (name, put), *_ = find_operators(operator, case.values, case.background).items()
        check_padding(case, name, put, seed=seed)
        values = np.abs(scores.values) if rank_by == "magnitude" else scores.values
        ranked = Ranked(values, items_of(case, scores, resolution), seed=seed, n_random=n_random)
        totals = ranked.items.sum(axis=1)
        counts = Points("share", sizes).counts(totals)
        allowed = max_share * totals[:, None]
        probability = np.stack(
            [np.fmin(removal, ratio(allowed, counts)), np.fmin(removal, ratio(allowed, totals[:, None] - counts))]
        )
        found = _drawn(case, ranked, put, counts, probability, n_draws=n_draws, seed=seed)
    extractors = [*map(str, scores["extractor"].values), *(["random"] if n_random else [])]
    coords = {"extractor": extractors, "sample": scores["sample"].values, "share": sizes}
    ds = _described(found, probability, totals, coords | {"target": ("sample", case.target.label)})
    options = {
        **case.model.describe(),
        "fine_tuned": "in this call" if fine_tune is not None else "by the caller, not checked",
        "resolution": resolution,
        "rank_by": rank_by,
        **how_recorded(how),
        "operator": name,
        "background": "the explained inputs" if background is None else "given",
        "outputs": case.kind,
        "removal": removal,
        "max_share": max_share,
        "n_draws": n_draws,
        "n_random": n_random,
        "seed": seed,
        **case.model.cost,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return build_table("f_fidelity", ds, options)


def _described(
    found: dict[str, np.ndarray], probability: np.ndarray, totals: np.ndarray, coords: dict[str, Any]
) -> xr.Dataset:
    """Name what was found, of shape (extractor, sample, share), with the words that readers need."""
    ds = xr.Dataset(
        {
            **{name: (("extractor", "sample", "share"), values) for name, values in found.items()},
            "removal_plus": (("sample", "share"), probability[0]),
            "removal_minus": (("sample", "share"), probability[1]),
            "undefined": (("extractor", "sample"), ~np.isfinite(found["f_fidelity_plus"]).all(axis=2)),
            "items": ("sample", totals),
        },
        coords=coords,
    )
    texts = {
        "f_fidelity_plus": ("loss without parts of the first items", "higher is better"),
        "f_fidelity_minus": ("loss without parts of the other items", "lower is better"),
        "kept_plus": ("share of draws that keep the class, without parts of the first items", "lower is better"),
        "kept_minus": ("share of draws that keep the class, without parts of the other items", "higher is better"),
    }
    for key, (text, direction) in texts.items():
        if key in ds:
            ds[key].attrs = {"long_name": text, "direction": direction}
    return ds


def _read_shares(shares: Sequence[float]) -> np.ndarray:
    accepted = "numbers between 0 and 1, one at least"
    found = read_shares(shares, accepted)
    if not len(found) or found[0] == 0 or found[-1] == 1:
        raise InputError(f"shares={short(shares)}; accepted are {accepted}")
    return found


def _drawn(
    case: Case,
    ranked: Ranked,
    operator: Operator,
    counts: np.ndarray,
    probability: np.ndarray,
    *,
    n_draws: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return means over the draws, of shape (extractor, sample, share); ``probability`` is (side, sample, share)."""
    n_samples, n_shares = counts.shape
    width = ranked.items.shape[1]
    lost, kept = (np.empty((2, ranked.count, n_samples, n_shares)) for _ in range(2))
    before = case.prediction[np.arange(n_samples), case.target.index]
    for numbers in chunks(n_samples, 2 * ranked.count * n_shares * n_draws * max(width, case.prediction.shape[1])):
        drawn = np.stack([generator(seed, DRAWS, number).random((n_draws, width)) for number in numbers.tolist()])
        first = ranked.places(numbers)[:, :, None, :] < counts[numbers][:, :, None]
        sides = np.stack([first, ~first & ranked.items[numbers][:, None, :]])
        # (side, ranking, sample, share, draw, item)
        below = drawn[:, None] < probability[:, numbers, :, None, None]
        rows = sides[:, :, :, :, None, :] & below[:, None]
        of = np.broadcast_to(numbers[:, None, None], rows.shape[:-1]).reshape(-1)
        explained, _, decided = remove(case, rows.reshape(len(of), width), of, operator, seed=seed)
        shape = rows.shape[:-1]
        lost[:, :, numbers] = before[numbers][:, None] - explained.reshape(shape).mean(axis=-1)
        same = decided.reshape(shape) == case.predicted[numbers][:, None, None]
        kept[:, :, numbers] = same.mean(axis=-1)
    named = {"f_fidelity_plus": lost[0], "f_fidelity_minus": lost[1]}
    if case.of_classes:
        named |= {"kept_plus": kept[0], "kept_minus": kept[1]}
    out = {}
    for name, values in named.items():
        values[ranked.undefined] = np.nan
        floor = values[ranked.n_extractors :]
        out[name] = np.concatenate([values[: ranked.n_extractors], *([floor.mean(axis=0)[None]] if len(floor) else [])])
    return out


def random_masking(
    inputs: Any,
    *,
    max_share: float = 0.1,
    resolution: str = "timestep",
    operator: str | Callable[..., Any] = "mean",
    background: Any = None,
    mask: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return inputs with a random part removed, to fine-tune a model for `f_fidelity`.

    Parameters
    ----------
    inputs : array_like of shape (sample, timestep[, channel])
        As `attrkit.inputs.label_inputs` takes it.
    max_share : float, default 0.1
        Probability with which an item is removed.
    resolution : {"timestep", "cell"}, default "timestep"
        What an item is.
    operator, background : optional
        As in `faithfulness`.
    mask : array_like of bool of shape (sample, timestep), optional
        False where padded; known without it for what `attrkit.pad` made. Padding stays as it is.
    seed : int, default 0
        What is removed from a sample depends on it and on the sample's place; take another one each epoch.

    Returns
    -------
    ndarray of the shape of `inputs`
        A copy, with gaps.

    Raises
    ------
    InputError
        If an option does not fit.

    Examples
    --------
    >>> found = random_masking(np.ones((1, 1000, 1)), operator="zero", max_share=0.1)
    >>> 850 < found.sum() < 950
    np.True_
    """
    max_share = real_number(max_share, "max_share", above=0, most=1)
    one_of(resolution, "resolution", RESOLUTIONS)
    seed = whole_number(seed, "seed", least=0)
    array = label_inputs(inputs)
    values = array.values
    own = array["mask"].values if mask is None and "mask" in array.coords else mask
    real = np.ones(values.shape[:2], bool) if own is None else np.asarray(own, bool)
    if real.shape != values.shape[:2]:
        raise InputError(f"the mask has shape {real.shape}; accepted is bool of shape {values.shape[:2]}")
    if background is None:
        donors = make_background(values, real, explained=True)
    else:
        given = label_inputs(background, shape=values.shape[1:], dtype=str(values.dtype))
        known = given["mask"].values if "mask" in given.coords else np.ones(given.shape[:2], bool)
        donors = make_background(given.values, known, explained=False)
    (put,) = find_operators(operator, values, donors).values()
    width = values.shape[2] if values.ndim == 3 and resolution == "cell" else 1
    removed = np.stack(
        [generator(seed, DRAWS, number).random((values.shape[1], width)) < max_share for number in range(len(values))]
    )
    return replaced(
        *(put, values, removed, np.arange(len(values))),
        real=real,
        background=donors,
        generator=lambda number: generator(seed, OPERATOR, number),
    )
