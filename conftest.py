"""Names that the examples in docstrings use: a small model ``model``, inputs ``x``, results ``tree``, and its files."""

from functools import cache
from typing import Any

import pytest
from _pytest.doctest import DoctestItem


@cache
def _names() -> dict[str, Any]:
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    from keras_self_attention import SeqSelfAttention
    from tensorflow import keras

    import attrkit

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((12, 3)),
            keras.layers.LSTM(4, return_sequences=True, name="lstm"),
            SeqSelfAttention(attention_width=4, name="attention"),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    x = np.random.default_rng(0).standard_normal((5, 12, 3)).astype("float32")
    tree = attrkit.compare(model, x, ["attention", "input_x_gradient"], show_progress=False)
    return {"attrkit": attrkit, "np": np, "model": model, "x": x, "tree": tree}


@pytest.fixture(autouse=True)
def _ready_for_examples(request, doctest_namespace, tmp_path, monkeypatch):
    if isinstance(request.node, DoctestItem):
        names = _names()
        doctest_namespace.update(names)
        monkeypatch.chdir(tmp_path)
        names["model"].save("trained.keras")
