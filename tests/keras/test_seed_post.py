"""The two models of the question attrkit began with: built, trained two steps, explained, all plots drawn."""

import numpy as np
import pytest
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

import attrkit

layers = keras.layers
TIMESTEPS, CHANNELS = 240, 4


def self_attention_model():
    return keras.Sequential(
        [
            layers.Input((TIMESTEPS, CHANNELS)),
            layers.LSTM(60, return_sequences=True),
            SeqSelfAttention(attention_activation="sigmoid"),
            layers.Flatten(),
            layers.Dense(1, activation="relu"),
        ]
    )


def weighted_attention_model():
    return keras.Sequential(
        [
            layers.Input((TIMESTEPS, CHANNELS)),
            layers.LSTM(60, return_sequences=True),
            SeqWeightedAttention(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("build", [self_attention_model, weighted_attention_model])
def test_the_seed_question(build, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, TIMESTEPS, CHANNELS)).astype("float32")
    y = (x[:, -20:, 0].mean(axis=1, keepdims=True) + 1).astype("float32")
    model = build()
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    before = model.predict(x[:2], verbose=0)

    outputs = attrkit.layer_outputs(model, x[:2], "lstm")
    assert outputs["lstm"]["activation"].shape == (2, TIMESTEPS, 60)
    tree = attrkit.compare(
        model,
        x[:2],
        {
            "attention": ("attention", {"reduce": "mean"}),
            "gradient": "gradient",
            "integrated gradients": ("integrated_gradients", {"n_steps": 16}),
            "occlusion": ("occlusion", {"window": 24}),
        },
        show_progress=False,
    )
    np.testing.assert_array_equal(model.predict(x[:2], verbose=0), before)
    assert attrkit.stack(tree, channels="sum").shape == (4, 2, TIMESTEPS)

    attrkit.plot.curves(outputs["lstm"].to_dataset()).save(tmp_path / "lstm.png")
    attrkit.plot.hist(tree).save(tmp_path / "hist.png")
    attrkit.plot.heatmap(tree).save(tmp_path / "heatmap.pdf")
    attrkit.plot.overlay(tree).save(tmp_path / "overlay.png")
    attrkit.plot.attention(tree["attention"].to_dataset()).save(tmp_path / "attention.png")
    assert {p.stat().st_size > 3000 for p in tmp_path.iterdir()} == {True}
