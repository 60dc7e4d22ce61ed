"""What attention weights are worth to a model that sees nothing but single timesteps and them."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from attrkit.attention.reduce import reduce_attention
from attrkit.checks import real_number, whole_number
from attrkit.errors import AttrkitWarning, InputError
from attrkit.inputs import read_array
from attrkit.metrics.held_out import check_one_kind, read_seeds, read_split, score_name
from attrkit.progress import with_progress
from attrkit.schema import build_table
from attrkit.studies.attention.context_free import Task, fit, initial, loss_of, outputs_of

OWN = ("uniform", "learned")


def diagnostic(
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    attention: Mapping[str, tuple[Any, Any]],
    *,
    reduce: Any = None,
    layer: Any = None,
    head: Any = None,
    masks: tuple[Any, Any] | None = None,
    n_hidden: int = 16,
    penalty: float = 1e-2,
    max_iterations: int = 2000,
    seeds: Sequence[int] = (0, 1, 2),
    show_progress: bool = True,
) -> xr.Dataset:
    r"""Train a model without context on attention weights that are given to it, and see what it gets right.

    .. math:: h_t = \tanh(W^\top x_t + b), \quad o = V^\top \sum_t \alpha_t h_t + d

    (Wiegreffe and Pinter 2019, arXiv:1908.04626, sections 3.4 and 3.5.) This model sees each timestep by itself. What
    it can tell of a sample beyond the mean of its timesteps, it can tell by the weights :math:`\alpha` alone: weights
    that point at what matters make it better than uniform ones, wherever they come from.

    Parameters
    ----------
    train, test : tuple of inputs and labels
        Inputs of shape (sample, timestep[, channel]) as `attrkit.inputs.label_inputs` takes them, labels of shape
        (sample,), integers for classes, or floats of shape (sample[, output]).
    attention : mapping of str to tuple of two
        By name, weights for `train` and for `test`: array_like of shape (sample, timestep), 0 or more; or a Dataset or
        a group of a DataTree with ``attention``, as `attrkit.extract` returns it. Padding gets none, and each row is
        divided by its sum. ``"uniform"``, the same weight on all real timesteps, and ``"learned"`` are added: there the
        model has weights of its own, :math:`\alpha = \mathrm{softmax}_t(v \cdot \tanh(U^\top h_t))`.
    reduce, layer, head
        How to bring attention of several queries, layers or heads to one weight a timestep: `how`, `layer` and `head`
        of `attrkit.reduce_attention`. Needed where there are queries; there is no default.
    masks : tuple of two array_like of bool of shape (sample, timestep), optional
        For `train` and for `test`, false where padded; known without it for inputs that `attrkit.pad` made.
    n_hidden : int, default 16
        Values of :math:`h_t`.
    penalty : float, default 1e-2
        Half of this times the sum of squares of W, V, U and v is added to the mean loss.
    max_iterations : int, default 2000
        Of L-BFGS-B.
    seeds : sequence of int, default (0, 1, 2)
        Of the values that parameters begin with, the same for all weights.
    show_progress : bool, default True
        Show a bar over the models that are fitted.

    Returns
    -------
    Dataset
        Along (attention, seed, sample), of the test samples: ``correct``, 1 or 0, or for numbers ``absolute_error``,
        the mean over outputs; ``prediction`` (attention, seed, sample, output), probabilities of the classes that
        `train` has, or numbers. ``train_loss`` (attention, seed), without the penalty: cross-entropy in nats, or the
        squared error as a share of the labels' variance. ``converged`` (attention, seed). ``undefined`` (attention,
        sample) where a test sample has no weight on a real timestep, or NaN; there all is NaN. ``n_undefined_train``
        (attention) counts such training samples: they are left out.

    Raises
    ------
    InputError
        If data, labels and weights do not fit each other, or weights have to be reduced and `reduce` is not given.

    Warns
    -----
    AttrkitWarning
        If fits have not converged.

    Notes
    -----
    Channels, and labels that are numbers, are standardised by mean and standard deviation of the training data's real
    timesteps. The loss is the cross-entropy of a softmax over classes, or the squared error. Weights of a model may be
    better than learned ones: that model has seen the context, and has put into its weights what this one cannot see.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 6, 1))
    >>> where = rng.integers(0, 6, 200)
    >>> y = (x[np.arange(200), where, 0] > 0).astype(int)
    >>> weights = np.eye(6)[where]
    >>> data = (x[:100], y[:100]), (x[100:], y[100:])
    >>> found = diagnostic(*data, {"planted": (weights[:100], weights[100:])}, seeds=[0], show_progress=False)
    >>> accuracy = found["correct"].mean(("seed", "sample"))
    >>> bool(accuracy.sel(attention="planted") > 0.95), bool(accuracy.sel(attention="uniform") < 0.8)
    (True, True)
    """
    started = time.perf_counter()
    numbers = read_seeds(seeds)
    n_hidden = whole_number(n_hidden, "n_hidden", least=1)
    max_iterations = whole_number(max_iterations, "max_iterations", least=1)
    penalty = real_number(penalty, "penalty", least=0)
    if not isinstance(attention, Mapping):
        raise InputError(f"attention is a {type(attention).__name__}; accepted is a mapping of names to weights")
    taken = sorted(set(attention) & set(OWN))
    if taken:
        raise InputError(f"attention has the names {taken}, which are those of the weights that are added")
    if masks is not None and (not isinstance(masks, tuple | list) or len(masks) != 2):
        raise InputError(f"masks is a {type(masks).__name__}; accepted is a tuple of two, for train and for test")
    own = (None, None) if masks is None else masks
    known, held_out = (
        _read(name, split, mask) for name, split, mask in zip(("train", "test"), (train, test), own, strict=True)
    )
    check_one_kind(known.labels, held_out.labels)
    if known.x.shape[2] != held_out.x.shape[2]:
        raise InputError(
            f"train has {known.x.shape[2]} channels, test has {held_out.x.shape[2]}; they must be the same"
        )
    scale = _Scale.of(known)
    how = {"how": reduce, "layer": layer, "head": head}
    pairs = _read_pairs(attention, known, held_out, how)
    shape = (len(pairs), len(numbers), len(held_out.x))
    n_outputs = scale.targets(known.labels).shape[1]
    prediction, losses = np.full((*shape, n_outputs), np.nan), np.empty(shape[:2])
    converged, undefined = np.zeros(shape[:2], bool), np.zeros((shape[0], shape[2]), bool)
    left_out = np.zeros(shape[0], int)
    jobs = [(at, seed, i) for at in range(len(pairs)) for i, seed in enumerate(numbers)]
    for at, seed, i in with_progress(jobs, label="models", unit="model", show=show_progress):
        on_train, on_test = list(pairs.values())[at]
        task, kept = scale.task(known, on_train)
        left_out[at] = (~kept).sum()
        if not kept.any():
            raise InputError(f"attention {list(pairs)[at]!r} has no weight on a real timestep of any training sample")
        start = initial(task.x.shape[2], n_hidden, n_outputs, seed, own_weights=on_train is None)
        fitted, converged[at, i] = fit(start, task, penalty=penalty, max_iterations=max_iterations)
        losses[at, i] = loss_of(fitted, task)
        asked, defined = scale.task(held_out, on_test)
        prediction[at, i, defined] = scale.undone(outputs_of(fitted, asked))
        undefined[at] = ~defined
    if not converged.all():
        warnings.warn(
            f"{(~converged).sum()} of {converged.size} fits have not converged in {max_iterations} iterations: compare "
            "seeds, or give more, max_iterations=",
            AttrkitWarning,
            stacklevel=2,
        )
    score, long_name = score_name(held_out.labels)
    direction = f"{'higher' if score == 'correct' else 'lower'} is better"
    dims = ("attention", "seed", "sample")
    unit = {"units": "nat"} if scale.classes is not None else {"long_name": "squared error by variance", "units": "1"}
    found = xr.Dataset(
        {
            score: (dims, scale.scores(prediction, held_out.labels), {"long_name": long_name, "direction": direction}),
            "prediction": ((*dims, "output"), prediction),
            "train_loss": (dims[:2], losses, unit),
            "converged": (dims[:2], converged),
            "undefined": (("attention", "sample"), undefined),
            "n_undefined_train": ("attention", left_out),
        },
        coords={
            "attention": list(pairs),
            "seed": numbers,
            "sample": held_out.sample,
            "output": np.arange(n_outputs) if scale.classes is None else scale.classes,
        },
    )
    options = {
        **{f"attention_{key}": str(value) for key, value in how.items() if value is not None},
        "n_hidden": n_hidden,
        "penalty": penalty,
        "max_iterations": max_iterations,
        "n_not_converged": int((~converged).sum()),
        "seconds": round(time.perf_counter() - started, 3),
    }
    return build_table("diagnostic", found, options)


_Weights = np.ndarray | None


def _read_pairs(
    attention: Mapping[str, Any], known: "_Data", held_out: "_Data", how: dict[str, Any]
) -> dict[str, tuple[_Weights, _Weights]]:
    """Return weights by name, for train and for test, with those that are added; None where the model has its own."""
    pairs: dict[str, tuple[_Weights, _Weights]] = {}
    for name, pair in attention.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError(
                f"attention {name!r} is a {type(pair).__name__}; accepted is a tuple of two, for train and for test"
            )
        first, second = (
            _weights(f"attention {name!r}", one, side, how) for one, side in zip(pair, (known, held_out), strict=True)
        )
        pairs[str(name)] = first, second
    return pairs | {"uniform": (_evenly(known.real), _evenly(held_out.real)), "learned": (None, None)}


@dataclass(frozen=True)
class _Data:
    """Inputs of shape (sample, timestep, channel), 0 where padded, and their labels."""

    x: np.ndarray
    real: np.ndarray
    labels: np.ndarray
    sample: np.ndarray


def _read(name: str, split: Any, mask: Any) -> _Data:
    array, labels = read_split(name, split)
    if array.dtype.kind != "f" and array.ndim == 2:
        raise InputError(
            f"the inputs of {name} are {array.dtype} of shape {array.shape}, such as token ids, which have no values; "
            "give embeddings of shape (sample, timestep, channel), or floats"
        )
    real = array["mask"].values.astype(bool) if "mask" in array.coords else np.ones(array.shape[:2], bool)
    if mask is not None:
        given = read_array(mask, f"the mask of {name}", "accepted is an array of bool")
        if given.shape != real.shape or given.dtype.kind != "b":
            raise InputError(
                f"the mask of {name} has shape {given.shape} and dtype {given.dtype}; accepted is bool of shape "
                f"{real.shape}, false where padded"
            )
        real = real & given
    x = np.where(real[..., None], array.values.reshape(*real.shape, -1), 0).astype(float)
    for what, values in (("inputs", x), ("labels", labels.astype(float))):
        if not np.isfinite(values).all():
            raise InputError(
                f"the {what} of {name} have {int((~np.isfinite(values)).sum())} values that are no numbers"
            )
    return _Data(x, real, labels, array["sample"].values)


@dataclass(frozen=True)
class _Scale:
    """How inputs and labels are brought to a size of 1, and outputs back.

    Attributes
    ----------
    center, spread : ndarray of shape (channel,)
    classes : ndarray of shape (output,), or None
        The classes of the training data; None for labels that are numbers.
    middle, size : ndarray of shape (output,)
        Of labels that are numbers.
    """

    center: np.ndarray
    spread: np.ndarray
    classes: np.ndarray | None
    middle: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, data: _Data) -> "_Scale":
        if not data.real.any():
            raise InputError("all timesteps of train are padded")
        values = data.x[data.real]
        if data.labels.dtype.kind in "iu":
            classes = np.unique(data.labels)
            if len(classes) < 2:
                raise InputError(f"the labels of train are all {classes[0]}; two classes are needed")
            return cls(values.mean(0), _not_zero(values.std(0)), classes, np.zeros(len(classes)), np.ones(len(classes)))
        labels = data.labels.reshape(len(data.labels), -1).astype(float)
        return cls(values.mean(0), _not_zero(values.std(0)), None, labels.mean(0), _not_zero(labels.std(0)))

    def targets(self, labels: np.ndarray) -> np.ndarray:
        if self.classes is not None:
            return np.asarray(labels[:, None] == self.classes, float)
        return (labels.reshape(len(labels), -1) - self.middle) / self.size

    def task(self, data: _Data, alpha: np.ndarray | None) -> tuple[Task, np.ndarray]:
        """Return what a model is fitted to or asked, and of which samples: those that have weights."""
        kept = np.asarray(data.real.any(1) if alpha is None else np.isfinite(alpha).all(1))
        real = data.real[kept]
        x = np.where(real[..., None], (data.x[kept] - self.center) / self.spread, 0)
        weights = None if alpha is None else alpha[kept]
        return Task(x, real, self.targets(data.labels[kept]), self.classes is not None, weights), kept

    def undone(self, outputs: np.ndarray) -> np.ndarray:
        return outputs * self.size + self.middle

    def scores(self, prediction: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return what is right of each sample, or by how much it is wrong; NaN where nothing is predicted."""
        known = np.isfinite(prediction).all(-1)
        if self.classes is not None:
            told = self.classes[np.where(np.isfinite(prediction), prediction, 0).argmax(-1)]
            return np.where(known, told == labels, np.nan)
        wrong = np.abs(prediction - labels.reshape(len(labels), -1)).mean(-1)
        return np.asarray(wrong)


def _not_zero(spread: np.ndarray) -> np.ndarray:
    # What does not vary is 0 once its mean is taken off.
    return np.where(spread > 0, spread, 1)


def _evenly(real: np.ndarray) -> np.ndarray:
    return _shares(real.astype(float))


def _shares(weights: np.ndarray) -> np.ndarray:
    """Divide rows by their sums; a row that has none is NaN."""
    total = weights.sum(1, keepdims=True)
    return np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)


def _weights(what: str, given: Any, side: _Data, how: dict[str, Any]) -> np.ndarray:
    """Return one weight a timestep, of shape (sample, timestep), that sum to 1; NaN for a sample that has none."""
    if isinstance(given, xr.DataTree):
        given = given.to_dataset()
    if isinstance(given, xr.Dataset):
        given = _reduced(what, given, how)
    elif isinstance(given, xr.DataArray):
        if set(given.dims) != {"sample", "timestep"}:
            raise InputError(
                f"{what} has dims {given.dims}; accepted are ('sample', 'timestep'), or the whole Dataset and reduce="
            )
        given = given.transpose("sample", "timestep")
    if isinstance(given, xr.DataArray):
        own = given["sample"].values if "sample" in given.coords else side.sample
        if (
            len(own) == len(side.sample)
            and set(own.tolist()) == set(side.sample.tolist())
            and (own != side.sample).any()
        ):
            raise InputError(f"{what} has its samples in another order than the inputs; sort both alike")
    weights = read_array(given, what, "accepted is an array of shape (sample, timestep)").astype(float)
    if weights.shape != side.real.shape:
        raise InputError(f"{what} has shape {weights.shape}, the inputs have samples and timesteps {side.real.shape}")
    weights = np.where(side.real, weights, 0)
    if (weights < 0).any() or np.isinf(weights).any():
        raise InputError(
            f"{what} reaches from {weights.min():.3g} to {weights.max():.3g}; weights are numbers, 0 or more"
        )
    return _shares(weights)


def _reduced(what: str, ds: xr.Dataset, how: dict[str, Any]) -> xr.DataArray:
    if "attention" not in ds:
        raise InputError(f"{what} has the variables {sorted(map(str, ds.data_vars))}; a Dataset must hold 'attention'")
    several = [str(dim) for dim in ds["attention"].dims if dim not in ("sample", "key_timestep")]
    if "query_timestep" in several and how["how"] is None:
        raise InputError(
            f"{what} has dims {ds['attention'].dims}; say how to bring it to one weight a timestep: reduce='mean', "
            "'max', 'last', or a label of query_timestep, as in attrkit.reduce_attention"
        )
    found = reduce_attention(ds, "mean" if how["how"] is None else how["how"], layer=how["layer"], head=how["head"])
    return found["attribution"]
