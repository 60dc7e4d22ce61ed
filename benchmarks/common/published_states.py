"""Hidden states: a recurrent net learns a label at every timestep, and each step is explained by its own values.

As published, what is explained at timestep t is the score of the class that the net predicts there from all values up
to t, and of its attributions those of timestep t count. That needs no pass for each t. A score at t is a function of
the values at t and of the state that the values before have left, so a net of two inputs has them apart: ``x``, from
which each step takes its own values, and ``history``, from which it takes its state.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import attrkit
from attrkit.datasets import hidden_states
from common.scores import pooled, random

TRAINED, TESTED = 800, 200
FOLDS = 5

SHORT = 20
"""Timesteps of the pieces that series are cut into, for scores of short series: what is published looks like those."""
UNITS, EPOCHS, STEPS = 200, 12, 32
LEARNING_RATE = 1e-3


class Net(NamedTuple):
    """Nets of the same layers: as it is trained, with inputs apart, one step of it, and what gives its states."""

    trained: Any
    apart: Any
    step: Any
    states: Any


def measured(folds: int, *, samples: int) -> tuple[xr.Dataset, list[float]]:
    """Return scores of dims (fold, length, method), and the accuracy of each fold's net on the test data.

    All folds have the same test data; a fold is a fifth of the training data that is left out, and a training.
    Scores of a length are those of all series cut into pieces of so many timesteps; attributions are the same.
    """
    data = hidden_states(n_samples=TRAINED + TESTED, seed=0)
    found, accuracies = [], []
    for fold in range(folds):
        left_out = np.arange(TRAINED) // (TRAINED // FOLDS) == fold % FOLDS
        train = data.isel(sample=slice(TRAINED)).isel(sample=~left_out)
        net = trained(train, seed=fold)
        test = data.isel(sample=slice(TRAINED, TRAINED + samples))
        x, label = test["input"].values.astype("float32"), test["label"].values
        scores = net.trained.predict(x, verbose=0)
        accuracies.append(float((scores.argmax(-1) == label).mean()))
        baseline = train["input"].values.mean(axis=0).astype("float32")
        saliency = test["saliency"].values
        values = attributions(net, x, scores, baseline, seed=fold) | {"salient cells": saliency.astype(float)}
        lengths = (x.shape[1], SHORT)
        of_lengths = [
            pooled({name: cut(each, length) for name, each in values.items()}, cut(saliency, length))
            for length in lengths
        ]
        found.append(xr.concat(of_lengths, dim=xr.Variable("length", list(lengths))))
        print(f"fold {fold}: accuracy {accuracies[-1]:.3f}", flush=True)
    return xr.concat(found, dim="fold").rename(extractor="method"), accuracies


def cut(values: np.ndarray, length: int) -> np.ndarray:
    """Return pieces of `length` timesteps in place of samples."""
    return values.reshape(-1, length, values.shape[2])


def trained(train: xr.Dataset, *, seed: int) -> Net:
    """Return a GRU that has learnt the label of every timestep, in Keras on whatever it runs on."""
    import keras

    layers, ops = keras.layers, keras.ops
    keras.utils.set_random_seed(seed)
    n_timesteps, n_channels = train.sizes["timestep"], train.sizes["channel"]
    gru = layers.GRU(UNITS, return_sequences=True)
    normalise, drop, dense = layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)

    def scores(hidden: Any) -> Any:
        return dense(drop(ops.relu(normalise(hidden))))

    def of_predicted(values: Any, states: Any, predicted: Any) -> Any:
        flat = (ops.reshape(each, (-1, each.shape[-1])) for each in (values, states))
        hidden, _ = gru.cell(next(flat), [next(flat)])
        return ops.sum(scores(ops.reshape(hidden, (-1, *states.shape[1:]))) * predicted, axis=(1, 2))[:, None]

    series = layers.Input((n_timesteps, n_channels))
    states = gru(series)
    model = keras.Model(series, scores(states))

    x = layers.Input((n_timesteps, n_channels), name="x")
    history = layers.Input((n_timesteps, n_channels), name="history")
    predicted = layers.Input((n_timesteps, 2), name="predicted")
    before = ops.pad(gru(history)[:, :-1], ((0, 0), (1, 0), (0, 0)))
    apart = keras.Model([x, history, predicted], of_predicted(x, before, predicted))

    now = layers.Input((1, n_channels), name="x")
    state = layers.Input((1, UNITS), name="state")
    step_predicted = layers.Input((1, 2), name="predicted")
    step = keras.Model([now, state, step_predicted], of_predicted(now, state, step_predicted))

    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(train["input"].values.astype("float32"), train["label"].values, batch_size=32, epochs=EPOCHS, verbose=0)
    return Net(model, apart, step, keras.Model(series, states))


def attributions(net: Net, x: np.ndarray, scores: np.ndarray, mean: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Return what each method says of each step's own values, (sample, timestep, channel)."""
    predicted = np.eye(2, dtype="float32")[scores.argmax(-1)]
    states = net.states.predict(x, verbose=0)
    before = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)

    def each_step(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (*x.shape[:2], values.shape[-1])).reshape(-1, 1, values.shape[-1])

    rows = {"x": each_step(x), "state": each_step(before), "predicted": each_step(predicted)}
    by_step = net.step.predict(rows, verbose=0)[:, 0]
    np.testing.assert_allclose(by_step, scores.max(-1).ravel(), atol=1e-3 * np.abs(scores).max())
    found = {}
    for method in ("gradient", "input_x_gradient", "occlusion", random):
        # The published baseline of occlusion: the mean of the training data at the timestep.
        given = {"baseline": {"x": each_step(mean)}} if method == "occlusion" else {}
        ds = attrkit.extract(net.step, rows, method, explain="x", seed=seed, show_progress=False, **given)
        found[method if isinstance(method, str) else "random"] = ds["attribution"].values.reshape(x.shape)
    # On the way from the baseline all values are scaled, those that made the state among them.
    both = {"x": x, "history": x, "predicted": predicted}
    ds = attrkit.extract(
        net.apart, both, "integrated_gradients", explain=["x", "history"], n_steps=STEPS, show_progress=False
    )
    found["integrated_gradients"] = ds["attribution"].values
    check(net, x[:1], scores[:1], {name: found[name][:1] for name in ("gradient", "integrated_gradients")})
    return found


def check(net: Net, x: np.ndarray, scores: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """Hold a few timesteps of one sample against what is published: the trained net, asked for that timestep alone."""
    at = np.linspace(0, x.shape[1] - 1, 5).astype(int)
    target = [(int(t), int(scores[0, t].argmax())) for t in at]
    for method, values in found.items():
        options = {"n_steps": STEPS} if method == "integrated_gradients" else {}
        given = x.repeat(len(at), axis=0)
        ds = attrkit.extract(net.trained, given, method, target=target, show_progress=False, **options)
        each = ds["attribution"].values[np.arange(len(at)), at]
        np.testing.assert_allclose(values[0, at], each, atol=1e-3 * np.abs(each).max())
