"""A module is left as it was found, whatever its state, the thread it runs in, and the modes torch is in."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import attrkit

METHODS = ["gradient", "integrated_gradients", "smoothgrad", "occlusion", "attention"]

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")


class Model(nn.Module):
    """Everything that has a state: batch statistics, dropout, attention, a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.drop = nn.Linear(3, 8), nn.BatchNorm1d(12), nn.Dropout(0.5)
        self.recurrent = nn.LSTM(8, 8, 2, dropout=0.5, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        hidden = self.drop(self.norm(self.embed(x)))
        return self.head(self.encoder(self.recurrent(hidden)[0]).mean(1))


def explain(model, x, method="gradient", **options):
    return attrkit.extract(model, x, method, show_progress=False, **options)


def found(ds):
    return ds["attention" if "attention" in ds else "attribution"].values


def in_evaluation(x, method="gradient"):
    """What the model of this seed gives in evaluation mode."""
    torch.manual_seed(7)
    return found(explain(Model().eval(), x, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("state", ["training", "evaluation", "mixed"])
def test_everything_stays_as_it_was(x, method, state):
    expected = in_evaluation(x, method)
    torch.manual_seed(7)
    model = Model().train(state != "evaluation")
    if state == "mixed":
        model.norm.eval()
        model.encoder.self_attn.eval()
    model.head.weight.requires_grad_(False)
    model(torch.tensor(x)).sum().backward()
    # As built again, since a pass in training mode moves the averages.
    model.norm.reset_running_stats()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    versions = {name: value._version for name, value in model.state_dict(keep_vars=True).items()}
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    generator = torch.get_rng_state()

    np.testing.assert_allclose(found(explain(model, x, method)), expected, atol=1e-6)

    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert {name: value._version for name, value in model.state_dict(keep_vars=True).items()} == versions
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name != "head.weight")
        assert (parameter.grad is None) == (gradients[name] is None)
        if parameter.grad is not None:
            np.testing.assert_array_equal(parameter.grad, gradients[name])
    np.testing.assert_array_equal(torch.get_rng_state(), generator)


def test_a_pass_in_training_mode_leaves_no_trace(x):
    model = Model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outputs = attrkit.layer_outputs(model, x, "norm", training=True)
    hidden = model.embed(torch.tensor(x))
    expected = nn.functional.batch_norm(hidden, None, None, training=True).detach()
    np.testing.assert_allclose(outputs["norm"]["activation"], expected, atol=1e-5)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert not any(module.training for module in model.modules())


def test_a_failing_pass_leaves_no_trace(x):
    model = Model().train()
    attributes = [set(vars(module)) for module in model.modules()]
    for method in ("gradient", "attention"):
        with pytest.raises(attrkit.errors.InputError, match="the model fails on inputs of shape"):
            explain(model, x[:, :5], method)
    assert all(module.training for module in model.modules())
    assert [set(vars(module)) for module in model.modules()] == attributes


def test_hooks_of_the_user_stay_and_are_called(x):
    model = Model()
    calls = []
    model.encoder.self_attn.register_forward_pre_hook(lambda *given: calls.append("before"))
    model.encoder.self_attn.register_forward_hook(lambda *given: calls.append("after"))
    model.embed.register_full_backward_hook(lambda *given: calls.append("backward"))
    # A hook that changes what a layer puts out is part of the model.
    model.head.register_forward_hook(lambda module, args, output: 2 * output)
    np.testing.assert_allclose(found(explain(model, x)), 2 * in_evaluation(x), atol=1e-6)
    assert set(calls) == {"before", "after", "backward"}
    calls.clear()
    np.testing.assert_allclose(found(explain(model, x, "attention")), in_evaluation(x, "attention"), atol=1e-6)
    assert set(calls) == {"before", "after"}
    for hooks in ("_forward_hooks", "_forward_pre_hooks"):
        assert len(getattr(model.encoder.self_attn, hooks)) == 1
    assert len(model.embed._backward_hooks) == 1


def test_a_forward_of_the_user_s_own_comes_back(x):
    model = Model().eval()
    attention, own = model.encoder.self_attn, model.encoder.self_attn.forward
    attention.forward = lambda *args, need_weights=True, average_attn_weights=True, **options: own(
        *args, need_weights=need_weights, average_attn_weights=average_attn_weights, **options
    )
    stand_in = attention.forward
    np.testing.assert_allclose(found(explain(model, x, "attention")), in_evaluation(x, "attention"), atol=1e-6)
    assert attention.forward is stand_in


def test_a_backward_pass_of_the_user_s_goes_on_after(x):
    model = Model().eval()
    loss = model(torch.tensor(x)).sum()
    for method in METHODS:
        explain(model, x, method)
    loss.backward()
    assert model.embed.weight.grad is not None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_modes_of_the_user(x, mode, method):
    expected = in_evaluation(x, method)
    torch.manual_seed(7)
    model = Model()
    with mode():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        np.testing.assert_allclose(found(explain(model, x, method)), expected, atol=1e-6)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    model(torch.tensor(x)).sum().backward()


def test_models_made_in_inference_mode(x):
    with torch.inference_mode():
        model = Model().eval()
    explain(model, x, "occlusion")
    with pytest.raises(attrkit.errors.InputError, match="Inference tensors cannot be saved for backward"):
        explain(model, x)


@pytest.mark.parametrize("default", ["device", "dtype"])
def test_defaults_of_the_user(x, default):
    expected = in_evaluation(x)
    torch.manual_seed(7)
    model = Model()
    try:
        torch.set_default_device("meta") if default == "device" else torch.set_default_dtype(torch.float64)
        np.testing.assert_allclose(found(explain(model, x)), expected, atol=1e-6)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_two_threads_explain_one_model(x):
    model = Model().train()
    inputs = [x, 2 * x, x[::-1].copy(), x + 1]
    expected = [found(explain(model, one, method)) for one in inputs for method in ("gradient", "attention")]
    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(explain, model, one, m, batch_size=3) for one in inputs for m in ("gradient", "attention")]
        for task, own in zip(tasks, expected, strict=True):
            np.testing.assert_allclose(found(task.result()), own, atol=1e-6)
    assert all(module.training for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())


class Interrupted(nn.Module):
    """A layer that runs a task in another thread, once, in the middle of a pass."""

    def __init__(self):
        super().__init__()
        self.tasks = []

    def forward(self, x):
        if self.tasks:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(self.tasks.pop()).result()
        return x


@pytest.mark.parametrize("method", ["gradient", "occlusion"])
def test_a_thread_that_trains_the_model_stays_in_training(x, method):
    between, drop = Interrupted(), nn.Dropout(0.5)
    model = nn.Sequential(between, drop, nn.Flatten(), nn.Linear(36, 1)).train()
    expected = found(explain(model, x, method))
    seen = []

    def train():
        seen.append((model.training, drop.training, float((drop(torch.ones(1000)) == 0).float().mean())))
        # What is done with the mode meanwhile stays.
        drop.eval()

    between.tasks.append(train)
    np.testing.assert_array_equal(found(explain(model, x, method)), expected)
    ((whole, part, dropped),) = seen
    assert (whole, part) == (True, True)
    assert 0.4 < dropped < 0.6
    assert (model.training, drop.training) == (True, False)
    assert "training" not in vars(nn.Module)


def test_weights_that_change_meanwhile_are_refused(x):
    between = Interrupted()
    model = nn.Sequential(between, nn.Flatten(), nn.Linear(36, 1))
    step = torch.optim.SGD(model.parameters(), lr=0.1).step
    model(torch.tensor(x)).sum().backward()
    between.tasks.append(step)
    with pytest.raises(attrkit.errors.RefusedError, match=r"weights of the model changed while it was explained.*copy"):
        explain(model, x)
    explain(model, x)


class Pooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.score, self.return_attention = nn.Linear(3, 1), False

    def forward(self, x):
        weights = torch.softmax(self.score(x), 1)
        pooled = (weights * x).sum(1)
        return (pooled, weights) if self.return_attention else pooled


@pytest.mark.parametrize("kind", [Model, Pooling])
def test_a_thread_that_only_calls_the_model_gets_its_answer(x, kind):
    model = nn.Sequential(kind(), nn.Flatten()).eval()
    tensor = torch.tensor(x)
    expected = model(tensor).detach()
    done, answers = threading.Event(), []

    def serve():
        while not done.is_set():
            answers.append(model(tensor).detach())

    server = threading.Thread(target=serve)
    server.start()
    for _ in range(5):
        explain(model, x, "attention", target=0)
        explain(model, x, target=0)
    done.set()
    server.join()
    assert answers
    for answer in answers:
        torch.testing.assert_close(answer, expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_models(x):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 1))
    own = model[2].weight.detach().numpy().reshape(12, 3)
    scripted = torch.jit.script(model)
    with pytest.raises(
        attrkit.errors.RefusedError, match=r"Script\w+ of the model is in training mode.*model.eval\(\)"
    ):
        explain(scripted, x)
    assert scripted.training
    frozen = torch.jit.freeze(torch.jit.script(model.eval()))
    for one in (scripted.eval(), frozen):
        np.testing.assert_allclose(found(explain(one, x)), np.broadcast_to(own, x.shape), rtol=1e-5)


def test_models_of_models(x):
    """Submodules that are shared, or compiled."""
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.Tanh(), torch.compile(nn.Linear(3, 3), backend="eager"), shared, nn.Flatten())
    ds = explain(model, x, target=4)
    point = torch.tensor(x, requires_grad=True)
    expected = torch.autograd.grad(model(point)[:, 4].sum(), point)[0]
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6)


class Counting(torch.nn.Module):
    """Writes into one buffer in every pass, and puts another in the place of a second."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 1)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x):
        self.count += 1
        self.last = self.last + 1
        return self.head(x).sum(1)


def test_buffers_that_a_pass_writes_are_put_back(x):
    model = Counting()
    last = model.last
    for method in ("integrated_gradients", "occlusion"):
        attrkit.extract(model, x, method, show_progress=False)
    attrkit.layer_outputs(model, x, "head")
    assert model.count.item() == 0
    assert model.last is last
    assert last.item() == 0


def test_a_copy_in_double_precision(x):
    model = Model().eval()
    exact = attrkit.to_float64(model)
    assert {p.dtype for p in exact.parameters()} == {torch.float64}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    double, single = (explain(m, x, "lrp", target=0) for m in (exact, model))
    assert double["attribution"].dtype == "float64"
    scale = float(abs(double["attribution"]).max())
    np.testing.assert_allclose(single["attribution"] / scale, double["attribution"] / scale, atol=1e-3)
    np.testing.assert_allclose(double["completeness_gap"], 0, atol=1e-10)
