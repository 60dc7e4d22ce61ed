"""shap's ``GradientExplainer``: expected gradients, for any model that has gradients."""

from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_sample
from attrkit.engines.shap._background import background_of, check_background
from attrkit.engines.shap._hosts import Gradients, check_host, host_of
from attrkit.errors import EngineError, InputError
from attrkit.method import OUTPUT, attribution, checked_first, measured, needs_gradient
from attrkit.parts import Parts, arrays_of, by_name, each, real_only, row_count, unnamed


def _check(
    model: Adapter, x: Parts | None, *, background: Any = None, nsamples: int = 200, local_smoothing: float = 0.0
) -> None:
    check_host(model)
    whole_number(nsamples, "nsamples", least=1)
    if not isinstance(local_smoothing, int | float) or not 0 <= local_smoothing < np.inf:
        raise InputError(f"local_smoothing must be a standard deviation, 0 or more, got {local_smoothing!r}")
    check_background(background, x)


@needs_gradient
@checked_first(_check)
def gradient_explainer(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    background: Any = None,
    nsamples: int = 200,
    local_smoothing: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Return shap's ``GradientExplainer``: expected gradients (Erion et al. 2021, arXiv:1906.10670, eq. 1).

    .. math:: \phi = \frac{1}{K} \sum_k (x - b_k) \nabla f\big(b_k + t_k (x - b_k)\big)

    with rows :math:`b_k` drawn from the background and :math:`t_k` from between 0 and 1.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        Where the way to each sample starts, if no background is given.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    background : Parts of shape (row, timestep[, channel]), optional
        What is drawn from, for each sample; where a sample is padded, they are too.
    nsamples : int, default 200
        Draws for a sample. The error of the mean falls with its square root.
    local_smoothing : float, default 0
        Standard deviation of noise on the sample, in units of the input.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction``, the mean over the
        background, and ``completeness_gap``, both of shape (sample,). shap works in single precision.
    """
    shap = import_module("shap")
    compared, seeds = background_of(background, baseline, x, masks), seed_of_sample(seed, model.first_sample)
    gradients = Gradients(model, x, target, masks)
    host = host_of(model, gradients)
    several = len(arrays_of(x)) > 1
    found: dict[str, list[np.ndarray]] = {name: [] for name in by_name(x)}

    def inputs_of(parts: Any) -> Any:
        made = [host.given(array) for array in arrays_of(parts)]
        return made if several else made[0]

    with model.bar("GradientExplainer", row_count(x)) as bar, host.ready:
        explainer: Any = None
        rows: Any = None
        for sample in range(row_count(x)):
            gradients.sample = sample
            before, rows = rows, compared.of(sample)
            # On TensorFlow each explainer traces anew.
            if before is None or not all(map(np.array_equal, arrays_of(rows), arrays_of(before))):
                explainer = shap.GradientExplainer(
                    host.model, inputs_of(rows), batch_size=model.batch_size, local_smoothing=local_smoothing
                )
            one = inputs_of(each(lambda a, i=sample: a[i : i + 1], x))
            with host.seeded(seeds(sample)):
                values = _explained(explainer, one, nsamples, seeds(sample), gradients)
            for (name, parts), value in zip(found.items(), values if several else [values], strict=True):
                own = by_name(x)[name][sample : sample + 1]
                if value.shape != (*own.shape, 1):
                    raise EngineError(f"shap.GradientExplainer gave {value.shape} for an input of shape {own.shape}")
                parts.append(value[..., 0].astype(own.dtype))
            bar.update(1)
    values = real_only(unnamed({name: np.concatenate(parts) for name, parts in found.items()}), masks)
    measures = measured(values, compared.prediction(gradients.model, target), prediction, target)
    return {"attribution": attribution(values, long_name="expected gradients", units=OUTPUT), **measures}


def _explained(explainer: Any, one: Any, nsamples: int, seed: int, gradients: Gradients) -> Any:
    try:
        return explainer.shap_values(one, nsamples=nsamples, rseed=seed)
    except Exception:
        if gradients.failed is not None:
            raise gradients.failed from None
        raise
