"""Names of torch functions: one for function, method, operator and what works in place."""

from typing import Any


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_SAME = {
    "__getitem__": "getitem",
    "__setitem__": "setitem",
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add_",
    "__sub__": "sub",
    "__isub__": "sub_",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__imul__": "mul_",
    "__div__": "div",
    "__truediv__": "div",
    "__idiv__": "div_",
    "__itruediv__": "div_",
    "__rtruediv__": "__rdiv__",
    "__matmul__": "matmul",
    "__pow__": "pow",
    "__neg__": "neg",
    "__abs__": "abs",
    "absolute": "abs",
    "subtract": "sub",
    "rsub": "__rsub__",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "concat": "cat",
    "concatenate": "cat",
    "special_expit": "sigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "mm": "matmul",
    "bmm": "matmul",
    "mv": "matmul",
    "dot": "matmul",
    "clip": "clamp",
    "swish": "silu",
}


def name_of(func: Any) -> str:
    """Return the name of a function, the same for function, method and operator; of a property ``".T"``."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        return "." + getattr(func.__self__, "__name__", "")
    return _SAME.get(name, name)


def name_of_base(name: str) -> str:
    """Return the name of the function that a function does in place."""
    return _SAME.get(name[:-1], name[:-1])


def full_name(func: Any) -> str:
    """Return the name that a user knows a function by."""
    from torch.overrides import resolve_name

    return resolve_name(func) or f"torch.{getattr(func, '__name__', func)}"


def out_of_place(func: Any, name: str) -> Any:
    """Return the function of a name, in place of one that writes into its argument."""
    import torch

    return getattr(torch.Tensor, name, None) or getattr(torch, name, None) or getattr(torch.nn.functional, name, func)
