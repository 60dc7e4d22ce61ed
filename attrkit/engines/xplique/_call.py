"""What xplique is given for a model, and what comes back: differences from a start, laid flat, and draws of its own."""

import copy
import importlib.util
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.engines._groups import run_groups
from attrkit.errors import EngineError
from attrkit.parts import Parts, apart, each, keep_real, laid_flat, masks_like, real_only, row_count


class Explained:
    """The explained outputs of a model and their gradients, of rows in xplique's own shape.

    xplique has one input, in single precision, and one number for a baseline. So it is given what all inputs differ
    from their start by, laid flat: its own baseline of 0 is then any baseline. Its targets are the numbers of samples.
    """

    def __init__(
        self, model: Adapter, x: Parts, target: np.ndarray, *, start: Parts | None = None, masks: Any = None
    ) -> None:
        self.model = copy.copy(model)
        self.model.show_progress = False
        self.x, self.target = x, target
        self.start = each(
            lambda b, a: np.broadcast_to(b, a.shape), each(np.zeros_like, x) if start is None else start, x
        )
        self.seen = each(lambda a, b: (a - b).astype("float32"), x, self.start)
        self.masks = masks_like(x, masks)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return samples as xplique gets them, of shape (row, value)."""
        return laid_flat(each(lambda a: a[rows], self.seen))

    def outputs(self, model: Any, inputs: Any, targets: Any) -> Any:
        """Return the explained output of each row; xplique calls it its operator."""
        import tensorflow as tf

        at = _numbers(targets)
        with tf.device(None):
            found = self.model.predict(self.parts(inputs.numpy(), at), sample=at)
        return tf.constant(found[np.arange(len(at)), self.target[at]], tf.float32)

    def gradients(self, model: Any, inputs: Any, targets: Any, batch_size: int | None = None) -> Any:
        """Return the adapter's gradient of each row's explained output, where xplique would take its own."""
        return self.gradients_at(self.model, inputs, targets)

    def gradients_at(self, model: Adapter, inputs: Any, targets: Any, *, moved: Any = 0) -> Any:
        """Return gradients of `model` at flat rows, moved by an array of shape (row, value)."""
        import tensorflow as tf

        at = _numbers(targets)
        with tf.device(None):
            found = model.path_gradient(self.parts(inputs.numpy() + moved, at), self.target[at], sample=at)
        return tf.constant(laid_flat(found), tf.float32)

    def parts(self, points: np.ndarray, at: np.ndarray) -> Any:
        """Return rows as the adapter takes them. Padding stays: anything else there would be real to the model."""

        def read(values: np.ndarray, own: np.ndarray, start: np.ndarray, seen: np.ndarray, mask: Any) -> np.ndarray:
            values = values.reshape(len(at), *own.shape[1:])
            # What xplique left alone is the value itself, not what single precision makes of it.
            rows = np.where(values == seen[at], own[at], start[at] + values).astype(own.dtype, copy=False)
            return keep_real(rows, own[at], None if mask is None else mask[at])

        return each(read, apart(points.reshape(len(at), -1), self.x), self.x, self.start, self.seen, self.masks)


def attribute(
    model: Adapter,
    explained: Explained,
    call: Callable[[np.ndarray, np.ndarray, int], Any],
    *,
    size: int,
    label: str,
    masks: Any = None,
) -> Any:
    """Return what xplique attributes to each part, group by group.

    Parameters
    ----------
    model : Adapter
    explained : Explained
    call : callable
        Maps rows of shape (row, value), their samples' numbers of shape (row, 1) and the number of the first to values.
    size : int
        Samples in a group.
    label : str
        Name of xplique's class.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.

    Returns
    -------
    Parts of the shape of the inputs
    """
    import tensorflow as tf

    x, n_samples = explained.x, row_count(explained.x)
    found = []

    def run(rows: np.ndarray) -> None:
        given = explained.rows(rows)
        values = np.asarray(call(given, rows[:, None], int(rows[0])))
        if values.size != given.size:
            raise EngineError(f"xplique.{label} gave {values.shape} for inputs of shape {given.shape}")
        found.append(values.reshape(given.shape))

    # The arithmetic is small, and its arrays come from here and go back. The model runs where it is.
    with tf.device("CPU:0"):
        run_groups(model, n_samples, run, size=size, label=label)

    def own(values: np.ndarray, array: np.ndarray) -> np.ndarray:
        return values.reshape(array.shape).astype(array.dtype if array.dtype.kind == "f" else values.dtype)

    return real_only(each(own, apart(np.concatenate(found), x), x), masks)


def plain_call(explainer: Any) -> Callable[..., Any]:
    """Return what `attribute` calls with an explainer that draws nothing."""
    return lambda given, at, first: explainer.explain(given, at)


def drawing(module: str) -> tuple[Any, Callable[[int], None]]:
    """Return a module of xplique that draws from a generator of its own, and the function that seeds it.

    xplique draws from TensorFlow's one generator, which cannot be seeded for a while and put back, and its compiled
    functions keep the seed of the first call. So the module is run a second time, where its ``tf`` draws elsewhere;
    the one that the user has stays as it is.
    """
    spec = importlib.util.find_spec(f"xplique.attributions.{module}")
    assert spec is not None, module
    assert spec.loader is not None, module
    own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    tensorflow: Any = _Drawing()
    own.tf = tensorflow  # type: ignore[attr-defined]
    return own, tensorflow.begin


class _Drawing:
    """TensorFlow, with what xplique calls of its draws taken from a generator that nothing else uses."""

    def __init__(self) -> None:
        import tensorflow as tf

        self._tensorflow = tf
        with tf.device("CPU:0"):
            self._source = tf.random.Generator.from_seed(0)

        @tf.autograph.experimental.do_not_convert
        def drawn(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return function(*args, seed=self._source.make_seeds()[:, 0], **kwargs)

        @tf.autograph.experimental.do_not_convert
        def uniform(shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = tf.float32) -> Any:
            return drawn(tf.random.stateless_uniform, shape, minval=minval, maxval=maxval, dtype=dtype)

        self.random = SimpleNamespace(
            uniform=uniform,
            normal=partial(drawn, tf.random.stateless_normal),
            categorical=partial(drawn, tf.random.stateless_categorical),
        )
        self.image = SimpleNamespace(resize=tf.image.resize, random_crop=partial(drawn, tf.image.stateless_random_crop))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tensorflow, name)

    def begin(self, seed: int) -> None:
        """Start the draws anew."""
        self._source.reset_from_seed(seed)


def _numbers(targets: Any) -> np.ndarray:
    found: np.ndarray = targets.numpy()[:, 0].astype(int)
    return found
