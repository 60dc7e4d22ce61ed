"""A highway layer of torch (Srivastava et al. 2015), and its rule for ``lrp``."""

from typing import Any

import torch

from attrkit.relevance import COMPOSITES, Flow


class Highway(torch.nn.Module):
    """g * tanh(x W + b) + (1 - g) * x, where the gate g is (1 + tanh(x V + c)) / 2."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.candidate, self.gate = torch.nn.Linear(n, n), torch.nn.Linear(n, n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = (1 + torch.tanh(self.gate(x))) / 2
        return gate * torch.tanh(self.candidate(x)) + (1 - gate) * x


def highway(call: Any, flow: Flow) -> torch.Tensor:
    """Compute what the module computes; what gradients flow through carries relevance."""
    module, (x,) = call.layer, call.args
    # The gate is a constant: it weighs what is carried, and carries nothing itself.
    gate = flow.hold((1 + torch.tanh(module.gate(x))) / 2)
    # A linear map by the epsilon rule; its bias, and the stabiliser, go to the ledger.
    candidate = flow.node(module.candidate(x), torch.tanh, bias=module.candidate.bias)
    return gate * candidate + (1 - gate) * x


composite = COMPOSITES["arras"].extended({"Highway": highway})
