"""Hugging Face transformers: torch modules called by keyword, that know their padding and have fused attention."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from attrkit.adapters._interception import LOCK
from attrkit.adapters.base import Adapter
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import LAYER, Call, Reader
from attrkit.parts import Parts

HANDLES = ("transformers.modeling_utils",)

# Where a config says how. The property over it sets the configs of parts too, which could not be put back.
_IMPLEMENTATION = "_attn_implementation_internal"

# What models return beside their answer; states, attentions and caches are no tensors but tuples of such.
_NOT_OUTPUTS = ("loss", "encoder_last_hidden_state", "loc", "scale", "static_features")

# Under these names an attention gets what it attends to, where that is not what attends.
_OTHER_STATES = ("key_value_states", "encoder_hidden_states")


class Transformer(TorchModule):
    """A ``transformers.PreTrainedModel``, or a torch module that holds one."""

    embeds_by_call = True

    def describe(self) -> dict[str, str]:  # noqa: D102
        return {**super().describe(), "transformers_version": version("transformers")}

    def explains(self, name: str, values: np.ndarray) -> bool:
        """Whether an input is the sequence itself: token ids, embeddings, values, but no mask and no positions."""
        if values.dtype.kind != "f":
            return name in ("input_ids", self._pretrained.main_input_name)
        return not name.startswith(("decoder_", "labels")) and not name.endswith("_mask")

    def _ways_for(self, x: Parts, key: Any) -> tuple[str, ...]:
        # Its attention is switched for each pass.
        return self.ways

    def masks(self, x: Parts) -> dict[str, np.ndarray]:  # noqa: D102
        given = self.question.context.get("attention_mask")
        if given is None or given.ndim != 2:
            return {}
        return {next(iter(x)) if isinstance(x, Mapping) else "": given.astype(bool)}

    @property
    def output_labels(self) -> list[str] | None:  # noqa: D102
        names = getattr(self._pretrained.config, "id2label", None) or {}
        # Every config has some; those of no meaning count classes.
        known = (
            self._pretrained is self.model
            and "ForSequenceClassification" in type(self.model).__name__
            and len(names) > 1
        )
        return list(names.values()) if known and not all(n.startswith("LABEL_") for n in names.values()) else None

    def word_embeddings(self) -> list[str]:
        """Return the paths of the layers that hold the model's table of words: several where its parts share one."""
        try:
            table = self._pretrained.get_input_embeddings().weight
        except (AttributeError, NotImplementedError):
            return []
        return [entry.path for entry in self.layers() if getattr(entry.layer, "weight", None) is table]

    @cached_property
    def _pretrained(self) -> Any:
        """The model, or the first that it holds."""
        return next(module for module in self.model.modules() if holds_transformer([module]))

    @contextmanager
    def _as_in_pass(self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool) -> Iterator[Any]:
        kinds = {entry.path: entry.kind for entry in self.layers()}
        attentions = [path for path in readers if "Attention" in kinds[path]]
        readers = {**readers, **{path: self._masked(path, readers[path], feed) for path in attentions}}
        rest, readers = self._embeddings_imposed(self._in_own_dtype(feed), readers)
        with ExitStack() as stack:
            stack.enter_context(LOCK)
            if attentions or self.question.imposed:
                # Layers of releases before 5 drop their weights, unless the model is asked for them.
                stack.enter_context(
                    _eager_attention(self.model, asked="output_attentions" in _parameters(self._pretrained))
                )
            yield stack.enter_context(super()._as_in_pass(rest, readers, training))

    def _arguments(self, feed: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        given = {name: values for name, values in feed.items() if not name.startswith(LAYER)}
        flags = {"use_cache": False, "return_dict": True}
        return [], {**{name: value for name, value in flags.items() if name in _parameters(self.model)}, **given}

    def _named(self, outputs: Any, seen: list[tuple[Any, Any]]) -> dict[str, Any]:
        if not isinstance(outputs, Mapping) or self.question.head is not None:
            return super()._named(outputs, seen)
        answer = {name: value for name, value in outputs.items() if name not in _NOT_OUTPUTS} or dict(outputs)
        answer = {name: value for name, value in answer.items() if isinstance(value, self._torch.Tensor)} or answer
        if "logits" in answer:
            # These are before their softmax already, as logits=True asks.
            return super()._named(answer, [(value, value) for value in answer.values()])
        return super()._named(answer, seen)

    def _embeddings_imposed(
        self, feed: Mapping[str, Any], readers: Mapping[str, Reader]
    ) -> tuple[dict[str, Any], dict[str, Reader]]:
        """Put embeddings that a feed replaces into the call that got the input's ids, and no other call."""
        inputs = {key: name for name, key in self.question.explained.items()}
        kept, imposed = {}, {}
        for key, values in feed.items():
            if key.startswith(LAYER) and key in inputs:
                path = key.removeprefix(LAYER)
                imposed[path] = _in_call_of(feed[inputs[key]], values, readers.get(path))
            else:
                kept[key] = values
        return kept, {**readers, **imposed}

    def _masked(self, path: str, reader: Reader, feed: Mapping[str, Any]) -> Reader:
        """Return a reader that, for attention of a decoder, also says which queries and keys are padded.

        Its timesteps are not those of the input, whose mask would be taken otherwise.
        """
        if not (getattr(self._pretrained.config, "is_encoder_decoder", False) and "decoder" in path.split(".")):
            return reader
        torch = self._torch

        def mask(name: str, weights: Any, axis: int) -> Any:
            given = feed.get(name)
            shape = (len(weights), weights.shape[axis])
            whole = torch.ones(shape, dtype=torch.bool, device=weights.device)
            return given.bool() if given is not None and given.shape == shape else whole

        def read(call: Call) -> tuple[Any, dict[str, Any]]:
            output, found = reader(call)
            if "attention" not in found:
                return output, found
            arguments = inspect.signature(call.original).bind(*call.args, **call.kwargs).arguments
            arguments |= arguments.get("kwargs", {})
            crossed = any(arguments.get(name) is not None for name in _OTHER_STATES)
            keys = "attention_mask" if crossed else "decoder_attention_mask"
            weights = found["attention"]
            masks = {"query_mask": mask("decoder_attention_mask", weights, 2), "key_mask": mask(keys, weights, 3)}
            return output, {**found, **masks}

        return read


def adapt(model: Any) -> Adapter:
    """Return the adapter of a model of transformers."""
    return Transformer(model)


def holds_transformer(modules: Iterable[Any]) -> bool:
    """Whether a model of transformers is among some modules, such as those of a user's own model around it."""
    return any(cls.__module__ in HANDLES for module in modules for cls in type(module).__mro__)


def _parameters(model: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(model.forward).parameters


@contextmanager
def _eager_attention(model: Any, *, asked: bool) -> Iterator[None]:
    """Let a model compute attention so that its weights exist, and put back how it did.

    Every config is set: composite models have one a part, and what is masked is decided by the whole model's.
    """
    found = (getattr(module, "config", None) for module in model.modules())
    configs = list({id(config): config for config in found if hasattr(config, _IMPLEMENTATION)}.values())
    settings = {_IMPLEMENTATION: "eager", **({"output_attentions": True} if asked else {})}
    before = [{name: getattr(config, name) for name in settings} for config in configs]
    try:
        for config in configs:
            for name, value in settings.items():
                setattr(config, name, value)
        yield
    finally:
        for config, own in zip(configs, before, strict=True):
            for name in reversed(settings):
                setattr(config, name, own[name])


def _in_call_of(ids: Any, values: Any, reader: Reader | None) -> Reader:
    """Return a reader that puts `values` in place of the output of the first call with these ids."""
    done: list[bool] = []

    def read(call: Call) -> tuple[Any, dict[str, Any]]:
        given = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
        if not done and getattr(given, "shape", None) == ids.shape and bool((given == ids).all()):
            done.append(True)
            call = call._replace(original=lambda *args, **kwargs: values)
        return (call.original(*call.args, **call.kwargs), {}) if reader is None else reader(call)

    return read
