"""A model of the same architecture that is trained to give the same answers with other attention."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Parameter, Reader
from attrkit.attention import find_readers
from attrkit.attention.impose import only_call
from attrkit.checks import one_of, real_number, whole_number
from attrkit.errors import InputError, RefusedError
from attrkit.metrics.draws import ONLY, generator
from attrkit.metrics.randomisation.redrawn import DRAW_AS_FRESH, drawn_as_fresh
from attrkit.parts import each
from attrkit.progress import progress_bar
from attrkit.schema import build_table, default_dims
from attrkit.studies.attention.outputs import apart, measure_of
from attrkit.studies.attention.training_loss import Loss, loss_of, real_shares, shares_of_rows
from attrkit.studies.attention.weights import AttentionLayer, divergence_of_rows, mean_over_rows, read_layer

STARTS = ("fresh", "base")

_STEP_ASIDE = 0.01
"""Of the size of each array: at the base itself the loss has no slope."""


def adversarial_training(
    model: Any,
    inputs: Any,
    *,
    lambdas: Sequence[float],
    test: Any = None,
    on_train: bool = False,
    start: str = "fresh",
    epochs: int = 80,
    learning_rate: float = 0.01,
    batch_size: int = 32,
    layer: str | None = None,
    mask: Any = None,
    test_mask: Any = None,
    seed: int = 0,
    show_progress: bool = True,
) -> xr.Dataset:
    r"""Train models that answer as this one does, with attention as far from its own as may be.

    .. math:: L(a, b) = \frac{1}{n} \sum_i \mathrm{TVD}(y_a^i, y_b^i)
        - \lambda \, \mathrm{KL}(\alpha_a^i \,\|\, \alpha_b^i)

    for the model :math:`b` that is given and an adversary :math:`a` (Wiegreffe and Pinter 2019, arXiv:1908.04626,
    section 4, equation 1). Weights that are searched for sample by sample, as `adversarial_attention` does, need belong
    to no model; these do. An adversary that answers as the base does with attention far from the base's says that the
    base's attention is not the only one that such a model can have for its answers.

    Parameters
    ----------
    model, inputs
        As in `attrkit.extract`: a Keras model or a torch module with an attention layer. It is put back bit for bit.
        Labels are not needed.
    lambdas : sequence of float
        What divergence, in nats, is worth in units of the answer; an adversary is trained for each. 0 imitates the
        answers alone.
    test : optional
        Inputs to report on, if not those that the adversaries are trained on.
    on_train : bool, default False
        With `test`, return the adversaries' weights for the inputs that they are trained on, too.
    start : {"fresh", "base"}, default "fresh"
        What an adversary starts with: parameters drawn anew, each array from a normal distribution of the mean and
        the standard deviation of the base's; or the base's, moved by a hundredth of their size, because at the base
        itself the loss has no slope. The same for all of `lambdas`. Frozen parameters stay.
    epochs : int, default 80
        Passes over the training data, for each lambda.
    learning_rate : float, default 0.01
        Of Adam in its first step; it falls to nothing in the last.
    batch_size : int, default 32
        Samples a step. Means are taken over samples, so `lambdas` mean the same whatever it is.
    layer : str, optional
        Which attention layer, by name or a part of it; needed where there are several. Others are free.
    mask, test_mask : array_like of bool of shape (sample, timestep), optional
        False where `inputs`, or `test`, are padded; known without it for a model that masks.
    seed : int, default 0
        Of the start, and of the order of samples.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.

    Returns
    -------
    Dataset
        Along ``lambda_`` (no Python call can name a dim ``lambda``) and sample, on `test` if given:
        ``jensen_shannon``, the divergence between both models' weights in bits, mean over heads and real queries, at
        most 1; ``output_change``, how far the adversary's answer is, in the measure that its attribute says;
        ``attention``, the adversary's weights, and ``adversary_prediction``. ``loss`` (``lambda_``, epoch): mean over
        the samples trained on, each as it was before its step; ``prediction`` and ``largest_weight`` of the base. With
        `on_train`, ``train_attention`` (``lambda_``, train_sample, ...).

    Raises
    ------
    RefusedError
        If the model has no attention layer whose weights can be imposed, no gradient, or only frozen parameters.
    InputError
        If an argument does not fit, or the loss is no longer a number.

    Notes
    -----
    Total variation stands for class probabilities; other outputs have the mean absolute difference. Padding has no part
    in the divergence: shares are of the weight on real keys. Their logarithm is that of 1e-10 where they are less. The
    adversary runs as for prediction, without dropout, and with the base's averages of batches. The paper's code adds
    both terms up over the batch, and so has another lambda for each batch size; these are means.

    Examples
    --------
    >>> found = attrkit.studies.adversarial_training(
    ...     model, x, lambdas=[0.0, 0.1], start="base", epochs=5, show_progress=False
    ... )
    >>> found["jensen_shannon"].dims
    ('lambda_', 'sample')
    """
    penalties = _read_lambdas(lambdas)
    one_of(start, "start", STARTS)
    epochs, batch_size = whole_number(epochs, "epochs", least=1), whole_number(batch_size, "batch_size", least=1)
    seed = whole_number(seed, "seed", least=0)
    learning_rate = real_number(learning_rate, "learning_rate", above=0)
    if test is None and test_mask is not None:
        raise InputError("test_mask= is of the inputs that test= gives; leave it out, or give both")
    if test is None and on_train:
        raise InputError("without test= all that is returned is of the inputs trained on; leave on_train= out")
    how: dict[str, Any] = {"layer": layer, "batch_size": None, "show_progress": False}
    own = read_layer(model, inputs, mask=mask, **how)
    own.asked.check_gradient()
    learnt = {name: one for name, one in own.asked.parameters().items() if not one.frozen}
    if not learnt:
        raise RefusedError("all of the model's parameters are frozen; unfreeze some, or there is nothing to train")
    held_out = own if test is None else read_layer(model, test, mask=test_mask, **how)
    first = _started(learnt, start, seed)
    reports, losses = [], []
    progress = progress_bar(len(penalties) * epochs, label="adversaries", unit="epoch", show=show_progress)
    with own.asked.left_as_found(), own.asked.state_kept(), progress as bar:
        for penalty in penalties:
            training = _Training(own, first, penalty=penalty, batch_size=batch_size)
            losses.append(training.run(epochs, learning_rate, seed, bar))
            report = _report(held_out)
            if on_train:
                report["train_attention"] = _adversary_of(own)[1].rename(sample="train_sample")
            reports.append(report)
    found = xr.concat(reports, dim=xr.DataArray(penalties, dims="lambda_", name="lambda_"))
    found["lambda_"].attrs = {"long_name": "worth of divergence"}
    found["loss"] = (("lambda_", "epoch"), np.stack(losses), {"long_name": "mean loss"})
    coords = {"sample": held_out.labels, "epoch": np.arange(1, epochs + 1)}
    if on_train:
        coords["train_sample"] = own.labels
    found = found.assign(xr.Dataset(held_out.described())).assign_coords(coords)
    options = {
        "layer": own.path,
        "start": start,
        "draw": DRAW_AS_FRESH if start == "fresh" else "the base's parameters, moved by 0.01 of their size",
        "reported_on": "the inputs trained on" if test is None else "other inputs",
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "seed": seed,
    }
    return build_table("adversarial_training", found, options)


def _read_lambdas(lambdas: Any) -> list[float]:
    given = list(lambdas) if isinstance(lambdas, Sequence | np.ndarray) and not isinstance(lambdas, str) else []
    if not given or not all(np.ndim(one) == 0 and np.isfinite(one) and one >= 0 for one in given):
        raise InputError(f"lambdas must be numbers, 0 or more, one at least, got {lambdas!r}")
    if len(set(given)) < len(given):
        raise InputError(f"lambdas={lambdas!r}; give each once")
    return [float(one) for one in given]


def _started(learnt: dict[str, Parameter], start: str, seed: int) -> dict[str, np.ndarray]:
    """Return the parameters that all adversaries start with."""
    found = {}
    for number, (name, one) in enumerate(learnt.items()):
        if start == "fresh":
            found[name] = drawn_as_fresh(one.values, seed=seed, number=number)
        else:
            size = np.sqrt(np.mean(np.square(one.values, dtype=np.float64))) if one.values.size else 0.0
            aside = _STEP_ASIDE * size * generator(seed, ONLY, number).standard_normal(one.values.shape)
            found[name] = (one.values + aside).astype(one.values.dtype)
    return found


class _Training:
    """One adversary: its parameters in double precision, and Adam's moments of them."""

    def __init__(self, own: AttentionLayer, first: dict[str, np.ndarray], *, penalty: float, batch_size: int) -> None:
        self.own, self.penalty, self.batch_size = own, penalty, batch_size
        self.values = {name: values.astype(np.float64) for name, values in first.items()}
        self.moments = {name: [np.zeros_like(values), np.zeros_like(values)] for name, values in self.values.items()}
        self.readers = _readers_of(own)
        self.measure = measure_of(own.prediction)
        self.rows = shares_of_rows(own.weights, own.queries)
        self.steps = 0

    def run(self, epochs: int, learning_rate: float, seed: int, bar: Any) -> np.ndarray:
        """Train, and return the mean loss of each epoch; the model holds the adversary then."""
        model, count = self.own.asked, len(self.own.weights)
        model.assign(self.values)
        total = epochs * -(-count // self.batch_size)
        means = []
        for epoch in range(epochs):
            order = np.random.default_rng([seed, epoch]).permutation(count)
            losses = []
            for at in range(0, count, self.batch_size):
                loss = self._step(order[at : at + self.batch_size], learning_rate * (1 - self.steps / total))
                losses.append(loss.distance - self.penalty * loss.divergence)
            means.append(float(np.concatenate(losses).mean()))
            if not np.isfinite(means[-1]):
                raise InputError(
                    f"the loss is {means[-1]} in epoch {epoch + 1} at lambda {self.penalty}; a lower learning_rate "
                    f"than {learning_rate} may keep it finite"
                )
            bar.update(1)
        return np.array(means)

    def _step(self, samples: np.ndarray, learning_rate: float) -> Loss:
        own = self.own
        model = _of_samples(own.asked, samples)
        x = each(lambda a: a[samples], own.x)
        prediction, readings = model.read(x, self.readers, check=False)
        calls = readings[own.path]
        loss = loss_of(
            *(prediction, only_call(own.path, calls)["attention"]),
            base_prediction=own.prediction[samples],
            base_weights=own.weights[samples],
            real=own.real[samples],
            rows=self.rows[samples],
            measure=self.measure,
            penalty=self.penalty,
        )
        by_output = (loss.by_output / len(samples)).astype(prediction.dtype)
        by_weights = (loss.by_weights / len(samples)).astype(own.weights.dtype)
        slopes = model.parameter_gradient(
            *(x, by_output),
            readers=self.readers,
            reading_cotangents={own.path: [{"attention": by_weights} if "attention" in call else {} for call in calls]},
        )
        self.steps += 1
        for name, slope in slopes.items():
            # Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).
            first, second = self.moments[name]
            first += 0.1 * (slope - first)
            second += 0.001 * (np.square(slope, dtype=np.float64) - second)
            size = np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8
            self.values[name] -= learning_rate * first / (1 - 0.9**self.steps) / size
        own.asked.assign(self.values)
        return loss


def _readers_of(own: AttentionLayer) -> dict[str, Reader]:
    return {own.path: find_readers(own.asked.layers())[own.path]}


def _of_samples(model: Adapter, samples: np.ndarray) -> Adapter:
    """Return an adapter whose other inputs are those of some samples."""
    if not model.question.context:
        return model
    context = {name: values[samples] for name, values in model.question.context.items()}
    return model.asking(replace(model.question, context=context))


def _adversary_of(base: AttentionLayer) -> tuple[np.ndarray, xr.DataArray]:
    """Return predictions and weights of the adversary that the model holds now."""
    prediction, readings = base.asked.read(base.x, _readers_of(base))
    weights = only_call(base.path, readings[base.path])["attention"]
    about = {"long_name": "attention weight of the adversary", "units": "1"}
    return prediction, xr.DataArray(weights, dims=default_dims("attention", weights.ndim), attrs=about)


def _report(base: AttentionLayer) -> xr.Dataset:
    """Return what the model, which holds an adversary now, gives beside what the base gave."""
    prediction, weights = _adversary_of(base)
    measure = measure_of(base.prediction)
    (own, _), (others, _) = (real_shares(values.astype(float), base.real) for values in (base.weights, weights.values))
    divergence = mean_over_rows(divergence_of_rows(others, own), base.queries)
    return xr.Dataset(
        {
            "jensen_shannon": ("sample", divergence, {"long_name": "Jensen-Shannon divergence", "units": "bit"}),
            "output_change": ("sample", apart(prediction, base.prediction, measure), {"long_name": measure}),
            "attention": weights,
            "adversary_prediction": (("sample", "output"), prediction),
        }
    )
