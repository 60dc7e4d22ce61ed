"""What every framework supplies, and the batching that is the same for all of them.

Arrays are numpy in and numpy out, samples first. A framework adds a file beside this one that says how it runs and
differentiates a forward pass (``_tensorflow.py``), and a kind of model one that says how it is called (``keras.py``).
"""

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Self

import numpy as np

from attrkit.adapters import _parameters
from attrkit.adapters._feeds import rows_of
from attrkit.adapters._interception import standing_in
from attrkit.adapters._pace import Pace, first_size, run_passes
from attrkit.adapters._readings import Collected, by_sample
from attrkit.adapters._shared import Shared, shared_of
from attrkit.adapters.outputs import (
    before_softmax,
    check_differentiable,
    check_finite,
    check_large_enough,
    check_same,
    difference_of,
    no_path,
)
from attrkit.adapters.terms import (
    Feed,
    Layer,
    LazyRows,
    Noise,
    Parameter,
    PathRows,
    Question,
    Reader,
    Readings,
    Rewrite,
)
from attrkit.checks import flag, whole_number
from attrkit.errors import InputError, RefusedError
from attrkit.half import half_of, widened
from attrkit.inputs import Input
from attrkit.parts import Parts, arrays_of, each, row_count
from attrkit.progress import progress_bar
from attrkit.targets import Output

DEFAULT_BATCH_SIZE = 64

GROUP = 8
"""Samples on the device at once, in passes of one step each."""


class Adapter(ABC):
    """A model behind the two primitives that all methods are made of: the path gradient and the rewrite.

    What the methods below call `Parts` is one array of shape (sample, timestep[, channel]); for a model of several
    inputs a dict of them.

    Attributes
    ----------
    model : object
        The user's model, never changed.
    batch_size : int
        Rows a forward or gradient pass holds, at first if the user has not said how many; a row is one sample at one
        step of a path.
    cost : Counter
        Rows evaluated so far: ``forward_evaluations`` and ``gradient_evaluations``.
    first_sample : int
        Number of the first sample of `x` among all that are explained, where they come in chunks: what is drawn at
        random for a sample depends on its number.
    frozen : bool
        Whether what a function closes over stays as it is from call to call.
    """

    framework: ClassVar[str]
    # Whether the tensors of its passes are arrays of numpy.
    computes_in_numpy: ClassVar[bool] = False
    # Whether a layer that embeds several inputs can be replaced in one of its calls only.
    embeds_by_call: ClassVar[bool] = False
    # Ways in which a pass can be compiled, the cheapest to compile first.
    ways: ClassVar[tuple[str, ...]] = ("plain",)

    def __init__(self, model: Any) -> None:
        self.model = model
        self.batch_size = DEFAULT_BATCH_SIZE
        self._tries_sizes = True
        self.show_progress = False
        self.cost: Counter[str] = Counter()
        self.first_sample = 0
        self.frozen = False
        self.question = Question()
        self._outputs: tuple[Output, ...] | None = None
        # Copies with other settings share both.
        self._shared = Shared()
        self._seen: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: " + ", ".join(f"{k} {v}" for k, v in self.describe().items()) + ">"

    def configured(
        self, *, batch_size: int | None = None, show_progress: bool = False, question: Question | None = None
    ) -> Self:
        """Return this adapter with other settings and a cost of its own; compiled functions are shared."""
        other = copy.copy(self)
        other.batch_size = DEFAULT_BATCH_SIZE if batch_size is None else whole_number(batch_size, "batch_size", least=1)
        other._tries_sizes = batch_size is None
        other.show_progress = flag(show_progress, "show_progress")
        other.cost = Counter()
        structure = other._structure()
        if structure is not None:
            other._shared = shared_of(other.model, structure)
        return other if question is None else other.asking(question)

    def asking(self, question: Question) -> Self:
        """Return this adapter, asked another question."""
        other = copy.copy(self)
        other.question = question
        if question.head is not None:
            # A function may change what it closes over: what is compiled with it lives no longer than the question.
            other._shared = Shared()
        return other

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Name and shape of every output, as the last forward pass gave them."""
        assert self._outputs is not None, "outputs are known after the first forward pass"
        return self._outputs

    def predict(self, x: Parts | LazyRows, *, sample: np.ndarray | None = None) -> np.ndarray:
        """Return the model's outputs for `x`, laid flat: an array of shape (row, output).

        Rows are those of all samples, in order, unless `sample` says which: the model's other inputs are theirs.
        """
        parts: list[np.ndarray] = []

        def run(feed: Feed, rows: np.ndarray, way: str) -> None:
            known = self.question.logits in self._shared.steady
            found = self._flat(self._predict(feed, way), rows_of(feed)) if known else self._predict_first(feed)
            if not parts and not isinstance(x, LazyRows):
                check_finite(found[: len(rows)])
            parts.append(found[: len(rows)])
            self.cost["forward_evaluations"] += len(rows)

        self._run_batches(x, "predict", run, sample=sample)
        if not isinstance(x, LazyRows):
            self._shared.outputs[self._kind_of(x)] = self.outputs
        return np.concatenate(parts)

    def learn_outputs(self, x: Parts) -> None:
        """Learn which outputs there are for inputs like these, if that is not known, of one batch that costs nothing.

        As `predict`, it refuses a model whose output for a sample is not its own.
        """
        kind = self._kind_of(x)
        if kind not in self._shared.outputs:
            rows = np.arange(min(row_count(x), self.batch_size))
            own = copy.copy(self)
            own.cost = Counter()
            own.predict(each(lambda a: a[rows], x), sample=rows)
        self._outputs = self._shared.outputs[kind]

    def path_gradient(
        self,
        x: Parts,
        target: np.ndarray,
        *,
        baseline: Parts | None = None,
        alphas: Sequence[float] | np.ndarray = (1.0,),
        weights: Sequence[Any] | np.ndarray = (1.0,),
        noise: Noise | None = None,
        sample: np.ndarray | None = None,
        outputs: bool = False,
    ) -> Any:
        r"""Return a weighted sum of gradients along the way from a baseline to the input, or several such sums.

        .. math:: G_i = \sum_k w_k \nabla f_{t_i}\big(b_i + \alpha_k (x_i - b_i) + \varepsilon_{ik}\big)

        Parameters
        ----------
        x : Parts of shape (sample, timestep[, channel])
        target : ndarray of int of shape (sample,)
            Index into the outputs laid flat.
        baseline : Parts broadcastable to the shape of `x`, optional
            Where the way starts; zeros if not given.
        alphas : sequence of float of shape (step,)
            Points on the way, 0 at the baseline and 1 at the input.
        weights : sequence of float of shape (step,) or (step, sum)
            The weight of the gradient at each point; in each of several sums of the same gradients.
        noise : callable, optional
            Adds noise to each point.
        sample : ndarray of int of shape (sample,), optional
            Which samples `x` holds, if not all in order: the model's other inputs are theirs.
        outputs : bool, default False
            Return the model's outputs at the points too, which are computed anyway.

        Returns
        -------
        sums : Parts of the shape of `x`; for several sums of shape (sum, sample, timestep[, channel])
        outputs : ndarray of shape (sample * step, output)
            Laid flat, as `predict` returns them; only if asked for.

        Notes
        -----
        Rows (sample, step) are packed into passes, whatever the number of steps, and summed where they are computed;
        only the sums come back.
        """
        self.check_gradient()
        n_samples, n_steps = row_count(x), len(alphas)
        numbers = np.arange(n_samples) if sample is None else sample
        dtype = arrays_of(x)[0].dtype
        alphas, weights = np.asarray(alphas, dtype), np.asarray(weights, dtype)
        start = each(np.zeros_like, x) if baseline is None else baseline
        start = each(lambda b, a: np.broadcast_to(np.asarray(b, a.dtype), a.shape), start, x)
        single, weights = weights.ndim == 1, weights.reshape(n_steps, -1)
        out = each(lambda a: np.empty((weights.shape[1], *a.shape), a.dtype), x)
        seen: list[np.ndarray] = []
        pace = self._pace(("path", weights.shape[1], noise is None), x)
        fixed = self._fixed_rows(self.ways[0])
        first = 0
        with self.bar("gradients", n_samples * n_steps) as bar:
            while first < n_samples:
                # Samples that are on the device together: enough for whole passes, some of which may be tried out.
                count = min(GROUP * pace.best.size, n_samples - first)
                group = _pad(np.arange(first, first + count), 1 << (count - 1).bit_length() if fixed else count)
                points = self._feed(each(lambda a, g=group: a[g], x), None)
                check_differentiable(points)
                sums = self._path_begin(
                    points,
                    self._feed(each(lambda a, g=group: a[g], start), None),
                    {name: values[numbers[group]] for name, values in self.question.context.items()},
                    weights.shape[1],
                )

                def add(rows: np.ndarray, size: int, way: str, first: int = first) -> None:
                    nonlocal sums
                    own, step = (_pad(a, size) for a in np.divmod(rows, n_steps))
                    weight = weights[step]
                    weight[len(rows) :] = 0
                    drawn = None
                    if noise is not None:
                        drawn = each(lambda n, a: n.astype(a.dtype), noise(first + own, step), x)
                        drawn = self._feed(drawn, None)
                    given = PathRows(own, alphas[step], weight, target[first + own], drawn)
                    sums, found = self._path_add(sums, given, way)
                    if outputs:
                        seen.append(self._array(found)[: len(rows)])
                    if pace.is_trying:
                        self._path_wait(sums)

                beyond = (n_samples - first - count) * n_steps
                run_passes(pace, count * n_steps, add, fixed_rows=self._fixed_rows, bar=bar, beyond=beyond)
                found = self._path_end(sums)
                for name, key in self._keys(x).items():
                    values = found[key].reshape(len(group), -1, *_part(x, name).shape[1:])[:count]
                    _part(out, name)[:, first : first + count] = values.swapaxes(0, 1)
                self.cost["gradient_evaluations"] += count * n_steps
                first += count
        whole = each(lambda a: a[0], out) if single else out
        if self.half == "float16":
            check_large_enough(each(lambda a: np.abs(a).max(axis=0), out))
        return (whole, np.concatenate(seen)) if outputs else whole

    def rewritten_gradient(
        self, x: Parts, target: np.ndarray, rewrite: Rewrite, *, prediction: np.ndarray
    ) -> tuple[Parts, dict[str, np.ndarray]]:
        """Return value times gradient, with another backward pass, at the input.

        Parameters
        ----------
        x : Parts of shape (sample, timestep[, channel])
        target : ndarray of int of shape (sample,)
            Index into the outputs laid flat.
        rewrite : Rewrite
        prediction : ndarray of shape (sample, output)
            What the model itself predicts.

        Returns
        -------
        products : Parts of the shape of `x`
        others : dict
            The same for the rewrite's leaves, and for the model's other inputs that are numbers, by name.

        Raises
        ------
        ForwardMismatchError
            If the rewritten pass predicts something else.
        """
        self.check_gradient()
        out = each(np.empty_like, x)
        others: dict[str, list[np.ndarray]] = {}
        predictions: list[np.ndarray] = []
        keys = self._keys(x)

        def run(feed: Feed, rows: np.ndarray, way: str) -> None:
            check_differentiable({key: feed[key] for key in keys.values()})
            leaves = rewrite.leaves(feed)
            named, gradients = self._rewritten(feed, leaves, rewrite, _pad(target[rows], rows_of(feed)), way)
            predictions.append(self._flat(named, rows_of(feed))[: len(rows)])
            given = {**feed, **leaves}
            products = {name: (given[name] * slope)[: len(rows)] for name, slope in gradients.items()}
            own = {part: [name for name in products if name == k or name.endswith(f" {k}")] for part, k in keys.items()}
            if not any(own.values()):
                raise no_path()
            for name, found in own.items():
                part = _part(out, name)
                # Nothing is found for one of several inputs which the explained output does not depend on.
                part[rows] = 0
                for key in found:
                    part[rows] += products[key].reshape(len(rows), *part.shape[1:])
            # In an order that no hash decides: they are added up.
            for key in (key for key in products if key not in keys.values()):
                others.setdefault(key, []).append(products[key])
            self.cost["gradient_evaluations"] += len(rows)

        self._run_batches(x, "relevance", run, key=rewrite.key)
        check_same(
            *(prediction, np.concatenate(predictions), self.precision),
            "the pass with other rules predicts something else than the model,",
            ": a rule does not compute what its layer does",
        )
        return out, {key: np.concatenate(values) for key, values in others.items()}

    def read(
        self,
        x: Parts,
        readers: Mapping[str, Reader],
        *,
        training: bool = False,
        strict: bool = True,
        check: bool = True,
        sample: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Readings]:
        """Run the model with some layers read on the way.

        Parameters
        ----------
        x : Parts of shape (sample, timestep[, channel])
        readers : mapping of layer path to Reader
        training : bool, default False
            Run as in training (dropout on, batch statistics). All samples then go in one batch, and the model's
            state is put back afterwards.
        strict : bool, default True
            Refuse a layer that is called with something else than one row a sample. If False, nothing is read of
            such a call.
        check : bool, default True
            Compare the predictions of the first batch with those of the model alone.
        sample : ndarray of int of shape (sample,), optional
            Which samples `x` holds, if not all in order: the model's other inputs are theirs.

        Returns
        -------
        prediction : ndarray of shape (sample, output)
        readings : dict
            Layer path -> one entry a call of the layer. A layer that the pass does not reach is absent.

        Raises
        ------
        ForwardMismatchError
            If the pass with readers predicts something else than the model alone (checked on the first batch).
        RefusedError
            If a layer's values have no sample of their own, and `strict`; if memory does not hold those of all samples.
        """
        predictions: list[np.ndarray] = []
        readings = Collected(row_count(x))
        numbers = np.arange(row_count(x)) if sample is None else sample

        def run(feed: Feed, rows: np.ndarray, way: str) -> None:
            named, found = self._read(feed, readers, training, way)
            found = {p: [by_sample(call, p, rows_of(feed), strict) for call in calls] for p, calls in found.items()}
            flat = self._flat(named, rows_of(feed))[: len(rows)]
            if check and not predictions and not training:
                check_same(
                    *(self.predict(each(lambda a: a[rows], x), sample=numbers[rows]), flat, self.precision),
                    "reading layers changed the predictions",
                    "; a layer of this model does not give the same output when its attention is read",
                )
            predictions.append(flat)
            readings.add(rows, found)
            self.cost["forward_evaluations"] += len(rows)

        if training:
            run(self._feed(x, numbers), np.arange(len(numbers)), self.ways[0])
        else:
            self._run_batches(x, "forward", run, sample=sample, key=tuple(readers.items()))
        return np.concatenate(predictions), readings.all()

    def parameters(self) -> dict[str, Parameter]:
        """Return copies of what the model has learnt, by the path of the layer and the array's own name.

        Layers come in the order of `layers`, after the model itself. An array that several layers share is there once,
        where it comes first. Frozen arrays are there too, averages and seeds are not.

        Raises
        ------
        RefusedError
            If the model does not show its parameters.
        """
        return _parameters.parameters_of(self)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all arrays that the model holds, by name: parameters, averages, states of generators."""
        return _parameters.state_of(self)

    def assign(self, values: Mapping[str, Any]) -> None:
        """Set arrays of the model, any of those that `state` names; no pass that is compiled becomes stale.

        Raises
        ------
        InputError
            If the model holds no array of that name, or one of another shape; nothing is set then.
        """
        _parameters.assign(self, values)

    def state_kept(self) -> AbstractContextManager[None]:
        """Put all arrays of the model back when the block ends, bit for bit, whatever was raised in it.

        Other threads that read layers of a model, or set arrays of one, wait until then.
        """
        return _parameters.state_kept(self)

    def parameter_gradient(
        self,
        x: Parts,
        output_cotangent: np.ndarray,
        *,
        readers: Mapping[str, Reader] | None = None,
        reading_cotangents: Readings | None = None,
        sample: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        r"""Return the gradient with respect to the parameters of what the model gives, weighted and added up.

        .. math:: G = \nabla_\theta \Big( \sum_{ij} c_{ij} f_j(x_i; \theta) + \sum_k d_k r_k(x; \theta) \Big)

        With the derivatives of a loss as cotangents it is the gradient of the loss.

        Parameters
        ----------
        x : Parts of shape (sample, timestep[, channel])
            Token ids too.
        output_cotangent : ndarray of shape (sample, output)
            :math:`c`, for the outputs laid flat.
        readers : mapping of layer path to Reader, optional
        reading_cotangents : dict, optional
            :math:`d`, in the form and of the shapes of what `read` returns; what is left out counts as 0.
        sample : ndarray of int of shape (sample,), optional
            Which samples `x` holds, if not all in order: the model's other inputs are theirs.

        Returns
        -------
        dict of str to ndarray
            For each parameter that is not frozen, by the names of `parameters`; 0 for one that nothing depends on. The
            model runs as it does for `predict`: no dropout, averages as they are.

        Raises
        ------
        RefusedError
            If the model has no gradient, no parameters, or only frozen ones.
        InputError
            If a cotangent has another shape than what it is for.
        """
        return _parameters.parameter_gradient(
            *(self, x, output_cotangent),
            readers=readers or {},
            reading_cotangents=reading_cotangents or {},
            sample=sample,
        )

    def left_as_found(self) -> AbstractContextManager[Any]:
        """Put back, when the block ends, what the model's own passes have changed of it."""
        return nullcontext()

    @contextmanager
    def weights_held(self) -> Iterator[None]:
        """Refuse, when the block ends, a model whose weights were set in it: what came of it is of no one model.

        Raises
        ------
        RefusedError
            If another thread trains the model, or loads weights into it.
        """
        before = self._weights_seen()
        yield
        after = self._weights_seen()
        if len(after) != len(before) or not all(
            a is b or np.array_equal(a, b) for a, b in zip(after, before, strict=True)
        ):
            raise RefusedError(
                "the weights of the model changed while it was explained: another thread trains it, or loads others "
                "into it; explain a copy, or wait until it is done"
            )

    def check_gradient(self) -> None:  # noqa: B027
        """Refuse, before any work, a model that has no gradient."""

    @property
    def output_labels(self) -> list[str] | None:
        """Names for the last axis of the output, of a model that knows them itself."""
        return None

    def word_embeddings(self) -> list[str]:
        """Return the paths of the layers that embed words, of a model that says so itself."""
        return []

    def explains(self, name: str, values: np.ndarray) -> bool:
        """Whether an input can be explained; one that cannot, such as an attention mask, is handed on as it is."""
        return True

    def masks(self, x: Parts) -> dict[str, np.ndarray]:
        """Return which timesteps the model takes for real, bool of shape (sample, timestep), by part that is padded.

        A single array has the name ``""``.
        """
        return {}

    def as_context(self, x: Parts) -> dict[str, np.ndarray]:
        """Return all that the model takes for `x`, by what it feeds: what is handed on if none of it is explained."""
        return self._feed(x, np.arange(row_count(x)))

    # ---- feeds: what one pass of the model gets ---------------------------------------------------------------

    def _keys(self, x: Parts) -> dict[str, str]:
        """Name of each part of `x` -> what it feeds; a single array has no name."""
        explained = dict(self.question.explained)
        if isinstance(x, Mapping):
            return {name: explained.get(name, name) for name in x}
        return {"": next(iter(explained.values()), self.inputs[0].name if self.inputs else "input")}

    def _feed(self, parts: Parts, sample: np.ndarray | None) -> Feed:
        """Bring the rows of one batch to what the model takes; with sample numbers, its other inputs too."""
        feed = {}
        for name, key in self._keys(parts).items():
            values = _part(parts, name)
            feed[key] = values[:, 0] if key in self.question.static else values
        if sample is not None:
            feed |= {name: values[sample] for name, values in self.question.context.items()}
        return feed

    # ---- passes: how many rows each holds ---------------------------------------------------------------------

    def _run_batches(
        self,
        x: Parts | LazyRows,
        label: str,
        run: Callable[[Feed, np.ndarray, str], None],
        *,
        sample: np.ndarray | None = None,
        key: Hashable = None,
    ) -> None:
        """Call ``run(feed, rows, way)`` for all rows of `x`; a feed may be filled up with more rows than these."""
        if not isinstance(x, LazyRows):
            numbers, array = (np.arange(row_count(x)) if sample is None else sample), x
            known = {len(values) for values in self.question.context.values()}
            if sample is None and known - {len(numbers)}:
                raise InputError(f"{len(numbers)} rows came for {known.pop()} samples; say of which, with sample=")
            x = LazyRows(len(numbers), lambda rows: each(lambda a: a[rows], array), lambda rows: numbers[rows])
        lazy = x

        def run_pass(rows: np.ndarray, size: int, way: str) -> None:
            parts = each(lambda a: _pad(a, size), lazy.make(rows))
            run(self._feed(parts, _pad(lazy.sample(rows), size)), rows, way)

        with self.bar(label, lazy.count) as bar:
            pace = self._pace((label, key), lazy.make(np.arange(1)))
            run_passes(pace, lazy.count, run_pass, fixed_rows=self._fixed_rows, bar=bar)

    def _pace(self, key: Hashable, x: Parts) -> Pace:
        """Return how passes of one kind are run, over rows of the shapes of `x`."""
        if not self._tries_sizes:
            return Pace(self.batch_size, self.ways[:1], fixed=True)
        whole = key, self._kind_of(x)
        if whole not in self._shared.paces:
            arrays = [*arrays_of(x), *self.question.context.values()]
            values, length = sum(array[0].size for array in arrays), max(a.shape[1] for a in arrays_of(x))
            self._shared.paces[whole] = Pace(first_size(values, length, self.batch_size), self._ways_for(x, key))
        return self._shared.paces[whole]

    def _kind_of(self, x: Parts) -> Hashable:
        """Return what inputs have in common that are run alike: the shapes and types of a row, and what is asked."""
        arrays = [*arrays_of(x), *self.question.context.values()]
        keys = tuple(self._keys(x).values())
        return standing_in(), self.question.logits, keys, *((array.shape[1:], array.dtype.str) for array in arrays)

    def _ways_for(self, x: Parts, key: Any) -> tuple[str, ...]:
        """Return the ways in which passes of one kind can be compiled."""
        return self.ways

    def _fixed_rows(self, way: str) -> bool:
        """Whether what is compiled in this way takes one number of rows only."""
        return False

    # ---- checks -----------------------------------------------------------------------------------------------

    def _asked(self, outputs: Any, seen: Sequence[tuple[Any, Any]]) -> Any:
        """Return what the question is about: the model's outputs, their logits, or a function of either.

        ``seen`` are pairs of what came out of a softmax or sigmoid in this pass and what went in.
        """
        if self.question.logits:
            outputs = before_softmax(outputs, seen)
        return outputs if self.question.head is None else self._headed(outputs)

    def _headed(self, outputs: Any) -> Any:
        """Return what is explained of the model's outputs by a function of the user's."""
        assert self.question.head is not None
        try:
            value = self.question.head(outputs)
        except Exception as err:  # A user's function may raise anything.
            kinds = f"a {type(outputs).__name__}" + (f" of {list(outputs)}" if isinstance(outputs, Mapping) else "")
            raise InputError(f"the function given as target fails on the model's outputs, {kinds}: {err!r}") from err
        out_of_place = isinstance(value, np.ndarray) and not self.computes_in_numpy
        if not hasattr(value, "shape") or out_of_place:
            raise InputError(
                f"the function given as target returns a {type(value).__name__}; accepted is one value a sample, in "
                "the framework's own tensors"
            )
        if not len(value.shape):
            raise InputError(
                "the function given as target returns one value for the whole batch; one a sample is needed"
            )
        return value

    def _flat(self, named: list[tuple[str, np.ndarray]], size: int) -> np.ndarray:
        """Lay the outputs for a batch of `size` samples flat: an array of shape (sample, output)."""
        wrong = [f"{name} {values.shape}" for name, values in named if values.ndim == 0 or len(values) != size]
        if wrong:
            raise RefusedError(
                f"for a batch of {size} samples the model gives {', '.join(wrong)}; outputs must have samples on "
                "their first axis, of a batch of one too (squeeze(-1), not squeeze()). A function of them that has "
                "can be explained: target=lambda outputs: outputs[0]"
            )
        self._outputs = tuple(Output(name, values.shape[1:]) for name, values in named)
        # Differences of outputs are taken: of unsigned integers they would wrap around, of half precision be coarse.
        flat = [widened(values) if values.dtype.kind == "f" else values.astype(float) for _, values in named]
        return np.concatenate([values.reshape(len(values), -1) for values in flat], axis=1)

    def _predict_first(self, feed: Feed) -> np.ndarray:
        """Predict, and refuse a model whose output for a sample is not its own: no explanation would be either."""
        size, way = rows_of(feed), self.ways[0]
        with self._state_restored():
            among = self._flat(self._predict(feed, way), size)
            repeated = {key: np.repeat(a[:1], size, axis=0) for key, a in feed.items()}
            alone = self._flat(self._predict(repeated, way), size)
            # Where samples and timesteps are mixed up, the first sample may be right and the order tells.
            turned = self._flat(self._predict({key: a[::-1].copy() for key, a in feed.items()}, way), size)[::-1]
        check_finite(among)
        scale, difference = difference_of(among[:1], alone[:1])
        if difference <= 10 * self.precision * scale:
            scale, difference = difference_of(among, turned)
        if not difference <= 10 * self.precision * scale:
            raise RefusedError(
                f"the model's output for a sample differs by {difference:.3g} (of {scale:.3g}) when the sample is run "
                "by itself or in another place of the batch: it is random at inference, or depends on the other "
                "samples of the batch (a layer called with training=True, or samples taken for timesteps: "
                "batch_first=True?); such an output has no explanation of its own"
            )
        self._shared.steady.add(self.question.logits)
        return among

    def bar(self, label: str, total: int) -> AbstractContextManager[Any]:
        """Return the bar for `total` rows of a step of the work, drawn where progress is to be shown."""
        return progress_bar(total, label=label, unit="row", show=self.show_progress)

    # ---- what a kind of model fills in ------------------------------------------------------------------------

    @property
    @abstractmethod
    def inputs(self) -> tuple[Input, ...]:
        """The model's inputs, in order; empty where not even their names are known."""

    @property
    def dtype(self) -> str:
        """What the floats of an input of unknown type become; empty to leave them as they are."""
        return ""

    @property
    def half(self) -> str:
        """The half precision that the model, or a part of it, computes in: one of `attrkit.half.HALF`; empty if none.

        What is not known before a pass is what the last pass has shown.
        """
        return self._seen.get("half", "")

    def _note_half(self, dtypes: Iterable[Any]) -> None:
        """Note whether half precision is among the types that a pass has made."""
        self._seen["half"] = half_of(dtypes)

    @property
    def precision(self) -> float:
        """Largest relative difference between two passes of the model that counts as rounding."""
        return 2e-2 if self.half else 1e-4

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Return ``framework``, ``framework_version``, ``model`` and what else a reader of a result needs."""

    @abstractmethod
    def layers(self) -> list[Layer]:
        """Return every layer that can be read, those of nested models too, in the model's order."""

    def _structure(self) -> Hashable:
        """Return what compiled functions of the model hold for, beside its weights; None if that is not known."""
        return None

    def _held(self) -> list[_parameters.Held]:
        """Return all arrays of the model, each once, in the order of layers."""
        raise RefusedError(
            f"{type(self).__name__} does not show what its model holds; Keras models and torch modules do"
        )

    def _fetch(self, array: Any) -> np.ndarray:
        """Return a copy of one of those that `_held` gives, in a type that numpy has and that loses nothing."""
        raise NotImplementedError

    def _put(self, array: Any, values: np.ndarray) -> None:
        raise NotImplementedError

    def _weights_seen(self) -> list[Any]:
        """Return what stays the same object, or equal, until a weight is set; nothing where that cannot be told."""
        return []

    @abstractmethod
    def _state_restored(self) -> AbstractContextManager[None]:
        """Put back, when the block ends, what a pass moves in the model: moving averages, states of generators."""

    @abstractmethod
    def _forward(
        self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        """Run the model once, on the framework's tensors: its outputs by name, and what the readers read."""

    # ---- what a framework fills in ----------------------------------------------------------------------------

    @abstractmethod
    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]: ...

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        """Bring the samples of a group to the device, with sums of zero; a framework without gradients has none.

        Sums are of shape (sample, sum, ...).
        """
        raise NotImplementedError

    def _path_add(self, sums: Any, rows: PathRows, way: str) -> Any:
        """Return the sums with the gradients of some rows added, and the outputs of these rows, laid flat.

        Where it fails, the sums are as they were.
        """
        raise NotImplementedError

    def _array(self, value: Any) -> np.ndarray:
        """Bring a tensor of the framework from the device."""
        return np.asarray(value)

    def _path_wait(self, sums: Any) -> None:  # noqa: B027
        """Return when the device has computed the sums."""

    def _path_end(self, sums: Any) -> Feed:
        raise NotImplementedError

    def _rewritten(
        self, feed: Feed, leaves: Feed, rewrite: Rewrite, target: np.ndarray, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Feed]:
        """Run one batch: the outputs by name, and gradients for what of feed and leaves is a number and reached."""
        raise NotImplementedError

    def _parameter_gradient(
        self,
        feed: Feed,
        readers: Mapping[str, Reader],
        places: tuple[_parameters.Place, ...],
        cotangents: Sequence[np.ndarray],
        way: str,
    ) -> dict[str, np.ndarray]:
        """Run one batch: gradients by name; cotangents are those of the outputs, and of what is read at each place."""
        raise NotImplementedError

    @abstractmethod
    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]: ...


def _part(parts: Parts, name: str) -> np.ndarray:
    return parts[name] if isinstance(parts, Mapping) else parts


def _pad(rows: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row until there are `size`."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
