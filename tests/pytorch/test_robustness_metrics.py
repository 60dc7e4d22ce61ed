"""Maximum sensitivity and infidelity against Captum, which is handed the same perturbations."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import infidelity_perturb_func_decorator, sensitivity_max

import attrkit
from attrkit.metrics import infidelity, max_sensitivity
from attrkit.metrics.draws import ONLY, generator
from attrkit.metrics.robustness.perturbations import PERTURBATIONS, Sample

DRAWS = 7
SHAPE = (3, 6, 2)
QUIET = {"show_progress": False}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = torch.nn.GRU(SHAPE[2], 5, batch_first=True)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


@pytest.fixture
def model():
    return Net().double().eval()


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=SHAPE)


def perturbed(x, name, noise):
    """What attrkit puts in place of the inputs, one draw after the other of each sample."""
    rows = []
    for number, own in enumerate(x):
        sample = Sample(own, np.zeros_like(own), np.full_like(own, noise), np.ones(len(own), dtype=bool))
        rows += [own - PERTURBATIONS[name](sample, generator(0, ONLY, number, draw)).change for draw in range(DRAWS)]
    return torch.from_numpy(np.stack(rows))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("perturbation", ["gaussian", "square"])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients"])
def test_infidelity(model, x, method, perturbation, normalise):
    ds = attrkit.extract(model, x, method, target=1, **QUIET)
    found = infidelity(
        *(model, ds),
        perturbation=perturbation,
        noise_scale=0.3,
        unit="input",
        n_samples=DRAWS,
        normalise=normalise,
        **QUIET,
    )
    decorate = infidelity_perturb_func_decorator(multiply_by_inputs=method == "integrated_gradients")
    theirs = captum_infidelity(
        model,
        decorate(lambda inputs: perturbed(x, perturbation, 0.3)),
        torch.from_numpy(x),
        torch.from_numpy(ds["attribution"].values),
        target=1,
        n_perturb_samples=DRAWS,
        normalize=normalise,
    )
    np.testing.assert_allclose(found["infidelity"][0], theirs.detach(), rtol=1e-6, atol=1e-12)
    assert (found["infidelity"] > 1e-8).all()


@pytest.mark.parametrize(("method", "norm"), [("gradient", 2), ("gradient", 1), ("integrated_gradients", np.inf)])
def test_max_sensitivity(model, x, method, norm):
    found = max_sensitivity(model, x, method, radius=0.1, unit="input", n_samples=DRAWS, norm=norm, target=1, **QUIET)

    def near(inputs):
        rows = [
            own + generator(0, ONLY, i, j).uniform(-1, 1, own.shape) * 0.1
            for i, own in enumerate(x)
            for j in range(DRAWS)
        ]
        return torch.from_numpy(np.stack(rows))

    def explain(inputs):
        given = inputs[0] if isinstance(inputs, tuple) else inputs
        if method == "gradient":
            found = Saliency(model).attribute(given.clone().requires_grad_(), target=1, abs=False)
        else:
            found = IntegratedGradients(model).attribute(given, target=1, n_steps=64, method="gausslegendre")
        # Captum takes views of it, which a GRU's gradient does not have, and wants a tuple for a tuple.
        return (found.contiguous(),) if isinstance(inputs, tuple) else found.contiguous()

    theirs = sensitivity_max(explain, torch.from_numpy(x), perturb_func=near, norm_ord=norm, n_perturb_samples=DRAWS)
    np.testing.assert_allclose(found["max_sensitivity"][0], theirs.detach(), rtol=1e-6)
    assert (found["max_sensitivity"] > 1e-3).all()


def test_float32_and_any_batch(model, x):
    ds = attrkit.extract(model.float(), x.astype("float32"), "gradient", target=1, **QUIET)
    whole, few = (infidelity(model, ds, n_samples=20, batch_size=rows, **QUIET) for rows in (None, 3))
    np.testing.assert_allclose(few["infidelity"], whole["infidelity"], rtol=1e-3)
