"""What the tests of imposed attention share, whatever the framework."""

import attrkit
from attrkit.attention.impose import find_imposers


def weights_of(model, x):
    """Return adapter, path and weights of the one attention layer of a model."""
    adapter = attrkit.adapt(model)
    ds = attrkit.extract(adapter, x, "attention", show_progress=False)
    (path,) = find_imposers(adapter.layers())
    return adapter.configured(), path, ds["attention"].values
