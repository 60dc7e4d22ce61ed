"""Recurrent layers in evaluation mode: fused functions are asked for a gradient, without the dropout of training."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

import attrkit

KINDS = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *args, **options: nn.RNN(*args, nonlinearity="relu", **options),
}

FORMS = {
    "plain": {},
    "bidirectional": {"bidirectional": True},
    "deep": {"num_layers": 3, "dropout": 0.5},
    "deep, both ways": {"num_layers": 2, "dropout": 0.5, "bidirectional": True},
    "no bias": {"bias": False},
    "time first": {"batch_first": False},
}


class Recurrent(nn.Module):
    """A recurrent layer and a linear head on its mean over time; `packed` counts the real steps of each sample."""

    def __init__(self, kind, *, packed=False, **options):
        super().__init__()
        self.recurrent = KINDS[kind](3, 5, **{"batch_first": True, **options})
        self.head = nn.Linear(10 if options.get("bidirectional") else 5, 1)
        self.packed = packed

    def forward(self, x):
        first = self.recurrent.batch_first
        hidden = x if first else x.transpose(0, 1)
        if self.packed:
            lengths = (x != 0).any(-1).sum(1).cpu()
            hidden = pack_padded_sequence(hidden, lengths, batch_first=first, enforce_sorted=False)
        output, _ = self.recurrent(hidden)
        if self.packed:
            output, _ = pad_packed_sequence(output, batch_first=first, total_length=x.shape[1])
        return self.head(output.mean(1 if first else 0))


def reference(model, x):
    """Gradient of the model in float64 and evaluation mode, by torch alone."""
    double = copy.deepcopy(model).double().eval()
    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    output = double(point)
    return torch.autograd.grad(output.sum(), point)[0].numpy(), output.detach().numpy()[:, 0]


def gradient(model, x, **options):
    return attrkit.extract(model, x, "gradient", show_progress=False, **options)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_evaluation(x, padded, kind, form, packed, training):
    data = padded[0] if packed else x
    model = Recurrent(kind, packed=packed, **FORMS[form]).train(training)
    ds = gradient(model, data)
    expected, output = reference(model, data)
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6)
    np.testing.assert_allclose(ds["prediction"], output, atol=1e-6)
    assert model.training == training


class Calls(TorchFunctionMode):
    """What the fused functions are called with, seen from outside of attrkit."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in KINDS:
            flags = (torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
            # Whatever stands before them, packed sequences or not: the last number is the dropout.
            at = max(i for i, value in enumerate(args) if isinstance(value, float))
            self.seen.append((torch.is_grad_enabled(), args[at], args[at + 1], args[at + 2], flags))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_fused_functions_are_asked_for(padded, kind, packed):
    model = Recurrent(kind, packed=packed, num_layers=2, dropout=0.5, bidirectional=True).eval()
    flags = (torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    with Calls() as calls:
        gradient(model, padded[0])
    # A prediction as the model is; a gradient as in training, but without dropout.
    assert set(calls.seen) == {(False, 0.5, False, True, flags), (True, 0.0, True, True, flags)}


def test_what_a_checkpoint_runs_again_is_asked_for_the_same(x):
    class Saving(Recurrent):
        def forward(self, x):
            return checkpoint(super().forward, x, use_reentrant=False)

    model = Saving("lstm", num_layers=2, dropout=0.5).train()
    with Calls() as calls:
        ds = gradient(model, x, batch_size=len(x))
    # Once on the way forward, and once more on the way back.
    assert [call[:4] for call in calls.seen if call[0]] == 2 * [(True, 0.0, True, False)]
    np.testing.assert_allclose(ds["attribution"], reference(model, x)[0], atol=1e-6)
    assert model.training


def test_dropout_in_training_is_left_alone(x):
    model = Recurrent("lstm", num_layers=2, dropout=0.5).eval()
    with Calls() as calls:
        attrkit.layer_outputs(model, x, "head", training=True)
    assert (False, 0.5, True, False) in {call[:4] for call in calls.seen}


def test_cells(x):
    class Stepping(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTMCell(3, 5), nn.Linear(5, 1)

        def forward(self, x):
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return self.head(state[0])

    model = Stepping()
    np.testing.assert_allclose(gradient(model, x)["attribution"], reference(model, x)[0], atol=1e-6)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "occlusion"])
def test_padding_of_packed_sequences_gets_nothing(padded, method):
    data, mask = padded
    model = Recurrent("gru", packed=True)
    options = {"baseline": "mean"} if method in ("integrated_gradients", "occlusion") else {}
    ds = attrkit.extract(model, data, method, mask=mask, show_progress=False, **options)
    np.testing.assert_allclose(ds["attribution"].values[~mask], 0, atol=1e-7)
    assert float(abs(ds["attribution"]).max()) > 0


def test_lengths_as_an_input(padded):
    data, mask = padded

    class WithLengths(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 1)

        def forward(self, x, lengths):
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            return self.head(self.recurrent(packed)[1][0][-1])

    model = WithLengths()
    lengths = mask.sum(1)
    ds = gradient(model, {"x": data, "lengths": lengths}, batch_size=3)
    double = copy.deepcopy(model).double()
    point = torch.tensor(data, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(double(point, torch.tensor(lengths)).sum(), point)[0]
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6)
