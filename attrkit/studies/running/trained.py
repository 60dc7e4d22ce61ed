"""The model of one seed: trained when it is needed, and put back when a study goes on."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.adapters._names import names_anew
from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import difference_of
from attrkit.errors import AttrkitWarning, RefusedError, StoreError
from attrkit.metrics.randomisation.built_alike import take_weights
from attrkit.studies.running.splits import Split

_NAMES = "weights"


class Trainer:
    """Trains models, of one factory on the same data.

    One that is built as the first was is the first, with other weights: what was compiled for it need not be again.
    """

    def __init__(self, factory: Callable[..., Any], train: Split) -> None:
        self._factory, self._train = factory, train
        self._first: Adapter | None = None

    def model_of(self, seed: int) -> Adapter:
        """Return a new trained model; that of the call before is another from then on."""
        # Copies, since a factory may do with its arguments what it likes.
        with names_anew():
            new = adapt(self._factory(self._train.inputs.values.copy(), self._train.labels.copy(), seed))
        if self._first is None:
            self._first = new
        elif take_weights(self._first, new, self._train.inputs.values):
            return self._first
        return new


class Trained:
    """A model that is trained once; after a restart again, and then given the weights it had before.

    Training alone does not give the same model again on every machine: sums are taken in another order.
    """

    def __init__(self, trainer: Trainer, seed: int) -> None:
        self._trainer, self.seed = trainer, seed
        self._adapter: Adapter | None = None

    def train(self) -> xr.Dataset:
        """Train, and return the weights; nothing of a function, which has none that are known."""
        self._adapter = self._trainer.model_of(self.seed)
        try:
            state = self._adapter.state()
        except RefusedError as err:
            return xr.Dataset(attrs={"not_kept": str(err)})
        arrays = {}
        for number, (name, values) in enumerate(state.items()):
            # Names of weights have slashes, which are folders in a store.
            key = f"array_{number:05d}"
            arrays[key] = ([f"{key}_{axis}" for axis in range(values.ndim)], values, {"name": name})
        return xr.Dataset(arrays)

    def adapter(self, weights: xr.Dataset) -> Adapter:
        """Return the trained model; `weights` is what `train` returned, in this process or in another one."""
        if self._adapter is None:
            self._adapter = self._trainer.model_of(self.seed)
            if weights.data_vars:
                # A folder has no order of its own.
                self._put_back([weights[key].values for key in sorted(map(str, weights.data_vars))])
        return self._adapter

    def _put_back(self, known: list[np.ndarray]) -> None:
        """Give the model weights of the same shapes, in order."""
        assert self._adapter is not None
        new = self._adapter.state()
        shapes = [values.shape for values in new.values()], [values.shape for values in known]
        if shapes[0] != shapes[1]:
            raise StoreError(
                f"seed {self.seed}: the factory makes a model with weights of shapes {shapes[0]}, and when the study "
                f"began they were {shapes[1]}; choose another store, or delete this one"
            )
        sizes = [difference_of(*pair) for pair in zip(known, new.values(), strict=True) if pair[0].size]
        size, apart = max(sizes, key=lambda found: found[1] / found[0], default=(1.0, 0.0))
        if not apart <= 1e-2 * size:
            warnings.warn(
                f"seed {self.seed}: the factory trains another model than when the study began (a weight of size "
                f"{size:.3g} differs by {apart:.3g}), so its seed does not settle what comes out. The study goes on "
                "with the weights of the first; have the factory seed initial weights, batches and dropout",
                AttrkitWarning,
                stacklevel=2,
            )
        self._adapter.assign(dict(zip(new, known, strict=True)))
