"""Names that the examples in docstrings use: a small model ``model``, inputs ``x``, results ``tree``, and its files.

Examples that name them have a finished study too: ``study_tree``, and ``study_path``, its store.
"""

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
    return {"attrkit": attrkit, "np": np, "keras": keras, "model": model, "x": x, "tree": tree}


@cache
def _study() -> dict[str, Any]:
    import tempfile

    np, attrkit, keras = (_names()[name] for name in ("np", "attrkit", "keras"))

    def train(x: Any, y: Any, seed: int) -> Any:
        keras.utils.set_random_seed(seed)
        steps = keras.Input(x.shape[1:])
        found = keras.layers.AdditiveAttention()([steps, steps])
        model = keras.Model(steps, keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling1D()(found)))
        model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=10, verbose=0)
        return model

    x = np.random.default_rng(0).standard_normal((60, 6, 2)).astype("float32")
    y = (x[..., 0].sum(axis=1) > 0).astype(int)
    path = f"{tempfile.mkdtemp()}/study.zarr"
    tree = attrkit.study(
        train,
        ((x[:40], y[:40]), (x[40:], y[40:])),
        store=path,
        seeds=[0, 1],
        extractors=["attention", "gradient"],
        tests={
            "agreement": {},
            "permutation": {"n_permutations": 5},
            "adversarial": {"n_steps": 5},
            "faithfulness": {},
        },
        gate=None,
        show_progress=False,
    )
    return {"study_tree": tree, "study_path": path}


@pytest.fixture(autouse=True)
def _ready_for_examples(request, doctest_namespace, tmp_path, monkeypatch):
    if isinstance(request.node, DoctestItem):
        names = _names()
        doctest_namespace.update(names)
        if any("study_" in example.source for example in request.node.dtest.examples):
            doctest_namespace.update(_study())
        monkeypatch.chdir(tmp_path)
        names["model"].save("trained.keras")
