"""shap's ``PartitionExplainer``: Owen values of timesteps that are halved until single features are left."""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._features import feature_count
from attrkit.engines.shap._game import Game, check_game, play
from attrkit.errors import AttrkitWarning
from attrkit.method import checked_first
from attrkit.parts import Parts


def _check(
    model: Adapter, x: Parts | None, *, background: Any = None, feature_mask: Any = None, max_evals: int = 500
) -> None:
    whole_number(max_evals, "max_evals", least=2)
    check_game(model, x, background=background, feature_mask=feature_mask)


@checked_first(_check)
def partition(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    background: Any = None,
    feature_mask: Any = None,
    max_evals: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """Return shap's ``PartitionExplainer``: Owen values over a tree of timesteps (Owen 1977).

    The tree halves the series in time, and each timestep in its features: what a half adds is measured with and without
    the other half, all of it. Neighbouring timesteps get together what they would get as one feature.

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
        What counts as one feature: each value if None; else see ``features_of``. It stands in the tree where its first
        timestep does.
    max_evals : int, default 500
        Sets of features that may be run for a sample, each with every row of the background. Where they do not reach
        the leaves of the tree, the features of a part have equal shares of its value.
    seed : int, default 0
        For the order in which parts of equal weight are halved.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction``, the mean over the background, and ``completeness_gap``, both of shape (sample,).

    Warns
    -----
    AttrkitWarning
        If `max_evals` do not reach the leaves.
    """
    shap = import_module("shap")
    needed: list[int] = []

    def explain(game: Game, seed: int) -> np.ndarray:
        tree, sets = tree_of(game.players, game.features)
        needed.append(sets)
        explainer = shap.PartitionExplainer(game, game.masker(tree))
        # It counts sets where the others count batches.
        found: np.ndarray = explainer(
            game.own, max_evals=max_evals, batch_size=max(2, game.at_once), silent=True
        ).values[0]
        return found

    found = play(
        *(model, x, target, explain),
        label="PartitionExplainer",
        long_name="Owen value",
        prediction=prediction,
        baseline=baseline,
        masks=masks,
        background=background,
        feature_mask=feature_mask,
        seed=seed,
    )
    if needed and max(needed) > max_evals:
        warnings.warn(
            f"shap:PartitionExplainer: max_evals={max_evals} do not reach single features, which takes {max(needed)}; "
            "those that were not told apart share their value equally",
            AttrkitWarning,
            stacklevel=4,
        )
    return found


def tree_of(players: np.ndarray, features: Mapping[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """Return the tree of some features in scipy's form, and how many sets of features it takes to its leaves.

    Parameters
    ----------
    players : ndarray of int of shape (player,)
        Numbers of the features.
    features : mapping of str to ndarray of int of shape (1, timestep[, channel])
        The number of the feature that each value belongs to.

    Returns
    -------
    tree : ndarray of shape (player - 1, 4)
        In each row two nodes that are joined, the distance 1, and the number of leaves below; players are the nodes
        from 0 on, and row i makes node ``player + i``.
    sets : int
    """
    starts = np.full(feature_count(features), np.iinfo(int).max)
    for own in features.values():
        times = np.arange(own.shape[1]).reshape(-1, *[1] * (own.ndim - 2))
        np.minimum.at(starts, own[0], np.broadcast_to(times, own.shape[1:]))
    at = starts[players]
    steps = [np.flatnonzero(at == time).tolist() for time in np.unique(at)]
    rows: list[tuple[float, ...]] = []
    # All features and none; and for every join of two, each alone, with each other half of every join above it.
    sets = 2

    def halved(items: Sequence[Any], depth: int) -> tuple[int, int]:
        """Join items, leaves or lists of such; return the node of all of them and how many leaves it has."""
        nonlocal sets
        if len(items) == 1:
            return halved(items[0], depth) if isinstance(items[0], list) else (items[0], 1)
        sets += 2 ** (depth + 1)
        (left, few), (right, more) = (
            halved(part, depth + 1) for part in (items[: len(items) // 2], items[len(items) // 2 :])
        )
        rows.append((left, right, 1.0, few + more))
        return len(players) + len(rows) - 1, few + more

    halved(steps, 0)
    return np.array(rows, float).reshape(-1, 4), sets
