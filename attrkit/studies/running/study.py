"""The whole protocol in one call: train, gate, explain and test over seeds, and go on where that stopped."""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attrkit import errors
from attrkit.checks import is_number, whole_number
from attrkit.errors import AttrkitWarning, InputError
from attrkit.metrics.held_out import read_seeds
from attrkit.progress import progress_bar
from attrkit.schema import installed_version
from attrkit.streaming.identity import describe_function, describe_value
from attrkit.studies.running.case import Asked
from attrkit.studies.running.extractors import read_extractors
from attrkit.studies.running.open_study import open_study, place_of
from attrkit.studies.running.run import count_steps, run_steps
from attrkit.studies.running.splits import read_splits
from attrkit.studies.running.steps import Steps, begin_store
from attrkit.studies.running.tests import read_tests

_VERSIONS = ("numpy", "scipy", "xarray", "tensorflow", "keras", "tf-keras", "keras-self-attention", "jax", "torch")


def study(
    model_factory: Callable[[np.ndarray, np.ndarray, int], Any],
    data: Any,
    *,
    store: str | Path,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    extractors: Any = None,
    tests: Any = None,
    gate: float | str | None = "chance",
    n_samples: int | None = None,
    target: Any = "auto",
    baseline: Any = "mean",
    logits: bool | str = "auto",
    channels: str | None = "sum",
    attention: Any = "mean",
    layer: Any = None,
    head: Any = None,
    batch_size: int | None = None,
    show_progress: bool = True,
) -> xr.DataTree:
    """Ask whether attention and attribution agree, and which is faithful, of models trained with several seeds.

    The protocol of Jain and Wallace (2019, arXiv:1902.10186), Wiegreffe and Pinter (2019, arXiv:1908.04626), Serrano
    and Smith (2019, arXiv:1906.03731) and Ismail et al. (2020, arXiv:2010.13924): a model is trained for every seed;
    those that have learned the task are explained; every test asks of each what `attrkit.metrics` and
    `attrkit.studies` can tell of one model. Each step is in the store as soon as it is done. A study that was stopped,
    by whatever, goes on with the same call, and ends with the same numbers.

    Parameters
    ----------
    model_factory : callable
        ``model_factory(inputs, labels, seed)`` trains a new model on arrays and returns it. It must seed initial
        weights, batches and dropout by `seed`.
    data : pair of Dataset, or of tuple
        To train on and to test on. A Dataset has ``input`` (sample, timestep[, channel]), ``label`` (sample) and, where
        it is known, ``saliency``, as those of `attrkit.datasets`; padding is the coordinate ``mask`` of its input. A
        tuple is inputs and labels. Integers are classes, floats are numbers.
    store : str or Path
        A folder in ``.zarr``: a new one, or that of a study. Steps that it holds are not done again as long as all that
        they depend on is the same: data, seed, the source of the factory and the values it closes over, options,
        versions.
    seeds : sequence of int, default (0, 1, 2, 3, 4)
        One model each.
    extractors : sequence, or mapping of str to method, optional
        What explains, as `attrkit.compare` takes its methods. If not given: attention, input times gradient with
        attention held and free, integrated gradients, LRP and occlusion. ``random`` and ``uniform`` are added.
    tests : sequence of str, or mapping of str to options, optional
        Which tests, and with what options. If not given all, ``ground_truth`` only where saliency is known. A function
        under a name of its own is a test too: it is given what `attrkit.studies.Case` says, and returns a Dataset.
    gate : float, "chance" or None, default "chance"
        What a model must reach on the test data to be explained: a share of right classes, or of numbers the
        coefficient of determination. ``"chance"`` is to be better than the most frequent class, or than the mean. A
        model that has learned nothing has nothing to explain. None lets all pass.
    n_samples : int, optional
        How many samples of the test data are explained, drawn once for all seeds; all, if not given.
    target : optional
        Which output is explained, as `attrkit.extract` takes it; ``"auto"`` is the predicted class, or the one output.
    baseline : optional
        As `attrkit.extract` takes it. The default is not 0, which is often what padding is told by.
    logits : bool or "auto", default "auto"
        Whether to explain the scores before a softmax or sigmoid; ``"auto"`` does where outputs are probabilities.
    channels, attention, layer, head
        How what extractors say is brought to one score a timestep, as `attrkit.stack` takes it. With ``channels=None``
        cells are compared, of extractors that all resolve channels.
    batch_size : int, optional
        Rows a pass.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.

    Returns
    -------
    DataTree
        As `attrkit.studies.open_study` returns it.

    Raises
    ------
    InputError
        If data or an option do not fit.
    RefusedError
        If no model passes the gate.
    StoreError
        If `store` is something else than a study.

    Warns
    -----
    AttrkitWarning
        If an extractor or a test was refused, or a model did not pass the gate: the study goes on without.

    Examples
    --------
    >>> import keras
    >>> def train(x, y, seed):
    ...     keras.utils.set_random_seed(seed)
    ...     steps = keras.Input(x.shape[1:])
    ...     found = keras.layers.Attention()([steps, steps])
    ...     model = keras.Model(steps, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(found)))
    ...     model.compile(keras.optimizers.Adam(0.1), "mse")
    ...     model.fit(x, y, epochs=20, verbose=0)
    ...     return model
    >>> x = np.random.default_rng(0).standard_normal((60, 5, 2)).astype("float32")
    >>> y = x[..., 0].sum(axis=1)
    >>> asked = {"seeds": [0, 1], "tests": ["agreement"], "extractors": ["attention", "gradient"]}
    >>> tree = attrkit.study(train, ((x[:40], y[:40]), (x[40:], y[40:])), store="s.zarr", show_progress=False, **asked)
    >>> tree["agreement"]["spearman"].dims
    ('seed', 'extractor', 'other', 'sample')
    """
    train, test = read_splits(data)
    numbers = read_seeds(seeds)
    if not (gate in (None, "chance") or is_number(gate)):
        raise InputError(f"gate={gate!r}; accepted are a number, 'chance' and None")
    if not (isinstance(logits, bool) or logits == "auto"):
        raise InputError(f"logits={logits!r}; accepted are True, False and 'auto'")
    how = {"channels": channels, "attention": attention, "layer": layer, "head": head}
    rows = _drawn(len(test.labels), n_samples)
    methods, chosen = read_extractors(extractors), read_tests(tests, truth=test.saliency is not None)
    asked = Asked(model_factory, train, test, rows, methods, gate, target, baseline, logits, how, batch_size)
    shared = {
        "attrkit": installed_version("attrkit"),
        "python": ".".join(map(str, sys.version_info[:2])),
        "versions": _versions(),
        **_describe_factory(model_factory),
        "data": {"train": train.digest(), "test": test.digest()},
    }
    folder = begin_store(store)
    with _bar(count_steps(asked, chosen, numbers), show_progress) as advance:
        steps = Steps(folder, shared, advance)
        run_steps(steps, asked, chosen, numbers)
    question = {
        **shared,
        "seeds": numbers,
        "extractors": describe_value(methods),
        "tests": {name: describe_value(options) for name, (_, options) in chosen.items()},
        "gate": gate,
        "n_samples": len(rows),
        "target": describe_value(target),
        "baseline": describe_value(baseline),
        "logits": logits,
        "how": describe_value(how),
    }
    folder.describe({**question, "steps": steps.done})
    tree = open_study(folder.path)
    _warn_of(tree)
    return tree


def _drawn(count: int, n_samples: int | None) -> np.ndarray:
    """Return which samples are explained, in their order."""
    wanted = count if n_samples is None else min(whole_number(n_samples, "n_samples", least=1), count)
    return np.sort(np.random.default_rng(0).permutation(count)[:wanted])


def _describe_factory(factory: Any) -> dict[str, Any]:
    """Describe a factory by its name and source, and by what it was made with."""
    if isinstance(factory, functools.partial):
        own = _describe_factory(factory.func)
        given = [describe_value(factory.args), describe_value(factory.keywords)]
        return {**own, "factory_made_with": [*own["factory_made_with"], *given]}
    if not inspect.isfunction(factory):
        return {"factory": describe_function(factory), "factory_made_with": []}
    closed_over = {name: describe_value(value) for name, value in inspect.getclosurevars(factory).nonlocals.items()}
    made_with = [closed_over, describe_value(factory.__defaults__)]
    return {"factory": describe_function(factory), "factory_made_with": made_with}


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def _bar(total: int, show: bool) -> Iterator[Callable[[str], None]]:
    with progress_bar(total, label="study", unit="step", show=show) as bar:
        begun: list[str] = []

        def advance(name: str) -> None:
            # The step that begins; those before it are done.
            bar.set_postfix_str(name, refresh=False)
            bar.update(min(len(begun), 1))
            begun.append(name)

        yield advance


def _warn_of(tree: xr.DataTree) -> None:
    """Say once what was refused and why, which models did not pass, and of what steps have warned."""
    steps, model = tree["steps"].to_dataset(), tree["model"].to_dataset()
    seeds: dict[tuple[str, str], list[str]] = {}
    for name, reason in zip(steps["step"].values, steps["refused"].values, strict=True):
        if reason:
            place, seed = place_of(name)
            seeds.setdefault((place, reason), []).append("all" if seed is None else str(seed))
    said = [f"{place} was refused (seeds {', '.join(own)}): {reason}" for (place, reason), own in seeds.items()]
    failed = model.sel(seed=~model["passed"])
    if failed.sizes["seed"]:
        scores = ", ".join(f"{score:.3g} ({seed})" for seed, score in failed["score"].to_series().items())
        needed = float(failed["needed"][0])
        said.append(f"models that do not reach {needed:.3g} are not explained; score and seed: {scores}")
    for text in said:
        warnings.warn(text, AttrkitWarning, stacklevel=3)
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, lines in zip(steps["step"].values, steps["warned"].values, strict=True):
        for line in filter(None, lines.split("\n")):
            category, _, text = line.partition(": ")
            found.setdefault((category, errors.without_numbers(text)), []).append((name, text))
    for (category, _), own in found.items():
        name, text = own[0]
        where = f"in {len(own)} steps, the first of them {name}" if len(own) > 1 else f"in step {name}"
        warnings.warn(f"{where}: {text}", getattr(errors, category, AttrkitWarning), stacklevel=3)
