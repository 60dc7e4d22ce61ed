"""
Side by side, with the difference
=================================

Both extractors on one scale, and the first less the second on its own. Use it for two extractors that nearly agree,
or one extractor of two models.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
time = np.arange(48)
peak = np.exp(-(((time - np.array([30, 18])[:, None]) / 4) ** 2))
before = peak[..., None] * np.cos(np.arange(5)) + 0.04 * rng.normal(size=(2, 48, 5))
after = np.roll(before, 2, axis=1) + 0.04 * rng.normal(size=before.shape)
tree = attrkit.from_arrays({"trained": before, "fine-tuned": after})
attrkit.plot.difference(tree, "fine-tuned", "trained")
