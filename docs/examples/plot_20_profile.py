"""
When, and in which channels
===========================

Means over samples of what each extractor gives to timesteps and to channels, with 95% intervals. Use it for what a
model looks at in general, after heat maps of a few samples. Each sample counts alike: its magnitudes are divided by
their sum.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
time = np.arange(60)
x = np.cumsum(rng.normal(size=(40, 60, 4)), axis=1)
peak = np.exp(-(((time - rng.normal(40, 4, size=(40, 1))) / 5) ** 2))
slope = peak[..., None] * [1.0, 0.6, 0.3, 0.1] + 0.05 * rng.normal(size=x.shape)
weights = 0.02 + peak

tree = attrkit.from_arrays(
    {"attention": weights / weights.sum(axis=1, keepdims=True), "gradient": slope, "input x gradient": x * slope},
    inputs=x,
)
attrkit.plot.profile(tree)

# %%
# Means of the values themselves, in which those of both signs cancel:

attrkit.plot.profile(tree["gradient"], signed=True, normalise="none")
