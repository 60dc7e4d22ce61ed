"""How much an explanation moves when the input hardly does, and how well it foretells what the model does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.adapters.terms import LazyRows
from attrkit.checks import flag, is_number, one_of, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.explained import explain_inputs
from attrkit.extract import compare
from attrkit.method import OUTPUT, OUTPUT_PER_INPUT
from attrkit.metrics._asked_again import Again, ask_again, one_input
from attrkit.metrics._draws import ONLY, generator
from attrkit.metrics._perturbations import Sample, find_perturbation, noise_scale_of
from attrkit.metrics._scores import read_scores
from attrkit.parts import keep_real, laid_flat

NORMS = {1: "sum of absolute values", 2: "Euclidean", np.inf: "largest absolute value"}

KINDS = {OUTPUT_PER_INPUT: "slope", OUTPUT: "share", "1": "share"}
"""How attributions of each unit are multiplied with a perturbation; attention weights have the unit 1."""


def max_sensitivity(
    model: Any,
    inputs: Any,
    methods: Any,
    *,
    radius: float = 0.02,
    unit: str = "std",
    n_samples: int = 10,
    norm: float = 2,
    normalize: bool = True,
    attention: Any = None,
    seed: int = 0,
    **asked: Any,
) -> xr.Dataset:
    r"""Say how far attributions move when inputs move a little (Yeh et al. 2019, arXiv:1901.09392, definition 2).

    .. math:: \max_{\|\delta\|_\infty \le r} \|\Phi(x + \delta) - \Phi(x)\| \; / \; \|\Phi(x)\|

    Parameters
    ----------
    model, inputs
        As `attrkit.extract` takes them: one sequence of numbers; others are handed on.
    methods : str, callable, sequence or mapping
        As `attrkit.compare` takes them; a method with options is ``{"name": ("smoothgrad", {"n_samples": 8})}``.
    radius : float, default 0.02
        How far each value moves at most; the noise is uniform. The maximum is over what is drawn, and so a lower bound.
    unit : {"std", "input"}, default "std"
        Of `radius`: the standard deviation of each channel over all samples and real timesteps of `inputs`, or the
        input's own unit, as in Captum.
    n_samples : int, default 10
        Noisy copies of each sample; each is explained anew by every method.
    norm : {2, 1, inf}, default 2
        Over all real timesteps and channels of a sample.
    normalize : bool, default True
        Divide by the norm of the attribution itself. If false, the result has its units, and extractors do not compare.
    attention : optional
        How to reduce attention of queries by keys, as `attrkit.stack` takes it.
    seed : int, default 0
        Of the noise, and of methods that draw, which draw the same for each copy. The noise of a sample depends on it
        and on the sample's number only.
    **asked
        What else `attrkit.compare` takes: ``target``, ``baseline``, ``mask``, ``batch_size`` and others. What is made
        of `inputs`, ``target="predicted"`` and ``baseline="mean"``, is that of the inputs as they came.

    Returns
    -------
    Dataset
        ``max_sensitivity`` and ``mean_sensitivity`` of dims (extractor, sample), lower is better; ``n_undefined`` of
        dim extractor, the samples whose attribution is 0 everywhere, or not finite; ``prediction_change`` of dim
        sample, the most that an output of the model moved: attributions may move where the model does.

    Raises
    ------
    InputError
        If an option is not known, or more than one input is explained: say which with ``explain=``.
    RefusedError
        If the inputs are token ids, which noise would make other tokens.

    Examples
    --------
    >>> from attrkit.metrics.robustness import max_sensitivity
    >>> found = max_sensitivity(model, x, ["gradient", "input_x_gradient"], n_samples=3, show_progress=False)
    >>> found["max_sensitivity"].dims, bool((found["max_sensitivity"] < 0.5).all())
    (('extractor', 'sample'), True)
    """
    if not is_number(norm) or norm not in NORMS:
        raise InputError(f"norm={norm!r} is not known; accepted are {', '.join(map(str, NORMS))}")
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    normalize = flag(normalize, "normalize")
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs, asked.get("explain"))
    main = one_input(explained)
    x = main.values
    first = as_datasets(compare(adapter, inputs, methods, seed=seed, **asked))
    before = {name: read_scores({name: ds}, attention=attention) for name, ds in first.items()}
    real = np.ones(x.shape[:2], dtype=bool)
    for ds in first.values():
        if "mask" in ds:
            real = ds["mask"].values
            asked["mask"] = ds["mask"]
        if "baseline" in ds and isinstance(asked.get("baseline"), str):
            asked["baseline"] = ds["baseline"]
        if "target" in ds.coords and isinstance(asked.get("target"), str) and asked["target"] == "predicted":
            asked["target"] = ds["target"].values.tolist()
    scale = noise_scale_of(radius, "radius", unit, x, real)
    sums = {name: np.zeros((2, len(x))) for name in first}
    moved = np.zeros(len(x))
    for draw in range(n_samples):
        noise = np.stack([generator(seed, ONLY, sample, draw).uniform(-1, 1, x.shape[1:]) for sample in range(len(x))])
        near = main.copy(data=(x + noise * scale).astype(x.dtype))
        named = explained.by_name or explained.context
        given = {**explained.context, explained.primary: near} if named else near
        again = as_datasets(compare(adapter, given, methods, seed=seed, **asked))
        for name, ds in again.items():
            after = read_scores({name: ds}, attention=attention)[0]
            change = _norm(after.values[0] - before[name][0].values[0], real, norm)
            sums[name] = np.stack([np.maximum(sums[name][0], change), sums[name][1] + change])
            own = laid_flat(np.abs(ds["prediction"].values - first[name]["prediction"].values))
            moved = np.maximum(moved, own.max(axis=1))
    sizes = {name: _norm(scores.values[0], real, norm) for name, (scores, _) in before.items()}
    found = np.stack([_defined(sums[name], sizes[name], normalize) for name in first])
    found[:, 1] /= n_samples
    dims = ("extractor", "sample")
    about = {"units": "1" if normalize else "that of the attribution"}
    result = xr.Dataset(
        {
            "max_sensitivity": (dims, found[:, 0], about),
            "mean_sensitivity": (dims, found[:, 1], about),
            "n_undefined": ("extractor", np.isnan(found[:, 0]).sum(axis=1)),
            "prediction_change": ("sample", moved, {"units": OUTPUT}),
        },
        coords={"extractor": list(first), "sample": main["sample"].values},
    )
    return result.assign_attrs(
        direction="lower is better",
        radius=radius,
        unit=unit,
        noise="uniform",
        n_samples=n_samples,
        norm=NORMS[norm],
        normalize=str(normalize),
        seed=seed,
    )


def _norm(values: np.ndarray, real: np.ndarray, norm: float) -> np.ndarray:
    """Return the norm of each sample over its real timesteps."""
    return np.asarray(np.linalg.norm(laid_flat(keep_real(values, 0.0, real)), ord=norm, axis=1))


def _defined(sums: np.ndarray, size: np.ndarray, normalize: bool) -> np.ndarray:
    """Return sensitivities, NaN where the attribution is 0 everywhere or is not finite."""
    known = (size > 0) & np.isfinite(sums).all(axis=0)
    return np.divide(sums, size if normalize else 1, out=np.full_like(sums, np.nan), where=known)


def infidelity(
    model: Any,
    results: Any,
    *,
    inputs: Any = None,
    perturbation: Any = "gaussian",
    noise_scale: float = 0.2,
    unit: str = "std",
    baseline: Any = None,
    n_samples: int = 100,
    kind: str | Mapping[str, str] | None = None,
    normalize: bool = False,
    target: Any = None,
    attention: Any = None,
    explain: str | None = None,
    batch_size: int | None = None,
    show_progress: bool = True,
    seed: int = 0,
) -> xr.Dataset:
    r"""Say how well attributions foretell what perturbations do (Yeh et al. 2019, arXiv:1901.09392, definition 1).

    .. math:: E_I \left[ \left( I^\top \Phi(x) - (f(x) - f(x - I)) \right)^2 \right]

    Parameters
    ----------
    model : object
        The model that `results` explain.
    results : DataTree, Dataset, or mapping of str to Dataset
        As `attrkit.extract` and `attrkit.compare` make them, of one target and of the same inputs.
    inputs : optional
        What was explained, where `results` do not hold it or the model takes other inputs beside it.
    perturbation : {"gaussian", "noisy_baseline", "square", "window"} or callable, default "gaussian"
        What :math:`I` is: noise; the input less the baseline and noise; the input less the baseline in a window of
        timesteps, of any length and place, in some channels or in all. Or a function ``f(x, rng)`` of one sample, of
        shape (timestep, channel), and a generator of numpy, that returns :math:`I`. Padding stays as it is.
    noise_scale : float, default 0.2
        Standard deviation of the noise, in `unit`, as `max_sensitivity` takes it.
    unit : {"std", "input"}, default "std"
    baseline : float, str or array_like, optional
        As `attrkit.extract` takes it; that of `results` if not given, 0 where they have none.
    n_samples : int, default 100
        Perturbations of each sample; all extractors see the same.
    kind : {"slope", "share"}, or mapping of extractor to such, optional
        What attributions are. Slopes, such as gradients, are multiplied with :math:`I`. Shares of the output, such as
        integrated gradients, and attention weights, are multiplied with :math:`I / (x - x')`, the share of the way to
        the baseline, as ``multiply_by_inputs`` of Captum says. By the units of each attribution if not given.
    normalize : bool, default False
        Scale the attributions of each sample by what fits best, :math:`\beta = E[ab] / E[a^2]` with
        :math:`a = I^\top \Phi` and :math:`b = f(x) - f(x - I)`. Needed to compare attributions of other scales, such as
        attention weights.
    target : optional
        As `attrkit.extract` takes it; that of `results` if not given. Needed for a function.
    attention : optional
        How to reduce attention of queries by keys, as `attrkit.stack` takes it.
    explain : str, optional
        Of several `inputs`, the one that was explained.
    batch_size : int, optional
        Rows a pass.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.
    seed : int, default 0
        The perturbations of a sample depend on it and on the sample's number only.

    Returns
    -------
    Dataset
        ``infidelity`` of dims (extractor, sample), in units of the output squared, lower is better;
        ``standard_error``, by which it is off for `n_samples`; with `normalize` the factor ``scale``;
        ``output_change`` of dim sample, :math:`E[b^2]`, the infidelity of attributions that are 0; ``n_undefined`` of
        dim extractor, the samples without a real timestep, with attributions or outputs that are not finite.

    Raises
    ------
    InputError
        If results do not share inputs, target and mask, the model predicts something else than they hold, an option is
        not known, or an extractor without channels meets a perturbation other than ``"window"``.
    RefusedError
        If tokens were explained.

    Examples
    --------
    >>> from attrkit.metrics.robustness import infidelity
    >>> found = infidelity(model, tree["input_x_gradient"].to_dataset(), n_samples=20, show_progress=False)
    >>> bool((found["infidelity"] < found["output_change"]).all())
    True
    """
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    normalize = flag(normalize, "normalize")
    name_of_perturbation, draw = find_perturbation(perturbation)
    datasets = as_datasets(results)
    scores, real = _read_each(datasets, attention)
    again = ask_again(model, datasets, real, inputs=inputs, explain=explain, baseline=baseline, target=target)
    unknown = [name for name in kind if name not in scores] if isinstance(kind, Mapping) else []
    if unknown:
        raise InputError(f"kind= names {unknown}; the results are {list(scores)}")
    kinds = {name: _kind_of(name, array, kind) for name, array in scores.items()}
    for name, array in scores.items():
        _check_channels(name, array, again.x, kinds[name], name_of_perturbation)
    noise = noise_scale_of(noise_scale, "noise_scale", unit, again.x, real)
    runner = again.model.configured(batch_size=batch_size, show_progress=show_progress, question=again.question)
    x, start = again.x.astype(np.float64), again.baseline.astype(np.float64)
    values = {name: keep_real(array.values, 0.0, real) for name, array in scores.items()}
    foretold = {name: np.empty(len(x) * n_samples) for name in scores}

    def perturbed(rows: np.ndarray) -> np.ndarray:
        samples, draws = np.divmod(rows, n_samples)
        found = [
            draw(Sample(x[i], start[i], noise[i], real[i]), generator(seed, ONLY, i, j))
            for i, j in zip(samples.tolist(), draws.tolist(), strict=True)
        ]
        points = (x[samples] - np.stack([one.change for one in found])).astype(again.x.dtype)
        # What the model is given is rounded, and so is what was taken off.
        change, share = x[samples] - points, np.stack([one.share for one in found])
        for name, own in values.items():
            factor = change if kinds[name] == "slope" else share
            # A row that is made twice is the same again.
            foretold[name][rows] = _products(own[samples], factor)
        return points

    with again.model.left_as_found():
        after = runner.predict(LazyRows(len(x) * n_samples, perturbed, lambda rows: rows // n_samples))
    of_target = np.repeat(again.target, n_samples)
    after = np.take_along_axis(after, of_target[:, None], axis=1)[:, 0].reshape(len(x), n_samples)
    change = again.explained[:, None] - after.astype(np.float64)
    change[~real.any(axis=1)] = np.nan
    table = {name: _infidelity(a.reshape(change.shape), change, normalize) for name, a in foretold.items()}
    return _as_result(table, change, again, normalize).assign_attrs(
        direction="lower is better",
        perturbation=name_of_perturbation,
        noise_scale=noise_scale,
        unit=unit,
        n_samples=n_samples,
        baseline=again.baseline_text,
        kind=", ".join(f"{name}: {own}" for name, own in kinds.items()),
        normalize=str(normalize),
        seed=seed,
    )


def _read_each(datasets: Mapping[str, xr.Dataset], attention: Any) -> tuple[dict[str, xr.DataArray], np.ndarray]:
    """Return the scores of each extractor, with channels or without, and which timesteps are real."""
    found = {name: read_scores({name: ds}, attention=attention) for name, ds in datasets.items()}
    first, (_, real) = next(iter(found.items()))
    for name, (_, own) in found.items():
        if not own.equals(real):
            raise InputError(f"{first!r} and {name!r} are of other samples or timesteps, or take others for padding")
    return {name: scores.isel(extractor=0) for name, (scores, _) in found.items()}, real.values


def _kind_of(name: str, scores: xr.DataArray, kind: str | Mapping[str, str] | None) -> str:
    said = kind.get(name) if isinstance(kind, Mapping) else kind
    if said is None:
        said = KINDS.get(str(scores.attrs.get("units")))
        if said is None:
            raise InputError(
                f"the units of {name!r} are {scores.attrs.get('units')!r}, which do not say how it is multiplied with "
                f"a perturbation; accepted are kind={{{name!r}: 'slope'}} and kind={{{name!r}: 'share'}}"
            )
    one_of(said, f"kind of {name!r}", ("slope", "share"))
    return said


def _check_channels(name: str, scores: xr.DataArray, x: np.ndarray, kind: str, perturbation: str) -> None:
    if scores.ndim == x.ndim:
        return
    if kind == "slope" or perturbation != "window":
        raise InputError(
            f"{name!r} does not resolve channels, and so is the share of a timestep that is perturbed in all channels "
            f"alike: perturbation='window', not {perturbation!r} of a {kind}"
        )


def _products(scores: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply attributions of shape (row, timestep[, channel]) with a perturbation, and add up."""
    own = factor[..., 0] if scores.ndim < factor.ndim else factor
    return np.asarray((scores * own).reshape(len(scores), -1).sum(axis=1))


def _infidelity(foretold: np.ndarray, change: np.ndarray, normalize: bool) -> dict[str, np.ndarray]:
    """Return the infidelity of each sample, for arrays of shape (sample, draw)."""
    scale = np.ones(len(change))
    if normalize:
        squares = (foretold**2).sum(axis=1)
        # Attributions that foretell no change are best at any scale.
        scale = np.divide((foretold * change).sum(axis=1), squares, out=np.zeros_like(squares), where=squares != 0)
    draws = change.shape[1]
    # What is not finite is counted.
    with np.errstate(invalid="ignore"):
        squared = (scale[:, None] * foretold - change) ** 2
        error = squared.std(axis=1, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(len(change), np.nan)
    return {"infidelity": squared.mean(axis=1), "standard_error": error, "scale": scale}


def _as_result(
    table: Mapping[str, Mapping[str, np.ndarray]], change: np.ndarray, again: Again, normalize: bool
) -> xr.Dataset:
    names = ["infidelity", "standard_error"] + ["scale"] * normalize
    arrays = {name: np.stack([own[name] for own in table.values()]) for name in names}
    undefined = ~np.isfinite(arrays["infidelity"])
    variables: dict[str, Any] = {
        name: (("extractor", "sample"), np.where(undefined, np.nan, array)) for name, array in arrays.items()
    }
    variables["n_undefined"] = ("extractor", undefined.sum(axis=1))
    variables["output_change"] = ("sample", (change**2).mean(axis=1))
    found = xr.Dataset(variables, coords={"extractor": list(table), "sample": again.labels})
    for name in ("infidelity", "standard_error", "output_change"):
        found[name].attrs["units"] = f"{OUTPUT} squared"
    return found
