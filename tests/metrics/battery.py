"""Maps of which it is known what a metric must say: whoever knows all, its opposite, and whoever knows nothing."""

import numpy as np

import attrkit


def boxes(n_samples=200, timesteps=20, channels=6, *, long=5, wide=2, seed=0):
    """Return a saliency of one box a sample, somewhere: booleans of shape (sample, timestep, channel)."""
    rng = np.random.default_rng(seed)
    saliency = np.zeros((n_samples, timesteps, channels), bool)
    for sample in saliency:
        start, first = rng.integers(timesteps - long + 1), rng.integers(channels - wide + 1)
        sample[start : start + long, first : first + wide] = True
    return saliency


def score_maps(saliency, *, seed=0):
    """Return scores by name, each of the shape of the saliency.

    ``oracle`` is 0 and 1; ``anti_oracle`` has all that is salient below the rest, and no ties. ``graded`` ranks as the
    oracle does, with most scores far below the highest; ``squashed`` knows no more than ``random``, with most scores
    close to the highest.
    """
    noise = np.random.default_rng(seed).random(saliency.shape)
    return {
        "oracle": saliency.astype(float),
        "graded": saliency * noise**20,
        "anti_oracle": np.where(saliency, 0.1 * noise, 1 - 0.1 * noise),
        "random": noise,
        "squashed": noise**0.02,
        "constant": np.full(saliency.shape, 0.7),
        "empty": np.zeros(saliency.shape),
    }


def tree(saliency, *, seed=0):
    """Return the maps as results."""
    return attrkit.from_arrays(score_maps(saliency, seed=seed))
