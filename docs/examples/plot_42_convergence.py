"""
How many steps integrated gradients need
========================================

What the attributions miss of the change in output, and how far they still move, against the number of steps. Use it
before a long run, and in an appendix: it says which number of steps is enough, for which samples, and by which rule.
"""

import jax.numpy as jnp
import numpy as np

import attrkit

rng = np.random.default_rng(0)
kernel = rng.normal(size=(24, 3)).astype("float32")
x = rng.normal(size=(12, 24, 3)).astype("float32")


def classifier(x):
    # Steep: most of the way from the baseline changes nothing.
    return 1 / (1 + jnp.exp(-(x * kernel).sum(axis=(1, 2)) * 1.5 + 2))


found = attrkit.metrics.convergence(
    attrkit.adapt(classifier, framework="jax"),
    x,
    n_steps=[4, 8, 16, 32, 64, 128],
    quadrature=["gauss_legendre", "trapezoid", "left"],
)
attrkit.plot.convergence(found)

# %%
# One rule, and few samples, which have a colour each:

attrkit.plot.convergence(found.sel(quadrature=["gauss_legendre"]), samples=[0, 1, 2, 3])

# %%
# The fewest steps that are enough, by rule and sample; NaN where even 128 are not:

print(found["steps_needed"].to_pandas().T.describe().loc[["count", "50%", "max"]])
