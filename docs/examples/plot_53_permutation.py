"""
Shuffled attention
==================

A dot for each sample: how far the output moves when its attention weights are shuffled, against the largest weight
there was to shuffle. Use it before calling attention an explanation: dots at the lower right are samples with a clear
peak of attention on which the output does not rest.
"""

import numpy as np
from keras_self_attention import SeqWeightedAttention
from tensorflow import keras

import attrkit

x = np.random.default_rng(0).normal(size=(120, 10, 2)).astype("float32")

# The layer attends to where channel 1 is large, and the class is the sign of channel 0 there. Weights are set by hand.
steps = keras.Input((10, 2))
output = keras.layers.Dense(2, "softmax")(SeqWeightedAttention(name="attention")(steps))
model = keras.Model(steps, output)
model.set_weights([np.array([[0.0], [2.0]]), np.zeros(1), np.array([[-3.0, 3.0], [0.0, 0.0]]), np.zeros(2)])

found = attrkit.studies.permute_attention(model, x, n_permutations=50, show_progress=False)
attrkit.plot.permutation(found)

# %%
# Of a study over seeds, `attrkit.study`, the same plot has a panel for each class that the models say.
