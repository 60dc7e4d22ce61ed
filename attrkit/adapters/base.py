"""What every framework supplies, and the batching that is the same for all of them.

Arrays are numpy in and numpy out; x has shape (sample, timestep[, channel]). A framework adds one file beside this one
with a subclass of `Adapter` that fills in the five hooks at its end.
"""

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from tqdm.auto import tqdm

from attrkit.checks import whole_number
from attrkit.errors import ForwardMismatchError, RefusedError
from attrkit.targets import Output

DEFAULT_BATCH_SIZE = 64


class Layer(NamedTuple):
    """One layer of a model: where it stands (``"encoder.lstm"``), its class name, the layer itself."""

    path: str
    kind: str
    layer: Any


class Call(NamedTuple):
    """One call of a layer, seen from inside a forward pass; ``original`` is the layer's own ``call``."""

    layer: Any
    original: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class LazyRows:
    """Inputs that are made a batch at a time: ``make`` maps row numbers to an array of shape (row, ...)."""

    count: int
    make: Callable[[np.ndarray], np.ndarray]


Reader = Callable[[Call], tuple[Any, dict[str, Any]]]
"""Runs a layer's call in its place: returns the layer's output, unchanged, and what it read, by name."""

Noise = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps sample numbers and step numbers, each of shape (row,), to noise of shape (row, timestep[, channel])."""

Readings = dict[str, list[dict[str, np.ndarray]]]
"""Layer path -> one entry a call of the layer -> what was read, by name, samples first."""


class Adapter(ABC):
    """A model behind the two primitives that all methods are made of: the path gradient and the rewrite.

    Attributes
    ----------
    model : object
        The user's model, never changed.
    batch_size : int
        Rows a forward or gradient pass holds; a row is one sample at one step of a path.
    cost : Counter
        Rows evaluated so far: ``forward_evaluations`` and ``gradient_evaluations``.
    """

    framework: ClassVar[str]
    handles: ClassVar[tuple[str, ...]]

    def __init__(self, model: Any) -> None:
        self.model = model
        self.batch_size = DEFAULT_BATCH_SIZE
        self.show_progress = False
        self.cost: Counter[str] = Counter()
        self._outputs: tuple[Output, ...] | None = None
        # A list, so that copies with other settings share it.
        self._steady: list[bool] = []

    def configured(self, *, batch_size: int | None, show_progress: bool) -> Self:
        """Return this adapter with other settings and a cost of its own; compiled functions are shared."""
        other = copy.copy(self)
        other.batch_size = DEFAULT_BATCH_SIZE if batch_size is None else whole_number(batch_size, "batch_size", least=1)
        other.show_progress = show_progress
        other.cost = Counter()
        return other

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Name and shape of every output, as the last forward pass gave them."""
        assert self._outputs is not None, "outputs are known after the first forward pass"
        return self._outputs

    def predict(self, x: np.ndarray | LazyRows) -> np.ndarray:
        """Return the model's outputs for `x`, laid flat: an array of shape (sample, output)."""
        parts: list[np.ndarray] = []
        for batch, rows in self._batches(x, "predict"):
            flat = self._flat(self._predict(batch)) if self._steady else self._predict_first(batch)
            parts.append(flat[:rows])
            self.cost["forward_evaluations"] += rows
        return np.concatenate(parts)

    def path_gradient(
        self,
        x: np.ndarray,
        target: np.ndarray,
        *,
        baseline: np.ndarray | None = None,
        alphas: Sequence[float] | np.ndarray = (1.0,),
        weights: Sequence[float] | np.ndarray = (1.0,),
        noise: Noise | None = None,
    ) -> np.ndarray:
        r"""Return a weighted sum of gradients along the way from a baseline to the input.

        .. math:: G_i = \sum_k w_k \nabla f_{t_i}\big(b_i + \alpha_k (x_i - b_i) + \varepsilon_{ik}\big)

        Parameters
        ----------
        x : ndarray of shape (sample, timestep[, channel])
        target : ndarray of int of shape (sample,)
            Index into the outputs laid flat.
        baseline : ndarray broadcastable to the shape of `x`, optional
            Where the way starts; zeros if not given.
        alphas, weights : sequence of float, of one length
            Points on the way, 0 at the baseline and 1 at the input, and the weight of the gradient at each.
        noise : callable, optional
            Adds noise to each point.

        Returns
        -------
        ndarray of the shape of `x`

        Notes
        -----
        Rows (sample, step) are packed into batches of `batch_size`, whatever the number of steps, and summed where
        they are computed; only the sums come back.
        """
        alphas, weights = np.asarray(alphas, x.dtype), np.asarray(weights, x.dtype)
        n_steps = len(alphas)
        base = np.broadcast_to(np.asarray(0 if baseline is None else baseline, x.dtype), x.shape)
        group_size = min(self.batch_size, len(x))
        row_count = min(self.batch_size, len(x) * n_steps)
        out = np.empty_like(x)
        with self._bar("gradients", len(x) * n_steps) as bar:
            for start in range(0, len(x), group_size):
                group = slice(start, start + group_size)
                count = len(x[group])
                sums = self._path_begin(_pad(x[group], group_size), _pad(base[group], group_size))
                samples, steps = np.repeat(np.arange(count), n_steps), np.tile(np.arange(n_steps), count)
                for first in range(0, len(samples), row_count):
                    rows = slice(first, first + row_count)
                    sample, step = _pad(samples[rows], row_count), _pad(steps[rows], row_count)
                    weight = weights[step]
                    weight[len(samples[rows]) :] = 0
                    sums = self._path_add(
                        sums,
                        sample,
                        alphas[step],
                        weight,
                        None if noise is None else noise(start + sample, step).astype(x.dtype),
                        target[start + sample],
                    )
                    bar.update(len(samples[rows]))
                out[group] = self._path_end(sums)[:count]
                self.cost["gradient_evaluations"] += len(samples)
        return out

    def read(
        self, x: np.ndarray, readers: Mapping[str, Reader], *, training: bool = False
    ) -> tuple[np.ndarray, Readings]:
        """Run the model with some layers read on the way.

        Parameters
        ----------
        x : ndarray of shape (sample, timestep[, channel])
        readers : mapping of layer path to Reader
        training : bool, default False
            Run as in training (dropout on, batch statistics). All samples then go in one batch, and the model's
            state is put back afterwards.

        Returns
        -------
        prediction : ndarray of shape (sample, output)
        readings : dict
            Layer path -> one entry a call of the layer. A layer that the pass does not reach is absent.

        Raises
        ------
        ForwardMismatchError
            If the pass with readers predicts something else than the model alone (checked on the first batch).
        """
        whole = self.configured(batch_size=len(x), show_progress=self.show_progress) if training else self
        predictions: list[np.ndarray] = []
        readings: list[Readings] = []
        for batch, rows in whole._batches(x, "forward"):
            expected = self.predict(x[:rows]) if not predictions and not training else None
            named, found = self._read(batch, readers, training)
            _check_rows(found, len(batch))
            flat = self._flat(named)[:rows]
            if expected is not None:
                self._check_forward(expected, flat)
            predictions.append(flat)
            readings.append(
                {p: [{k: v[:rows] for k, v in call.items()} for call in calls] for p, calls in found.items()}
            )
            self.cost["forward_evaluations"] += rows
        joined = {
            path: [
                {name: np.concatenate([part[path][i][name] for part in readings]) for name in call}
                for i, call in enumerate(calls)
            ]
            for path, calls in readings[0].items()
        }
        return np.concatenate(predictions), joined

    def _flat(self, named: list[tuple[str, np.ndarray]]) -> np.ndarray:
        self._outputs = tuple(Output(name, values.shape[1:]) for name, values in named)
        return np.concatenate([values.reshape(len(values), -1) for _, values in named], axis=1)

    def _check_forward(self, expected: np.ndarray, got: np.ndarray) -> None:
        scale, difference = _difference(expected, got)
        if not difference <= self.precision * scale:
            raise ForwardMismatchError(
                f"reading layers changed the predictions by {difference:.3g} (largest prediction {scale:.3g}); "
                "a layer of this model does not give the same output when its attention is read"
            )

    def _predict_first(self, batch: np.ndarray) -> np.ndarray:
        """Predict, and refuse a model whose output for a sample is not its own: no explanation would be either."""
        with self._state_restored():
            among = self._flat(self._predict(batch))
            alone = self._flat(self._predict(np.repeat(batch[:1], len(batch), axis=0)))
        scale, difference = _difference(among[:1], alone[:1])
        if not difference <= 10 * self.precision * scale:
            raise RefusedError(
                f"the model's output for the first sample differs by {difference:.3g} (of {scale:.3g}) when the "
                "sample is run by itself: it is random at inference, or depends on the other samples of the batch "
                "(a layer called with training=True?); such an output has no explanation of its own"
            )
        self._steady.append(True)
        return among

    def _batches(self, x: np.ndarray | LazyRows, label: str) -> Iterator[tuple[np.ndarray, int]]:
        """Yield batches of one size, so that nothing is compiled twice, and how many of their rows are real."""
        count = x.count if isinstance(x, LazyRows) else len(x)
        size = min(self.batch_size, count)
        with self._bar(label, count) as bar:
            for start in range(0, count, size):
                stop = min(start + size, count)
                batch = x.make(np.arange(start, stop)) if isinstance(x, LazyRows) else x[start:stop]
                yield _pad(batch, size), len(batch)
                bar.update(len(batch))

    def _bar(self, label: str, total: int) -> Any:
        # What takes less than a second needs no bar, and a finished one no line.
        return tqdm(total=total, desc=label, unit="row", delay=1, leave=False, disable=not self.show_progress)

    # ---- what a framework fills in ----------------------------------------------------------------------------

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape the model takes without the batch axis, None in it for any length; None where it is not known."""

    @property
    @abstractmethod
    def input_dtype(self) -> str:
        """What the model takes, such as ``"float32"``."""

    @property
    @abstractmethod
    def precision(self) -> float:
        """Largest relative difference between two passes of the model that counts as rounding."""

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Return ``framework``, ``framework_version``, ``model`` and what else a reader of a result needs."""

    @abstractmethod
    def layers(self) -> list[Layer]:
        """Return every layer that can be read, those of nested models too, in the model's order."""

    @abstractmethod
    def mask(self, x: np.ndarray) -> np.ndarray | None:
        """Return which timesteps the model takes for real, bool of shape (sample, timestep); None without a mask."""

    @abstractmethod
    def _state_restored(self) -> AbstractContextManager[None]:
        """Put back, when the block ends, what a pass moves in the model: moving averages, states of generators."""

    @abstractmethod
    def _predict(self, batch: np.ndarray) -> list[tuple[str, np.ndarray]]: ...

    @abstractmethod
    def _path_begin(self, x: np.ndarray, baseline: np.ndarray) -> Any: ...

    @abstractmethod
    def _path_add(
        self,
        sums: Any,
        sample: np.ndarray,
        alpha: np.ndarray,
        weight: np.ndarray,
        noise: np.ndarray | None,
        target: np.ndarray,
    ) -> Any: ...

    @abstractmethod
    def _path_end(self, sums: Any) -> np.ndarray: ...

    @abstractmethod
    def _read(
        self, batch: np.ndarray, readers: Mapping[str, Reader], training: bool
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]: ...


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the size of `a` and its largest difference from `b`."""
    return max(float(np.abs(a).max()), 1e-6), float(np.abs(a.astype(float) - b).max())


def _check_rows(found: Readings, rows: int) -> None:
    for path, calls in found.items():
        for call in calls:
            for value in call.values():
                if value.ndim == 0 or len(value) != rows:
                    raise RefusedError(
                        f"layer {path!r} sees {value.shape[0] if value.ndim else 'no'} rows where the batch has "
                        f"{rows}: time or heads are folded into its batch, so its values have no sample of their "
                        "own; read another layer"
                    )


def _pad(rows: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row until there are `size`."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
