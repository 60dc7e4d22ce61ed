"""
Taking away what matters
========================

Timesteps are removed in the order of each extractor, the most relevant first, or given back in that order. Use it to
ask whether the model's output rests on what an extractor ranks first: a faithful one falls early on the left and rises
early on the right. Random orders are dashed.
"""

import numpy as np

import attrkit

rng = np.random.default_rng(0)
when = np.exp(-(((np.arange(48) - 30) / 6) ** 2))
x = rng.normal(size=(60, 48, 3))


def classifier(x):
    """Return probabilities of two classes, from what channel 0 does around timestep 30."""
    score = (x[:, :, 0] * when).sum(axis=1)
    return 1 / (1 + np.exp(np.stack([score, -score], axis=1)))


predicted = classifier(x).argmax(axis=1)
effect = x[:, :, 0] * when * np.where(predicted == 1, 1, -1)[:, None]
tree = attrkit.from_arrays(
    {
        "input x gradient": effect,
        "noisy": effect + 0.5 * rng.normal(size=effect.shape),
        "attention": np.broadcast_to(when / when.sum(), effect.shape),
    },
    inputs=x,
)
found = attrkit.metrics.faithfulness(classifier, tree, target="predicted", show_progress=False)
attrkit.plot.removal(found)

# %%
# Attention looks at the right place and knows no sign: it takes away what speaks for the class together with what
# speaks against it, and so never falls below one half.
