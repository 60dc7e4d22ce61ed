"""How much an explanation moves when the input hardly does."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.checks import flag, is_number, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.explained import explain_inputs
from attrkit.extract import compare
from attrkit.method import OUTPUT
from attrkit.metrics.draws import ONLY, generator
from attrkit.metrics.robustness.again import one_input
from attrkit.metrics.robustness.perturbations import noise_scale_of
from attrkit.metrics.scores import read_scores
from attrkit.parts import keep_real, laid_flat
from attrkit.schema import build_table

NORMS = {1: "sum of absolute values", 2: "Euclidean", np.inf: "largest absolute value"}


def max_sensitivity(
    model: Any,
    inputs: Any,
    methods: Any,
    *,
    radius: float = 0.02,
    unit: str = "std",
    n_samples: int = 10,
    norm: float = 2,
    normalise: bool = True,
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
    normalise : bool, default True
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
    >>> from attrkit.metrics import max_sensitivity
    >>> found = max_sensitivity(model, x, ["gradient", "input_x_gradient"], n_samples=3, show_progress=False)
    >>> found["max_sensitivity"].dims, bool((found["max_sensitivity"] < 0.5).all())
    (('extractor', 'sample'), True)
    """
    if not is_number(norm) or norm not in NORMS:
        raise InputError(f"norm={norm!r} is not known; accepted are {', '.join(map(str, NORMS))}")
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    normalise = flag(normalise, "normalise")
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
    found = np.stack([_defined(sums[name], sizes[name], normalise) for name in first])
    found[:, 1] /= n_samples
    dims = ("extractor", "sample")
    about = {"units": "1" if normalise else "that of the attribution"}
    result = xr.Dataset(
        {
            "max_sensitivity": (dims, found[:, 0], about),
            "mean_sensitivity": (dims, found[:, 1], about),
            "n_undefined": ("extractor", np.isnan(found[:, 0]).sum(axis=1)),
            "prediction_change": ("sample", moved, {"units": OUTPUT}),
        },
        coords={"extractor": list(first), "sample": main["sample"].values},
    )
    options = {
        "direction": "lower is better",
        "radius": radius,
        "unit": unit,
        "noise": "uniform",
        "n_samples": n_samples,
        "norm": NORMS[norm],
        "normalise": str(normalise),
        "seed": seed,
    }
    return build_table("max_sensitivity", result, options)


def _norm(values: np.ndarray, real: np.ndarray, norm: float) -> np.ndarray:
    """Return the norm of each sample over its real timesteps."""
    return np.asarray(np.linalg.norm(laid_flat(keep_real(values, 0.0, real)), ord=norm, axis=1))


def _defined(sums: np.ndarray, size: np.ndarray, normalise: bool) -> np.ndarray:
    """Return sensitivities, NaN where the attribution is 0 everywhere or is not finite."""
    known = (size > 0) & np.isfinite(sums).all(axis=0)
    return np.divide(sums, size if normalise else 1, out=np.full_like(sums, np.nan), where=known)
