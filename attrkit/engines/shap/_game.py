"""What shap is given of a sample: a game, whose players are the features that the sample and its background differ in.

shap sees one column a player: 0 stands for the sample's own values of that feature, ``k`` for those of row ``k`` of the
background. So its columns are what counts as a feature, in one input or several, and values keep their type: shap takes
values that differ by less than 1e-8 for equal, and others for floats.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import LazyRows
from attrkit.engines._draws import DRAWING, seed_of_sample
from attrkit.engines._features import feature_count, features_of
from attrkit.engines.shap._background import Background, background_of, check_background
from attrkit.errors import EngineError
from attrkit.method import OUTPUT, attribution, measured
from attrkit.parts import Parts, by_name, each, real_only, row_count, unnamed


def check_game(model: Adapter, x: Parts | None, *, background: Any = None, feature_mask: Any = None) -> None:
    """Refuse options of a game that are not known."""
    check_background(background, x)
    if x is not None:
        features_of(feature_mask, x)


def count_of(feature_mask: Any, x: Parts) -> int:
    """Return how many features there are."""
    return feature_count(features_of(feature_mask, x))


@dataclass(frozen=True)
class Game:
    """One sample, against its background.

    Attributes
    ----------
    model : Adapter
    sample, output : int
        Its number, and which of the outputs laid flat is explained.
    sources : mapping of str to ndarray of shape (1 + row, timestep[, channel])
        The sample and then its background, by part.
    features : mapping of str to ndarray of int of shape (1, timestep[, channel])
        The number of the feature that each value belongs to, by part.
    players : ndarray of int of shape (player,)
        Numbers of the features that the sample and its background differ in.
    """

    model: Adapter
    sample: int
    output: int
    sources: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray]
    players: np.ndarray

    @property
    def rows(self) -> int:
        """How many rows the background has."""
        return len(next(iter(self.sources.values()))) - 1

    @property
    def own(self) -> np.ndarray:
        """The sample as shap sees it, of shape (1, player)."""
        return np.zeros((1, len(self.players)))

    @property
    def background(self) -> np.ndarray:
        """The background as shap sees it, of shape (row, player)."""
        return np.repeat(np.arange(1.0, self.rows + 1)[:, None], len(self.players), axis=1)

    @property
    def at_once(self) -> int:
        """How many coalitions fill a batch; of each, every row of the background is run."""
        return max(1, self.model.batch_size // self.rows)

    def masker(self, clustering: np.ndarray | None = None) -> Any:
        """Return what shap calls with the players of a coalition."""
        return _Masker(self.background, clustering)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Return the explained output of each row of codes, of shape (row, player)."""
        count = len(codes)
        # Some frameworks compile a pass for each length of a batch: short ones are of few lengths.
        size = max(count, min(self.model.batch_size, 1 << (count - 1).bit_length()))

        def make(rows: np.ndarray) -> Any:
            which = np.zeros((len(rows), feature_count(self.features)), int)
            which[:, self.players] = codes[np.minimum(rows, count - 1)]
            found = {
                name: np.take_along_axis(source, which[:, self.features[name][0]], axis=0)
                for name, source in self.sources.items()
            }
            return unnamed(found)

        rows = LazyRows(size, make, lambda numbers: np.full(len(numbers), self.sample))
        return self.model.predict(rows)[:count, self.output].astype(float)


class _Masker:
    """Puts codes of the background in the place of players that are left out."""

    immutable_outputs = True

    def __init__(self, background: np.ndarray, clustering: np.ndarray | None) -> None:
        self.background, self.clustering = background, clustering
        self.shape = background.shape

    def __call__(self, mask: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.where(mask, own, self.background)


def play(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    explain: Callable[[Game, int], np.ndarray],
    *,
    label: str,
    long_name: str,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any,
    background: Any,
    feature_mask: Any,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what an explainer gives each feature, at each of its values, with what adds up.

    Parameters
    ----------
    explain : callable
        Maps a `Game` and a seed to values of shape (player,).
    label : str
        Name of shap's class.
    long_name : str
        What the values are.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`; ``baseline_prediction`` and ``completeness_gap`` of shape (sample,).
    """
    features, compared = features_of(feature_mask, x), background_of(background, baseline, x, masks)
    quiet = copy.copy(model)
    quiet.show_progress = False
    values = np.zeros((row_count(x), feature_count(features)))
    seeds = seed_of_sample(seed, model.first_sample)
    with model.bar(label, len(values)) as bar:
        for sample, own in enumerate(values):
            game = _game(quiet, x, sample, int(target[sample]), features, compared)
            if len(game.players):
                with seeded(seeds(sample)):
                    found = np.asarray(explain(game, seeds(sample)), float)
                if found.shape != game.players.shape:
                    raise EngineError(f"shap.{label} gave {found.shape} for {len(game.players)} features")
                own[game.players] = found
            bar.update(1)
    # In the inputs' type, where that has room for fractions.
    shared = each(
        lambda a, own: values[:, own[0]].astype(a.dtype if a.dtype.kind == "f" else float), x, unnamed(features)
    )
    found = measured(values.sum(axis=1), compared.prediction(quiet, target), prediction, target)
    return {"attribution": attribution(real_only(shared, masks), long_name=long_name, units=OUTPUT), **found}


def _game(
    model: Adapter, x: Parts, sample: int, output: int, features: Mapping[str, np.ndarray], compared: Background
) -> Game:
    own, rows = by_name(x), by_name(compared.of(sample))
    sources = {name: np.concatenate([own[name][sample : sample + 1], rows[name]]) for name in own}
    differs = np.zeros(feature_count(features), bool)
    for name, source in sources.items():
        differs[features[name][0][(source[1:] != source[0]).any(axis=0)]] = True
    return Game(model, sample, output, sources, features, np.flatnonzero(differs))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed numpy's generator, from which shap draws, and put its state back; keep back what is logged of cost."""
    logs = [logging.getLogger(name) for name in ("shap", "tensorflow")]
    with DRAWING:
        state, levels = np.random.get_state(), [log.level for log in logs]  # noqa: NPY002 - shap draws from it.
        try:
            for log in logs:
                log.setLevel(logging.ERROR)
            np.random.seed(seed)  # noqa: NPY002
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)
            np.random.set_state(state)  # noqa: NPY002
