"""What a study asks of all models alike, and what a test is given: one trained model, and what is said of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.studies.running.extractors import CONTROLS, takes_baseline
from attrkit.studies.running.splits import Split


@dataclass(frozen=True)
class Asked:
    """What is asked of all models alike; `study` says what each means."""

    factory: Callable[..., Any]
    train: Split
    test: Split
    rows: np.ndarray
    methods: dict[str, tuple[Any, dict[str, Any]]]
    gate: float | str | None
    target: Any
    baseline: Any
    logits: bool | str
    how: dict[str, Any]
    batch_size: int | None

    @cached_property
    def explained(self) -> Split:
        """The samples of the test data that are explained."""
        return self.test.some(self.rows)

    @property
    def quiet(self) -> dict[str, Any]:
        """What functions that ask a model are given."""
        return {"batch_size": self.batch_size, "show_progress": False}


@dataclass(frozen=True)
class Case:
    """What a test is given: the model of one seed, and what extractors say of it.

    Attributes
    ----------
    load : callable
        Returns the trained model.
    seed : int
        What the factory was given.
    results : dict of str to Dataset
        Of every extractor that was not refused.
    question : dict
        What was asked of every extractor: ``target``, ``baseline`` and ``logits``, as `attrkit.extract` takes them.
    threshold : float
        For classes and a model of one output: what is above it is class 1.
    found : dict of str to Dataset
        What earlier tests have found that this one takes.
    asked : Asked
        What is the same for all seeds: ``train``, ``test`` and ``explained`` data, the ``factory``, ``how`` results are
        brought to one shape.

    Examples
    --------
    A test of one's own takes a case, and returns a table of its samples:

    >>> def sureness(case):
    ...     outputs = case.model.predict(case.inputs.values)
    ...     labels = {"sample": case.inputs["sample"].values}
    ...     return xr.Dataset({"largest": ("sample", outputs.max(axis=1))}, coords=labels)
    >>> asked = {"tests": {"agreement": {}, "sureness": sureness}}  # of attrkit.study
    """

    load: Callable[[], Adapter]
    seed: int
    results: dict[str, xr.Dataset]
    question: dict[str, Any]
    threshold: float
    found: dict[str, xr.Dataset]
    asked: Asked

    @property
    def model(self) -> Adapter:
        """The trained model; trained again only where a test asks for it and the study was stopped in between."""
        return self.load()

    @property
    def inputs(self) -> xr.DataArray:
        """What is explained, of dims (sample, timestep[, channel])."""
        return self.asked.explained.inputs

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels, as the factory takes them."""
        return self.asked.train.inputs.values, self.asked.train.labels

    @property
    def methods(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Methods with their options that look at the model and were not refused, by the names of extractors."""
        return {
            name: method for name, method in self.asked.methods.items() if name in self.results and name not in CONTROLS
        }

    @property
    def of_methods(self) -> dict[str, Any]:
        """What `compare` is given with them."""
        takes = any(takes_baseline(method) for method, _ in self.methods.values())
        return {key: value for key, value in self.question.items() if key != "baseline" or takes} | self.asked.quiet

    @property
    def to_timesteps(self) -> dict[str, Any]:
        """How results come to one score a timestep, for what takes no choice of layers and heads."""
        return {key: self.asked.how[key] for key in ("channels", "attention")}

    @property
    def at_layer(self) -> dict[str, Any]:
        """What functions that change the weights of one layer are given."""
        return {"layer": self.asked.how["layer"], **self.asked.quiet}
