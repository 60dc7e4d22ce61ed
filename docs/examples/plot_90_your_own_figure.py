"""
Into a figure of your own
=========================

Every plot draws on axes that you give it and lets you restyle or leave out each part by name. What it drew is found by
the labels of the data, and is matplotlib's own, so all of matplotlib is there.
"""

import matplotlib.pyplot as plt
import numpy as np

import attrkit

rng = np.random.default_rng(0)
x = np.cumsum(rng.normal(size=(1, 80, 3)), axis=1)
values = np.gradient(x, axis=1) * np.linspace(0.1, 1, 80)[:, None]
tree = attrkit.from_arrays({"mine": values}, inputs=x)

figure, (above, below) = plt.subplots(2, figsize=(7, 4.5), height_ratios=[2, 1], layout="constrained")
above.plot(x[0], lw=1)
above.set_ylabel("input")
panels = attrkit.plot.heatmap(
    tree,
    ax=below,
    visuals={"mesh": {"cmap": "PuOr_r"}, "title": False, "row_title": False},
)
axes = panels.axes.sel(sample=0, extractor="mine").item()
axes.axvline(60, color="black", lw=0.8, ls="--")
axes.set_xlabel("hours since the start")

# %%
# The mesh of a panel, the colour bar, a title: each is an artist, by the name under which ``visuals`` knows it.

print(panels)
print(panels.artists["mesh"].sel(sample=0, extractor="mine").item().get_clim())

# %%
# ``panels.save(["figure.png", "figure.pdf"])`` writes PNG, PDF and SVG. Text stays text in the last two.
