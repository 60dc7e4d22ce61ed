"""Do explanations depend on what the model has learnt? Its parameters drawn anew, its labels shuffled."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.checks import one_of, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.explained import explain_inputs
from attrkit.extract import compare
from attrkit.layers import match_layers
from attrkit.method import OUTPUT
from attrkit.metrics.comparison.agreement import self_agreement
from attrkit.metrics.held_out import predictions_of, read_split, score_name, scores_of
from attrkit.metrics.items import options_text
from attrkit.metrics.randomisation.built_alike import as_one_model
from attrkit.metrics.randomisation.redrawn import DRAW, by_layer, in_order_of_calls, redrawn
from attrkit.parts import laid_flat
from attrkit.schema import build_table

METRICS = ("spearman", "cosine", "top_k_overlap")

HOW = ("cascading", "independent")


def parameter_randomisation(
    model: Any,
    inputs: Any,
    methods: Any,
    *,
    how: str = "cascading",
    layers: str | Sequence[str] | None = None,
    metrics: Sequence[str] | None = METRICS,
    channels: str | None = None,
    attention: Any = None,
    k: int | float = 0.1,
    absolute: bool = True,
    seed: int = 0,
    **asked: Any,
) -> xr.Dataset:
    """Draw the parameters of a model anew, layer by layer, and say how alike explanations stay.

    An explanation that looks the same for a model that knows nothing does not show what the model has learnt (Adebayo
    et al. 2018, arXiv:1810.03292, section 3).

    Parameters
    ----------
    model, inputs
        As `attrkit.extract` takes them: a Keras model or a torch module. It is put back bit for bit.
    methods : str, callable, sequence or mapping
        As `attrkit.compare` takes them.
    how : {"cascading", "independent"}, default "cascading"
        Draw one layer after the other, from the output to the input, and leave those before drawn; or one at a time,
        with all others as they were trained.
    layers : str or list of str, optional
        Names of layers, or parts of names; all that have parameters, if not given.
    metrics : sequence of str, default ("spearman", "cosine", "top_k_overlap")
        How explanations are compared, as in `agreement`; None for all of its metrics.
    channels, attention, k, absolute
        As in `agreement`.
    seed : int, default 0
        Of the draws, other ones for each array, and of methods that draw, which draw the same at each step.
    **asked
        What else `attrkit.compare` takes: ``target``, ``baseline``, ``mask``, ``batch_size`` and others.
        ``target="predicted"`` is what the model predicts as it was trained, at every step.

    Returns
    -------
    Dataset
        The metrics, of dims (extractor, layer, sample), between the explanation of the trained model and that after the
        layer was drawn; layers in the order in which they are, those closest to the output first.
        ``undefined`` (metric, extractor, layer), for how many samples it is NaN. ``prediction_change`` (layer, sample),
        the most that an output moved: where it is 0, the step has changed nothing that the model uses. ``n_arrays`` and
        ``n_unchanged`` (layer): arrays that are all 0, which no draw of their size changes; the attribute
        ``unchanged_arrays`` names them.

    Raises
    ------
    RefusedError
        If the model does not show its parameters, such as a function.
    InputError
        If an option is not known, no layer has that name, or as `agreement` does.

    Notes
    -----
    An array is drawn from a normal distribution of mean 0 whose standard deviation is the root mean square of its
    trained values, so that signals keep their size and no layer saturates that did not before. All arrays of a layer
    are drawn: recurrent kernels, queries, keys and values, biases, frozen ones too; averages of batches and seeds are
    not. An array that several layers share is drawn once, with the layer that comes first.

    A high value is a bad sign for the method; a low one is no proof of a good one, for noise has it too. How alike
    explanations are by chance, ``agreement(n_random=)`` tells. And what is multiplied with the input stays like the
    input whatever the model.

    Examples
    --------
    >>> found = attrkit.metrics.parameter_randomisation(model, x, ["gradient"], show_progress=False)
    >>> found["layer"].values.tolist()
    ['dense', 'attention', 'lstm']
    >>> bool((found["prediction_change"] > 0).all())
    True
    """
    one_of(how, "how", HOW)
    seed = whole_number(seed, "seed", least=0)
    adapter = adapt(model)
    parameters = adapter.parameters()
    steps = by_layer(parameters)
    explained = explain_inputs(adapter, inputs, asked.get("explain"))
    runner = adapter.configured(batch_size=asked.get("batch_size"), question=explained.question())
    with adapter.left_as_found():
        order = in_order_of_calls(runner, explained.parts(), list(steps))[::-1]
    chosen = order if layers is None else match_layers(layers, order)
    if not chosen:
        raise InputError("the model has no parameters; there is nothing to draw")
    numbers = {name: number for number, name in enumerate(parameters)}
    drawn = {
        path: {name: redrawn(parameters[name].values, seed=seed, number=numbers[name]) for name in steps[path]}
        for path in chosen
    }
    unchanged = {
        path: [name for name, values in new.items() if np.array_equal(values, parameters[name].values)]
        for path, new in drawn.items()
    }
    first = as_datasets(compare(adapter, inputs, methods, seed=seed, **asked))
    asked = _of_trained(first, asked)
    options = {"metrics": metrics, "channels": channels, "attention": attention, "k": k, "absolute": absolute}
    found, moved = [], []
    with adapter.state_kept():
        for path in chosen:
            adapter.assign(drawn[path])
            after = as_datasets(compare(adapter, inputs, methods, seed=seed, **asked))
            found.append(_likeness(first, after, options))
            moved.append(_moved(first, after))
            if how == "independent":
                adapter.assign({name: parameters[name].values for name in drawn[path]})
    along = xr.DataArray(chosen, dims="layer", name="layer", attrs={"long_name": "layer drawn anew"})
    result = xr.concat(found, dim=along)
    result["prediction_change"] = (("layer", "sample"), np.stack(moved), {"units": OUTPUT})
    result["n_arrays"] = ("layer", [len(drawn[path]) for path in chosen], {"long_name": "arrays of the layer"})
    result["n_unchanged"] = ("layer", [len(unchanged[path]) for path in chosen], {"long_name": "arrays that are all 0"})
    options |= {"how": how, "layers": layers, "seed": seed}
    about = {
        **options_text(options),
        "how": how,
        "order": "from the output to the input, by the model's calls",
        "draw": DRAW,
        "unchanged_arrays": json.dumps([name for names in unchanged.values() for name in names]),
        "seed": seed,
    }
    return build_table("parameter_randomisation", result.transpose("metric", "extractor", "layer", "sample"), about)


def data_randomisation(
    model_factory: Callable[[np.ndarray, np.ndarray, int], Any],
    train: tuple[Any, Any],
    inputs: Any,
    methods: Any,
    *,
    model: Any = None,
    metrics: Sequence[str] | None = METRICS,
    channels: str | None = None,
    attention: Any = None,
    k: int | float = 0.1,
    absolute: bool = True,
    threshold: float = 0.5,
    seed: int = 0,
    **asked: Any,
) -> xr.Dataset:
    """Train a model on shuffled labels, and say how alike its explanations are to those of a model of the true ones.

    An explanation that is the same for both does not show what ties inputs to labels (Adebayo et al. 2018,
    arXiv:1810.03292, section 4).

    Parameters
    ----------
    model_factory : callable
        ``model_factory(inputs, labels, seed)`` trains a new model on an array like `train`'s, and returns it; it must
        seed its initial weights and batches by `seed`.
    train : tuple of inputs and labels
        As in `roar`.
    inputs
        What is explained, as `attrkit.extract` takes it.
    methods : str, callable, sequence or mapping
        As `attrkit.compare` takes them.
    model : object, optional
        The model of the true labels, where it is trained already, with the same seed.
    metrics : sequence of str, default ("spearman", "cosine", "top_k_overlap")
        How explanations are compared, as in `agreement`; None for all of its metrics.
    channels, attention, k, absolute
        As in `agreement`.
    threshold : float, default 0.5
        For classes and a model of one output: what is above it is class 1. 0 for scores before a sigmoid.
    seed : int, default 0
        Handed to the factory, for both models; of the shuffle; and of methods that draw.
    **asked
        What else `attrkit.compare` takes. ``target="predicted"`` is what the model of the true labels predicts, for
        both.

    Returns
    -------
    Dataset
        The metrics, of dims (extractor, sample); ``undefined`` (metric, extractor), for how many samples it is NaN;
        ``prediction_change`` (sample), the most that an output differs. ``correct`` of dims (labels, train_sample), 1
        or 0, or for numbers ``absolute_error``: how each model fits the labels it was trained on. A model that has not
        fitted the shuffled ones has learnt nothing else, and the test says nothing; longer training does it. The
        attribute ``labels_moved`` counts labels that the shuffle has changed.

    Raises
    ------
    InputError
        If data and labels do not fit each other, or all labels are alike.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series = rng.standard_normal((80, 4, 1))
    >>> labels = (series[:, 2, 0] > 0).astype(int)
    >>> def fit(x, y, seed):
    ...     weights = np.linalg.lstsq(x[..., 0], 2.0 * y - 1, rcond=None)[0]
    ...     return lambda x: x[..., 0] @ weights
    >>> found = data_randomisation(
    ...     fit, (series, labels), series, "occlusion", threshold=0, absolute=False, show_progress=False
    ... )
    >>> found["correct"].mean("train_sample").round(1).values
    array([1. , 0.6])

    A linear model cannot fit shuffled labels: this one has not learnt them, and its explanations are no test.
    """
    seed = whole_number(seed, "seed", least=0)
    array, labels = read_split("train", train)
    order = np.random.default_rng(seed).permutation(len(labels))
    changed = int((labels[order] != labels).reshape(len(labels), -1).any(axis=1).sum())
    if not changed:
        raise InputError(f"the {len(labels)} labels of train are the same when they are shuffled; there must be two")
    values = array.values
    true = adapt(model_factory(values.copy(), labels.copy(), seed) if model is None else model)
    batch_size = asked.get("batch_size")
    # All that is asked of one model comes before the next is trained: a factory may clear what Keras holds.
    first = as_datasets(compare(true, inputs, methods, seed=seed, **asked))
    fits = [scores_of(predictions_of(true, values, batch_size), labels, threshold)]
    new = adapt(model_factory(values.copy(), labels[order], seed))
    with as_one_model(true, new, values) as shuffled:
        after = as_datasets(compare(shuffled, inputs, methods, seed=seed, **_of_trained(first, asked)))
        fits.append(scores_of(predictions_of(shuffled, values, batch_size), labels[order], threshold))
    options = {"metrics": metrics, "channels": channels, "attention": attention, "k": k, "absolute": absolute}
    result = _likeness(first, after, options)
    result["prediction_change"] = ("sample", _moved(first, after), {"units": OUTPUT})
    name, said = score_name(labels)
    result[name] = (("labels", "train_sample"), np.stack(fits), {"long_name": f"{said} of the labels trained on"})
    result = result.assign_coords(labels=["true", "shuffled"], train_sample=array["sample"].values)
    about = {**options_text({**options, "threshold": threshold, "seed": seed}), "labels_moved": changed, "seed": seed}
    return build_table("data_randomisation", result, about)


def _of_trained(first: Mapping[str, xr.Dataset], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to ask of another model: the outputs that were explained of the first."""
    target = asked.get("target")
    known = next((ds["target"] for ds in first.values() if "target" in ds.coords), None)
    if isinstance(target, str) and target == "predicted" and known is not None:
        return {**asked, "target": known.values.tolist()}
    return dict(asked)


def _likeness(
    first: Mapping[str, xr.Dataset], after: Mapping[str, xr.Dataset], options: Mapping[str, Any]
) -> xr.Dataset:
    """Return how alike each extractor is with itself, of another model."""
    parts = []
    for name in first:
        runs = {"first": {name: first[name]}, "after": {name: after[name]}}
        found = self_agreement(runs, **options).sel(run="first", other="after", drop=True)
        # What is compared may differ between extractors, in its channels.
        parts.append(found.drop_vars(["items", "k"]).drop_attrs(deep=False))
    return xr.concat(parts, dim="extractor", join="exact", combine_attrs="override")


def _moved(first: Mapping[str, xr.Dataset], after: Mapping[str, xr.Dataset]) -> np.ndarray:
    """Return the most that an output of each sample differs."""
    pairs = [(first[name]["prediction"].values, after[name]["prediction"].values) for name in first]
    return np.asarray(np.max([laid_flat(np.abs(one - other)).max(axis=1) for one, other in pairs], axis=0))
