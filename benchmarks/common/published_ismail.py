"""A part of the grid of Ismail et al. 2020: processes by boxes by nets, and what each method finds of the box."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

import attrkit
from attrkit.datasets import ismail
from common.scores import random

MODELS = ("lstm", "conv", "transformer")
PROCESSES = ("gaussian", "autoregressive")
BOXES = ("middle", "rare_time")
ALL_PROCESSES = (*PROCESSES, "narma", "harmonic", "pseudo_periodic", "car", "gaussian_process")
ALL_BOXES = (
    *("middle", "small_middle", "rare_time", "rare_feature"),
    *("moving_middle", "moving_small_middle", "moving_rare_time", "moving_rare_feature"),
    *("positional_time", "positional_feature"),
)
TRAINED, TESTED = 1000, 100
METRICS = ("time_precision", "time_recall", "feature_precision", "feature_recall", "auprc")

ENOUGH = 0.9
"""Accuracy on the test data below which the benchmark leaves a net out."""

EPOCHS, PATIENCE, STEPS = 100, 10, 32

WINDOW = 5
"""Timesteps that occlusion replaces at once, in one channel."""


def measured(processes: Sequence[str], boxes: Sequence[str], *, samples: int) -> xr.Dataset:
    """Return scores of dims (process, box, model, method, sample), and the accuracy of every net.

    Nets below an accuracy of 0.9 have NaN for all scores, as the benchmark ignores them.
    """
    found = {}
    for process in processes:
        for box in boxes:
            data = ismail(process, box, n_samples=TRAINED + TESTED, seed=0)
            for model in MODELS:
                found[process, box, model] = _of_net(model, data, samples)
                print(
                    f"{process}, {box}, {model}: accuracy {float(found[process, box, model].accuracy):.2f}", flush=True
                )
    along = ("process", "box", "model")
    return xr.combine_by_coords(
        [ds.expand_dims({dim: [at] for dim, at in zip(along, key, strict=True)}) for key, ds in found.items()]
    )


def _of_net(name: str, data: xr.Dataset, samples: int) -> xr.Dataset:
    import keras

    keras.utils.set_random_seed(0)
    x, label = data["input"].values.astype("float32"), data["label"].values.astype("float32")[:, None]
    low, high = x[:TRAINED].min(), x[:TRAINED].max()
    x = (x - low) / (high - low)
    model = net(name, *x.shape[1:])
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
    )
    # The last fifth of the training data says when to stop; the benchmark asks the test data.
    part = TRAINED - TRAINED // 5
    model.fit(
        x[:part],
        label[:part],
        validation_data=(x[part:TRAINED], label[part:TRAINED]),
        batch_size=50,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)],
    )
    tested = x[TRAINED:]
    accuracy = float(((model.predict(tested, verbose=0) > 0) == label[TRAINED:]).mean())
    given, saliency = tested[:samples], data["saliency"].values[TRAINED : TRAINED + samples]
    tree = attrkit.compare(
        model,
        given,
        {
            "gradient": "gradient",
            "input_x_gradient": "input_x_gradient",
            "smoothgrad": ("smoothgrad", {"n_samples": STEPS}),
            "integrated_gradients": ("integrated_gradients", {"n_steps": STEPS}),
            "occlusion": ("occlusion", {"window": WINDOW}),
            "random": random,
        },
        # The benchmark draws its baseline from U(0, 1), anew for each method.
        baseline="mean",
        show_progress=False,
    )
    ds = attrkit.metrics.ground_truth(tree, saliency, metrics=METRICS)[list(METRICS)]
    if accuracy < ENOUGH:
        ds = xr.full_like(ds, np.nan)
    return ds.rename(extractor="method").assign(accuracy=accuracy)


def net(name: str, n_timesteps: int, n_channels: int) -> Any:
    """Return a net of one logit: a small LSTM, two convolutions of dilations 1 and 4, or one block of attention."""
    import keras

    layers = keras.layers
    x = inputs = layers.Input((n_timesteps, n_channels))
    if name == "lstm":
        x = layers.LSTM(16)(x)
    elif name == "conv":
        for dilation in (1, 4):
            x = layers.Conv1D(32, 4, dilation_rate=dilation, padding="causal", activation="relu")(x)
        x = layers.GlobalMaxPooling1D()(x)
    else:
        x = layers.Dense(32)(x)
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
        inner = layers.Dense(32)(layers.Dense(64, activation="relu")(x))
        x = layers.GlobalMaxPooling1D()(layers.LayerNormalization()(x + inner))
    return keras.Model(inputs, layers.Dense(1)(x))
