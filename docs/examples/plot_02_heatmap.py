"""
Several extractors side by side
===============================

Two samples, three extractors. Use it first, to see when and in which channel each of them finds something. Each
column has its own unit of colour, because slopes, shares of the output and weights have different units; the colour
bar says so. Red is positive, blue negative, and white is zero in all columns.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
time, channel = np.arange(48), np.arange(6)
x = rng.normal(size=(2, 48, 6))
peak = np.exp(-(((time - np.array([30, 18])[:, None]) / 4) ** 2))
slope = peak[:, :, None] * np.cos(channel) + 0.05 * rng.normal(size=x.shape)
weights = 0.01 + peak

tree = attrkit.from_arrays(
    {"gradient": slope, "input x gradient": x * slope, "attention": weights / weights.sum(axis=1, keepdims=True)},
    inputs=x,
)
attrkit.plot.heatmap(tree)

# %%
# ``attention`` has one row: it tells timesteps apart and says nothing about channels. To compare the size of values
# of one extractor from sample to sample, keep the default. To compare where each sample has its peak, divide every
# panel by its own largest value:

attrkit.plot.heatmap(tree, scale="sample")
