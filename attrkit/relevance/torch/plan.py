"""How a pass with rules begins, and what is refused before it does."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any

from attrkit.adapters._interception import intercepted
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import Call, Layer, Reader
from attrkit.errors import RefusedError
from attrkit.relevance.composites import Composite
from attrkit.relevance.flow import INTO, OUT_OF
from attrkit.relevance.ops import torch_ops
from attrkit.relevance.rule import passes
from attrkit.relevance.torch.flow import Record, TorchFlow, on_first_axis
from attrkit.relevance.torch.functions import REARRANGING, RULES, STRUCTURAL
from attrkit.relevance.torch.seen import PENDING, Module, Pass
from attrkit.relevance.torch.tensors import changed, is_tensor

Begin = Callable[[dict[str, Any], dict[str, Any]], tuple[Mapping[str, Reader], Any]]

SOFTMAX = (
    "a softmax makes the model's output, and shares one whole among all; pass logits=True to explain what goes in, or "
    "a function of what the model returns beside it"
)


def plan(model: TorchModule, composite: Composite, *, by_layer: bool) -> tuple[list[str], Begin]:
    """Return the layers that have a column each, the first for what is in none, and what begins a pass.

    Raises
    ------
    RefusedError
        If the model has parts that run no Python functions.
    """
    import torch

    scripted = [
        f"{path or 'the model itself'} ({type(part).__name__})"
        for path, part in model.model.named_modules()
        if isinstance(part, torch.jit.ScriptModule)
    ]
    if scripted:
        raise RefusedError(
            f"lrp sees no functions inside of modules that were compiled by torch.jit: {', '.join(scripted[:3])}; use "
            "the module that it was made of, or integrated_gradients"
        )
    modules = _modules(model.model, composite)
    layers = ["", *_apart(model.model, modules)] if by_layer else [""]
    columns = {path: i for i, path in enumerate(layers)}

    def begin(own: dict[str, Any], inputs: dict[str, Any]) -> tuple[Mapping[str, Reader], Any]:
        from torch.utils.weak import WeakTensorKeyDictionary

        flow = TorchFlow(
            torch_ops(),
            composite.epsilon,
            composite.attention,
            own,
            columns=columns,
            inputs=inputs,
            known=WeakTensorKeyDictionary(),
        )
        run = Pass(
            flow,
            composite,
            rules=RULES,
            structural=STRUCTURAL,
            rearranging=REARRANGING,
            layers=frozenset(layers[1:]),
        )
        for name, values in inputs.items():
            # What is handed on beside the input only weighs it, such as a mask.
            made = "gate" if name in model.question.context else None
            twins = {leaf: beside for leaf, beside in own.items() if leaf.endswith(f" {name}")}
            run.note(values, Record(on_first_axis(values), made, "input", name, twins))
        return {}, _held(run, model, modules, columns)

    return layers, begin


def _modules(model: Any, composite: Composite) -> dict[str, Module]:
    import torch

    lists = (torch.nn.ModuleList, torch.nn.ModuleDict, torch.nn.ParameterList, torch.nn.ParameterDict)
    return {
        path: Module(path, type(part).__name__, composite.rule_of(path, type(part).__name__))
        for path, part in model.named_modules()
        if not isinstance(part, lists)
    }


def _apart(model: Any, modules: Mapping[str, Module]) -> Iterator[str]:
    """Yield the paths of the modules that are told apart: those without others in them, or with a rule of their own."""
    import torch

    covered: list[str] = []
    for path, part in model.named_modules():
        if path not in modules or not path or any(path.startswith(f"{other}.") for other in covered):
            continue
        has_rule = _is_own(modules[path].rule)
        if has_rule or isinstance(part, torch.nn.MultiheadAttention):
            covered.append(path)
        if has_rule or path in covered or not any(True for _ in part.children()):
            yield path


def _is_own(rule: Any) -> bool:
    return callable(rule) and rule is not passes


@contextmanager
def _held(run: Pass, model: TorchModule, modules: Mapping[str, Module], columns: Mapping[str, int]) -> Iterator[None]:
    import torch

    parts = dict(model.model.named_modules())
    entries = [Layer(path, module.kind, parts[path]) for path, module in modules.items()]
    readers = {path: _reader(run, module, columns, model) for path, module in modules.items()}
    with ExitStack() as stack:
        if any(hasattr(part, "_orig_mod") or part._compiled_call_impl is not None for part in parts.values()):
            # What torch.compile has compiled would not be seen.
            if not hasattr(torch.compiler, "set_stance"):
                raise RefusedError("lrp of modules inside that torch.compile has compiled needs torch 2.6 or newer")
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(intercepted("forward", lambda: entries, readers))
        stack.enter_context(_mode()(run))
        yield


def _reader(run: Pass, module: Module, columns: Mapping[str, int], model: TorchModule) -> Reader:
    is_layer = bool(run.layers) and module.path in columns and module.path != ""

    def forward(call: Call) -> tuple[Any, None]:
        if not run.is_seeing:
            return call.original(*call.args, **call.kwargs), None
        flow = run.flow.at(module.path)
        with run.inside(module):
            if is_layer:
                call = call._replace(args=run.tapped(INTO, call.args, flow), kwargs=run.tapped(INTO, call.kwargs, flow))
            if _is_own(module.rule):
                output = _by_own_rule(run, module, call, flow)
            else:
                output = call.original(*call.args, **call.kwargs)
            run.check_known(output)
            if is_layer:
                output = run.tapped(OUT_OF, output, flow)
            if len(run.running) == 1:
                with run.unseen():
                    ends = run.untapped if model.question.logits else partial(_guarded, run)
                    output = changed(output, ends)
        return output, None

    return forward


def _by_own_rule(run: Pass, module: Module, call: Call, flow: TorchFlow) -> Any:
    given = run.live(call.args, call.kwargs)
    if given:
        flow = flow.placed(run.flow.known[given[0]].samples)
    with run.unseen():
        output = module.rule(call, flow)
        run.adopt(output, given)
    return output


def _guarded(run: Pass, value: Any) -> Any:
    """Return an output of the model that refuses a gradient, if what has made it has no rule."""
    if not is_tensor(value) or not value.is_floating_point():
        return value
    record = run.record_of(value)
    if record is not None and record.made == "spread":
        refusal = run.refusal(f"{record.by} that is not {PENDING['spread']}")
    elif run.has_softmax if record is None else record.made in ("softmax", "log_softmax"):
        refusal = RefusedError(f"lrp: {SOFTMAX}")
    else:
        return value
    guarded = _guard().apply(value, next(iter(run.flow.leaves.values())), refusal)
    run.note(guarded, Record(None if record is None else record.samples))
    return guarded


@cache
def _mode() -> Any:
    """Return the class of the mode that sees every torch function of a pass; torch is imported by now."""
    from torch.overrides import TorchFunctionMode

    class Rules(TorchFunctionMode):
        def __init__(self, run: Pass) -> None:
            super().__init__()
            self.run = run

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return self.run.function(func, args, kwargs or {})

    return Rules


@cache
def _guard() -> Any:
    import torch

    class Guard(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Any, leaf: Any, refusal: RefusedError) -> Any:
            ctx.refusal = refusal
            return value.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            if bool(gradient.any()):
                raise ctx.refusal
            return None, None, None

    return Guard
