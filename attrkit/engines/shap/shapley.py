"""Explainers of shap that add features one after the other: Shapley values, exact or over random orders."""

from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines.shap._game import Game, check_game, count_of, play
from attrkit.errors import InputError, RefusedError
from attrkit.method import checked_first
from attrkit.parts import Parts

SHAPLEY = "Shapley value"


def _check_exact(
    model: Adapter, x: Parts | None, *, background: Any = None, feature_mask: Any = None, max_evals: int = 100_000
) -> None:
    whole_number(max_evals, "max_evals", least=2)
    check_game(model, x, background=background, feature_mask=feature_mask)
    if x is not None and 2 ** (count := count_of(feature_mask, x)) > max_evals:
        raise RefusedError(
            f"shap:ExactExplainer runs all sets of the features, of which there are 2^{count} here, and max_evals="
            f"{max_evals} are allowed a sample. Group values with feature_mask, or use shap:PermutationExplainer"
        )


@checked_first(_check_exact)
def exact(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    background: Any = None,
    feature_mask: Any = None,
    max_evals: int = 100_000,
) -> dict[str, Any]:
    """Return shap's ``ExactExplainer``: Shapley values over all sets of features (arXiv:1705.07874, eq. 4).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are, if no background is given.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    background : Parts of shape (row, timestep[, channel]), optional
        What features that are left out are, in the mean over its rows; where a sample is padded, they are too.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    max_evals : int, default 100000
        Sets of features that may be run for a sample: 2 to the power of the number of features.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction``, the mean over the background, and ``completeness_gap``, both of shape (sample,).
    """
    shap = import_module("shap")

    def explain(game: Game, seed: int) -> np.ndarray:
        explainer = shap.ExactExplainer(game, game.masker())
        found: np.ndarray = explainer(game.own, max_evals=max_evals, batch_size=game.at_once, silent=True).values[0]
        return found

    return play(
        *(model, x, target, explain),
        label="ExactExplainer",
        long_name=SHAPLEY,
        prediction=prediction,
        baseline=baseline,
        masks=masks,
        background=background,
        feature_mask=feature_mask,
    )


def _check_permutation(
    model: Adapter,
    x: Parts | None,
    *,
    background: Any = None,
    feature_mask: Any = None,
    max_evals: int | str = "auto",
) -> None:
    check_game(model, x, background=background, feature_mask=feature_mask)
    if max_evals != "auto":
        whole_number(max_evals, "max_evals", least=3)
        if x is not None and max_evals < (least := 2 * count_of(feature_mask, x) + 1):  # type: ignore[operator]
            raise InputError(
                f"max_evals={max_evals} is less than one order of all features takes, there and back, which is {least} "
                "sets of them; give more, or group values with feature_mask"
            )


@checked_first(_check_permutation)
def permutation(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    background: Any = None,
    feature_mask: Any = None,
    max_evals: int | str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Return shap's ``PermutationExplainer``: what each feature adds, over random orders run there and back.

    Exact for models whose features interact in pairs at most, whatever the orders.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are, if no background is given.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    background : Parts of shape (row, timestep[, channel]), optional
        What features that are left out are, in the mean over its rows; where a sample is padded, they are too.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    max_evals : int or "auto", default "auto"
        Sets of features that are run for a sample, each with every row of the background; an order of n features takes
        2 n + 1 of them. ``"auto"`` is shap's 20 n.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction``, the mean over the background, and ``completeness_gap``, both of shape (sample,): the
        sum over features less the change in output, which is 0 whatever the orders.
    """
    shap = import_module("shap")

    def explain(game: Game, seed: int) -> np.ndarray:
        # Without a seed it would draw a new one for the generator of the process.
        explainer = shap.PermutationExplainer(game, game.masker(), seed=seed)
        found: np.ndarray = explainer(game.own, max_evals=max_evals, batch_size=game.at_once, silent=True).values[0]
        return found

    return play(
        *(model, x, target, explain),
        label="PermutationExplainer",
        long_name=SHAPLEY,
        prediction=prediction,
        baseline=baseline,
        masks=masks,
        background=background,
        feature_mask=feature_mask,
        seed=seed,
    )


def _check_sampling(
    model: Adapter,
    x: Parts | None,
    *,
    background: Any = None,
    feature_mask: Any = None,
    nsamples: int = 2000,
    min_samples_per_feature: int = 100,
) -> None:
    check_game(model, x, background=background, feature_mask=feature_mask)
    whole_number(nsamples, "nsamples", least=2)
    whole_number(min_samples_per_feature, "min_samples_per_feature", least=2)
    if x is not None and nsamples < (least := 2 * count_of(feature_mask, x)):
        raise InputError(
            f"nsamples={nsamples} leaves features without a draw, whose values shap would make NaN; give at least "
            f"{least}, two a feature, better many times that, or group values with feature_mask"
        )


@checked_first(_check_sampling)
def sampling(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    background: Any = None,
    feature_mask: Any = None,
    nsamples: int = 2000,
    min_samples_per_feature: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """Return shap's ``SamplingExplainer``: Shapley values of random orders and rows.

    Strumbelj & Kononenko 2010, https://www.jmlr.org/papers/v11/strumbelj10a.html, algorithm 1.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are, if no background is given.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    background : Parts of shape (row, timestep[, channel]), optional
        What features that are left out are, drawn from its rows; where a sample is padded, they are too.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    nsamples : int, default 2000
        Draws for a sample, of two passes each, shared out over the features.
    min_samples_per_feature : int, default 100
        Draws that each feature gets first; what is left goes to those whose draws vary most.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction``, the mean over the background, and ``completeness_gap``, both of shape (sample,): next
        to 0, as shap shares out what its draws miss.
    """
    shap = import_module("shap")

    def explain(game: Game, seed: int) -> np.ndarray:
        explainer = shap.SamplingExplainer(game, game.background)
        found: np.ndarray = explainer.shap_values(
            game.own, nsamples=nsamples, min_samples_per_feature=min_samples_per_feature, silent=True
        )
        return found[0]

    return play(
        *(model, x, target, explain),
        label="SamplingExplainer",
        long_name=SHAPLEY,
        prediction=prediction,
        baseline=baseline,
        masks=masks,
        background=background,
        feature_mask=feature_mask,
        seed=seed,
    )
