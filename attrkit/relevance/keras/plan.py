"""Which rule each layer of a Keras model has, found before anything is computed; what has none is refused."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrkit.adapters.keras import KerasModel
from attrkit.adapters.terms import LAYER, Layer
from attrkit.errors import RefusedError
from attrkit.relevance.composites import Composite
from attrkit.relevance.keras import attention, elementwise, kernels, recurrent
from attrkit.relevance.keras.operations import refused_operations
from attrkit.relevance.rule import Rule, passes

# Linear or homogeneous, or only routing: the plain gradient is the rule (Bach et al. 2015, eq. 56).
_PASS = {
    *("Add", "Average", "Subtract", "Concatenate", "Flatten", "Reshape", "Permute", "RepeatVector", "Identity"),
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("ActivityRegularization", "Masking", "InputLayer", "Bidirectional", "TimeDistributed"),
    # Of Keras 2: what they compute is looked at by itself.
    *("TFOpLambda", "SlicingOpLambda"),
    *(f"{kind}{rank}D" for rank in (1, 2, 3) for kind in ("ZeroPadding", "Cropping", "UpSampling")),
    *(f"{place}{kind}Pooling{rank}D" for rank in (1, 2, 3) for kind in ("Max", "Average") for place in ("", "Global")),
}
_CONTAINERS = {"Functional", "Sequential", "Model"}
_LIBRARIES = ("keras.", "tf_keras.", "keras_self_attention.")

# By the name of the layer's class: what plans its rule, and those of layers inside it.
_FAMILIES: Mapping[str, Callable[..., Mapping[str, Rule]]] = {
    **dict.fromkeys(("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"), kernels.plan),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN"), recurrent.plan),
    **dict.fromkeys(
        ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax", "ThresholdedReLU"), elementwise.plan_activation
    ),
    **dict.fromkeys(("BatchNormalization", "Normalization", "Rescaling"), elementwise.plan_affine),
    "LayerNormalization": elementwise.plan_layer_norm,
    "Embedding": elementwise.plan_constant,
    "MultiHeadAttention": attention.plan_multi_head,
    **dict.fromkeys(("Attention", "AdditiveAttention", "ScaledDotProductAttention"), attention.plan_scored),
    "SeqSelfAttention": attention.plan_self,
    "SeqWeightedAttention": attention.plan_weighted,
}


def plan(model: KerasModel, composite: Composite) -> dict[str, Rule]:
    """Return a rule for each layer that needs one, by path.

    Raises
    ------
    RefusedError
        If layers or operations have none; all are named.
    """
    entries = model.layers()
    whole = Layer("", type(model.model).__name__, model.model)
    imposed = {key.removeprefix(LAYER) for key in model.question.explained.values() if key.startswith(LAYER)}
    last = _last_layers(model.model)
    rules: dict[str, Rule] = {}
    refused: list[str] = []
    covered: list[str] = []
    for entry in [whole, *entries]:
        if entry.path in imposed or any(entry.path.startswith(f"{path}.") for path in covered):
            continue
        try:
            found, covers = _plan_one(
                entry, entries, composite, is_last=id(entry.layer) in last, logits=model.question.logits
            )
        except RefusedError as err:
            refused.append(f"{entry.path or 'the model itself'} ({entry.kind}): {err}")
            continue
        rules |= found
        if covers:
            covered.append(entry.path)
    refused += [text for entry in [whole, *entries] for text in refused_operations(entry)]
    if refused:
        raise RefusedError(
            "lrp has no rule for " + "; ".join(refused) + ". Give one: "
            "composite=COMPOSITES['arras'].extended({'its type or path': rule}), where attrkit.relevance.passes is the "
            "rule of a layer that is linear or only calls others; or use integrated_gradients"
        )
    return rules


def _plan_one(
    entry: Layer, entries: list[Layer], composite: Composite, *, is_last: bool, logits: bool
) -> tuple[Mapping[str, Rule], bool]:
    """Return the rules of a layer and those inside it, and whether the layers inside need none of their own."""
    given = composite.rule_of(entry.path, entry.kind)
    if given is passes:
        return {entry.path: passes} if entry.path else {}, False
    if callable(given):
        return {entry.path: given}, True
    kind = _library_kind(entry.layer)
    if given is not None and _FAMILIES.get(kind) is not kernels.plan:
        raise RefusedError(f"{type(given).__name__} is a rule for layers of one kernel")
    if kind in _CONTAINERS or kind in _PASS:
        return {}, False
    if kind not in _FAMILIES:
        raise RefusedError("no rule is known")
    inside = [other for other in entries if other.path.startswith(f"{entry.path}.")]
    return _FAMILIES[kind](entry, inside, composite, rule=given, is_last=is_last, logits=logits), bool(inside)


def _library_kind(layer: Any) -> str:
    """Return the name of the library's class whose call a layer runs; a call of the user's own has none."""
    for cls in type(layer).__mro__:
        if "call" in vars(cls) and not cls.__module__.startswith(_LIBRARIES):
            return ""
        if cls.__module__.startswith(_LIBRARIES) and (cls.__name__ in _FAMILIES or cls.__name__ in _PASS | _CONTAINERS):
            return cls.__name__
    return ""


def _last_layers(model: Any) -> set[int]:
    """Return the identities of the layers that make the model's outputs, in nested models too."""
    return {id(layer) for layer in _makers(model)}


def _makers(model: Any) -> Iterator[Any]:
    for tensor in getattr(model, "outputs", None) or []:
        maker = getattr(tensor, "_keras_history", (None,))[0]
        if hasattr(maker, "outputs") and hasattr(maker, "layers"):
            yield from _makers(maker)
        else:
            # What is wrapped is called for every timestep.
            yield getattr(maker, "layer", maker)
