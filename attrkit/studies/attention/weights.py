"""One attention layer of a model, as the tests of this room change it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from attrkit.adapters import adapt
from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import check_same
from attrkit.attention import find_readers
from attrkit.attention.impose import explain_weights, find_imposers, only_call
from attrkit.errors import InputError, RefusedError
from attrkit.explained import explain_inputs
from attrkit.layers import match_layers
from attrkit.metrics.comparison.similarity import information_of
from attrkit.parts import Parts
from attrkit.question import masks_of


class AttentionLayer(NamedTuple):
    """What a layer does for some samples.

    Attributes
    ----------
    model : Adapter
        Its input is the layer's weights; what they weigh comes of the samples, by number.
    path : str
    weights : ndarray of shape (sample[, head][, query], key)
    keys : ndarray of bool of shape (sample, key)
        False where padded.
    queries : ndarray of bool of shape (sample, query), or None
        None where there are no queries.
    prediction : ndarray of shape (sample, output)
    labels : ndarray of shape (sample,)
    asked : Adapter
        Its input is that of the model itself, `x`.
    x : Parts
    """

    model: Adapter
    path: str
    weights: np.ndarray
    keys: np.ndarray
    queries: np.ndarray | None
    prediction: np.ndarray
    labels: np.ndarray
    asked: Adapter
    x: Parts

    @property
    def real(self) -> np.ndarray:
        """Which weights are on real keys, of the shape of the weights."""
        keys = self.keys.reshape(len(self.keys), *[1] * (self.weights.ndim - 2), self.keys.shape[-1])
        return np.broadcast_to(keys, self.weights.shape)

    def described(self) -> dict[str, Any]:
        """Return the variables that stand beside every result, for `xarray.Dataset`."""
        largest = mean_over_rows(np.where(self.real, self.weights, 0).max(-1), self.queries)
        return {
            "largest_weight": ("sample", largest, {"long_name": "largest weight of a row"}),
            "prediction": (("sample", "output"), self.prediction),
        }


def read_layer(
    model: Any, inputs: Any, *, layer: str | None, mask: Any, batch_size: int | None, show_progress: bool
) -> AttentionLayer:
    """Read the weights of one attention layer, and check that imposing them changes nothing.

    Raises
    ------
    InputError
        If the model has several such layers and `layer` does not say which.
    RefusedError
        If it has none on which weights can be imposed, or the layer is called several times in a pass.
    ForwardMismatchError
        If the model predicts something else with the layer's own weights imposed.
    """
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs)
    x = explained.parts()
    asked = adapter.configured(batch_size=batch_size, show_progress=show_progress, question=explained.question())
    with adapter.left_as_found():
        path = _path_of(asked, layer)
        prediction, readings = asked.read(x, {path: find_readers(asked.layers())[path]})
        call = only_call(path, readings.get(path, []))
        masks = masks_of(asked, explained, x, mask)
        layer_of = explain_weights(asked, x, path)
        weights, keys, queries = _labelled(call, masks.get(explained.primary))
        rows = np.arange(min(len(weights), 16))
        check_same(
            *(prediction[rows], layer_of.predict(weights[rows], sample=rows), layer_of.precision),
            f"with its own weights imposed on {path!r} the model predicts something else,",
            "; what it does with them is not what is known of such layers",
        )
    labels = explained.main["sample"].values
    return AttentionLayer(layer_of, path, weights, keys, queries, prediction, labels, asked, x)


def _path_of(model: Adapter, layer: str | None) -> str:
    known = list(find_imposers(model.layers()))
    if not known:
        kinds = ", ".join(f"{entry.path} ({entry.kind})" for entry in model.layers())
        raise RefusedError(
            "the model has no attention layer on which weights can be imposed: those of keras-self-attention, Keras, "
            f"torch and transformers are known; its layers are {kinds or 'none'}"
        )
    found = known if layer is None else match_layers(layer, known, what="attention layer")
    if len(found) > 1:
        raise InputError(f"the model has attention layers {', '.join(found)}; say which with layer=")
    return found[0]


def _labelled(call: Mapping[str, np.ndarray], of_input: np.ndarray | None) -> tuple[Any, Any, Any]:
    """Return weights, and which keys and queries are real: as the layer was told, or as the input is padded."""
    weights = call["attention"]

    def real(name: str, length: int) -> np.ndarray:
        for known in (call.get(name), of_input):
            if known is not None and known.shape == (len(weights), length):
                return known.astype(bool)
        return np.ones((len(weights), length), bool)

    queries = real("query_mask", weights.shape[-2]) if weights.ndim > 2 else None
    return weights, real("key_mask", weights.shape[-1]), queries


def mean_over_rows(values: np.ndarray, queries: np.ndarray | None) -> np.ndarray:
    """Average what each row of weights has, of shape (sample[, head][, query]), over heads and real queries.

    A sample without a real query has NaN.
    """
    if values.ndim == 3:
        values = values.mean(1)
    if values.ndim == 1:
        return values
    real = np.ones(values.shape, bool) if queries is None else queries
    count = real.sum(1)
    total = np.where(real, values, 0).sum(1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def divergence_of_rows(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of rows of weights, in bits; one value a row."""
    divergence = (information_of(p) + information_of(q)) / 2 - information_of((p + q) / 2)
    return np.maximum(divergence.sum(-1), 0)
