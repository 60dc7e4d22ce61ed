"""
Two extractors, value by value
==============================

Each dot is one timestep, or one channel at one timestep where both extractors resolve channels. Use it to see what a
rank correlation does not say: here few timesteps agree, and the many others decide the number.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
time = np.arange(80)
peak = np.exp(-(((time - np.array([60, 30, 45])[:, None]) / 5) ** 2))
tree = attrkit.from_arrays(
    {"attention": 0.02 + peak + 0.1 * rng.random((3, 80)), "gradient": peak[..., None] * rng.random((3, 80, 2))}
)
attrkit.plot.scatter(tree, "attention", "gradient", channels="abs_sum")

# %%
# All samples in one panel, with the mean of their numbers and its interval. Of more than 2,000 values, hexagons say
# how many are where.

attrkit.plot.scatter(tree, "attention", "gradient", channels="abs_sum", pooled=True, kind="hexbin")
