"""Tensors in lists, tuples and mappings in each other."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any


@cache
def tensor_class() -> Any:
    """Return the class of tensors; torch is imported by now."""
    import torch

    return torch.Tensor


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor."""
    return isinstance(value, tensor_class())


def tensors_in(values: Any) -> list[Any]:
    """Return the tensors of lists, tuples and mappings in each other."""
    found = []
    for value in values.values() if isinstance(values, Mapping) else values:
        if is_tensor(value):
            found.append(value)
        elif isinstance(value, list | tuple | Mapping):
            found += tensors_in(value)
    return found


def changed(values: Any, change: Callable[[Any], Any]) -> Any:
    """Return the same lists, tuples and dicts with each value changed; other containers as they are."""
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(changed(value, change) for value in values))
    if type(values) in (list, tuple):
        return type(values)(changed(value, change) for value in values)
    if isinstance(values, tuple) and type(values).__module__.startswith("torch"):
        # What torch returns by name, such as maximum and where it is.
        return type(values)([changed(value, change) for value in values])
    if type(values) is dict:
        return {key: changed(value, change) for key, value in values.items()}
    return change(values)
