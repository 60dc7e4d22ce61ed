"""Attention weights as a layer used them: one file a family of layers, asked while the model runs.

A family has two functions. ``handles(layer)`` says whether a layer belongs to it; ``read(call)`` runs one call of the
layer and returns its output, unchanged, with what was read: ``attention`` (nothing, where the layer returned none)
and, where the layer had them, ``query_mask`` and ``key_mask``. No framework is imported here: a layer is known by what
it offers. Other packages add families by the entry point ``attrkit.attention``.
"""

from collections.abc import Sequence

from attrkit.adapters.terms import Layer, Reader
from attrkit.attention import by_argument, by_attribute, by_need_weights, by_tuple
from attrkit.plugins import modules_in

# A layer that offers both (an attribute and an argument) is asked by the attribute, which its own code reads last.
_FAMILIES = (by_attribute, by_need_weights, by_tuple, by_argument)


def find_readers(layers: Sequence[Layer]) -> dict[str, Reader]:
    """Return a reader for every layer whose attention weights can be read, by path, in the model's order."""
    families = (*modules_in("attrkit.attention", ("handles", "read")).values(), *_FAMILIES)
    found: dict[str, Reader] = {}
    for entry in layers:
        for family in families:
            if family.handles(entry.layer):
                found[entry.path] = family.read
                break
    return found


__all__ = ["find_readers"]
