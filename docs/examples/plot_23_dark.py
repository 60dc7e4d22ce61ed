"""
For a dark page, for one column
===============================

Zero is the colour of the page, and large values are bright. Use it for slides and dark documents; a figure for one
column of a paper is 3.5 inches wide.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
time = np.arange(48)
peak = np.exp(-(((time - np.array([30, 18])[:, None]) / 4) ** 2))
slope = peak[..., None] * np.cos(np.arange(5)) + 0.04 * rng.normal(size=(2, 48, 5))
tree = attrkit.from_arrays({"attention": 0.01 + peak, "gradient": slope})

with attrkit.plot.theme("dark"):
    panels = attrkit.plot.heatmap(tree, figsize="column")
panels  # noqa: B018
