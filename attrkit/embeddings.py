"""Token ids, which have no gradient, explained at the output of the layer that embeds them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Call, Layer
from attrkit.errors import InputError, RefusedError
from attrkit.explained import Explained
from attrkit.parts import OUTPUT

_WAYS: dict[str, Callable[[xr.DataArray], Any]] = {
    "sum": lambda a: a.sum("channel"),
    "abs_sum": lambda a: abs(a).sum("channel"),
    "norm": lambda a: np.sqrt((a**2).sum("channel")),
}

REDUCTIONS = ("auto", *_WAYS)
"""How the units of an embedding become one value a token."""


def at_embeddings(adapter: Adapter, explained: Explained, embedding: str | None) -> Explained:
    """Move what is explained from token ids, which have no gradient, to the output of the layer that embeds them.

    A layer embeds an input if the ids it is called with are the input's own. Of a block and a layer inside it that both
    do, it is the layer inside: what the block puts out holds positions too.

    Raises
    ------
    RefusedError
        If no layer embeds an input of integers.
    InputError
        If several do, and `embedding` does not say which.
    """
    tokens = [name for name, array in explained.inputs.items() if array.dtype.kind in "iu"]
    if not tokens:
        if embedding is not None:
            raise InputError(f"the model takes no token ids; leave embedding={embedding!r} out")
        return explained
    candidates = [layer.path for layer in adapter.layers() if _embeds(layer) and embedding in (None, layer.path)]
    if embedding is None:
        # A model that says which layers embed words is believed: its positions may be called with the ids too.
        candidates = adapter.word_embeddings() or candidates
    if embedding is not None and not candidates:
        known = [layer.path for layer in adapter.layers() if _embeds(layer)]
        raise InputError(f"no embedding is named {embedding!r}; there are {', '.join(known) or 'none'}")
    here = adapter.asking(explained.question())
    # Positions have one row for all samples.
    _, readings = here.read(explained.parts(), dict.fromkeys(candidates, _read_embedding), strict=False)
    embedded, layers = {}, {}
    for name in tokens:
        ids = explained.inputs[name]
        hits, again = {}, []
        for path, calls in readings.items():
            own = [call["output"] for call in calls if "ids" in call and np.array_equal(call["ids"], ids.values)]
            # A layer that is called again, for another input, cannot be told apart by its path alone.
            if own and (len(calls) == 1 or adapter.embeds_by_call):
                hits[path] = own[0]
            elif own:
                again.append(
                    f"{path} embeds them and is called {len(calls)} times in a pass, so one call cannot be told"
                )
        hits = {path: hit for path, hit in hits.items() if not any(other.startswith(f"{path}.") for other in hits)}
        looked = ", ".join(readings) or "none"
        if not hits:
            raise RefusedError(
                f"input {name!r} takes {ids.dtype}, and there is no gradient with respect to integers such as token "
                f"ids; {again[0] if again else f'no layer that embeds them was found (looked at {looked})'}. Use "
                "occlusion or attention, or hand the input on: explain= names those to explain"
            )
        if len(hits) > 1:
            raise InputError(f"several layers embed input {name!r}: {', '.join(hits)}; say which with embedding=")
        layers[name], values = next(iter(hits.items()))
        array = xr.DataArray(values, dims=(*ids.dims, "channel"), coords=ids.coords, name="embedding")
        embedded[name] = array.assign_coords(channel=np.arange(array.sizes["channel"]))
    for path in layers.values():
        twins = [other for other, layer in layers.items() if layer == path]
        if len(twins) > 1:
            raise RefusedError(
                f"layer {path!r} embeds {', '.join(twins)}, which have the same ids: which call is whose cannot be "
                "told; explain them with different ids, or use occlusion"
            )
    return replace(explained, embedded=embedded, layers=layers)


def reduce_embedding(values: xr.DataArray, how: str | None) -> xr.DataArray:
    """Bring the units of an embedding to one value a token, and say how."""
    if how is None:
        return values
    if how == "auto":
        # Slopes along the units of an embedding cancel: after a normalisation over the units their sum is zero.
        how = "sum" if values.attrs.get("units") == OUTPUT else "norm"
    reduced = _WAYS[how](values)
    sign = values.attrs.get("sign", "signed") if how == "sum" else "non-negative"
    reduced.attrs = {**values.attrs, "sign": sign, "cell_methods": f"channel: {how}"}
    return reduced


def _embeds(layer: Layer) -> bool:
    return any("Embedding" in cls.__name__ for cls in type(layer.layer).__mro__)


def _read_embedding(call: Call) -> tuple[Any, dict[str, Any]]:
    """Read a layer that maps ids to units; another, as one that rotates queries and keys, has nothing to read."""
    output = call.original(*call.args, **call.kwargs)
    ids = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
    ranks = [len(getattr(value, "shape", ())) for value in (ids, output)]
    return output, {"ids": ids, "output": output} if ranks == [2, 3] else {}
