"""The gradient family of torch modules against closed forms, a float64 reference and its own sum rule."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import attrkit
from attrkit.errors import InputError, RefusedError


def explain(model, x, method, **options):
    return attrkit.extract(model, x, method, show_progress=False, **options)


def linear(n_outputs=1):
    """A model whose attributions are its weights: f(x) = W x + b."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, n_outputs))


def weights_of(model, output=0):
    return model[-1].weight.detach().numpy()[output].reshape(12, 3)


class Last(nn.Module):
    """The last step of what a recurrent layer returns."""

    def forward(self, returned):
        return returned[0][:, -1]


class ByChannel(nn.Module):
    """Time last, as convolutions take it."""

    def forward(self, x):
        return x.transpose(1, 2)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True), 2
        )

    def forward(self, x):
        return self.encoder(self.embed(x)).mean(1)


MODELS = {
    "LSTM": lambda: [nn.LSTM(3, 5, batch_first=True), Last(), nn.Linear(5, 1)],
    "GRU": lambda: [nn.GRU(3, 5, 2, batch_first=True, bidirectional=True), Last(), nn.Linear(10, 1)],
    "Conv1d": lambda: [
        ByChannel(),
        nn.Conv1d(3, 4, 3),
        nn.BatchNorm1d(4),
        nn.Tanh(),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(40, 1),
    ],
    "TransformerEncoder": lambda: [Encoder(), nn.Linear(8, 1)],
}


def make(kind):
    model = nn.Sequential(*MODELS[kind]())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def reference(model, x):
    """Gradient of the model in float64 and evaluation mode, by torch alone."""
    double = copy.deepcopy(model).double().eval()
    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    output = double(point)
    return torch.autograd.grad(output.sum(), point)[0].numpy(), output.detach().numpy()[:, 0]


@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("kind", MODELS)
def test_gradient_equals_a_float64_reference(x, kind, training, frozen):
    model = make(kind).train(training).requires_grad_(not frozen)
    expected, output = reference(model, x)
    ds = explain(model, x, "gradient")
    np.testing.assert_allclose(ds["attribution"], expected, atol=2e-6 * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(ds["prediction"], output, atol=1e-6)
    times = explain(model, x, "input_x_gradient")
    np.testing.assert_allclose(times["attribution"], x * expected, atol=5e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_models_in_float64_are_explained_in_float64(x, kind):
    model = make(kind).double()
    expected, output = reference(model, x)
    ds = explain(model, x, "gradient")
    assert ds["attribution"].dtype == "float64"
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-10)
    np.testing.assert_allclose(ds["prediction"], output, atol=1e-10)
    ds = explain(model, x, "integrated_gradients", baseline="mean")
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", MODELS)
def test_models_in_half_precision(x, kind, dtype):
    model = make(kind).to(dtype)
    expected, output = reference(model, x)
    ds = explain(model, x, "gradient")
    assert ds["attribution"].dtype == ds["prediction"].dtype == "float32"
    assert next(model.parameters()).dtype == dtype
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ds["attribution"], expected, atol=(0.02 if dtype == torch.float16 else 0.1) * scale)
    np.testing.assert_allclose(ds["prediction"], output, atol=0.05)


def test_a_linear_model_is_explained_in_closed_form(x):
    model = linear()
    weights = weights_of(model)
    baseline = np.array([0.5, -1.0, 2.0])
    exact = (x - baseline) * weights
    constant = np.broadcast_to(weights, x.shape)
    np.testing.assert_allclose(explain(model, x, "gradient")["attribution"], constant, rtol=1e-5)
    np.testing.assert_allclose(explain(model, x, "input_x_gradient")["attribution"], x * weights, rtol=1e-5)
    for quadrature in ("gauss_legendre", "midpoint", "trapezoid", "left"):
        ds = explain(model, x, "integrated_gradients", baseline=baseline, n_steps=3, quadrature=quadrature)
        np.testing.assert_allclose(ds["attribution"], exact, atol=1e-5)
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    np.testing.assert_allclose(explain(model, x, "occlusion", baseline=baseline)["attribution"], exact, atol=1e-5)
    np.testing.assert_allclose(explain(model, x, "smoothgrad", n_samples=4)["attribution"], constant, rtol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_integrated_gradients_add_up(x, kind):
    model = make(kind).eval()
    ds = explain(model, x, "integrated_gradients", baseline="mean", n_steps=64)
    with torch.no_grad():
        start = torch.tensor(np.broadcast_to(x.mean(axis=(0, 1)), (1, 12, 3)).copy())
        change = (model(torch.tensor(x)) - model(start))[:, 0].numpy()
    np.testing.assert_allclose(ds["attribution"].sum(("timestep", "channel")), change, atol=1e-4)


def test_integrated_gradients_equal_a_float64_sum(x):
    model = make("LSTM").double()
    nodes, weights = np.polynomial.legendre.leggauss(8)
    mean = sum(w / 2 * reference(model, x * (node + 1) / 2)[0] for node, w in zip(nodes, weights, strict=True))
    ds = explain(model, x, "integrated_gradients", n_steps=8)
    np.testing.assert_allclose(ds["attribution"], x * mean, atol=1e-10)


def test_smoothgrad_is_the_mean_gradient_over_noise(x):
    model = make("LSTM").double()
    ds = explain(model, x, "smoothgrad", n_samples=2, noise_scale=0.0)
    np.testing.assert_allclose(ds["attribution"], reference(model, x)[0], atol=1e-10)
    first, again, other = (explain(model, x, "smoothgrad", seed=seed)["attribution"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(abs(first - other).max()) > 0


def slow_occlusion(model, x, window, stride):
    """Occlusion as its definition reads: one changed input after another."""
    starts = [*range(0, 12 - window, stride), 12 - window]
    total, cover = np.zeros(x.shape), np.zeros(12)
    for start in starts:
        cover[start : start + window] += 1
        for channel in range(3):
            changed = x.copy()
            changed[:, start : start + window, channel] = 0
            with torch.no_grad():
                effect = (model(torch.tensor(x)) - model(torch.tensor(changed))).numpy()
            total[:, start : start + window, channel] += effect
    return total / cover[None, :, None]


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 1), (5, 2)])
def test_occlusion_equals_its_definition(x, window, stride):
    model = make("GRU").eval()
    ds = explain(model, x, "occlusion", window=window, stride=stride)
    np.testing.assert_allclose(ds["attribution"], slow_occlusion(model, x, window, stride), atol=1e-6)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "occlusion"])
def test_batches_do_not_change_results(x, method):
    model = make("TransformerEncoder")
    options = {"n_steps": 5} if method == "integrated_gradients" else {}
    whole = explain(model, x, method, batch_size=1000, **options)
    for batch_size in (3, 7):
        part = explain(model, x, method, batch_size=batch_size, **options)
        np.testing.assert_allclose(part["attribution"], whole["attribution"], atol=2e-6)


def test_new_weights_give_new_results(x):
    model = linear()
    adapter = attrkit.adapt(model)
    explain(adapter, x, "gradient")
    with torch.no_grad():
        model[1].weight.fill_(2)
    np.testing.assert_array_equal(explain(adapter, x, "gradient")["attribution"], np.full(x.shape, 2, "float32"))
    model[1] = nn.Linear(36, 1)
    np.testing.assert_allclose(explain(adapter, x, "gradient")["attribution"][0], weights_of(model), rtol=1e-6)


# Outputs and targets


def test_targets(x):
    model = linear(3)
    target = np.arange(10) % 3
    ds = explain(model, x, "gradient", target=target)
    np.testing.assert_allclose(ds["attribution"], np.stack([weights_of(model, t) for t in target]), rtol=1e-5)
    every = explain(model, x, "gradient", target="all")
    assert every["attribution"].sizes["output"] == 3
    for output in range(3):
        own = np.broadcast_to(weights_of(model, output), x.shape)
        np.testing.assert_allclose(every["attribution"].sel(output=output), own, rtol=1e-5)
    predicted = explain(model, x, "gradient", target="predicted")
    np.testing.assert_array_equal(predicted["target"], model(torch.tensor(x)).argmax(1))
    ds = explain(model, x, "gradient", target=lambda outputs: outputs[:, 0] - 2 * outputs[:, 2])
    np.testing.assert_allclose(ds["attribution"][0], weights_of(model) - 2 * weights_of(model, 2), atol=1e-5)


class Heads(nn.Module):
    """Two outputs, price and volume, in the form of `form`; beside them what is no output."""

    def __init__(self, form):
        super().__init__()
        self.price, self.volume, self.form = nn.Linear(36, 2), nn.Linear(36, 1), form

    def forward(self, x):
        price, volume = self.price(x.flatten(1)), self.volume(x.flatten(1))
        if self.form is dict:
            return {"price": price, "volume": volume, "extra": None}
        return self.form([price, volume, (price, volume), None])


@pytest.mark.parametrize("form", [dict, tuple, list])
def test_models_of_several_outputs(x, form):
    model = Heads(form)
    names = ("price", "volume") if form is dict else ("output_0", "output_1")
    ds = explain(model, x, "gradient", target=(names[0], 1))
    np.testing.assert_allclose(ds["attribution"][0], model.price.weight.detach()[1].reshape(12, 3), rtol=1e-5)
    ds = explain(model, x, "gradient", target=(names[1], 0))
    np.testing.assert_allclose(ds["attribution"][0], model.volume.weight.detach().reshape(12, 3), rtol=1e-5)
    ds = explain(model, x, "gradient", target=lambda outputs: outputs["price" if form is dict else 0][:, 0])
    np.testing.assert_allclose(ds["attribution"][0], model.price.weight.detach()[0].reshape(12, 3), rtol=1e-5)


class Ending(nn.Module):
    def __init__(self, ending):
        super().__init__()
        self.linear, self.ending = nn.Linear(36, 3), ending

    def forward(self, x):
        return self.ending(self.linear(x.flatten(1)))


ENDINGS = {
    "nn.Softmax": nn.Softmax(-1),
    "F.softmax": lambda z: nn.functional.softmax(z, dim=-1),
    "torch.softmax": lambda z: torch.softmax(input=z, dim=-1),
    "Tensor.softmax": lambda z: z.softmax(-1),
    "torch.sigmoid": torch.sigmoid,
    "nn.Sigmoid": nn.Sigmoid(),
    "F.log_softmax": lambda z: nn.functional.log_softmax(z, dim=-1),
    "nn.LogSigmoid": nn.LogSigmoid(),
    "torch.special.expit": torch.special.expit,
}


@pytest.mark.filterwarnings("ignore::attrkit.errors.SaturationWarning")
@pytest.mark.parametrize("ending", ENDINGS)
def test_logits(x, ending):
    model = Ending(ENDINGS[ending])
    own = model.linear.weight.detach().numpy()[1].reshape(12, 3)
    ds = explain(model, x, "gradient", target=1, logits=True)
    np.testing.assert_allclose(ds["attribution"], np.broadcast_to(own, x.shape), rtol=1e-5)
    plain = explain(model, x, "gradient", target=1)
    np.testing.assert_allclose(plain["attribution"], reference_of_output(model, x, 1), atol=1e-6)


def reference_of_output(model, x, output):
    double = copy.deepcopy(model).double()
    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(double(point)[:, output].sum(), point)[0].numpy()


def test_logits_that_are_not_to_be_had(x):
    with pytest.raises(RefusedError, match="no softmax or sigmoid makes the model's output"):
        explain(linear(3), x, "gradient", target=0, logits=True)
    with pytest.raises(RefusedError, match="changed after it"):
        explain(Ending(lambda z: z.softmax(-1) * 2), x, "gradient", target=0, logits=True)


# Inputs


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.series, self.static = nn.Linear(36, 1), nn.Linear(4, 1)

    def forward(self, series, static, scale=None):
        output = torch.tanh(self.series(series.flatten(1)) * self.static(static))
        return output if scale is None else output * scale


@pytest.mark.parametrize("form", ["dict", "tuple"])
def test_several_inputs(x, form):
    model = TwoInputs()
    static = np.random.default_rng(0).standard_normal((10, 4)).astype("float32")
    inputs = {"series": x, "static": static} if form == "dict" else (x, static)
    ds = explain(model, inputs, "gradient")
    double = copy.deepcopy(model).double()
    points = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, static)]
    expected = torch.autograd.grad(double(*points).sum(), points)
    np.testing.assert_allclose(ds["attribution"], expected[0], atol=1e-6)
    np.testing.assert_allclose(ds["attribution_static"], expected[1], atol=1e-6)
    ds = explain(model, inputs, "integrated_gradients", batch_size=7)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4, padding_idx=0)
        self.recurrent, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 1)

    def after(self, embedded):
        return self.head(self.recurrent(embedded)[0].mean(1))

    def forward(self, ids):
        return self.after(self.embed(ids))


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_token_ids_are_explained_at_their_embedding(dtype, batch_size):
    model = Tokens().to(dtype)
    ids = np.random.default_rng(0).integers(0, 9, (5, 7))
    embedded = model.embed(torch.tensor(ids)).detach().double().requires_grad_()
    double = copy.deepcopy(model).double()
    expected = torch.autograd.grad(double.after(embedded).sum(), embedded)[0].numpy()
    ds = explain(model, ids, "gradient", embedding_reduction=None, batch_size=batch_size)
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6)
    slopes = explain(model, ids, "gradient")["attribution"]
    np.testing.assert_allclose(slopes, np.linalg.norm(expected, axis=-1), atol=1e-6)
    assert slopes.attrs["cell_methods"] == "channel: norm"
    ds = explain(model, ids, "integrated_gradients", n_steps=32)
    np.testing.assert_allclose(
        ds["attribution"].sum("timestep"), ds["prediction"] - ds["baseline_prediction"], atol=1e-5
    )
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    at_zero = double.after(torch.zeros(1, 7, 4, dtype=torch.float64)).item()
    np.testing.assert_allclose(ds["baseline_prediction"], at_zero, atol=1e-6)


def test_token_ids_in_half_precision():
    model = Tokens().to(torch.bfloat16)
    ids = np.random.default_rng(0).integers(0, 9, (5, 7))
    ds = explain(model, ids, "gradient", embedding_reduction=None)
    double = copy.deepcopy(model).double()
    embedded = double.embed(torch.tensor(ids)).detach().requires_grad_()
    expected = torch.autograd.grad(double.after(embedded).sum(), embedded)[0].numpy()
    np.testing.assert_allclose(ds["attribution"], expected, atol=0.1 * np.abs(expected).max())


def weights_in(node, seen):
    """Return the leaves that a graph leads to."""
    if node is None or node in seen:
        return []
    seen.add(node)
    own = [node.variable] if hasattr(node, "variable") else []
    return own + [leaf for below, _ in node.next_functions for leaf in weights_in(below, seen)]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_no_gradient_of_recurrent_weights_is_asked_for(x, kind):
    model = nn.Sequential(kind(3, 4, batch_first=True), Last(), nn.Linear(4, 1))
    reached = []
    model[0].register_forward_hook(lambda layer, args, output: reached.append(weights_in(output[0].grad_fn, set())))
    ds = explain(model, x, "gradient")
    with_gradient = [leaves for leaves in reached if leaves]
    assert with_gradient
    assert not any(isinstance(leaf, nn.Parameter) for leaves in with_gradient for leaf in leaves)
    assert all(parameter.requires_grad for parameter in model.parameters())
    given = torch.tensor(x).requires_grad_()
    expected = torch.autograd.grad(model(given).sum(), given)[0]
    np.testing.assert_allclose(ds["attribution"], expected.numpy(), atol=1e-6)


class MadeWeights(nn.Module):
    """A recurrent function whose weights are made of the input."""

    def forward(self, x):
        made = x.mean() * 0 + torch.stack([x[0, 0]] * 2)
        weights = [made, torch.eye(2), torch.zeros(2), torch.zeros(2)]
        state = torch.zeros(1, len(x), 2)
        out, _ = torch._VF.rnn_tanh(x, state, weights, True, 1, 0.0, self.training, False, True)
        return out[:, -1].sum(-1)


def test_weights_that_are_made_of_the_input_are_no_constants(x):
    ds = explain(MadeWeights(), x[:1], "gradient")
    given = torch.tensor(x[:1]).requires_grad_()
    expected = torch.autograd.grad(MadeWeights()(given).sum(), given)[0]
    np.testing.assert_allclose(ds["attribution"], expected.numpy(), atol=1e-6)


# What is refused


def test_models_that_are_refused(x):
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach().mean((1, 2))

    class Mixing(nn.Module):
        def forward(self, x):
            return x.mean((1, 2)) + x.mean()

    class Dreaming(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x, training=True).mean((1, 2))

    class Loss(nn.Module):
        def forward(self, x):
            return x.mean()

    for model, message in {
        Cut(): "no differentiable path",
        Mixing(): "depends on the other samples",
        Dreaming(): "random at inference",
        Loss(): "outputs must have samples on their first axis",
    }.items():
        with pytest.raises(RefusedError, match=message):
            explain(model, x, "gradient")
    with pytest.raises(InputError, match=r"the model fails on inputs of shape input \(10, 12, 3\) of torch.float32"):
        explain(nn.Linear(5, 1), x, "gradient")


def test_weights_that_are_not_there_yet(x):
    with pytest.raises(RefusedError, match=r"parameter '1.weight' is on the meta device and has no values"):
        explain(linear().to("meta"), x, "gradient")
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(1))
    with pytest.raises(RefusedError, match=r"parameter '1.weight' is lazy and has no values"):
        explain(model, x, "gradient")
    assert isinstance(model[1], nn.LazyLinear)


class Saving(nn.Module):
    """A model that saves memory by running its layers again in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.9), nn.Linear(8, 1))
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant).mean(1)


def test_what_runs_again_in_the_backward_pass_runs_in_evaluation_mode_too(x):
    model = Saving(reentrant=False).train()
    expected, _ = reference(model.inner, x)
    np.testing.assert_allclose(explain(model, x, "gradient")["attribution"], expected / 12, atol=1e-6)
    assert model.inner[2].training


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_torch_s_own_limits_are_told(x):
    with pytest.raises(RuntimeError, match="set use_reentrant=False"):
        explain(Saving(reentrant=True), x, "gradient")


def test_samples_taken_for_timesteps_are_refused(x):
    """The mistake of torch's default: the first sample of a batch is right, the others go on where it ended."""

    class Confused(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = torch.nn.LSTM(3, 4), torch.nn.Linear(4, 1)

        def forward(self, x):
            return self.head(self.lstm(x)[0].mean(1))

    with pytest.raises(RefusedError, match=r"in another place of the batch.*batch_first=True"):
        explain(Confused(), x, "gradient")


def test_a_model_that_squeezes_its_output_is_explained(x):
    class Squeezed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(36, 1)

        def forward(self, x):
            return self.head(x.flatten(1)).squeeze()

    ds = explain(Squeezed(), x, "integrated_gradients")
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    with pytest.raises(RefusedError, match=r"gives output \(\); .*of a batch of one too"):
        explain(Squeezed(), x[:1], "integrated_gradients")
