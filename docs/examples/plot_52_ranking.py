"""
Extractors from best to worst
=============================

One metric, the mean of each extractor and its interval over samples, the best on top. Use it for the one number that a
paper reports, together with how sure it is; where intervals overlap, the order is not known.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
salient = np.zeros((50, 40), bool)
for sample, start in zip(salient, rng.integers(32, size=50), strict=True):
    sample[start : start + 8] = True

tree = attrkit.from_arrays(
    {
        "gradient": 0.5 * salient + rng.random(salient.shape),
        "smoothgrad": 0.8 * salient + rng.random(salient.shape),
        "integrated gradients": 1.0 * salient + rng.random(salient.shape),
        "occlusion": 0.9 * salient + rng.random(salient.shape),
        "attention": rng.random(salient.shape),
    }
)
found = attrkit.metrics.ground_truth(tree, salient)
attrkit.plot.ranking(found, test="ground_truth", metric=["auprc", "auroc"])
