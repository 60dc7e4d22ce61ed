"""The numbers of faithfulness: which there are, and how they are made of what the model says."""

from typing import NamedTuple

import numpy as np

from attrkit.metrics.removal import curves as curves
from attrkit.metrics.removal.case import Case
from attrkit.metrics.removal.operators import Operator
from attrkit.metrics.removal.removed import Ranked, chunks, remove


class Metric(NamedTuple):
    """What a metric is called on an axis, which way it is better, what it needs, and what stands in for it."""

    long_name: str
    direction: str
    classes: bool = False
    insertion: bool = False
    both_orders: bool = False
    instead: str = ""


METRICS = {
    "comprehensiveness": Metric("loss without the first items", "higher is better"),
    "sufficiency": Metric("loss with the first items only", "lower is better", insertion=True),
    "log_odds_drop": Metric(
        "loss of log odds without the first items", "higher is better", classes=True, instead="comprehensiveness"
    ),
    "aopc_comprehensiveness": Metric("mean loss without the first items", "higher is better"),
    "aopc_sufficiency": Metric("mean loss with the first items only", "lower is better", insertion=True),
    "deletion_auc": Metric("area under deletion", "lower is better", classes=True, instead="aopc_comprehensiveness"),
    "insertion_auc": Metric(
        "area under insertion", "higher is better", classes=True, insertion=True, instead="aopc_sufficiency"
    ),
    "degradation_score": Metric("loss, first items less last items", "higher is better", both_orders=True),
    "decision_flip_fraction": Metric(
        "share of items removed until the class changes", "lower is better", classes=True, instead="degradation_score"
    ),
    "decision_flip_mass": Metric(
        "share of scores removed until the class changes", "lower is better", classes=True, instead="degradation_score"
    ),
}


def measure(
    case: Case, ranked: Ranked, operator: Operator, points: curves.Points, *, chosen: list[str], error: str, seed: int
) -> dict[str, np.ndarray]:
    """Return curves and metrics for one operator, each of shape (extractor[, order], sample[, point])."""
    totals = ranked.items.sum(axis=1)
    counts = points.counts(totals)
    with_insertion = any(METRICS[name].insertion for name in chosen)
    both_orders = any(METRICS[name].both_orders for name in chosen)
    # What is left of an insertion is what is removed from the end of the order.
    last = [*([counts] if both_orders else []), *([totals[:, None] - counts] if with_insertion else [])]
    shape = (ranked.count, len(totals), 1 + len(last), counts.shape[1])
    explained, predicted, decided = np.empty(shape), np.empty(shape), np.empty(shape, int)
    mass = np.full((ranked.count, *counts.shape), np.nan)
    width = max(ranked.items.shape[1], case.prediction.shape[1])
    for numbers in chunks(len(totals), ranked.count * shape[2] * shape[3] * width):
        places = ranked.places(numbers)
        at, total = places[:, :, None, None, :], totals[numbers][:, None, None, None]
        removed = [at < counts[numbers][:, None, :, None]]
        if last:
            # The last of the real items: padding stands behind them.
            least = np.stack([own[numbers] for own in last], axis=1)[..., None]
            removed.append((at >= total - least) & (at < total))
        rows = np.concatenate(removed, axis=2)
        of = np.broadcast_to(numbers[:, None, None], rows.shape[:-1]).reshape(-1)
        found = remove(case, rows.reshape(len(of), -1), of, operator, seed=seed)
        for array, values in zip((explained, predicted, decided), found, strict=True):
            array[:, numbers] = values.reshape(rows.shape[:-1])
        if "decision_flip_mass" in chosen:
            # A random ranking has no scores.
            own = slice(0, ranked.n_extractors)
            mass[own, numbers] = curves.mass_removed(
                ranked.scores[:, numbers], places[own], ranked.items[numbers], counts[numbers]
            )
    named: dict[str, np.ndarray] = {}
    for suffix, values in (("", explained), ("_predicted", predicted)):
        if not suffix or case.of_classes:
            named[f"deletion{suffix}"] = values[:, :, : 1 + both_orders].swapaxes(1, 2)
            if with_insertion:
                named[f"insertion{suffix}"] = values[:, :, -1]
    before = case.prediction[np.arange(len(totals)), case.target.index][:, None]
    loss = curves.loss_of(before[:, None], explained, error)
    flipped = (decided[:, :, 0] != case.predicted[:, None]) & points.exist(totals)
    averaged = points.averaged(totals)
    every = {
        "comprehensiveness": lambda: loss[:, :, 0],
        "sufficiency": lambda: loss[:, :, -1],
        "log_odds_drop": lambda: curves.logit(before) - curves.logit(explained[:, :, 0]),
        "aopc_comprehensiveness": lambda: curves.plain_mean(loss[:, :, 0], averaged),
        "aopc_sufficiency": lambda: curves.plain_mean(loss[:, :, -1], averaged),
        "deletion_auc": lambda: curves.area(explained[:, :, 0], counts),
        "insertion_auc": lambda: curves.area(explained[:, :, -1], counts),
        "degradation_score": lambda: curves.area(loss[:, :, 0] - loss[:, :, 1], counts),
        "decision_flip_fraction": lambda: curves.first_flip(flipped, curves.ratio(counts, totals[:, None])),
        "decision_flip_mass": lambda: curves.first_flip(flipped, mass),
    }
    named |= {name: every[name]() for name in chosen}
    if any(name.startswith("decision_flip") for name in chosen):
        named["decision_flips"] = flipped.any(axis=2).astype(float)
    undefined = np.asarray(~np.isfinite(explained).all(axis=(2, 3)))
    undefined |= ranked.undefined
    return _floored(named, undefined, points.exist(totals), ranked.n_extractors)


def _floored(
    named: dict[str, np.ndarray], undefined: np.ndarray, exist: np.ndarray, n_extractors: int
) -> dict[str, np.ndarray]:
    """Blank out what is undefined, and put the mean over the random rankings in their place."""
    out = {}
    for name, values in named.items():
        gone = undefined[:, None] if values.ndim == 4 else undefined
        values = np.where(gone[..., None] | ~exist if values.ndim > 2 else gone, np.nan, values)
        drawn = values[n_extractors:]
        if len(drawn):
            # Where the class never changes there is no share: the mean is over the draws that have one.
            known = np.isfinite(drawn)
            floor = curves.ratio(np.where(known, drawn, 0).sum(axis=0), known.sum(axis=0))
            values = np.concatenate([values[:n_extractors], floor[None]])
        out[name] = values
    drawn = undefined[n_extractors:]
    out["undefined"] = (
        np.concatenate([undefined[:n_extractors], drawn.any(axis=0, keepdims=True)]) if len(drawn) else undefined
    )
    return out
