"""Models of one factory, which differ in their weights alone: what is compiled for one holds for all of them."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import difference_of
from attrkit.errors import RefusedError
from attrkit.metrics.held_out import predictions_of


def take_weights(model: Adapter, other: Adapter, inputs: np.ndarray) -> bool:
    """Give a model the weights of another, and say whether it now is that other one for all that can be told.

    It is if both have layers and arrays of the same kinds and, with the same weights, predict the same; one that holds
    a constant of its own, outside its weights, does not. Then the model's own weights are put back.

    Parameters
    ----------
    model, other : Adapter
    inputs : ndarray of shape (sample, timestep[, channel])
        Where predictions are compared.
    """
    plan = _plan_of(model)
    if plan is None or plan != _plan_of(other):
        return False
    before = model.state()
    expected = predictions_of(other, inputs, None)
    model.assign(other.state())
    found = predictions_of(model, inputs, None)
    scale, difference = difference_of(expected, found)
    if difference <= model.precision * scale:
        return True
    model.assign(before)
    return False


@contextmanager
def as_one_model(model: Adapter, other: Adapter, inputs: np.ndarray) -> Iterator[Adapter]:
    """Yield a model with the weights of another for the time of a block; that other one if they differ in more.

    Parameters are those of `take_weights`.
    """
    if _plan_of(model) is None:
        yield other
        return
    with model.state_kept():
        yield model if take_weights(model, other, inputs) else other


def _plan_of(model: Adapter) -> Hashable:
    """Return what models of one factory share, types of layers and arrays with their shapes; None if unknown."""
    try:
        held = model._held()
    except RefusedError:
        return None
    layers = tuple((layer.path, type(layer.layer)) for layer in model.layers())
    arrays = tuple((one.layer, one.name, one.learnt, one.frozen, *one.array.shape) for one in held)
    return type(model.model), layers, arrays
