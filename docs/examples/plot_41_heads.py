"""
All heads of a transformer
==========================

Layers down, heads across, a small matrix of queries by keys each, all on one scale. Use it to find the heads worth a
closer look; `attrkit.plot.attention` then draws these at full size.
"""

import numpy as np
import xarray as xr

import attrkit

sentence = "[CLS] the river rose for three days after the rain and then it fell again [SEP]"
text = sentence.split()
n, n_layers, n_heads = len(text), 6, 8
rng = np.random.default_rng(0)
query, key = np.arange(n)[:, None], np.arange(n)

# %%
# The weights are made up, after what is found in trained transformers: heads that look at the token before or after,
# at the last token, at the neighbourhood, or at nothing in particular.

patterns = [
    -4.0 * (key != query - 1),
    -4.0 * (key != query + 1),
    3.0 * (key + 0 * query == n - 1),
    -0.3 * (key - query) ** 2,
    np.zeros((n, n)),
]
scores = np.stack([[patterns[rng.integers(5)] for _ in range(n_heads)] for _ in range(n_layers)])
scores = scores + rng.normal(scale=0.7, size=scores.shape)
weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)

dims = ("sample", "timestep")
ids = xr.DataArray(np.arange(n)[None], dims=dims, coords={"token": (dims, np.array([text], dtype=object))})
tree = attrkit.from_arrays({"attention": {"attention": weights[None]}}, inputs=ids)
attrkit.plot.heads(tree)

# %%
# Fewer heads are larger, and have their words on the axes:

attrkit.plot.heads(tree, layer=[0, 1], head=[0, 1, 2])
