"""What Captum is given for a model, and what comes back: tensors on the CPU, samples in groups, seeded draws."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.engines._draws import torch_seeded
from attrkit.engines._groups import run_groups
from attrkit.engines._rows import as_given
from attrkit.errors import EngineError
from attrkit.parts import Parts, arrays_of, by_name, each, row_count, unnamed


class Group(NamedTuple):
    """Some samples of a call: a tensor a part, their numbers as a tensor and as an array, and their baselines."""

    inputs: tuple[Any, ...]
    at: Any
    rows: np.ndarray
    starts: tuple[Any, ...]


class ExplainedOutput:
    """What Captum calls with rows, a tensor a part, and the number of each row's sample: their explained outputs.

    One operation to autograd, whose gradient is the adapter's: batches, cuDNN and costs are its own.
    """

    def __init__(self, model: Adapter, x: Parts, target: np.ndarray, masks: Any = None) -> None:
        self.model = copy.copy(model)
        self.model.show_progress = False
        self.x, self.target, self.masks = x, target, masks

    def __call__(self, *given: Any) -> Any:
        import torch

        *points, at = given
        rows = at.numpy()
        if torch.is_grad_enabled() and any(point.requires_grad for point in points):
            return _operation().apply(self, rows, *points)
        found = self.model.predict(self._parts(points, rows), sample=rows)
        return torch.tensor(found[np.arange(len(rows)), self.target[rows]], device="cpu")

    def gradients(self, points: Sequence[Any], rows: np.ndarray) -> list[np.ndarray]:
        """Return the gradient of each row's explained output, an array a part."""
        return arrays_of(self.model.path_gradient(self._parts(points, rows), self.target[rows], sample=rows))

    def _parts(self, points: Sequence[Any], rows: np.ndarray) -> Any:
        arrays = dict(zip(by_name(self.x), (point.detach().numpy() for point in points), strict=True))
        return as_given(unnamed(arrays), self.x, rows, self.masks)


@cache
def _operation() -> Any:
    """Return the class of the operation; torch is imported by now."""
    import torch

    class Explained(torch.autograd.Function):
        """The explained output of rows, with gradients of the adapter."""

        @staticmethod
        def forward(ctx: Any, output: ExplainedOutput, rows: np.ndarray, *points: Any) -> Any:
            found = output.gradients(points, rows)
            ctx.save_for_backward(*(torch.tensor(gradient, device="cpu") for gradient in found))
            # Where Captum asks for gradients it does not look at values. If it did, this would show.
            return points[0].new_full((len(rows),), float("nan"))

        @staticmethod
        def backward(ctx: Any, given: Any) -> Any:
            scaled = (gradient * given.reshape(-1, *[1] * (gradient.ndim - 1)) for gradient in ctx.saved_tensors)
            return (None, None, *scaled)

    return Explained


def captum_class(name: str) -> Any:
    """Return a class of ``captum.attr``."""
    return getattr(import_module("captum.attr"), name)


def attribute(
    model: Adapter,
    x: Parts,
    call: Callable[[Group], tuple[Any, ...]],
    *,
    size: int,
    label: str,
    baseline: Parts | None = None,
    seed: Callable[[int], int] | None = None,
) -> Any:
    """Return what Captum attributes to each part, group by group.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    call : callable
        Maps a `Group` to a tensor a part.
    size : int
        Samples in a group.
    label : str
        Name of Captum's class.
    baseline : Parts broadcastable to the shape of `x`, optional
        Their rows are the ``starts`` of a group.
    seed : callable, optional
        Maps the number of a group's first sample to what Captum's draws are seeded with.

    Returns
    -------
    Parts of the shape of `x`
    """
    import torch

    named, n_samples = by_name(x), row_count(x)
    starts = {} if baseline is None else by_name(each(lambda b, a: np.broadcast_to(b, a.shape), baseline, x))

    def tensor(values: np.ndarray) -> Any:
        found = torch.tensor(np.ascontiguousarray(values), device="cpu")
        return found.requires_grad_() if found.is_floating_point() else found

    found: dict[str, list[np.ndarray]] = {name: [] for name in named}

    def run(rows: np.ndarray) -> None:
        group = Group(
            tuple(tensor(array[rows]) for array in named.values()),
            torch.tensor(rows, device="cpu"),
            rows,
            tuple(tensor(array[rows]).detach() for array in starts.values()),
        )
        with ExitStack() as held:
            held.enter_context(_without_its_notices())
            if seed is not None:
                held.enter_context(torch_seeded(seed(int(rows[0]))))
            values = call(group)
        for parts, array, value in zip(found.values(), named.values(), values, strict=True):
            own = value.detach().cpu().numpy()
            if own.shape != array[rows].shape:
                raise EngineError(f"captum.{label} gave {own.shape} for inputs of shape {array[rows].shape}")
            parts.append(own.astype(array.dtype) if array.dtype.kind == "f" else own)

    with torch.inference_mode(False), torch.enable_grad():
        run_groups(model, n_samples, run, size=size, label=label)
    return unnamed({name: np.concatenate(parts) for name, parts in found.items()})


@contextmanager
def _without_its_notices() -> Iterator[None]:
    """Keep back what Captum says of every call: that it sets hooks, and how costly it is."""
    with warnings.catch_warnings():
        for said in ("Setting (forward, )?backward hooks", "You are providing multiple inputs for Lime"):
            warnings.filterwarnings("ignore", message=rf"\s*{said}", category=UserWarning)
        yield
