"""Classes of xplique that replace values and watch the output: windows one by one, and random masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_sample
from attrkit.engines.xplique._call import Explained, attribute, drawing
from attrkit.errors import InputError, RefusedError
from attrkit.method import OUTPUT, attribution, checked_first
from attrkit.parts import Parts

MASKS_AT_ONCE = 32
"""Masks of RISE that are shifted alike: xplique's own size of a batch, whatever the model's."""


def _check_occlusion(model: Adapter, x: Parts | None, *, patch_size: Any = 1, patch_stride: Any = None) -> None:
    if x is not None:
        _windows(_one_input("Occlusion", "occlusion", x), patch_size, patch_stride)


@checked_first(_check_occlusion)
def occlusion(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    baseline: Parts,
    masks: Any = None,
    patch_size: Any = 1,
    patch_stride: Any = None,
) -> dict[str, Any]:
    """Return xplique's ``Occlusion``: the output less the output with a window at the baseline (arXiv:1311.2901).

    Parameters
    ----------
    model : Adapter
    x : ndarray of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    baseline : ndarray of the dims of `x`, each of its length or 1
        What a value becomes; xplique's ``occlusion_value``.
    masks : ndarray of bool of shape (sample, timestep), optional
        False where padded; nothing is attributed there.
    patch_size : int or tuple of int, default 1
        Timesteps, and channels, of a window; one number is the length along both. xplique's own default is 3.
    patch_stride : int or tuple of int, optional
        From one window to the next, along each; a part of `patch_size`, which it is if not given. Each value is covered
        by equally many windows, of which some hang over the ends, and gets their mean.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output.
    """
    own = _one_input("Occlusion", "occlusion", x)
    size, stride = _windows(own, patch_size, patch_stride)
    explained = Explained(model, x, target, start=baseline, masks=masks)
    # xplique leaves out the values behind its last whole window, and adds up windows, of which those at the ends have
    # fewer. With differences of 0 around the sample, all have as many.
    shape = (*own.shape[1:], 1)[:2]
    before = [s - r for s, r in zip(size, stride, strict=True)]
    whole = [(first + length - 1) // r * r + s for first, length, s, r in zip(before, shape, size, stride, strict=True)]
    after = [end - first - length for end, first, length in zip(whole, before, shape, strict=True)]
    inner = tuple(slice(first, first + length) for first, length in zip(before, shape, strict=True))
    covers = np.prod([s // r for s, r in zip(size, stride, strict=True)])

    def outputs(model: Any, inputs: Any, targets: Any) -> Any:
        return explained.outputs(model, inputs[:, inner[0], inner[1]], targets)

    from xplique.attributions import Occlusion

    explainer = Occlusion(
        None, batch_size=model.batch_size, operator=outputs, patch_size=size, patch_stride=stride, occlusion_value=0.0
    )

    def call(given: np.ndarray, at: np.ndarray, first: int) -> Any:
        around = [(0, 0), *zip(before, after, strict=True)]
        found = explainer.explain(np.pad(given.reshape(len(given), *shape), around), at)
        return np.asarray(found)[:, inner[0], inner[1]] / covers

    values = attribute(model, explained, call, size=model.batch_size, label="Occlusion", masks=masks)
    return {"attribution": attribution(values, long_name="occlusion", units=OUTPUT)}


def _check_rise(
    model: Adapter,
    x: Parts | None,
    *,
    nb_samples: int = 4000,
    grid_size: int = 7,
    preservation_probability: float = 0.5,
) -> None:
    whole_number(nb_samples, "nb_samples", least=1)
    whole_number(grid_size, "grid_size", least=1)
    if not 0 < preservation_probability < 1:
        raise InputError(f"preservation_probability must be between 0 and 1, got {preservation_probability!r}")
    if x is not None:
        own = _one_input("Rise", "Lime", x)
        if own.dtype.kind != "f":
            raise RefusedError(
                f"xplique:Rise scales values down, and {own.dtype} cannot be: part of a token id is another token; use "
                "xplique:KernelShap, or occlusion"
            )
        if grid_size > own.shape[1]:
            raise InputError(f"grid_size must be at most the {own.shape[1]} timesteps, got {grid_size}")


@checked_first(_check_rise)
def rise(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    baseline: Parts,
    masks: Any = None,
    nb_samples: int = 4000,
    grid_size: int = 7,
    preservation_probability: float = 0.5,
    seed: int = 0,
) -> dict[str, Any]:
    """Return xplique's ``Rise``: the mean output under random masks, weighted by what each leaves (arXiv:1806.07421).

    Parameters
    ----------
    model : Adapter
    x : ndarray of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    baseline : ndarray of the dims of `x`, each of its length or 1
        What a value becomes under a mask; xplique's ``mask_value``.
    masks : ndarray of bool of shape (sample, timestep), optional
        False where padded; nothing is attributed there.
    nb_samples : int, default 4000
        Masks, for each sample.
    grid_size : int, default 7
        Cells of a mask along time, drawn for each channel and then stretched.
    preservation_probability : float, default 0.5
        Of a cell, to be left.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output. A value that says nothing has the mean output under
        all masks, not 0.
    """
    own = _one_input("Rise", "Lime", x)
    explained = Explained(model, x, target, start=baseline, masks=masks)
    (module, begin), seeds = drawing("rise"), seed_of_sample(seed, model.first_sample)
    explainer = module.Rise(
        None,
        batch_size=MASKS_AT_ONCE,
        operator=explained.outputs,
        nb_samples=nb_samples,
        grid_size=grid_size,
        preservation_probability=preservation_probability,
        mask_value=0.0,
    )

    def call(given: np.ndarray, at: np.ndarray, first: int) -> Any:
        begin(seeds(first))
        return explainer.explain(given.reshape(1, *(*own.shape[1:], 1)[:2]), at)

    values = attribute(model, explained, call, size=1, label="Rise", masks=masks)
    return {"attribution": attribution(values, long_name="mean output where the value is left", units=OUTPUT)}


def _one_input(name: str, instead: str, x: Parts) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise RefusedError(
            f"xplique:{name} takes one input, and {', '.join(x)} are explained; name one with explain=, or use "
            f"{'attrkit' if instead == 'occlusion' else 'xplique'}'s {instead}"
        )
    return x


def _windows(x: np.ndarray, patch_size: Any, patch_stride: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the lengths of a window along timesteps and channels, and of the way to the next."""
    lengths = (*x.shape[1:], 1)[:2]

    def along(given: Any, option: str) -> tuple[int, ...]:
        values = given if isinstance(given, Sequence) else (given,) * (x.ndim - 1)
        if len(values) != x.ndim - 1:
            raise InputError(f"{option} must have {x.ndim - 1} numbers, for an input of shape {x.shape[1:]}: {given!r}")
        return (*(whole_number(value, option, least=1) for value in values), 1)[:2]

    size = along(patch_size, "patch_size")
    stride = size if patch_stride is None else along(patch_stride, "patch_stride")
    if any(s > length for s, length in zip(size, lengths, strict=True)):
        raise InputError(f"patch_size must be within the input's shape {x.shape[1:]}, got {patch_size!r}")
    if any(s % r for s, r in zip(size, stride, strict=True)):
        raise InputError(
            f"patch_stride must divide patch_size, so that equally many windows cover each value; got {patch_stride!r} "
            f"and {patch_size!r}"
        )
    return size, stride
