"""
Which extractors agree
======================

A matrix of all pairs: the mean over samples, and its interval. All correlations have one scale, so that two such
figures can be laid side by side. Use it to find extractors that say the same, and those that say nothing the others
know.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
effect = rng.standard_normal((40, 60, 3)) ** 3


def noisy(size):
    return effect + size * rng.standard_normal(effect.shape)


tree = attrkit.from_arrays(
    {
        "gradient": noisy(1.0),
        "smoothgrad": noisy(0.5),
        "integrated gradients": noisy(0.3),
        "occlusion": 2 * noisy(0.6),
        "attention": rng.standard_normal(effect.shape),
    }
)
found = attrkit.metrics.agreement(tree)
attrkit.plot.agreement(found)

# %%
# Two metrics: rank correlation hears the noise of all items, the overlap of the top items looks at the largest only.

attrkit.plot.agreement(
    found, metric=["spearman", "top_k_overlap"], extractors=["gradient", "integrated gradients", "attention"]
)
