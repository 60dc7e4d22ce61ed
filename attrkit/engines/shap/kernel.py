"""shap's ``KernelExplainer``: Shapley values by weighted least squares."""

import re
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines.shap._game import Game, check_game, count_of, play
from attrkit.errors import InputError
from attrkit.method import checked_first
from attrkit.parts import Parts


def _check(
    model: Adapter,
    x: Parts | None,
    *,
    background: Any = None,
    feature_mask: Any = None,
    nsamples: int | str = "auto",
    l1_reg: float | str = 0.0,
) -> None:
    check_game(model, x, background=background, feature_mask=feature_mask)
    selects = l1_reg in ("aic", "bic") or re.fullmatch(r"num_features\([1-9]\d*\)", str(l1_reg))
    if not selects and (isinstance(l1_reg, str) or not 0 <= l1_reg < np.inf):
        raise InputError(f"l1_reg must be 0, a penalty, 'aic', 'bic' or 'num_features(n)', got {l1_reg!r}")
    if nsamples != "auto":
        whole_number(nsamples, "nsamples", least=2)
        count = 1 if x is None else count_of(feature_mask, x)
        if not l1_reg and nsamples < min(2 * count, 2**count - 2):
            raise _too_few(nsamples, count)


@checked_first(_check)
def kernel(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    background: Any = None,
    feature_mask: Any = None,
    nsamples: int | str = "auto",
    l1_reg: float | str = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Return shap's ``KernelExplainer``: Shapley values by weighted least squares (arXiv:1705.07874, section 4.1).

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
    nsamples : int or "auto", default "auto"
        Sets of features that are run for a sample, each with every row of the background; exact where they are all
        there are. ``"auto"`` is shap's 2 n + 2048 for n features.
    l1_reg : float or str, default 0
        Which features take part: all if 0; else those that a lasso keeps, with a penalty, ``"aic"``, ``"bic"`` or
        ``"num_features(n)"``, and all others get 0. shap's own default is ``"num_features(10)"``.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction``, the mean over the background, and ``completeness_gap``, both of shape (sample,).

    Raises
    ------
    InputError
        If the sets that were drawn leave the values of some features open.
    """
    shap = import_module("shap")

    def explain(game: Game, seed: int) -> np.ndarray:
        explainer = shap.KernelExplainer(game, game.background)
        found: np.ndarray = explainer.shap_values(game.own, nsamples=nsamples, l1_reg=l1_reg, silent=True)
        if not l1_reg and len(game.players) > 1:
            drawn = explainer.maskMatrix[: explainer.nsamplesAdded]
            if np.linalg.matrix_rank(drawn[:, :-1] - drawn[:, -1:]) < len(game.players) - 1:
                raise _too_few(nsamples, len(game.players))
        return found[0]

    return play(
        *(model, x, target, explain),
        label="KernelExplainer",
        long_name="Kernel SHAP value",
        prediction=prediction,
        baseline=baseline,
        masks=masks,
        background=background,
        feature_mask=feature_mask,
        seed=seed,
    )


def _too_few(nsamples: Any, count: int) -> InputError:
    return InputError(
        f"KernelExplainer fits {count} features to nsamples={nsamples} outputs, which many solutions fit; give several "
        f"times {2 * count}, group values with feature_mask, or choose features with l1_reg"
    )
