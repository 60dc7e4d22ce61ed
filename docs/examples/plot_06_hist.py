"""
How values are distributed
==========================

A panel for each extractor, with axes of its own. Use it over many samples, to see how concentrated an extractor is
and whether a few values set its scale. Signed values have a range symmetric about zero. Look for how much of the mass
is close to zero, and for tails on one side.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 50, 3))
slope = rng.standard_t(3, size=x.shape) * [1.0, 0.3, 0.1]
scores = rng.normal(size=(64, 50))
weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

tree = attrkit.from_arrays({"gradient": slope, "input x gradient": x * slope, "attention": weights}, inputs=x)
attrkit.plot.hist(tree, log=True)

# %%
# By channel: the extractors as outlines over each other, each divided by its largest absolute value. Only extractors
# that resolve channels are passed here.

with_channels = {name: tree[name].to_dataset() for name in ("gradient", "input x gradient")}
attrkit.plot.hist(with_channels, by="channel", log=True)
