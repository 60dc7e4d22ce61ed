"""Forward passes and path gradients on torch: eager, on the model's device, sums kept there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any, Self

import numpy as np

from attrkit.adapters._parameters import Place, learnt_of, not_reached, with_cotangents
from attrkit.adapters.base import Adapter
from attrkit.adapters.memory import is_out_of_memory
from attrkit.adapters.outputs import no_path
from attrkit.adapters.terms import Feed, PathRows, Reader, Readings, Rewrite
from attrkit.errors import AttrkitError, InputError, RefusedError
from attrkit.half import half_of
from attrkit.parts import by_name


class TorchAdapter(Adapter):
    """A model whose forward pass is made of torch operations.

    Each of its passes leaves the user's ``torch.inference_mode``, whose tensors no gradient can be taken of.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        import torch

        self._torch = torch

    @property
    def _device(self) -> Any:
        """Where the model's weights are; tensors go there."""
        held = chain(self.model.parameters(), self.model.buffers())
        return next((values.device for values in held), self._torch.device("cpu"))

    @property
    def half(self) -> str:
        kind = self._device.type
        under_autocast = self._torch.amp.is_autocast_available(kind) and self._torch.is_autocast_enabled(kind)
        return half_of([self._torch.get_autocast_dtype(kind)] if under_autocast else []) or super().half

    def _weights_seen(self) -> list[Any]:
        # torch counts what is written into a tensor, but for those made in inference mode.
        weights = [weight for weight in self._weights() if not weight.is_inference()]
        return [(id(weight), weight._version) for weight in weights]

    def _weights(self) -> list[Any]:
        """Return the tensors that no pass writes into."""
        return list(self.model.parameters())

    def _tensors(self, feed: Feed) -> dict[str, Any]:
        # as_tensor shares memory with arrays that may not be written to.
        return {name: self._torch.tensor(values, device=self._device) for name, values in feed.items()}

    def _array(self, value: Any) -> np.ndarray:
        value = value.detach()
        # Sums and differences of what comes out are taken in single precision at least; numpy has no bfloat16.
        half = half_of([value.dtype])
        return (value.float() if half else value).cpu().numpy()

    @contextmanager
    def _as_in_pass(self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool) -> Iterator[Any]:
        """Set what holds during a pass, for a backward pass that runs parts of it again: ``torch.utils.checkpoint``."""
        yield

    def _forward_compiled(self, feed: dict[str, Any]) -> dict[str, Any]:
        """Run the model once, compiled by ``torch.compile``: its outputs by name."""
        raise NotImplementedError

    @contextmanager
    def _without_gradient(self) -> Iterator[None]:
        with self._torch.inference_mode(False), self._torch.no_grad():
            yield

    def _run(self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool) -> Any:
        try:
            return self._forward(feed, readers, training)
        except AttrkitError:
            raise
        except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError) as err:
            if is_out_of_memory(err):
                raise
            shapes = ", ".join(f"{name} {tuple(values.shape)} of {values.dtype}" for name, values in feed.items())
            raise InputError(f"the model fails on inputs of shape {shapes}: {err}") from err

    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]:
        with self._without_gradient():
            outputs, _ = self._run(self._tensors(feed), {}, False)
            return [(name, self._array(value)) for name, value in outputs.items()]

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        with self._torch.inference_mode(False):
            tensors = self._tensors(x)
            totals = {name: a.new_zeros((len(a), n_sums, *a.shape[1:])) for name, a in tensors.items()}
            return tensors, self._tensors(baseline), self._tensors(context), totals

    def _path_add(self, sums: Any, rows: PathRows, way: str) -> Any:
        torch = self._torch
        x, baseline, context, totals = sums

        def by_row(values: np.ndarray, like: Any) -> Any:
            moved = torch.tensor(values, dtype=like.dtype, device=like.device)
            return moved.reshape(*values.shape, *[1] * (like.ndim - 1))

        with torch.inference_mode(False):
            at = torch.tensor(rows.sample, device=self._device)
            drawn = None if rows.noise is None else self._tensors(rows.noise)
            points = {}
            for name, values in x.items():
                start = baseline[name][at]
                point = start + by_row(rows.alpha, values) * (values[at] - start)
                points[name] = (point if drawn is None else point + drawn[name]).requires_grad_()
            rest = {name: values[at] for name, values in context.items()}
            feed = {**points, **rest}
            with torch.enable_grad():
                plain = way == "plain"
                outputs = self._run(feed, {}, False)[0] if plain else self._forward_compiled(feed)
                flat = self._laid_flat(outputs)
                picked = self._picked(flat, rows.target).sum()
                gradients: Sequence[Any] = [None]
                if picked.requires_grad:
                    with self._as_in_pass(feed, {}, False) if plain else nullcontext():
                        gradients = _gradients(picked, list(points.values()))
            if all(gradient is None for gradient in gradients):
                raise no_path()
            # None for one of several inputs, which the explained output does not depend on. All products first: memory
            # may run out on the second.
            products = [None if g is None else by_row(rows.weight, g) * g[:, None] for g in gradients]
            for total, product in zip(totals.values(), products, strict=True):
                if product is not None:
                    total.index_add_(0, at, product)
        return sums, flat

    def _path_wait(self, sums: Any) -> None:
        if self._device.type == "cuda":
            self._torch.cuda.synchronize(self._device)

    def _path_end(self, sums: Any) -> Feed:
        return {name: self._array(total) for name, total in sums[3].items()}

    def _parameter_gradient(
        self,
        feed: Feed,
        readers: Mapping[str, Reader],
        places: tuple[Place, ...],
        cotangents: Sequence[np.ndarray],
        way: str,
    ) -> dict[str, np.ndarray]:
        torch, learning = self._torch, self._learning()
        learnt = {name: self._tensor_of(array) for name, array in learnt_of(self).items()}
        with torch.inference_mode(False), torch.enable_grad():
            given = self._tensors(feed)
            outputs, found = learning._run(given, readers, False)
            weights = [torch.tensor(values, device=self._device) for values in cotangents]
            pairs = with_cotangents(self._laid_flat(outputs), found, places, weights)
            total = sum((value * weight.to(value)).sum() for value, weight in pairs)
            if not total.requires_grad:
                raise not_reached()
            with learning._as_in_pass(given, readers, False):
                slopes = _gradients(total, list(learnt.values()))
        if all(slope is None for slope in slopes):
            raise not_reached()
        return {
            name: self._array(torch.zeros_like(tensor) if slope is None else slope)
            for (name, tensor), slope in zip(learnt.items(), slopes, strict=True)
        }

    def _learning(self) -> Self:
        """Return this adapter, with parameters that are no constants in its passes."""
        return self

    def _tensor_of(self, array: Any) -> Any:
        """Return the tensor of one of the arrays that the model holds."""
        return array

    def _laid_flat(self, outputs: dict[str, Any]) -> Any:
        """Lay outputs flat as `Adapter.predict` does."""
        return self._torch.cat([value.reshape(len(value), -1) for value in outputs.values()], dim=1)

    def _picked(self, flat: Any, target: np.ndarray) -> Any:
        """Return the explained output of each row."""
        return flat.gather(1, self._torch.tensor(target, device=flat.device)[:, None])[:, 0]

    def traced_rows(
        self, parts: Any, sample: np.ndarray, target: np.ndarray, readers: Mapping[str, Reader] | None = None
    ) -> Any:
        """Return the explained output of each row, with the graph that leads to it from the parts.

        Parameters
        ----------
        parts : tensor of shape (row, timestep[, channel]), or dict of such by name
            On any device.
        sample : ndarray of int of shape (row,)
            Which samples the rows are variants of: the model's other inputs are theirs.
        target : ndarray of int of shape (row,)
            Index into the outputs laid flat.
        readers : mapping of layer path to Reader, optional

        Returns
        -------
        tensor of shape (row,)
            Of the type and on the device of the parts.
        """
        feed: dict[str, Any] = dict(self._feed(parts, sample))
        held = self._tensors({name: values for name, values in feed.items() if isinstance(values, np.ndarray)})
        given = {name: values.to(self._device) for name, values in feed.items() if name not in held}
        outputs, _ = self._run({**given, **held}, readers or {}, False)
        return self._picked(self._laid_flat(outputs), target).to(next(iter(by_name(parts).values())))

    def _rewritten(
        self, feed: Feed, leaves: Feed, rewrite: Rewrite, target: np.ndarray, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Feed]:
        torch = self._torch
        from torch.utils.checkpoint import CheckpointError

        with torch.inference_mode(False), torch.enable_grad():
            outputs, watched = self._run_rewritten(feed, leaves, rewrite)
            picked = self._picked(self._laid_flat(outputs), target).sum()
            if not picked.requires_grad:
                raise no_path()
            try:
                gradients = torch.autograd.grad(picked, list(watched.values()), allow_unused=True)
            except CheckpointError as err:
                raise RefusedError(
                    "the model runs parts of itself again in its backward pass, by torch.utils.checkpoint, where no "
                    "rules stand; switch checkpointing off"
                ) from err
        named = [(name, self._array(value)) for name, value in outputs.items()]
        found = dict(zip(watched, gradients, strict=True))
        return named, {key: self._array(values) for key, values in found.items() if values is not None}

    def _run_rewritten(self, feed: Feed, leaves: Feed, rewrite: Rewrite) -> tuple[Any, dict[str, Any]]:
        """Return the model's outputs, and by name what they can be differentiated with respect to."""
        inputs, own = self._tensors(feed), self._tensors(leaves)
        floating = {key: values for key, values in {**inputs, **own}.items() if values.is_floating_point()}
        watched = {key: values.requires_grad_() for key, values in floating.items()}
        readers, held = rewrite.begin(own, inputs)
        with held:
            return self._run(inputs, readers, False)[0], watched

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        with self._without_gradient(), self._state_restored() if training else nullcontext():
            outputs, found = self._run(self._tensors(feed), readers, training)
            named = [(name, self._array(value)) for name, value in outputs.items()]
            read = {p: [{k: self._array(v) for k, v in c.items()} for c in calls] for p, calls in found.items()}
        return named, read


def _gradients(value: Any, places: Sequence[Any]) -> Sequence[Any]:
    """Return the gradients of one value, None where no path leads back.

    As ``torch.autograd.grad``, which puts the modes of a pass aside: they would not see what a checkpoint runs again.
    """
    from torch.autograd import Variable

    return Variable._execution_engine.run_backward(
        (value,), (value.new_ones(()),), False, False, tuple(places), allow_unreachable=True, accumulate_grad=False
    )
