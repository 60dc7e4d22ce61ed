"""Models whose attention is the same everywhere, from the first step of training on."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.adapters._interception import replaced, standing, standing_in
from attrkit.adapters.outputs import check_same
from attrkit.adapters.terms import Call
from attrkit.attention import find_readers
from attrkit.attention.impose import even_weights, find_imposers, hold_weights, imposer_of, loaded_classes, only_call
from attrkit.errors import InputError, RefusedError
from attrkit.explained import explain_inputs
from attrkit.metrics.held_out import check_one_kind, predictions_of, read_seeds, read_split, score_name, scores_of
from attrkit.progress import with_progress
from attrkit.schema import build_table
from attrkit.studies.attention.outputs import apart, measure_of

_CHECKED = 32
"""Samples that each model with uniform attention is checked on."""


@contextmanager
def uniform_attention() -> Iterator[Counter[str]]:
    """Give every key that an attention layer may look at the same weight, in all models that run inside the block.

    A model that is built, trained and asked inside has uniform attention as Wiegreffe and Pinter train it (2019,
    arXiv:1908.04626, section 3.2); nothing in its code has to be changed. What a layer masks stays masked, a row
    without any key stays as it is, and gradients flow to all that the weights do not depend on.

    Yields
    ------
    Counter
        How often layers of each class were run so, by the class's name. A compiled model runs them in Python when it is
        traced, not in each step.

    Notes
    -----
    Of which layers: ``SeqSelfAttention``, ``SeqWeightedAttention`` and ``ScaledDotProductAttention`` of
    keras-self-attention, ``Attention``, ``AdditiveAttention``, ``MultiHeadAttention`` and ``GroupQueryAttention`` of
    Keras, ``torch.nn.MultiheadAttention``, and those derived from them. Import their packages before the block. Any
    other layer keeps its weights; `check_uniform` names it. The block holds in its own thread, and until it ends
    attrkit does not read layers in another.

    The block changes what runs, not the model: ask the model inside too. What a framework has compiled stays as it was:
    a Keras model whose own ``predict`` was first called inside is uniform there for good, and one whose own ``predict``
    or ``fit`` was first called before is not uniform there inside. attrkit compiles for itself, and is right in both;
    methods of other toolkits are refused inside.

    Examples
    --------
    >>> with uniform_attention():
    ...     ds = attrkit.extract(model, x, "attention", show_progress=False)
    >>> ds["attention"].sel(sample=0, query_timestep=5).values
    array([0.  , 0.  , 0.  , 0.25, 0.25, 0.25, 0.25, 0.  , 0.  , 0.  , 0.  , 0.  ],
          dtype=float32)
    """
    seen: Counter[str] = Counter()

    def stand_in(call: Call) -> Any:
        if imposer_of(call.layer) is not None:
            seen[type(call.layer).__name__] += 1
        return even_weights(call)

    around = standing_in()
    # Blocks in blocks have keys of their own, so that only the innermost one stands in.
    key = ("uniform attention", around[1] + 1 if isinstance(around, tuple) else 0)
    with ExitStack() as stack:
        tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
        # Autograph of Keras 2 would rewrite what stands in.
        wrap = tensorflow.autograph.experimental.do_not_convert if tensorflow else lambda call: call
        stack.enter_context(replaced(loaded_classes(), stand_in, key, wrap=wrap))
        if torch:
            # A TransformerEncoderLayer has a fast path past the call of its attention.
            mha = torch.backends.mha
            stack.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
            mha.set_fastpath_enabled(False)
        yield seen


def check_uniform(model: Any, inputs: Any, *, batch_size: int | None = None) -> list[str]:
    """Check that all attention of a model is uniform inside `uniform_attention`, and that it predicts with that.

    The weights that the model's layers use inside the block are read. Then they are imposed on the model outside of it:
    that must give the predictions of the block.

    Parameters
    ----------
    model, inputs
        As in `attrkit.extract`.
    batch_size : int, optional
        Rows a pass.

    Returns
    -------
    list of str
        The attention layers that are uniform, by path.

    Raises
    ------
    RefusedError
        If an attention layer was not made uniform, is called several times in a pass, or there is none.
    ForwardMismatchError
        If the model predicts something else in the block than with uniform weights imposed.

    Notes
    -----
    An attention layer is known by what it offers, as for the method ``"attention"``: one of your own that never gives
    its weights cannot be found here, nor made uniform.

    Examples
    --------
    >>> check_uniform(model, x)
    ['attention']
    """
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs)
    own = adapter.configured(batch_size=batch_size, question=explained.question())
    x = explained.parts()
    with adapter.left_as_found():
        with uniform_attention():
            prediction, readings = own.read(x, find_readers(own.layers()))
        readings = {path: calls for path, calls in readings.items() if any("attention" in call for call in calls)}
        known = find_imposers(own.layers())
        kinds = {entry.path: entry.kind for entry in own.layers()}
        other = [path for path, calls in readings.items() if path not in known or not all(map(_is_even, calls))]
        if not readings:
            found = ", ".join(f"{path} ({kind})" for path, kind in kinds.items())
            raise RefusedError(
                f"the model has no attention layer that could be made uniform; its layers are {found or 'none'}"
            )
        if other:
            found = ", ".join(f"{path} ({kinds[path]})" for path in other)
            raise RefusedError(
                f"attention of {found} is not uniform inside the block: it is not known how such layers use their "
                "weights, they have a call of their own, or their package was imported inside the block (then import "
                "it before)"
            )
        held = hold_weights(own, {path: only_call(path, calls)["attention"] for path, calls in readings.items()})
        with standing(None):
            imposed = held.predict(x)
    check_same(
        *(prediction, imposed, own.precision),
        f"with uniform attention in {', '.join(readings)} the model predicts something else than inside the block,",
    )
    return list(readings)


def _is_even(call: dict[str, np.ndarray]) -> bool:
    """Whether all weights of a row that are above 0 are the same."""
    weights = call.get("attention")
    if weights is None:
        return False
    least = np.where(weights > 0, weights, np.inf).min(-1)
    return not (weights.max(-1) > least * (1 + 1e-5)).any()


def uniform_training(
    model_factory: Callable[[np.ndarray, np.ndarray, int], Any],
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    models: Sequence[Any] | None = None,
    threshold: float = 0.5,
    batch_size: int | None = None,
    show_progress: bool = True,
) -> xr.Dataset:
    """Train a model as it is, and with uniform attention, and compare what both get right.

    Wiegreffe and Pinter (2019, arXiv:1908.04626, section 3.2): where a model with uniform attention does as well, the
    data do not need attention, and nothing that is said of its weights there can be tested against them.

    Parameters
    ----------
    model_factory : callable
        ``model_factory(inputs, labels, seed)`` trains a new model on an array like `train`'s, and returns it. It must
        seed its initial weights and batches by `seed`; it must not look at the test data. It is called as it is, and
        inside `uniform_attention`.
    train, test : tuple of inputs and labels
        Inputs of shape (sample, timestep[, channel]) as `attrkit.inputs.label_inputs` takes them, labels of shape
        (sample,), integers for classes, or floats of shape (sample[, output]).
    seeds : sequence of int, default (0, 1, 2)
        Handed to the factory, one after the other.
    models : sequence of object, optional
        Models that the factory has trained already as it is, one a seed; they are not trained again.
    threshold : float, default 0.5
        For classes and a model of one output: what is above it is class 1. 0 for scores before a sigmoid.
    batch_size : int, optional
        Rows a pass, of prediction.
    show_progress : bool, default True
        Show a bar over the models that are trained.

    Returns
    -------
    Dataset
        Of the test samples, along ``attention`` (``"learned"``, ``"uniform"``): ``correct`` (attention, seed, sample),
        1 or 0, or for numbers ``absolute_error``, the mean over outputs; ``prediction`` (attention, seed, sample,
        output). ``output_change`` (seed, sample) between both, in the measure that its attribute says.

    Raises
    ------
    RefusedError
        If attention of a model was not uniform in training, or cannot be; the message names the layers.
    InputError
        If data, labels and models do not fit each other.

    Examples
    --------
    >>> from keras_self_attention import SeqSelfAttention
    >>> from tensorflow import keras
    >>> def fit(x, y, seed):
    ...     keras.utils.set_random_seed(seed)
    ...     layers = [SeqSelfAttention(name="attention"), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    ...     model = keras.Sequential([keras.layers.Input(x.shape[1:]), *layers])
    ...     model.compile("adam", "sparse_categorical_crossentropy")
    ...     model.fit(x, y, epochs=1, verbose=0)
    ...     return model
    >>> y = np.array([0, 1, 0, 1, 1])
    >>> found = uniform_training(fit, (x, y), (x, y), seeds=[0], show_progress=False)
    >>> found["correct"].dims, found["attention"].values.tolist(), found.attrs["layers"]
    (('attention', 'seed', 'sample'), ['learned', 'uniform'], 'attention')
    """
    started = time.perf_counter()
    numbers = read_seeds(seeds)
    (fit, labels), (held_out, wanted) = read_split("train", train), read_split("test", test)
    check_one_kind(labels, wanted)
    if models is not None and len(models) != len(numbers):
        raise InputError(f"{len(models)} models came for {len(numbers)} seeds; one a seed is needed")
    found: list[list[np.ndarray]] = [[], []]
    layers: list[list[str]] = []
    for i, seed in enumerate(with_progress(numbers, label="seeds", unit="seed", show=show_progress)):
        with standing(None):
            learned = model_factory(fit.values.copy(), labels.copy(), seed) if models is None else models[i]
            found[0].append(predictions_of(learned, held_out.values, batch_size))
        with uniform_attention() as seen:
            model = model_factory(fit.values.copy(), labels.copy(), seed)
            if not seen:
                raise RefusedError(
                    "no attention layer was made uniform while model_factory ran: it has none that is known, or it "
                    "runs what was compiled before, or trains in another thread or process"
                )
            layers.append(check_uniform(model, held_out.values[:_CHECKED], batch_size=batch_size))
            found[1].append(predictions_of(model, held_out.values, batch_size))
    shapes = {outputs.shape for way in found for outputs in way}
    if len(shapes) > 1:
        raise InputError(f"the models differ in their outputs, of shapes {sorted(shapes)}; one kind is needed")
    prediction = np.array(found)
    measure = measure_of(prediction.reshape(-1, prediction.shape[-1]))
    name, long_name = score_name(wanted)
    scores = np.array([[scores_of(outputs, wanted, threshold) for outputs in way] for way in found])
    direction = f"{'higher' if name == 'correct' else 'lower'} is better"
    table = xr.Dataset(
        {
            name: (("attention", "seed", "sample"), scores, {"long_name": long_name, "direction": direction}),
            "output_change": (("seed", "sample"), apart(prediction[0], prediction[1], measure), {"long_name": measure}),
            "prediction": (("attention", "seed", "sample", "output"), prediction),
        },
        coords={"attention": ["learned", "uniform"], "seed": numbers, "sample": held_out["sample"].values},
    )
    options = {
        # Names that a framework makes up count on from model to model.
        "layers": ", ".join(layers[0]),
        "threshold": float(threshold),
        "models_trained": len(numbers) * (1 if models is not None else 2),
        "seconds": round(time.perf_counter() - started, 3),
    }
    return build_table("uniform_training", table, options)
