"""ROAR: remove what is ranked first, train again, and see what a new model can still tell."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import one_of, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.metrics.draws import OPERATOR, generator
from attrkit.metrics.held_out import check_one_kind, predictions_of, read_seeds, read_split, score_name, scores_of
from attrkit.metrics.removal.case import RANK_BY, how_recorded, scores_of_items
from attrkit.metrics.removal.curves import Points, read_shares
from attrkit.metrics.removal.operators import Background, Operator, find_operators, make_background, replaced
from attrkit.metrics.removal.removed import Ranked
from attrkit.progress import with_progress
from attrkit.schema import build_table


def roar(
    model_factory: Callable[[np.ndarray, np.ndarray, int], Any],
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    results_of: Any,
    *,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    seeds: Sequence[int] = (0, 1, 2),
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    resolution: str = "timestep",
    rank_by: str = "value",
    operator: str | Callable[..., Any] = "mean",
    random: bool = True,
    threshold: float = 0.5,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> xr.Dataset:
    """Remove and retrain (Hooker et al. 2019, arXiv:1806.10758, section 3).

    A model that was trained on whole inputs may fail on inputs with gaps only because it has never seen gaps. Here the
    items ranked first are removed from the training data too, and a new model is trained for each extractor, share and
    seed: a ranking is good if new models can no longer tell the answer.

    Parameters
    ----------
    model_factory : callable
        ``model_factory(inputs, labels, seed)`` trains a new model on an array like `train`'s, and returns it. It must
        seed its initial weights and batches by `seed`; it must not look at the test data.
    train, test : tuple of inputs and labels
        Inputs of shape (sample, timestep[, channel]) as `attrkit.inputs.label_inputs` takes them, labels of shape
        (sample,), integers for classes, or floats of shape (sample[, output]).
    results_of : callable, or tuple of two
        Maps inputs to results of the model that is explained, as `attrkit.compare` returns them; or the results for
        `train` and those for `test`.
    shares : sequence of float, default (0.1, 0.3, 0.5, 0.7, 0.9)
        Shares of the real items of a sample that are removed. 0 is added: one model a seed, shared by all extractors.
    seeds : sequence of int, default (0, 1, 2)
        Handed to the factory, one after the other.
    channels, attention, layer, head, resolution, rank_by, batch_size
        As in `faithfulness`.
    operator : str or callable, default "mean"
        As in `faithfulness`; one. Means and samples are those of the training data, for the test data too.
    random : bool, default True
        Whether to retrain on random rankings too, another for each seed: the extractor ``"random"``.
    threshold : float, default 0.5
        For classes and a model of one output: what is above it is class 1. 0 for scores before a sigmoid.
    seed : int, default 0
        For ties, operators and random rankings.
    show_progress : bool, default True
        Show a bar over the models that are trained.

    Returns
    -------
    Dataset
        Along (extractor, share, seed, sample), of the test samples: ``correct``, 1 or 0, lower is better; or for
        numbers ``absolute_error``, the mean over outputs, higher is better. ``undefined`` (extractor, sample) where a
        ranking of a test sample has NaN or nothing is real; there all is NaN. ``n_undefined_train`` (extractor) counts
        such training samples: they are left as they are.

    Raises
    ------
    InputError
        If data, labels and results do not fit each other.

    Notes
    -----
    What is removed says something by where it is: a new model can read the class from the shape of the gap, and then
    keeps its accuracy though all that the old model used is gone (Rong et al. 2022, arXiv:2202.00449, which proposes a
    less visible operator; ``"interpolate"`` is the least visible one here). A constant in place of a value is the most
    visible. Compare with ``"random"``, whose gaps say nothing; an extractor above it may leak rather than fail. And
    a new model may find what the old one had no use for, so this judges rankings by the data as much as by the model.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((80, 4, 1))
    >>> y = (x[:, 2, 0] > 0).astype(int)
    >>> def fit(x, y, seed):
    ...     weights = np.linalg.lstsq(x[..., 0], 2.0 * y - 1, rcond=None)[0]
    ...     return lambda x: x[..., 0] @ weights
    >>> def explain(x):
    ...     return attrkit.from_arrays({"exact": np.broadcast_to([0, 0, 1, 0.0], x.shape[:2])}, inputs=x)
    >>> found = roar(fit, (x[:40], y[:40]), (x[40:], y[40:]), explain, shares=[0.25], seeds=[0], threshold=0)
    >>> accuracy = found["correct"].mean(("seed", "sample"))
    >>> bool(accuracy.sel(extractor="exact", share=0.25) < accuracy.sel(extractor="random", share=0.25))
    True
    """
    started = time.perf_counter()
    points = _read_shares(shares)
    seed = whole_number(seed, "seed", least=0)
    numbers = read_seeds(seeds)
    one_of(rank_by, "rank_by", RANK_BY)
    if isinstance(operator, list | tuple):
        raise InputError(f"operator={operator!r}; one is accepted here: every further one trains all models again")
    how = {"channels": channels, "attention": attention, "layer": layer, "head": head}
    if not callable(results_of) and not (isinstance(results_of, tuple | list) and len(results_of) == 2):
        raise InputError(
            f"results_of is a {type(results_of).__name__}; accepted are a function of inputs, or results for train and "
            "those for test"
        )
    results = (results_of, results_of) if callable(results_of) else results_of
    fit, held_out = (
        _read_split(
            *(which, split, own),
            resolution=resolution,
            rank_by=rank_by,
            n_random=len(numbers) if random else 0,
            seed=own_seed,
            **how,
        )
        # A test sample draws other numbers than the training sample of its place.
        for which, split, own, own_seed in zip(
            ("train", "test"), (train, test), results, (seed, seed + 2**32), strict=True
        )
    )
    if fit.names != held_out.names or (random and "random" in fit.names):
        raise InputError(
            f"extractors are {fit.names} for train and {held_out.names} for test; they must be the same, and 'random' "
            "is the name of the random rankings"
        )
    check_one_kind(fit.labels, held_out.labels)
    donors = make_background(fit.values, fit.real, explained=True)
    (name, put), *_ = find_operators(operator, fit.values, donors).items()
    sides = [(fit, donors), (held_out, make_background(fit.values, fit.real, explained=False))]
    names = [*fit.names, *(["random"] if random else [])]
    out = np.empty((len(names), len(points.labels), len(numbers), len(held_out.values)))
    # Nothing is removed at share 0, whatever the ranking.
    jobs = [
        (at, share, i)
        for i in range(len(numbers))
        for share in range(len(points.labels))
        for at in range(len(names) if share else 1)
    ]
    for at, share, i in with_progress(jobs, label="models", unit="model", show=show_progress):
        ranking = at if at < len(fit.names) else at + i
        cut = [side.without(ranking, points.labels[share], put, own) for side, own in sides]
        model = model_factory(cut[0], fit.labels.copy(), numbers[i])
        outputs = predictions_of(model, cut[1], batch_size)
        out[slice(None) if share == 0 else at, share, i] = scores_of(outputs, held_out.labels, threshold)
    undefined, left = (side.ranked.undefined[: len(names)] for side in (held_out, fit))
    out[np.broadcast_to(undefined[:, None, None], out.shape)] = np.nan
    score, long_name = score_name(held_out.labels)
    attrs = {"long_name": long_name, "direction": f"{'lower' if score == 'correct' else 'higher'} is better"}
    ds = xr.Dataset(
        {
            score: (("extractor", "share", "seed", "sample"), out, attrs),
            "undefined": (("extractor", "sample"), undefined),
            "n_undefined_train": ("extractor", left.sum(axis=1)),
        },
        coords={"extractor": names, "share": points.labels, "seed": numbers, "sample": held_out.sample},
    )
    options = {
        "resolution": resolution,
        "rank_by": rank_by,
        **how_recorded(how),
        "operator": name,
        "background": "the training data",
        "ranking_seed": seed,
        "models_trained": len(jobs),
        "seconds": round(time.perf_counter() - started, 3),
    }
    return build_table("roar", ds, options)


def _read_shares(shares: Sequence[float]) -> Points:
    accepted = "numbers above 0 and up to 1, one at least"
    found = read_shares(shares, accepted)
    if not (found > 0).any():
        raise InputError(f"shares={short(shares)}; accepted are {accepted}")
    return Points("share", np.unique([0.0, *found]))


@dataclass(frozen=True)
class _Split:
    """Training or test data, with the rankings of its items."""

    values: np.ndarray
    labels: np.ndarray
    real: np.ndarray
    sample: np.ndarray
    names: list[str]
    ranked: Ranked
    places: np.ndarray
    seed: int

    def without(self, ranking: int, share: float, operator: Operator, background: Background) -> np.ndarray:
        """Return the inputs without the first items of one ranking; samples that have none stay as they are."""
        counts = Points("share", np.array([share])).counts(self.ranked.items.sum(axis=1))
        counts[self.ranked.undefined[ranking]] = 0
        removed = (self.places[ranking] < counts).reshape(len(counts), self.values.shape[1], -1)
        return replaced(
            *(operator, self.values, removed, np.arange(len(counts))),
            real=self.real,
            background=background,
            generator=lambda number: generator(self.seed, OPERATOR, number),
        )


def _read_split(
    name: str, split: Any, results: Any, *, resolution: str, rank_by: str, n_random: int, seed: int, **how: Any
) -> _Split:
    array, labels = read_split(name, split)
    found = results(split[0]) if callable(results) else results
    scores, mask = scores_of_items(as_datasets(found), resolution, **how)
    real = mask.values & (array["mask"].values if "mask" in array.coords else True)
    width = array.shape[2] if array.ndim == 3 and resolution == "cell" else 1
    items = np.repeat(real, width, axis=1)
    if mask.shape != array.shape[:2] or items.shape != scores.shape[1:]:
        raise InputError(f"the results for {name} have sizes {dict(scores.sizes)}, its inputs {dict(array.sizes)}")
    values = np.abs(scores.values) if rank_by == "magnitude" else scores.values
    ranked = Ranked(values, items, seed=seed, n_random=n_random)
    places = ranked.places(np.arange(len(array)))
    names = [str(one) for one in scores["extractor"].values]
    return _Split(array.values, labels, real, array["sample"].values, names, ranked, places, seed)
