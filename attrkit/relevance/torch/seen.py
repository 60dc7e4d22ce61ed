"""One pass of a model, as its torch functions are seen: which rule each has, and what is known of each tensor."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from attrkit.errors import RefusedError
from attrkit.relevance.composites import Composite
from attrkit.relevance.flow import INTO, OUT_OF
from attrkit.relevance.rule import passes
from attrkit.relevance.torch.flow import (
    Record,
    Samples,
    TorchFlow,
    numbered,
    numbers,
    same_place,
    unnumbered,
    without,
)
from attrkit.relevance.torch.names import full_name, name_of, name_of_base, out_of_place, words
from attrkit.relevance.torch.tensors import changed, is_tensor, tensors_in


@dataclass(frozen=True)
class Module:
    """A module that is running: where it stands, its class, the rule given for it."""

    path: str
    kind: str
    rule: Any = None


HEAD = Module("", "the function given as target")


@dataclass
class Seen:
    """One call of a torch function with tensors that relevance flows through.

    A rule returns the function's result. What it sets in `made`, `fused` and `samples` is noted of that result.
    """

    run: "Pass"
    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    live: list[Any]
    records: list[Record]
    flow: TorchFlow
    made: str | None = None
    fused: Callable[[Any], Any] | None = None
    samples: Samples | None = None

    def take(self, names: str) -> list[Any]:
        """Return arguments by the names they have in order; None for what is not given."""
        keys = names.split()
        return [self.args[i] if i < len(self.args) else self.kwargs.get(key) for i, key in enumerate(keys)]

    def is_live(self, value: Any) -> bool:
        """Whether relevance flows through a value."""
        return self.run.record_of(value) is not None

    def of(self, value: Any) -> Record:
        """Return what is known of a tensor that relevance flows through."""
        record = self.run.record_of(value)
        assert record is not None
        return record

    def plain(self) -> Any:
        """Return the function's own result: the plain gradient."""
        return self.func(*self.args, **self.kwargs)

    def again(self, change: Callable[[Any], Any]) -> Any:
        """Run the function with each of its arguments changed."""
        import torch

        # What stands in may lie in memory in another way, which views would ask for.
        func = {"view": torch.Tensor.reshape, "view_as": torch.Tensor.reshape_as}.get(self.name, self.func)
        return func(*changed(self.args, change), **changed(self.kwargs, change))

    def refuse(self, why: str) -> NoReturn:
        """Refuse the function, by name and place."""
        raise self.run.refusal(f"{full_name(self.func)} ({why})")


class Pass:
    """What holds for one pass: the modules that are running, and the records of tensors.

    Parameters
    ----------
    flow : TorchFlow
    composite : Composite
    rules : mapping of str to callable
        By the name of a function; each maps a `Seen` call to the function's result.
    structural : set of str
        Functions whose plain gradient is the rule.
    rearranging : set of str
        Those of them that only put values elsewhere.
    layers : set of str
        Paths of the modules that have a column of their own; empty where layers are not told apart.
    """

    def __init__(
        self,
        flow: TorchFlow,
        composite: Composite,
        *,
        rules: Mapping[str, Callable[[Seen], Any]],
        structural: frozenset[str],
        rearranging: frozenset[str],
        layers: frozenset[str],
    ) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self.flow = flow
        self.composite = composite
        self.rules = rules
        self.structural = structural
        self.rearranging = rearranging
        self.layers = layers
        self.running: list[Module] = []
        self.is_seeing = True
        self.has_softmax = False
        self._watched = {id(value) for value in flow.inputs.values()}
        # Made of parameters and nothing else.
        self._weights = WeakTensorKeyDictionary()
        # What a tapped tensor was before.
        self._untapped = WeakTensorKeyDictionary()

    # ---- what is known of tensors -----------------------------------------------------------------------------

    def record_of(self, value: Any) -> Record | None:
        """Return what is known of a tensor that relevance flows through; None for a constant."""
        if not is_tensor(value) or not value.requires_grad:
            return None
        record = self.flow.known.get(value)
        if record is None and value.grad_fn is not None and value not in self._weights:
            # A constant that was made before the pass, or something that no mode sees made it.
            name = _maker(value, self._watched)
            if name:
                raise self.refusal(f"{name}, which torch does not show")
            self._weights[value] = True
        return record

    def is_weight(self, value: Any) -> bool:
        """Whether a constant is a parameter, or made of parameters only."""
        import torch

        return isinstance(value, torch.nn.Parameter) or value in self._weights

    def note(self, value: Any, record: Record) -> None:
        """Note what is known of a new tensor."""
        if is_tensor(value) and value.requires_grad:
            self.flow.known[value] = record

    # ---- functions --------------------------------------------------------------------------------------------

    def function(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a torch function by its rule."""
        name = name_of(func)
        if name in _ASKS:
            return func(*args, **kwargs)
        given = tensors_in((args, tuple(kwargs.values())))
        live = [value for value in given if self.record_of(value) is not None]
        if not live:
            result = func(*args, **kwargs)
            if given and all(self.is_weight(value) for value in given):
                for value in tensors_in((result,)):
                    self._weights[value] = True
            return result
        into = None
        if self.is_seeing:
            if kwargs.get("out") is not None:
                raise self.refusal(f"{full_name(func)} with out=")
            if name.endswith("_") and not name.startswith("_") and name not in self.structural:
                into, name = args[0], name_of_base(name)
                func = out_of_place(func, name)
            elif kwargs.get("inplace"):
                into, kwargs = args[0], {**kwargs, "inplace": False}
        if into is not None and name in self.rules:
            # What is written to cannot be what a rule keeps for its gradient.
            record = self.record_of(into)
            args = (into.clone(), *args[1:])
            if record is not None:
                self.note(args[0], record)
            live = self.live(args, tuple(kwargs.values()))
        records = [self.flow.known[value] for value in live]
        flow = self.flow.at(self.module.path).placed(records[0].samples)
        seen = Seen(self, name, func, args, kwargs, live, records, flow)
        result = self._by_rule(seen) if self.is_seeing else self._as_it_is(seen)
        if into is None:
            return result
        record = self.flow.known.get(result)
        if into.shape != result.shape:
            raise self.refusal(f"{full_name(func)} in place")
        into.copy_(result)
        if record is not None:
            self.note(into, record)
        return into

    def _as_it_is(self, seen: Seen) -> Any:
        result = seen.plain()
        self.follow(seen, result)
        return result

    def _by_rule(self, seen: Seen) -> Any:
        name, module, rule = seen.name, self.module, self.rules.get(seen.name)
        pending = next((record for record in seen.records if record.made in PENDING), None)
        alike = all(record.made == seen.records[0].made for record in seen.records)
        if pending is not None and name not in _TAKES_PENDING and not (alike and name in self.structural):
            raise self.refusal(f"{pending.by} that is not {PENDING[pending.made or '']}")
        if rule is None and name not in self.structural:
            result = seen.plain()
            if module.rule is not passes and any(value.requires_grad for value in tensors_in((result,))):
                raise self.refusal(full_name(seen.func))
            self.follow(seen, result)
            return result
        taps = rule is not None and self.is_apart and name != "setitem"
        if taps:
            args, kwargs = self.tapped(INTO, (seen.args, seen.kwargs), seen.flow)
            seen = replace(seen, args=args, kwargs=kwargs, live=self.live(args, tuple(kwargs.values())))
        result = seen.plain() if rule is None else rule(seen)
        if seen.made is not None or seen.fused is not None or seen.samples is not None:
            for value in tensors_in((result,)):
                place = seen.samples or same_place(seen.records[0].samples, value)
                self.note(value, Record(place, seen.made, full_name(seen.func), fused=seen.fused))
        self.follow(seen, result)
        return self.tapped(OUT_OF, result, seen.flow) if taps else result

    # ---- what is known of results -----------------------------------------------------------------------------

    def follow(self, seen: Seen, result: Any) -> None:
        """Note where results have their samples, and what they still are, unless the rule has said so."""
        if seen.name == "setitem":
            self._follow_setitem(*seen.args)
            return
        new = [v for v in tensors_in((result,)) if v.requires_grad and v not in self.flow.known]
        if not new:
            return
        first, name = seen.records[0], seen.name
        alike = all(record.made == first.made for record in seen.records)
        made = first.made if alike and (name in self.structural or name in _TAKES_PENDING) else None
        is_input = first.input is not None and len(seen.live) == 1 and name in self.rearranging | _KEEPS_INPUT
        twins = self._twins(seen, len(new), first.twins) if is_input else [{} for _ in new]
        places = self._rearranged(seen, new, result) if name in self.rearranging else self._places(seen, new)
        for value, place, own in zip(new, places, twins, strict=True):
            self.note(value, Record(place, made, first.by, first.input if is_input else None, own))

    def _rearranged(self, seen: Seen, new: list[Any], result: Any) -> list[Samples | None]:
        import torch

        found = [record.samples for record in seen.records if record.samples is not None]
        if len(found) < len(seen.records):
            return [None] * len(new)
        if all(place.axis is None and place.index is found[0].index for place in found):
            return [found[0]] * len(new)
        own = {id(value): numbers(place, value) for value, place in zip(seen.live, found, strict=True)}

        def number(value: Any) -> Any:
            if not is_tensor(value) or not value.is_floating_point():
                return value
            return own[id(value)] if id(value) in own else unnumbered(value)

        with torch.no_grad():
            again = seen.again(number)
        by_id = {id(v): n for v, n in zip(tensors_in((result,)), tensors_in((again,)), strict=True)}
        return [numbered(by_id[id(value)]) for value in new]

    def _twins(self, seen: Seen, count: int, twins: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{} for _ in range(count)]
        for leaf, twin in twins.items():
            again = seen.again(partial(_instead, seen.live[0], twin))
            moved = [value for value in tensors_in((again,)) if value.requires_grad]
            for own, value in zip(found, moved, strict=True):
                own[leaf] = value
        return found

    def _places(self, seen: Seen, new: list[Any]) -> list[Samples | None]:
        if seen.name in REDUCING and seen.args and seen.args[0] is seen.live[0]:
            given = seen.args[1:] or tuple(seen.kwargs[key] for key in ("dim", "axis") if key in seen.kwargs)
            if not given or not is_tensor(given[0]):
                axes, kept = _reduced(seen.live[0], given, seen.kwargs)
                return [without(seen.records[0].samples, axes, kept=kept)] * len(new)
        found = [[same_place(record.samples, value) for record in seen.records] for value in new]
        return [next((place for place in places if place is not None), None) for places in found]

    def _follow_setitem(self, into: Any, index: Any, value: Any) -> None:
        import torch

        record, source = self.flow.known.get(into), self.record_of(value)
        place = None if record is None else record.samples
        if source is not None and (record is None or place is not None):
            own = source.samples
            if own is None:
                place = None
            elif place is None or place.axis is None or not torch.equal(place.index, own.index):
                written = unnumbered(into) if place is None else numbers(place, into)
                written = written.clone()
                written[index] = numbers(own, value)
                place = numbered(written)
        if record is not None or source is not None:
            self.note(into, Record(place))

    # ---- modules ----------------------------------------------------------------------------------------------

    @property
    def module(self) -> Module:
        """The innermost module that is running."""
        return self.running[-1] if self.running else HEAD

    @property
    def is_apart(self) -> bool:
        """Whether functions are in none of the layers that are told apart; they share the column without a name."""
        return bool(self.layers) and self.module.path not in self.layers

    def given_rule(self) -> Any:
        """Return the rule for layers of weights that was given for a module that is running, the innermost first."""
        for module in reversed(self.running):
            if module.rule is not None and not callable(module.rule):
                return module.rule
        return None

    def live(self, *values: Any) -> list[Any]:
        """Return the tensors, in lists, tuples and dicts too, that relevance flows through."""
        return [value for value in tensors_in(values) if self.record_of(value) is not None]

    @contextmanager
    def inside(self, module: Module) -> Iterator[None]:
        """Run a module's forward."""
        self.running.append(module)
        try:
            yield
        finally:
            self.running.pop()

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Let functions run as they are; where samples are is still followed."""
        before, self.is_seeing = self.is_seeing, False
        try:
            yield
        finally:
            self.is_seeing = before

    def tapped(self, leaf: str, values: Any, flow: TorchFlow) -> Any:
        """Return values in lists, tuples and dicts, with the relevance of tensors noted in a leaf."""
        # One tensor under several names stays one, which functions ask for.
        done: dict[int, Any] = {}

        def tap(value: Any) -> Any:
            record = self.record_of(value)
            if record is None:
                return value
            if id(value) not in done:
                with self.unseen():
                    done[id(value)] = flow.placed(record.samples).tapped(leaf, value)
                self.note(done[id(value)], replace(record, fused=None))
                self._untapped[done[id(value)]] = value
            return done[id(value)]

        return changed(values, tap)

    def untapped(self, value: Any) -> Any:
        """Return the result of a softmax or sigmoid as it was made, which is how its logits are found."""
        record = self.record_of(value)
        if record is None or record.made not in ("softmax", "log_softmax", "gate"):
            return value
        return self._untapped.get(value, value)

    def adopt(self, values: Any, given: list[Any]) -> None:
        """Note of what a user's rule returns, by functions that torch does not show, where its samples should be."""
        records = [self.flow.known[value] for value in given if value in self.flow.known]
        for value in tensors_in((values,)):
            if value.requires_grad and value not in self.flow.known and records:
                self.note(value, Record(same_place(records[0].samples, value)))

    def check_known(self, values: Any) -> None:
        """Refuse what a module has made by means that torch does not show."""
        for value in tensors_in((values,)):
            self.record_of(value)

    def refusal(self, what: str) -> RefusedError:
        """Return the refusal of a function in the module that is running."""
        module = self.module
        place = module.kind if module is HEAD else f"{module.path or 'the model itself'} ({module.kind})"
        return RefusedError(
            f"lrp has no rule for {what}, in {place}. Give one for the module: "
            f"composite=COMPOSITES['arras'].extended({{'its type or path': rule}}), where attrkit.relevance.passes is "
            "the rule of a module whose functions are linear, or have rules of their own; or use integrated_gradients"
        )


PENDING = {"spread": "only divided by", "log_softmax": "the model's output; logits=True explains what goes into it"}
"""What a tensor may be made into that has no rule until it is used, and the one use that has."""

REDUCING = words(
    "sum mean nansum nanmean max min amax amin median std var norm prod logsumexp vector_norm linalg_vector_norm"
)

# They ask about a tensor, or of nothing at all.
_ASKS = words(
    ".shape .dtype .device .is_cuda .is_nested .grad_fn .requires_grad .ndim .layout .is_leaf .is_sparse .names "
    "size dim numel stride is_floating_point is_complex is_contiguous __len__ _set_grad_enabled set_grad_enabled "
    "is_cuda get_device storage_offset data_ptr nelement ndimension element_size register_hook retain_grad"
)

# Between a model's input and the layer that is called with it.
_KEEPS_INPUT = words("to type type_as float double half bfloat16 pad constant_pad_nd dropout alias as_tensor")

_TAKES_PENDING = words("mul div sqrt rsqrt pow square reciprocal clamp clamp_min maximum spread")


def _instead(value: Any, other: Any, found: Any) -> Any:
    return other if found is value else found


def _maker(value: Any, watched: set[int]) -> str:
    """Return the name of what made a tensor that depends on the model's inputs; empty for one that does not."""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in watched:
            return str(value.grad_fn.name())
        waiting += [following for following, _ in node.next_functions]
    return ""


def _reduced(x: Any, given: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[int], bool]:
    """Return the axes that a function sums over, from the end, and whether it keeps them."""
    dims = given[0] if given else None
    kept = bool(kwargs.get("keepdim", kwargs.get("keepdims", given[1] if len(given) > 1 else False)))
    if dims is None:
        return list(range(-x.ndim, 0)), kept
    dims = [dims] if isinstance(dims, int) else dims
    return [dim if dim < 0 else dim - x.ndim for dim in dims], kept
