"""Do extractors find what is known to be salient? Synthetic data have the answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.checks import flag, some_of
from attrkit.errors import InputError
from attrkit.inputs import read_array
from attrkit.metrics.items import Group, by_length, options_text
from attrkit.metrics.scores import read_scores
from attrkit.metrics.truth import salient_curves
from attrkit.schema import build_table

_HIGHER, _LOWER = "higher is better", "lower is better"

# Of each metric: what it is, the unit, and the direction that the literature gives it.
_METRICS = {
    "auprc": ("average precision", "1", _HIGHER),
    "auroc": ("area under the ROC curve", "1", _HIGHER),
    "auprc_pooled": ("average precision over all samples", "1", _HIGHER),
    "auroc_pooled": ("area under the ROC curve over all samples", "1", _HIGHER),
    "aup": ("area under precision over the threshold", "1", _HIGHER),
    "aur": ("area under recall over the threshold", "1", _HIGHER),
    "information": ("information in what is salient", "bit", _HIGHER),
    "entropy": ("entropy of what is salient", "bit", _LOWER),
    "time_precision": ("precision of timesteps, weighted by scores", "1", _HIGHER),
    "time_recall": ("recall of timesteps, weighted by scores", "1", _HIGHER),
    "feature_precision": ("precision of channels, weighted by scores", "1", _HIGHER),
    "feature_recall": ("recall of channels, weighted by scores", "1", _HIGHER),
}
_POOLED = ("auprc_pooled", "auroc_pooled")
_OF_CHANNELS = ("feature_precision", "feature_recall")


class _Scores(NamedTuple):
    """Scores of shape (sample, extractor, timestep[, channel]), ``raw`` and scaled, and which can be used.

    ``finite`` and ``usable`` are of shape (sample, extractor); usable is what is finite and could be scaled.
    """

    raw: np.ndarray
    values: np.ndarray
    finite: np.ndarray
    usable: np.ndarray


def ground_truth(
    results: Any,
    saliency: Any,
    *,
    metrics: Sequence[str] | None = None,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    absolute: bool = True,
    scale: str | None = "min_max",
) -> xr.Dataset:
    """Measure how well extractors find what is known to be salient, sample by sample.

    Parameters
    ----------
    results : DataTree, Dataset, or mapping of str to Dataset
        As `attrkit.compare` and `attrkit.from_arrays` return them.
    saliency : DataArray or array_like of bool of shape (sample, timestep[, channel])
        True for what is salient; 0 and 1 will do. It has channels where the scores do.
    metrics : sequence of str, optional
        Some of ``auprc``, ``auroc``, ``auprc_pooled``, ``auroc_pooled``, ``aup``, ``aur``, ``information``,
        ``entropy``, ``time_precision``, ``time_recall``, ``feature_precision`` and ``feature_recall``; all that there
        are, if not given: those of features need channels.
    channels, attention, layer, head : optional
        How to bring attributions to one shape, as `attrkit.stack` takes it.
    absolute : bool, default True
        Take the magnitudes of scores; if false a negative score is less salient than none.
    scale : {"min_max", None}, default "min_max"
        Bring the scores of each sample to 0 at its lowest and 1 at its highest, after `absolute`; or leave them.
        Rankings within a sample do not depend on it; all other metrics do.

    Returns
    -------
    Dataset of dims (extractor, sample)
        A variable for each metric, the pooled ones of dims (extractor). Of dims (sample): ``items``, how many real
        items a sample has; ``prevalence``, the share of them that is salient; ``auprc_chance``, what ``auprc`` is on
        average over all orders of the items. ``undefined`` of dims (metric, extractor): how many samples have NaN, or
        are not in the pool.

        NaN is what is not defined: all metrics where nothing is salient; where everything is, all but ``information``
        and ``entropy``; all where scores are not finite; those that depend on the scale where it cannot be had, of a
        constant for ``"min_max"``, and where scores are below 0, or above 1 for ``information`` and ``entropy``. A
        constant has the prevalence for ``auprc`` and 0.5 for ``auroc``.

    Raises
    ------
    InputError
        If `saliency` does not fit the results, shapes or masks differ, or an option is not known.

    Notes
    -----
    ``auprc`` is the average precision and ``auroc`` the area of scikit-learn, with its treatment of ties. ``aup`` and
    ``aur`` are the areas under precision and recall over the threshold, ``auc(thresholds, precision[:-1])`` of
    scikit-learn's ``precision_recall_curve``; with ``information`` and ``entropy``, of which the literature has the
    sum over samples, they are those of Crabbe and van der Schaar (2021). They depend on how scores are spread
    over their range, not only on which are higher: maps that know nothing can have the best of them.

    ``time_precision`` and ``time_recall`` are after Ismail et al. (2020): of the fewest items that hold a share
    :math:`p` of the sum of scores, all that are tied with the last one included, the timesteps count, each by the mean
    of its highest scores, as many as channels are salient. Precision is the salient ones' weight over that of all
    found, recall over that of all salient ones. Both are means over :math:`p` from 0.1 to 0.9. Those of features are
    the same with timesteps and channels exchanged.

    References
    ----------
    Crabbe and van der Schaar 2021, arXiv:2106.05303. Ismail et al. 2020, arXiv:2010.13924.

    Examples
    --------
    >>> import numpy as np
    >>> import attrkit
    >>> salient = np.zeros((2, 10, 3), bool)
    >>> salient[:, 4:6, 1] = True
    >>> noise = np.random.default_rng(0).random(salient.shape)
    >>> tree = attrkit.from_arrays({"close": salient + 0.5 * noise, "noise": noise})
    >>> attrkit.metrics.ground_truth(tree, salient)["auprc"].mean("sample").round(2).values
    array([1. , 0.1])
    """
    names = list(_METRICS) if metrics is None else some_of(metrics, "metrics", _METRICS)
    absolute = flag(absolute, "absolute")
    if not (scale is None or (isinstance(scale, str) and scale == "min_max")):
        raise InputError(f"scale={scale!r} is not known; accepted are 'min_max' and None")
    scores, real = read_scores(results, channels=channels, attention=attention, layer=layer, head=head)
    if "channel" not in scores.dims:
        if metrics is not None and set(names) & set(_OF_CHANNELS):
            raise InputError("these scores have no channels, of which feature_precision and feature_recall are")
        names = [name for name in names if name not in _OF_CHANNELS]
    truth = _read_saliency(saliency, scores)
    n_items = real.values.sum(axis=1) * scores.sizes.get("channel", 1)
    kept = real.values.reshape(*real.shape, *(1,) * (truth.ndim - 2))
    n_salient = (truth & kept).reshape(len(truth), -1).sum(axis=1)

    found = {name: np.full((scores.sizes["sample"], scores.sizes["extractor"]), np.nan) for name in names}
    pool: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    pooled = [name for name in _POOLED if name in names]
    for group in by_length(scores, real):
        salient = truth[group.samples[:, None], group.real][:, None]
        prepared = _prepare(group, bool(absolute), scale)
        for name, each in _measure(prepared, salient, scale, names).items():
            found[name][group.samples] = each
        if pooled:
            flat = prepared.values.reshape(*prepared.usable.shape, -1)
            pool.append((flat, salient.reshape(len(salient), -1), prepared.usable))
    undefined = {name: np.isnan(each).sum(axis=0) for name, each in found.items()}
    areas, n_pooled = _pool_areas(pool, scores.sizes["extractor"])
    for name in pooled:
        found[name] = areas[name]
        undefined[name] = scores.sizes["sample"] - np.where(np.isnan(areas[name]), 0, n_pooled)

    dims = {name: ("extractor",) if name in pooled else ("sample", "extractor") for name in names}
    data: dict[str, Any] = {name: xr.Variable(dims[name], found[name]).transpose() for name in names}
    share = np.divide(n_salient, n_items, out=np.full(n_items.shape, np.nan), where=n_items > 0)
    chance = np.where((share > 0) & (share < 1), salient_curves.chance_of_precision(n_salient, n_items), np.nan)
    data |= {"items": ("sample", n_items), "prevalence": ("sample", share), "auprc_chance": ("sample", chance)}
    data["undefined"] = (("metric", "extractor"), np.stack([undefined[name] for name in names]))
    ds = xr.Dataset(data, coords={"extractor": scores["extractor"].values, "sample": scores["sample"], "metric": names})
    _describe(ds, names)
    options = {"absolute": bool(absolute), "scale": scale, "channels": channels, "attention": attention}
    return build_table("ground_truth", ds, options_text(options | {"layer": layer, "head": head}))


def _read_saliency(saliency: Any, scores: xr.DataArray) -> np.ndarray:
    """Return what is salient, of the dims of the scores without ``extractor``."""
    own = scores.isel(extractor=0, drop=True)
    what, accepted = "the saliency", "accepted are arrays of booleans, or of 0 and 1"
    if isinstance(saliency, xr.DataArray):
        if set(saliency.dims) == set(own.dims):
            saliency = saliency.transpose(*own.dims)
            for dim in own.dims:
                if dim in saliency.indexes and list(saliency.indexes[dim]) != list(own.get_index(dim)):
                    raise InputError(
                        f"{what} has other labels along {dim!r} than the results: {list(saliency.indexes[dim])[:5]} "
                        f"and {list(own.get_index(dim))[:5]}; select the same, in the same order"
                    )
        found, dims = saliency.values, saliency.dims
    else:
        found = read_array(saliency, what, accepted)
        dims = ("sample", "timestep", "channel")[: found.ndim]
    if found.shape != own.shape or set(dims) != set(own.dims):
        way_out = ""
        if "channel" in dims and "channel" not in own.dims:
            way_out = (
                "; over timesteps alone, a timestep is salient where one of its channels is: saliency.any('channel')"
            )
        elif "channel" in own.dims and "channel" not in dims:
            way_out = "; bring the scores to timesteps: channels='abs_sum'"
        raise InputError(
            f"{what} has dims {tuple(dims)} and shape {found.shape}, the scores {own.dims} and {own.shape}{way_out}"
        )
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise InputError(f"{what} has dtype {found.dtype} and other values than 0 and 1; {accepted}")
    return found.astype(bool)


def _prepare(group: Group, absolute: bool, scale: str | None) -> _Scores:
    raw = np.abs(group.values) if absolute else group.values
    axes = tuple(range(2, raw.ndim))
    finite = np.isfinite(raw).all(axis=axes, keepdims=True)
    raw = np.where(finite, raw, 0.0)
    finite = finite.squeeze(axes)
    if scale is None:
        return _Scores(raw, raw, finite, finite)
    values, differ = salient_curves.min_max(raw, axes)
    return _Scores(raw, values, finite, finite & differ)


def _measure(scores: _Scores, salient: np.ndarray, scale: str | None, names: list[str]) -> dict[str, np.ndarray]:
    """Return the metrics of single samples, of shape (sample, extractor)."""
    raw, flat = (each.reshape(*each.shape[:2], -1) for each in (scores.raw, scores.values))
    flat_salient = salient.reshape(len(salient), 1, -1)
    some = flat_salient.any(axis=-1)
    mixed = some & ~flat_salient.all(axis=-1)
    positive = scores.usable & (flat >= 0).all(axis=-1)
    found: dict[str, np.ndarray] = {}
    if set(names) & {"auprc", "auroc", "aup", "aur"}:
        # Not of what is scaled: rounding could tie what differs.
        items = salient_curves.ordered(raw, flat_salient)
        found["auprc"] = np.where(scores.finite & mixed, salient_curves.average_precision(items), np.nan)
        found["auroc"] = np.where(scores.finite & mixed, salient_curves.roc_area(items), np.nan)
        thresholds = items.score if scale is None else salient_curves.min_max(items.score, (2,))[0]
        holds = scores.usable & mixed & (thresholds[..., 0] > thresholds[..., -1])
        for name, curve in (("aup", items.precision), ("aur", items.recall)):
            found[name] = np.where(holds, salient_curves.over_thresholds(thresholds, curve), np.nan)
    if set(names) & {"information", "entropy"}:
        holds = positive & (flat <= 1).all(axis=-1) & some
        bounded = np.where(holds[..., None], flat, 0.0)
        found["information"] = np.where(holds, salient_curves.information(bounded, flat_salient), np.nan)
        found["entropy"] = np.where(holds, salient_curves.entropy(bounded, flat_salient), np.nan)
    cells, truth = scores.values, salient
    if cells.ndim == 3:
        cells, truth = cells[..., None], truth[..., None]
    for kind, turn in (("time", (0, 1, 2, 3)), ("feature", (0, 1, 3, 2))):
        if not {f"{kind}_precision", f"{kind}_recall"} & set(names):
            continue
        axis = truth.transpose(turn).any(axis=-1)
        largest = flat.max(axis=-1)
        holds = positive & (largest > 0) & axis.any(axis=-1) & ~axis.all(axis=-1)
        # Ratios of sums do not depend on the scale, and sums of what is at most 1 cannot overflow.
        weights = np.ones_like(cells)
        np.divide(cells, largest[..., None, None], out=weights, where=holds[..., None, None])
        both = salient_curves.along(weights.transpose(turn), truth.transpose(turn))
        for name, each in zip(("precision", "recall"), both, strict=True):
            found[f"{kind}_{name}"] = np.where(holds, each, np.nan)
    return {name: each for name, each in found.items() if name in names}


def _pool_areas(
    pool: list[tuple[np.ndarray, np.ndarray, np.ndarray]], n_extractors: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return areas over the items of all samples that can be used, and how many samples these are, by extractor."""
    found = {name: np.full(n_extractors, np.nan) for name in _POOLED}
    n_samples = np.zeros(n_extractors, int)
    for extractor in range(n_extractors if pool else 0):
        used = [each[:, extractor] for _, _, each in pool]
        scores = np.concatenate(
            [values[own, extractor].ravel() for (values, _, _), own in zip(pool, used, strict=True)]
        )
        salient = np.concatenate([truth[own].ravel() for (_, truth, _), own in zip(pool, used, strict=True)])
        n_samples[extractor] = sum(own.sum() for own in used)
        if salient.any() and not salient.all():
            items = salient_curves.ordered(scores, salient)
            found["auprc_pooled"][extractor] = salient_curves.average_precision(items)
            found["auroc_pooled"][extractor] = salient_curves.roc_area(items)
    return found, n_samples


def _describe(ds: xr.Dataset, names: list[str]) -> None:
    for name in names:
        long_name, units, direction = _METRICS[name]
        ds[name].attrs = {"long_name": long_name, "units": units, "direction": direction}
    ds["items"].attrs = {"long_name": "real items"}
    ds["prevalence"].attrs = {"long_name": "share of items that is salient", "units": "1"}
    ds["auprc_chance"].attrs = {"long_name": "average precision by chance", "units": "1"}
    ds["undefined"].attrs = {"long_name": "samples for which the metric is not defined"}
    ds["extractor"].attrs = {"long_name": "extractor"}
