"""The mean gradient over noisy copies of the input."""

from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import real_number, whole_number
from attrkit.method import OUTPUT_PER_INPUT, attribution, needs_gradient
from attrkit.parts import Parts, by_name, each, keep_real, masks_like, unnamed


@needs_gradient
def smoothgrad(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    masks: Any = None,
    n_samples: int = 32,
    noise_scale: float = 0.15,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the mean gradient over noisy copies of the input (Smilkov et al. 2017, arXiv:1706.03825, section 3).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; padding stays as it is, because noise would make it real.
    n_samples : int, default 32
        Noisy copies of each sample.
    noise_scale : float, default 0.15
        Standard deviation of the Gaussian noise, as a share of the range (max - min) of each channel of each sample
        over time. A static input has none, and so no noise.
    seed : int, default 0
        The noise of a sample depends on it and on the sample's place only, not on batches.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.

    Raises
    ------
    InputError
        If `n_samples` is below 1 or `noise_scale` is negative.
    """
    n_samples, seed = whole_number(n_samples, "n_samples", least=1), whole_number(seed, "seed", least=0)
    noise_scale = real_number(noise_scale, "noise_scale", least=0)
    scale = each(lambda a, mask: noise_scale * _spread(a, mask), x, masks_like(x, masks))

    def noise(samples: np.ndarray, steps: np.ndarray) -> Any:
        numbers = (model.first_sample + samples).tolist()

        def draw(part: int, scale: np.ndarray) -> np.ndarray:
            draws = [
                np.random.Generator(np.random.Philox(key=[seed, part], counter=[0, 0, step, number])).standard_normal(
                    scale.shape[1:]
                )
                for number, step in zip(numbers, steps.tolist(), strict=True)
            ]
            return np.stack(draws) * scale[samples]

        # Parts of several inputs have noise of their own.
        return unnamed({name: draw(part, spread) for part, (name, spread) in enumerate(by_name(scale).items())})

    weights = np.full(n_samples, 1 / n_samples)
    values = model.path_gradient(x, target, alphas=np.ones(n_samples), weights=weights, noise=noise)
    return {"attribution": attribution(values, long_name="SmoothGrad", units=OUTPUT_PER_INPUT)}


def _spread(x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the range over real timesteps, of the shape of `x`, 0 at padding."""
    high = keep_real(x, -np.inf, mask).max(axis=1, keepdims=True)
    low = keep_real(x, np.inf, mask).min(axis=1, keepdims=True)
    return keep_real(np.broadcast_to(high - low, x.shape), 0, mask)
