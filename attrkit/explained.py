"""What of a model's inputs is explained: which arrays the methods see, and where their results belong."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import LAYER, Question
from attrkit.checks import name_list
from attrkit.errors import InputError, SchemaError
from attrkit.inputs import label_each
from attrkit.parts import Parts


@dataclass(frozen=True)
class Explained:
    """The inputs of one model, labelled, and which of them methods see.

    Attributes
    ----------
    inputs : dict of str to DataArray
        The inputs that are explained, in the model's order.
    context : dict of str to ndarray
        The other inputs, which are handed on as they are.
    masks : dict of str to ndarray of bool of shape (sample, timestep)
        What `attrkit.pad` says of an input: false where padded.
    by_name : bool
        Whether the user named the inputs.
    embedded : dict of str to DataArray
        For token ids that are explained at an embedding: the embedding's output, of dims (sample, timestep, channel).
    layers : dict of str to str
        For those, the path of the embedding.
    """

    inputs: dict[str, xr.DataArray]
    context: dict[str, np.ndarray]
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    by_name: bool = False
    embedded: dict[str, xr.DataArray] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)

    @property
    def primary(self) -> str:
        """The input whose results have no name of their own: the first sequence."""
        return next(name for name in self.inputs if name not in self._static)

    @property
    def main(self) -> xr.DataArray:
        """The labelled array of the primary input."""
        return self.inputs[self.primary]

    @property
    def arrays(self) -> dict[str, xr.DataArray]:
        """What methods see, labelled: embeddings in place of token ids."""
        return {name: self.embedded.get(name, array) for name, array in self.inputs.items()}

    def parts(self, of: Callable[[str, xr.DataArray], Any] = lambda name, array: array.values) -> Parts:
        """Return what methods see: one array, or a dict of several; a static input as a sequence of one step."""
        found = {name: of(name, array) for name, array in self.arrays.items()}
        found = {name: values[:, None] if name in self._static else values for name, values in found.items()}
        return self._in_form(found)

    def like_parts(self, known: Mapping[str, Any]) -> Any:
        """Bring what is known of some inputs to the form of `parts`, with None for the others."""
        return self._in_form({name: known.get(name) for name in self.inputs})

    def _in_form(self, found: dict[str, Any]) -> Any:
        return found if len(found) > 1 else found[self.primary]

    def question(self, *, head: Callable[[Any], Any] | None = None, logits: bool = False) -> Question:
        """Return what an adapter has to know."""
        keys = {name: LAYER + self.layers[name] if name in self.layers else name for name in self.inputs}
        ids = {name: self.inputs[name].values for name in self.layers}
        return Question(keys, {**ids, **self.context}, self._static, head, logits, self.by_name)

    @property
    def _static(self) -> frozenset[str]:
        return frozenset(name for name, array in self.inputs.items() if "timestep" not in array.dims)

    def variables(self, name: str, parts: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
        """Name what was found for each part: ``attribution`` for the primary, ``attribution_static`` for another."""
        unknown = [part for part in parts if part not in self.inputs]
        if unknown:
            raise SchemaError(f"{name} holds {unknown}, and the inputs that are explained are {list(self.inputs)}")
        return {
            name if part == self.primary else f"{name}_{part}": self._placed(part, array)
            for part, array in parts.items()
        }

    def others(self) -> dict[str, xr.DataArray]:
        """Return the inputs beside the primary, under dims of their own."""
        beside = {name: array for name, array in self.inputs.items() if name != self.primary}
        named = {name: array.assign_attrs(long_name=f"input {name}") for name, array in beside.items()}
        return self.variables("input", named)

    def _placed(self, part: str, array: xr.DataArray) -> xr.DataArray:
        """Give the dims of a part that differ from the primary's a name of their own, and their labels."""
        if part == self.primary:
            return array
        own = self.inputs[part]
        if part in self._static and "timestep" in array.dims:
            if array.sizes["timestep"] != 1:
                raise SchemaError(
                    f"input {part!r} is static, and methods see it as one timestep of shape (sample, 1, channel); what "
                    f"was found for it has {array.sizes['timestep']} timesteps"
                )
            array = array.isel(timestep=0, drop=True)
        labels = {dim: own[dim] for dim in array.dims if dim in own.coords and own.sizes[dim] == array.sizes[dim]}
        array = array.assign_coords({dim: label.values for dim, label in labels.items() if dim != "sample"})
        names: dict[Hashable, str] = {dim: f"{dim}_{part}" for dim in array.dims if dim != "sample"}
        if "timestep" in names and "timestep" in labels and _same_steps(own, self.main):
            del names["timestep"]
        # Time stamps and tokens of one input are not those of another.
        further = {key: f"{key}_{part}" for key in array.coords if key not in array.dims and key != "sample"}
        return array.rename({**names, **further})

    @property
    def one_calendar(self) -> bool:
        """Whether all sequences of the primary's length have its labels, so that a layer's timesteps have them too."""
        alike = [a for a in self.inputs.values() if a.sizes.get("timestep") == self.main.sizes.get("timestep")]
        return all(_same_steps(array, self.main) for array in alike)


def _same_steps(a: xr.DataArray, b: xr.DataArray) -> bool:
    return a.indexes["timestep"].equals(b.indexes["timestep"])


def explain_inputs(adapter: Adapter, inputs: Any, only: Sequence[str] | str | None = None) -> Explained:
    """Label a user's inputs and split them into what is explained and what is handed on; `only` names the former."""
    labelled = label_each(inputs, adapter.inputs, dtype=adapter.dtype)
    chosen = None if only is None else name_list(only, "explain")
    wrong = [name for name in chosen or () if not isinstance(labelled.get(name), xr.DataArray)]
    if wrong:
        raise InputError(f"explain={wrong} cannot be explained or is no input; the inputs are {list(labelled)}")
    explained = {
        name: array
        for name, array in labelled.items()
        if isinstance(array, xr.DataArray)
        and (adapter.explains(name, array.values) if chosen is None else name in chosen)
    }
    if not explained:
        raise InputError(f"none of the inputs {list(labelled)} can be explained; sequences of numbers or token ids can")
    if not any("timestep" in array.dims for array in explained.values()):
        raise InputError(
            f"{', '.join(map(repr, explained))} is static, of shape (sample, channel); what is explained has one "
            "sequence at least, of shape (sample, timestep, channel)"
        )
    masks = {name: array["mask"].values for name, array in explained.items() if "mask" in array.coords}
    labels = _sample_labels(explained)
    explained = {
        name: array.drop_vars("mask", errors="ignore").assign_coords(sample=labels) for name, array in explained.items()
    }
    tokens = _tokens(inputs)
    for name, array in explained.items():
        if tokens is not None and array.dtype.kind in "iu" and array.shape == tokens.shape:
            explained[name] = array.assign_coords(token=(array.dims, tokens, {"long_name": "token"}))
    context = {name: np.asarray(array) for name, array in labelled.items() if name not in explained}
    by_name = isinstance(inputs, Mapping) and not isinstance(inputs, xr.Dataset)
    return Explained(explained, context, masks, by_name)


def _sample_labels(inputs: Mapping[str, xr.DataArray]) -> np.ndarray:
    """Return the labels of the samples, of the inputs that have more than a count."""
    found = {name: array["sample"].values for name, array in inputs.items()}
    counted = np.arange(len(next(iter(found.values()))))
    own = {name: labels for name, labels in found.items() if not np.array_equal(labels, counted)}
    first = next(iter(own.values()), counted)
    for name, labels in own.items():
        if not np.array_equal(labels, first):
            raise InputError(
                f"inputs {next(iter(own))!r} and {name!r} label their samples differently: {first.tolist()[:5]} and "
                f"{labels.tolist()[:5]}; bring them into one order: array.sel(sample=other.sample)"
            )
    return first


def _tokens(inputs: Any) -> np.ndarray | None:
    """Return the text of each token, of shape (sample, timestep), where the encoding of a fast tokenizer knows it."""
    if not (isinstance(inputs, Mapping) and getattr(inputs, "is_fast", False)):
        return None
    return np.array([encoding.tokens for encoding in inputs.encodings])  # type: ignore[attr-defined]
