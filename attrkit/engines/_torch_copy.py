"""A copy of a torch module for hooks, which leave traces on layers, and which other threads would run."""

import copy

from attrkit.adapters.pytorch import TorchModule


def copied(module: TorchModule, *, own_weights: bool) -> TorchModule:
    """Return the adapter of a copy of the module, in eval mode, with weights of its own or the same ones."""
    shared = {} if own_weights else {id(parameter): parameter for parameter in module.model.parameters()}
    other = copy.copy(module)
    # What is copied in inference mode could not be differentiated outside it.
    with module._torch.inference_mode(False):
        other.model = copy.deepcopy(module.model, shared)
    other.model.eval()
    return other
