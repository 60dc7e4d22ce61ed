"""The ledger of a pass whose tensors have their samples on any axis, or folded into another one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from attrkit.errors import RefusedError
from attrkit.relevance.flow import Flow


class Samples(NamedTuple):
    """Where a tensor has its samples: an axis, counted from the end, and the sample at each place along it.

    Without an axis all of the tensor belongs to one sample.
    """

    axis: int | None
    index: Any


@dataclass
class Record:
    """What is known of a tensor that relevance flows through.

    Attributes
    ----------
    samples : Samples, optional
        None where they cannot be told apart.
    made : str, optional
        ``"gate"``, ``"softmax"``, ``"log_softmax"`` or ``"spread"``, where it is one and nothing but a scaled one.
    by : str
        The function that made it so.
    input : str, optional
        The input of the model that it is, however arranged.
    twins : mapping of str to tensor
        The leaves beside that input, arranged in the same way.
    fused : callable, optional
        Maps an activation to the tensor's activation, as one node with the linear map that made the tensor.
    """

    samples: Samples | None = None
    made: str | None = None
    by: str = ""
    input: str | None = None
    twins: Mapping[str, Any] = field(default_factory=dict)
    fused: Callable[[Any], Any] | None = None


@dataclass
class TorchFlow(Flow):
    """The flow of a torch pass: it knows the samples of the tensors that the pass has made.

    Attributes
    ----------
    known : mapping of tensor to Record
    place : Samples, optional
        Samples of what the rule computes, which is not yet known.
    """

    known: Any = field(default_factory=dict)
    place: Samples | None = None

    def placed(self, place: Samples | None) -> Self:
        """Return the same flow for a rule whose values have their samples elsewhere."""
        other = self.at(self.path)
        other.place = place
        return other

    def rows(self, leaf: str, count: int) -> Any:
        """Return the layer's column of a leaf, one value for each row of a batch whose samples are `place`'s."""
        ones = self.leaves[leaf][:, self.columns.get(self.path, 0)]
        if self.place is not None and self.place.axis is None:
            return ones[self.place.index].expand(count)
        if self.place is None or len(self.place.index) != count:
            raise self._lost(f"a batch of {count}")
        return ones[self.place.index]

    def _ones(self, leaf: str, like: Any) -> Any:
        record = self.known.get(like)
        samples = None if record is None else record.samples
        samples = samples or same_place(self.place, like)
        ones = self.leaves[leaf][:, self.columns.get(self.path, 0)]
        if samples is None:
            at = [axis for axis in range(-like.ndim, 0) if like.shape[axis] == len(ones)]
            if len(at) != 1:
                raise self._lost(f"values of shape {tuple(like.shape)}")
            samples = Samples(at[0], slice(None))
        ones = ones[samples.index].to(like.dtype)
        return ones if samples.axis is None else ones.reshape(-1, *[1] * (-samples.axis - 1))

    def _lost(self, what: str) -> RefusedError:
        return RefusedError(
            f"lrp cannot tell which sample {what} belong to in {self.path or 'the model itself'}, and keeps its ledger "
            "of biases for each sample; use integrated_gradients, or leave samples on an axis of their own"
        )


def on_first_axis(values: Any) -> Samples:
    """Return where a batch has its samples."""
    import torch

    if len(values) == 1:
        return Samples(None, torch.zeros((), dtype=torch.long, device=values.device))
    return Samples(-values.ndim, torch.arange(len(values), device=values.device))


def same_place(samples: Samples | None, like: Any) -> Samples | None:
    """Return the samples of a tensor that has them where another tensor has, or on the one axis of their number."""
    if samples is None or samples.axis is None:
        return samples
    if -samples.axis <= like.ndim and like.shape[samples.axis] == len(samples.index):
        return samples
    at = [axis for axis in range(-like.ndim, 0) if like.shape[axis] == len(samples.index)]
    return Samples(at[0], samples.index) if len(at) == 1 else None


def moved(samples: Samples | None, axis: int) -> Samples | None:
    """Return the same samples on another axis, counted from the end."""
    return samples if samples is None or samples.axis is None else Samples(axis, samples.index)


def without(samples: Samples | None, axes: list[int], *, kept: bool) -> Samples | None:
    """Return the samples once some axes, counted from the end, are summed over, and kept with size one or not."""
    if samples is None or samples.axis is None:
        return samples
    if samples.axis in axes:
        return None
    return samples if kept else Samples(samples.axis + sum(axis > samples.axis for axis in axes), samples.index)


def numbers(samples: Samples, like: Any) -> Any:
    """Return the number of the sample that each value of a tensor belongs to."""
    index = samples.index
    index = index if samples.axis is None else index.reshape(-1, *[1] * (-samples.axis - 1))
    return index.expand(like.shape)


def unnumbered(like: Any) -> Any:
    """Return what `numbers` would for values that belong to no sample."""
    import torch

    return torch.full((), -1, device=like.device).expand(like.shape)


def numbered(values: Any) -> Samples | None:
    """Return the samples of a tensor by the numbers of its values, -1 where there is none."""
    # Axes along which one number is repeated take no memory, and need no look.
    small = values
    for axis in range(values.ndim):
        if values.stride(axis) == 0:
            small = small.narrow(axis, 0, min(values.shape[axis], 1))
    if not small.numel():
        return None
    whole = small.amax()
    if bool(((small == whole) | (small == -1)).all()):
        return Samples(None, whole)
    for axis in range(-values.ndim, 0):
        if small.shape[axis] > 1:
            others = [other for other in range(-values.ndim, 0) if other != axis]
            along = small.amax(dim=others, keepdim=True) if others else small
            if bool(((small == along) | (small == -1)).all()):
                return Samples(axis, along.reshape(-1).clamp(min=0))
    return None
