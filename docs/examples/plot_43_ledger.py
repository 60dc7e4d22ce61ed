"""
Where relevance ended
=====================

LRP hands the output back through the model. Not all of it reaches the input: biases and stabilisers keep a share, of
either sign. Use this before reading relevance as "the share of the output that this value brought": where the bar of
the input is short, most of the output came from elsewhere.
"""

import numpy as np
from tensorflow import keras

import attrkit

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.layers.Input((24, 3)),
        keras.layers.LSTM(16),
        keras.layers.Dense(8, "relu"),
        keras.layers.Dense(1),
    ]
)
rng = np.random.default_rng(0)
model.set_weights([weight + 0.1 * rng.normal(size=weight.shape) for weight in model.get_weights()])
x = 2 * rng.normal(size=(8, 24, 3)).astype("float32")

tree = attrkit.compare(
    model,
    x,
    {"epsilon 0.001": ("lrp", {"epsilon": 0.001}), "epsilon 0.3": ("lrp", {"epsilon": 0.3})},
    show_progress=False,
)
attrkit.plot.ledger(tree)

# %%
# Parts above zero stand to the right, parts below to the left, and right less left is the output, the white mark. A
# larger epsilon makes relevance smoother, and this is what it costs.
