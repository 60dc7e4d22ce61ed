"""Weights of one's own in the place of those that an attention layer computes; one function a kind of layer.

A function ``impose(call, weights)`` returns what the layer returns, with its values weighted by `weights`, of the shape
that `attrkit.attention` reads. It is written for a kind of layer whose code is known: of any other it cannot be known
what else the weights are used for. Masks are not applied again: a weight on padding is a weight on padding.
"""

import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MethodType
from typing import Any

import numpy as np

from attrkit.adapters._interception import intercepted, standing
from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import check_same
from attrkit.adapters.terms import LAYER, Call, Layer
from attrkit.attention import by_tuple, find_readers
from attrkit.attention._call import bind, in_keras_ways
from attrkit.errors import RefusedError
from attrkit.parts import Parts, each

Imposer = Callable[[Call, Any], Any]


def find_imposers(layers: Sequence[Layer]) -> dict[str, Imposer]:
    """Return a function for every layer whose weights can be imposed, by path, in the model's order."""
    found = {entry.path: imposer_of(entry.layer) for entry in layers}
    return {path: impose for path, impose in found.items() if impose is not None}


def imposer_of(layer: Any) -> Imposer | None:
    """Return a function for a layer whose weights can be imposed, None for any other."""
    for cls in type(layer).__mro__:
        package = cls.__module__.split(".")[0]
        known = _BY_NAME.get((package, cls.__name__))
        if known is not None:
            return known
    return _hugging_face if by_tuple.handles(layer) else None


def loaded_classes() -> dict[type, str]:
    """Return the classes that define the calls of layers whose weights can be imposed, and the name of the call.

    Only frameworks that are loaded have any.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        # It loads its Keras when that is first asked for.
        _ = tensorflow.keras.layers
    rooms = (("keras_self_attention", ""), ("keras", "layers"), ("tf_keras", "layers"), ("torch", "nn"))
    found: dict[type, str] = {}
    for package, room in rooms:
        module = sys.modules.get(package)
        for value in vars(getattr(module, room, module)).values() if module else ():
            if isinstance(value, type) and (package, value.__name__) in _BY_NAME:
                name = "call" if hasattr(value, "call") else "forward"
                found[next(cls for cls in value.__mro__ if name in vars(cls))] = name
    return found


def hold_weights(model: Adapter, weights: Mapping[str, np.ndarray]) -> Adapter:
    """Return an adapter whose layers use the weights given for each sample, by path, whatever goes in."""
    context = {**model.question.context, **{_key(path): values for path, values in weights.items()}}
    imposed = {**model.question.imposed, **_imposed(model, weights)}
    return model.asking(replace(model.question, context=context, imposed=imposed))


def hold_own_weights(model: Adapter, x: Parts) -> Adapter:
    """Return an adapter whose attention layers use the weights they have for `x`, as constants.

    Raises
    ------
    RefusedError
        If there is no layer on which weights can be imposed, one that gives weights and on which they cannot be, or one
        that is called several times in a pass.
    """
    readers = find_readers(model.layers())
    if not readers:
        raise RefusedError(
            "the model has no attention layer whose weights could be held; leave hold_attention=True out"
        )
    _imposed(model, readers)
    prediction, readings = model.read(x, readers)
    held = hold_weights(model, {path: only_call(path, calls)["attention"] for path, calls in readings.items()})
    first = np.arange(min(len(prediction), held.batch_size))
    check_same(
        *(prediction[first], held.predict(each(lambda a: a[first], x), sample=first), held.precision),
        "with the weights of its attention layers held the model predicts something else,",
    )
    return held


def explain_weights(model: Adapter, x: Parts, path: str) -> Adapter:
    """Return an adapter whose input is the weights of one layer; what they weigh comes of `x`, sample by sample."""
    question = replace(
        model.question,
        explained={"": _key(path)},
        context=model.as_context(x),
        static=frozenset(),
        imposed={**model.question.imposed, **_imposed(model, [path])},
    )
    return model.asking(question)


def only_call(path: str, calls: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """Return what was read of the one call of a layer that gave weights, or refuse a layer that has not one such."""
    found = [call for call in calls if "attention" in call]
    if len(found) != 1:
        raise RefusedError(
            f"layer {path!r} gives weights {len(found)} times in a pass; one call is needed to impose others"
        )
    return found[0]


def _key(path: str) -> str:
    """Return under which key of a feed the weights of a layer stand; its output would stand under the bare path."""
    return f"{LAYER}{path} weights"


def _imposed(model: Adapter, paths: Iterable[str]) -> dict[str, tuple[str, Imposer]]:
    """Return what `Question.imposed` holds of these layers, or refuse those whose use of weights is not known."""
    layers = model.layers()
    known = find_imposers(layers)
    for path in paths:
        if path not in known:
            kind = next((entry.kind for entry in layers if entry.path == path), "not there")
            raise RefusedError(
                f"weights cannot be imposed on layer {path!r} ({kind}): how it uses them is not known; they can be on "
                f"{', '.join(known) or 'no layer of this model'}"
            )
    return {_key(path): (path, known[path]) for path in paths}


def even_weights(call: Call) -> Any:
    """Return what a layer returns with the same weight on all keys that a query may look at, none on the others.

    A row that has no such key stays as it is. In training weights are dropped as the layer drops its own.
    """
    impose = imposer_of(call.layer)
    # Where a layer's scores are known they are made equal: its own mask, softmax and dropout do the rest.
    if impose is _keras_attention:
        return _with_part(call, "_apply_scores", _of_equal_scores)
    if impose is _keras_heads:
        return _written_out(call, _of_equal_scores)
    if impose is None or impose is _hugging_face:
        return call.original(*call.args, **call.kwargs)
    return impose(call, _even(_weights_on_zeros(call)))


def _of_equal_scores(own: Call) -> tuple[Any, None]:
    scores, *others = own.args or (None,)
    kwargs = dict(own.kwargs)
    if scores is None:
        # Attention names what it passes on.
        kwargs["scores"] = kwargs["scores"] * 0
        return own.original(**kwargs), None
    return own.original(scores * 0, *others, **kwargs), None


def _weights_on_zeros(call: Call) -> Any:
    """Return the weights that a layer has where all of its timesteps are alike: above 0 on every key it may look at.

    Its weights on what it is called with would not do: a softmax may leave a key so little that it becomes 0.
    """
    bound = bind(call)
    for name in {"inputs", "x", "query", "key", "value"} & bound.arguments.keys():
        values = bound.arguments[name]
        many = isinstance(values, list | tuple)
        bound.arguments[name] = [value * 0 for value in values] if many else values * 0
    layer, original = call.layer, call.original
    if not in_keras_ways(layer):
        # torch returns weights after some of them were dropped.
        layer = object.__new__(type(layer))
        vars(layer).update({**vars(call.layer), "training": False})
        original = MethodType(call.original.__func__, layer)  # type: ignore[attr-defined]
    reader = find_readers([Layer("", "", layer)])[""]
    return reader(Call(layer, original, bound.args, bound.kwargs))[1]["attention"]


def _even(weights: Any) -> Any:
    """Return rows with the same weight wherever there was any."""
    if hasattr(weights, "new_zeros"):
        import torch

        allowed = (weights > 0).to(weights.dtype)
        count = allowed.sum(-1, keepdim=True)
        return torch.where(count > 0, allowed / count.clamp(min=1), weights)
    import tensorflow as tf

    allowed = tf.cast(weights > 0, weights.dtype)
    count = tf.reduce_sum(allowed, axis=-1, keepdims=True)
    even = tf.where(count > 0, allowed / tf.maximum(count, 1), weights)
    # The layer's own weights get a gradient, of 0: Keras would warn of each that has none.
    return even + 0 * weights


def _self_attention(call: Call, weights: Any) -> Any:
    x = call.args[0]
    weights = _of_type(weights, x)
    return _with_weights(call, weights @ x, weights)


def _weighted_attention(call: Call, weights: Any) -> Any:
    x = call.args[0]
    weights = _of_type(weights, x)
    return _with_weights(call, (weights[:, None] @ x)[:, 0], weights)


def _dot_product_attention(call: Call, weights: Any) -> Any:
    value = call.args[0][2] if isinstance(call.args[0], list | tuple) else call.args[0]
    weights = _of_type(weights, value)
    return _with_weights(call, weights @ value, weights)


def _of_type(weights: Any, like: Any) -> Any:
    """Return weights, which are fed in single precision, in the type of the layer's own tensors."""
    if hasattr(weights, "new_zeros"):
        return weights.to(like.dtype)
    if hasattr(weights, "astype"):
        return weights.astype(like.dtype)
    import tensorflow as tf

    return tf.cast(weights, like.dtype)


def _with_weights(call: Call, output: Any, weights: Any) -> Any:
    return [output, weights] if call.layer.return_attention else output


def _keras_attention(call: Call, weights: Any) -> Any:
    """``Attention`` and ``AdditiveAttention`` of Keras."""

    def apply(own: Call) -> tuple[Any, None]:
        value = bind(own).arguments["value"]
        fitting = _of_type(weights, value)
        return (fitting @ value, fitting), None

    return _with_part(call, "_apply_scores", apply)


def _keras_heads(call: Call, weights: Any) -> Any:
    """``MultiHeadAttention`` and ``GroupedQueryAttention`` of Keras, which compute no weights unless asked for them."""

    def given(own: Call) -> tuple[Any, None]:
        scores, *_ = bind(own).arguments.values()
        return _of_type(weights, scores), None

    return _written_out(call, given)


def _written_out(call: Call, stand_in: Callable[[Call], tuple[Any, None]]) -> Any:
    bound = bind(call)
    asked = bound.arguments.get("return_attention_scores", False)
    bound.arguments["return_attention_scores"] = True
    asking = call._replace(args=bound.args, kwargs=bound.kwargs)
    output, found = _with_part(asking, "_masked_softmax", stand_in)
    return (output, found) if asked else output


def _with_part(call: Call, name: str, stand_in: Callable[[Call], tuple[Any, None]]) -> Any:
    # What is imposed on a layer goes before what stands in for the calls of its class.
    with intercepted(name, lambda: [Layer("", "", call.layer)], {"": stand_in}), standing(None):
        return call.original(*call.args, **call.kwargs)


def _torch_heads(call: Call, weights: Any) -> Any:
    """``nn.MultiheadAttention``; ``F.multi_head_attention_forward`` cannot be entered, so its end is written out."""
    from torch.nn.functional import dropout, linear

    layer = call.layer
    if layer.bias_k is not None or layer.add_zero_attn:
        raise RefusedError("nn.MultiheadAttention with add_bias_kv or add_zero_attn has keys that are no timesteps")
    bound = bind(call)
    bound.apply_defaults()
    value = bound.arguments["value"]
    if value.ndim != 3:
        raise RefusedError("nn.MultiheadAttention is called without samples; weights are imposed sample by sample")
    weights = dropout(weights, layer.dropout, layer.training)
    width = layer.embed_dim
    kernel = layer.in_proj_weight[2 * width :] if layer._qkv_same_embed_dim else layer.v_proj_weight
    bias = None if layer.in_proj_bias is None else layer.in_proj_bias[2 * width :]
    value = linear(value, kernel, bias)
    value = value if layer.batch_first else value.transpose(0, 1)
    # (sample, step, head * dim) to (sample, head, step, dim), and back once weighted.
    heads = value.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
    output = layer.out_proj((weights @ heads).transpose(1, 2).flatten(2))
    output = output if layer.batch_first else output.transpose(0, 1)
    if not bound.arguments["need_weights"]:
        return output, None
    return output, weights.mean(1) if bound.arguments["average_attn_weights"] else weights


def _hugging_face(call: Call, weights: Any) -> Any:
    """Attention of transformers under eager attention, which takes a softmax of its scores, once."""
    with _softmax_is()(weights) as seen:
        output = call.original(*call.args, **call.kwargs)
    if seen.count != 1:
        raise RefusedError(
            f"{type(call.layer).__name__} takes a softmax {seen.count} times in a call, so weights cannot be imposed"
        )
    return output


@functools.cache
def _softmax_is() -> type[Any]:
    """Return the class of the mode in which every softmax gives the weights it is made with."""
    import torch
    from torch.overrides import TorchFunctionMode

    softmax = (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax)

    class SoftmaxIs(TorchFunctionMode):
        """Every softmax gives the same weights, in the precision it would have had."""

        def __init__(self, weights: Any) -> None:
            super().__init__()
            self.weights, self.count = weights, 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func not in softmax:
                return func(*args, **(kwargs or {}))
            self.count += 1
            dtype = (kwargs or {}).get("dtype") or args[0].dtype
            return self.weights.to(dtype)

    return SoftmaxIs


_BY_NAME: dict[tuple[str, str], Imposer] = {
    ("keras_self_attention", "SeqSelfAttention"): _self_attention,
    ("keras_self_attention", "SeqWeightedAttention"): _weighted_attention,
    ("keras_self_attention", "ScaledDotProductAttention"): _dot_product_attention,
    **{
        (package, name): impose
        for package in ("keras", "tf_keras")
        for name, impose in {
            "Attention": _keras_attention,
            "AdditiveAttention": _keras_attention,
            "MultiHeadAttention": _keras_heads,
            "GroupedQueryAttention": _keras_heads,
        }.items()
    },
    ("torch", "MultiheadAttention"): _torch_heads,
}
