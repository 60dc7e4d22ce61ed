"""The README's code runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from keras_self_attention import SeqSelfAttention
from tensorflow import keras

import attrkit

README = Path(__file__).parents[1] / "README.md"


def test_the_code_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = keras.layers
    keras.Sequential(
        [
            layers.Input((240, 4)),
            layers.LSTM(4, return_sequences=True),
            SeqSelfAttention(attention_width=9),
            layers.Flatten(),
            layers.Dense(1),
        ]
    ).save("trained.keras")
    days = pd.date_range("2020-01-01", periods=242, name="day")
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((242, 4)), index=days, columns=list("abcd"))
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    exec(code, {"frame": frame})
    tree = attrkit.load("explained.zarr")
    assert list(tree.children) == ["attention", "input_x_gradient", "integrated_gradients"]
    assert min(Path(name).stat().st_size for name in ("heatmap.pdf", "attention.pdf")) > 5000
