"""How well an explanation foretells what perturbations do to the output."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.terms import LazyRows
from attrkit.checks import flag, one_of, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.method import OUTPUT, OUTPUT_PER_INPUT
from attrkit.metrics.draws import ONLY, generator
from attrkit.metrics.robustness.again import Again, ask_again
from attrkit.metrics.robustness.perturbations import Sample, find_perturbation, noise_scale_of
from attrkit.metrics.scores import read_scores
from attrkit.parts import keep_real
from attrkit.schema import build_table

KINDS = {OUTPUT_PER_INPUT: "slope", OUTPUT: "share", "1": "share"}
"""How attributions of each unit are multiplied with a perturbation; attention weights have the unit 1."""


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
    normalise: bool = False,
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
    normalise : bool, default False
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
        ``standard_error``, by which it is off for `n_samples`; with `normalise` the factor ``scale``;
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
    >>> from attrkit.metrics import infidelity
    >>> found = infidelity(model, tree["input_x_gradient"].to_dataset(), n_samples=20, show_progress=False)
    >>> bool((found["infidelity"] < found["output_change"]).all())
    True
    """
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    normalise = flag(normalise, "normalise")
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
    table = {name: _infidelity(a.reshape(change.shape), change, normalise) for name, a in foretold.items()}
    options = {
        "direction": "lower is better",
        "perturbation": name_of_perturbation,
        "noise_scale": noise_scale,
        "unit": unit,
        "n_samples": n_samples,
        "baseline": again.baseline_text,
        "kind": ", ".join(f"{name}: {own}" for name, own in kinds.items()),
        "normalise": str(normalise),
        "seed": seed,
    }
    return build_table("infidelity", _as_result(table, change, again, normalise), options)


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


def _infidelity(foretold: np.ndarray, change: np.ndarray, normalise: bool) -> dict[str, np.ndarray]:
    """Return the infidelity of each sample, for arrays of shape (sample, draw)."""
    scale = np.ones(len(change))
    if normalise:
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
    table: Mapping[str, Mapping[str, np.ndarray]], change: np.ndarray, again: Again, normalise: bool
) -> xr.Dataset:
    names = ["infidelity", "standard_error"] + ["scale"] * normalise
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
