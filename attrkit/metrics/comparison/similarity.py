"""How alike extractors are, pair by pair: arrays of shape (sample, extractor, item) that have no padding."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from attrkit.packages import needed

# Up to here, signs of all pairs of items are faster than sorting: 20 times at 240 items and 10 extractors.
_MOST_SIGNS = 600


class Items(NamedTuple):
    """What is known of every item, in arrays of shape (sample, extractor, item).

    ``value`` is what is ranked, over the largest magnitude; ``sign`` and ``share`` are of the score as it came: -1, 0
    or 1, and its magnitude over the sum of all. ``first`` is how many items rank before, ``ties`` how many share the
    rank, the item among them.
    """

    value: np.ndarray
    sign: np.ndarray
    share: np.ndarray
    first: np.ndarray
    ties: np.ndarray

    def shuffled(self, order: np.ndarray) -> "Items":
        """Return the items in another order, of shape (sample, item): that of all extractors."""
        return Items(*(np.take_along_axis(array, order[:, None, :], axis=-1) for array in self))


def describe(scores: np.ndarray, *, absolute: bool) -> Items:
    """Rank scores of shape (sample, extractor, item), by magnitude if `absolute`; where one is not finite all are 0."""
    finite = np.isfinite(scores).all(axis=-1, keepdims=True)
    scores = np.where(finite, scores, 0.0)
    # Not of what is scaled: rounding could tie what differs.
    first, ties = places(np.abs(scores) if absolute else scores)
    sign = np.sign(scores).astype(np.int8)
    largest = np.abs(scores).max(axis=-1, keepdims=True)
    # Sums and squares of what is at most 1 cannot overflow.
    scores = np.divide(scores, largest, out=np.zeros_like(scores), where=largest > 0)
    size = np.abs(scores)
    total = size.sum(axis=-1, keepdims=True)
    share = np.divide(size, total, out=np.zeros_like(scores), where=total > 0)
    return Items(size if absolute else scores, sign, share, first, ties)


def places(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many values along the last axis are larger than each, and how many are equal, itself among them.

    Examples
    --------
    >>> places(np.array([5.0, 7.0, 5.0, 1.0]))
    (array([1, 0, 1, 3]), array([2, 1, 2, 1]))
    """
    order = np.argsort(-values, axis=-1)
    start, end = tie_bounds(np.take_along_axis(values, order, axis=-1))
    first, ties = np.empty_like(start), np.empty_like(start)
    np.put_along_axis(first, order, start, axis=-1)
    np.put_along_axis(ties, order, end - start, axis=-1)
    return first, ties


def tie_bounds(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where along the last axis of ordered values the run of equal ones starts, and where it has ended."""
    index = np.arange(ordered.shape[-1])
    differs = ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*ordered.shape[:-1], 1), bool)
    starts = np.concatenate([edge, differs], axis=-1)
    ends = np.concatenate([differs, edge], axis=-1)
    start = np.maximum.accumulate(np.where(starts, index, 0), axis=-1)
    end = np.minimum.accumulate(np.where(ends, index + 1, index.size)[..., ::-1], axis=-1)[..., ::-1]
    return start, end


def varies(items: Items) -> np.ndarray:
    """Whether there is anything to rank, of shape (sample, extractor): not all items share one rank."""
    return items.ties[..., 0] < items.ties.shape[-1]


def compare(left: Items, right: Items, k: int, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return each metric of shape (sample, extractor, other): extractors of `left` with those of `right`.

    Only pairs in order, ``other`` not before ``extractor``, are taken; those the other way round are as these. What
    is not defined is any number; `varies` and the sums of ``share`` tell.
    """
    found = {name: _METRICS[name](left, right, k) for name in names}
    return {name: _mirrored(values) for name, values in found.items()}


def _mirrored(values: np.ndarray) -> np.ndarray:
    row, column = np.triu_indices(values.shape[1])
    out = np.empty_like(values)
    out[:, row, column] = out[:, column, row] = values[:, row, column]
    return out


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum products over items, of all extractors with all."""
    return left @ right.swapaxes(1, 2)


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    norms = np.sqrt((left**2).sum(-1))[:, :, None] * np.sqrt((right**2).sum(-1))[:, None, :]
    found = np.divide(_products(left, right), norms, out=np.zeros_like(norms), where=norms > 0)
    return np.clip(found, -1, 1)


def _in_order(function: Callable[..., np.ndarray], left: Any, right: Any) -> np.ndarray:
    """Return ``function`` of items of one extractor and of all from there on, which sums over the last axis."""
    n_samples, n_extractors, _ = left[0].shape
    out = np.zeros((n_samples, n_extractors, n_extractors))
    for i in range(n_extractors):
        out[:, i, i:] = function(*(array[:, i : i + 1] for array in left), *(array[:, i:] for array in right))
    return out


def _kendall_tau(left: Items, right: Items, k: int) -> np.ndarray:
    n_items = left.first.shape[-1]
    if n_items > _MOST_SIGNS:
        return _tau_by_sorting(left, right)
    # tau-b is the cosine between the signs of all differences of two items.
    untied = [(n_items**2 - items.ties.sum(axis=-1)) / 2 for items in (left, right)]
    norms = np.sqrt(untied[0][:, :, None] * untied[1][:, None, :])
    return np.divide(_sums_of_signs(left, right), norms, out=np.zeros_like(norms), where=norms > 0)


def _sums_of_signs(left: Items, right: Items) -> np.ndarray:
    """Return concordant less discordant pairs."""
    same = left is right
    n_samples, n_extractors, _ = left.first.shape
    out = np.empty((n_samples, n_extractors, n_extractors))
    for sample in range(n_samples):
        own = _signs(left.first[sample])
        # Single precision counts to 2**24 without a fault.
        out[sample] = own @ (own if same else _signs(right.first[sample])).T
    return out / 2


def _signs(first: np.ndarray) -> np.ndarray:
    first = first.astype(np.int16)
    one, other = first[:, :, None], first[:, None, :]
    signs = (one > other).view(np.int8) - (one < other).view(np.int8)
    return signs.astype(np.float32).reshape(len(first), -1)


def _tau_by_sorting(left: Items, right: Items) -> np.ndarray:
    kendalltau = needed("scipy.stats", f"'kendall_tau' of more than {_MOST_SIGNS} items", extra="metrics").kendalltau

    def tau(one: Any, others: Any) -> np.ndarray:
        # Its test of significance is exact, and slow, unless told not to be.
        rows = [
            [kendalltau(a[0], b, method="asymptotic").statistic for b in each]
            for a, each in zip(one, others, strict=True)
        ]
        return np.array(rows)

    return _in_order(tau, [left.first], [right.first])


def _spearman(left: Items, right: Items, k: int) -> np.ndarray:
    middle = (left.first.shape[-1] - 1) / 2
    return _cosines(*(items.first + (items.ties - 1) / 2 - middle for items in (left, right)))


def _cosine(left: Items, right: Items, k: int) -> np.ndarray:
    return _cosines(left.value, right.value)


def _chance_on_top(items: Items, k: int) -> np.ndarray:
    """How likely each item is among the first `k`, where ties are broken at random."""
    return np.clip(k - items.first, 0, items.ties) / items.ties


def _top_k_overlap(left: Items, right: Items, k: int) -> np.ndarray:
    return _products(_chance_on_top(left, k), _chance_on_top(right, k)) / k


def _sign_agreement(left: Items, right: Items, k: int) -> np.ndarray:
    tops = [(_chance_on_top(items, k), items.sign) for items in (left, right)]
    return np.sum([_products(*(top * (sign == one) for top, sign in tops)) for one in (-1, 0, 1)], axis=0) / k


def _rank_agreement(left: Items, right: Items, k: int) -> np.ndarray:
    def same_place(first: Any, ties: Any, other_first: Any, other_ties: Any) -> np.ndarray:
        return _same_place(first, ties, other_first, other_ties, k).sum(axis=-1) / k

    return _in_order(same_place, (left.first, left.ties), (right.first, right.ties))


def _signed_rank_agreement(left: Items, right: Items, k: int) -> np.ndarray:
    def same_place(first: Any, ties: Any, sign: Any, other_first: Any, other_ties: Any, other_sign: Any) -> np.ndarray:
        agree = _same_place(first, ties, other_first, other_ties, k) * (sign == other_sign)
        return agree.sum(axis=-1) / k

    return _in_order(same_place, (left.first, left.ties, left.sign), (right.first, right.ties, right.sign))


def _same_place(first: Any, ties: Any, other_first: Any, other_ties: Any, k: int) -> np.ndarray:
    """How likely an item has the same place in both rankings, one of the first `k`, where ties are broken at random."""
    start = np.maximum(first, other_first)
    end = np.minimum(np.minimum(first + ties, other_first + other_ties), k)
    return np.maximum(end - start, 0) / (ties * other_ties)


def _jensen_shannon(left: Items, right: Items, k: int) -> np.ndarray:
    own, others = ([items.share, information_of(items.share)] for items in (left, right))

    def divergence(p: Any, at_p: Any, q: Any, at_q: Any) -> np.ndarray:
        return ((at_p + at_q) / 2 - information_of((p + q) / 2)).sum(axis=-1)

    return np.clip(_in_order(divergence, own, others), 0, 1)


def information_of(share: np.ndarray) -> np.ndarray:
    """Return p log2 p of each share, in bits; 0 where it is 0."""
    return share * np.log2(share, out=np.zeros_like(share), where=share > 0)


def _total_variation(left: Items, right: Items, k: int) -> np.ndarray:
    return _in_order(lambda p, q: np.abs(p - q).sum(axis=-1) / 2, [left.share], [right.share])


_METRICS: dict[str, Callable[[Items, Items, int], np.ndarray]] = {
    "kendall_tau": _kendall_tau,
    "spearman": _spearman,
    "cosine": _cosine,
    "top_k_overlap": _top_k_overlap,
    "rank_agreement": _rank_agreement,
    "sign_agreement": _sign_agreement,
    "signed_rank_agreement": _signed_rank_agreement,
    "jensen_shannon": _jensen_shannon,
    "total_variation": _total_variation,
}
