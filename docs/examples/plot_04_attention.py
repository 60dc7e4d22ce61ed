"""
Attention matrices
==================

Use it to see how a layer mixes timesteps, before any reduction. Queries down, keys across: a row says how one
timestep spreads its attention. A row of panels for each sample, a column for each head. All panels share one scale,
and it starts at zero, so flat attention looks flat.
"""

import numpy as np

import attrkit

n = 48
rng = np.random.default_rng(0)
query, key = np.arange(n)[:, None], np.arange(n)
scores = np.stack(
    [
        -(((query - key) / 3) ** 2),  # the neighbourhood
        np.where(key <= query, -((query - key - 12) ** 2) / 20, -30.0),  # twelve steps back
        0.3 * rng.normal(size=(n, n)),  # nothing in particular
    ]
)
scores = scores + 0.2 * rng.normal(size=(2, 3, n, n))
weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)

tree = attrkit.from_arrays({"attention": {"attention": weights}}, inputs=rng.normal(size=(2, n, 4)))
attrkit.plot.attention(tree, robust=99)

# %%
# Along the edges, the largest weight that each timestep is given, and that each query gives. ``marginals=True`` draws
# means: how much each timestep is attended to on the whole.

attrkit.plot.attention(tree, samples=0, robust=99, marginals="max")

# %%
# One value for each timestep is a choice among queries, and attrkit records it. ``mean`` says how much a timestep is
# used on the whole, ``last`` what the last step attends to.

ds = tree["attention"].to_dataset()
reduced = {how: attrkit.reduce_attention(ds, how, head=1) for how in ("mean", "last")}
attrkit.plot.curves(reduced, samples=0, scale="shared")

# %%
# The words that were recorded:

print(reduced["last"]["attribution"].attrs["cell_methods"])
