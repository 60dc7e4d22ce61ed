"""Series without any label in them: the processes that synthetic data sets hide their signal in.

Each function draws one series a sample and channel, (sample, timestep, channel), from the generators of the samples.
No two channels share a draw.
"""

from collections.abc import Sequence

import numpy as np

Samples = Sequence[np.random.Generator]

# Steps thrown away before the first one that counts: what a series began with is forgotten (0.9 ** 100 is 3e-5).
_BURN_IN = 100

# From about 1.02 on, NARMA of order 10 with inputs of mean size runs away.
_NARMA_LIMIT = 1.0


def normal(samples: Samples, *shape: int) -> np.ndarray:
    """Draw standard normal numbers of axes (sample, ...)."""
    return np.stack([rng.standard_normal(shape) for rng in samples])


def uniform(samples: Samples, high: float, *shape: int) -> np.ndarray:
    """Draw numbers between 0 and `high` of axes (sample, ...)."""
    return np.stack([rng.uniform(0, high, shape) for rng in samples])


def irregular_times(samples: Samples, n_timesteps: int) -> np.ndarray:
    """Draw when a series is seen, (sample, timestep), in order.

    Of a grid of twice as many points, 0.2 apart, half are kept and moved by noise of standard deviation 0.2.
    """
    grid = np.linspace(0, 0.4 * n_timesteps, 2 * n_timesteps)
    kept = np.stack([rng.choice(grid, n_timesteps, replace=False) for rng in samples])
    return np.sort(kept + 0.2 * normal(samples, n_timesteps), axis=1)


def autoregressive(
    samples: Samples, n_timesteps: int, n_channels: int, *, phi: Sequence[float], sigma: float = 1.0
) -> np.ndarray:
    """Draw x[t] = sum_k phi[k] x[t-k] + noise of standard deviation `sigma`, after a burn-in."""
    x = sigma * normal(samples, _BURN_IN + n_timesteps, n_channels)
    for t in range(1, x.shape[1]):
        for lag, weight in enumerate(phi[:t], start=1):
            x[:, t] += weight * x[:, t - lag]
    return x[:, _BURN_IN:]


def continuous_autoregressive(samples: Samples, times: np.ndarray, n_channels: int, *, decay: float) -> np.ndarray:
    """Draw an Ornstein-Uhlenbeck process of variance 1 at `times`; its correlation at distance d is decay ** d."""
    x = normal(samples, times.shape[1], n_channels)
    correlation = (decay ** np.diff(times, axis=1))[:, :, None]
    for t in range(1, x.shape[1]):
        last = correlation[:, t - 1]
        x[:, t] = last * x[:, t - 1] + np.sqrt(1 - last**2) * x[:, t]
    return x


def matern(samples: Samples, times: np.ndarray, n_channels: int) -> np.ndarray:
    """Draw a Gaussian process of variance 1, Matern kernel of nu 3/2, length 1 (Rasmussen and Williams, eq. 4.17)."""
    x = normal(samples, times.shape[1], n_channels)
    for i, when in enumerate(times):
        distance = np.sqrt(3) * abs(when[:, None] - when)
        # Two times may lie so near each other that rounding would make the matrix singular.
        covariance = (1 + distance) * np.exp(-distance) + 1e-10 * np.eye(len(when))
        x[i] = np.linalg.cholesky(covariance) @ x[i]
    return x


def harmonic(samples: Samples, times: np.ndarray, n_channels: int, *, frequency: float) -> np.ndarray:
    """Draw sines of one frequency, each channel with a phase of its own."""
    phase = uniform(samples, 2 * np.pi, 1, n_channels)
    return np.sin(2 * np.pi * frequency * times[:, :, None] + phase)


def pseudo_periodic(samples: Samples, times: np.ndarray, n_channels: int) -> np.ndarray:
    """Draw sines whose amplitude N(1, 0.5) and angular frequency N(2, 0.01) change at every step."""
    phase = uniform(samples, 2 * np.pi, 1, n_channels)
    amplitude = 1 + 0.5 * normal(samples, times.shape[1], n_channels)
    frequency = 2 + 0.01 * normal(samples, times.shape[1], n_channels)
    return amplitude * np.sin(frequency * times[:, :, None] + phase)


def narma(samples: Samples, n_timesteps: int, n_channels: int, *, order: int) -> np.ndarray:
    """Draw a nonlinear moving average of inputs u between 0 and 0.5, after a burn-in.

    y[t+1] = 0.3 y[t] + 0.05 y[t] (y[t] + ... + y[t-n+1]) + 1.5 u[t-n+1] u[t] + 0.1 for the order n (Atiya and Parlos
    2000, doi:10.1109/72.846741). Of order 10, 2 series in 1000 run away to infinity; those are drawn again.
    """
    u = uniform(samples, 0.5, order + _BURN_IN + n_timesteps, n_channels)
    y = _narma_of(u, order)
    away = y.max(axis=1) > _NARMA_LIMIT
    while away.any():
        rows = np.flatnonzero(away.any(axis=1)).tolist()
        for row in rows:
            u[row][:, away[row]] = samples[row].uniform(0, 0.5, (u.shape[1], away[row].sum()))
        y[rows] = _narma_of(u[rows], order)
        away = y.max(axis=1) > _NARMA_LIMIT
    return y[:, -n_timesteps:]


def _narma_of(u: np.ndarray, order: int) -> np.ndarray:
    """Return the outputs to inputs of axes (sample, timestep, channel); the first `order` are 0."""
    y = np.zeros_like(u)
    with np.errstate(over="ignore"):
        for t in range(order, u.shape[1]):
            last = y[:, t - 1]
            recent = y[:, t - order : t].sum(axis=1)
            y[:, t] = 0.3 * last + 0.05 * last * recent + 1.5 * u[:, t - order] * u[:, t - 1] + 0.1
    return y
