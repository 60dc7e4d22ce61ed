"""Bad input to torch modules: a valid result, or a refusal that says what came; module and torch stay as they were."""

import functools
import inspect

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import attrkit
from attrkit.methods import find_method, method_names
from tests.fuzz import questions, strategies
from tests.fuzz.contract import OF_INPUTS, fuzz, outcome, refused

X = strategies.right_inputs().astype("float32")


class Network(nn.Module):
    """Everything that has a state: batch statistics, dropout, attention, a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.attend = nn.LSTM(2, 4, batch_first=True), nn.MultiheadAttention(4, 2, batch_first=True)
        self.drop, self.norm, self.head = nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x):
        hidden, _ = self.recurrent(x)
        hidden = self.drop(self.attend(hidden, hidden, hidden)[0].mean(1))
        return self.head(self.norm(hidden)).softmax(1)


@functools.cache
def network():
    """Return a module as it may be found: half in training, some of it frozen, with gradients and a hook."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Network().train()
        model(torch.tensor(X)).square().sum().backward()
    model.recurrent.eval()
    model.head.weight.requires_grad_(False)
    model.norm.register_forward_hook(lambda *seen: None)
    return model


def held(model):
    """Return all that a module holds and says of itself."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {
        "values": {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()},
        "versions": {name: tensor._version for name, tensor in tensors.items()},
        "gradients": {n: None if t.grad is None else t.grad.numpy().tobytes() for n, t in tensors.items()},
        "frozen": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "modes": {path: module.training for path, module in model.named_modules()},
        "attributes": {path: sorted(vars(module)) for path, module in model.named_modules()},
        "hooks": {
            path: [list(hooks) for name, hooks in vars(module).items() if name.endswith("_hooks")]
            for path, module in model.named_modules()
        },
    }


def tried(subject, about, inputs=X, method="gradient", **asked):
    """Explain the network; it must be as it was."""
    model = network()
    before = held(model)
    # A softmax has no relevance.
    asked = {"target": 0, "logits": method == "lrp", "show_progress": False, **asked}
    found = outcome(f"torch: {subject}", lambda: attrkit.extract(model, inputs, method, **asked), about=about)
    after = held(model)
    assert not [what for what in before if before[what] != after[what]]
    return found


@given(strategies.inputs(), st.sampled_from(["gradient", "attention"]))
@fuzz(25)
def test_inputs_of_a_module_are_explained_or_refused(values, method):
    found = tried("inputs", {**dict.fromkeys(OF_INPUTS), "values": values}, values, method)
    if not refused(found) and isinstance(values, np.ndarray) and values.shape == found["input"].shape:
        np.testing.assert_array_equal(found["input"], values.astype("float32"))


@given(questions.targets(), questions.output_labels(), st.sampled_from(["gradient", "occlusion", "lrp"]))
@fuzz(40)
def test_targets_of_a_module_are_explained_or_refused(target, labels, method):
    about = {"target": target, "output": None, "output_labels": labels}
    tried("targets", about, method=method, target=target, output_labels=labels)


@given(
    questions.baselines() | strategies.odd(),
    questions.masks() | st.just(None),
    st.sampled_from(["integrated_gradients", "occlusion"]),
)
@fuzz(40)
def test_baselines_and_masks_of_a_module_are_taken_or_refused(baseline, mask, method):
    about = {"baseline": baseline, "mask": mask, "columns": None, "label": None, "input": None}
    tried("baselines and masks", about, method=method, baseline=baseline, mask=mask)


@st.composite
def options(draw):
    method = draw(st.sampled_from(method_names()))
    known = [
        name
        for name, parameter in inspect.signature(find_method(method)[1]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("prediction", "inputs", "mask", "masks")
    ]
    return method, draw(st.sampled_from([*known, "batch_size", "layer"])), draw(strategies.odd())


@given(options())
@fuzz(60)
def test_options_of_methods_on_a_module_are_taken_or_refused(asked):
    method, name, value = asked
    about = {name: value, "attention": None, "steps": None}
    tried(f"options of {method}", about, method=method, **{name: value})
