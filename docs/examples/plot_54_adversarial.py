"""
Adversarial attention
=====================

A dot for each sample: how different attention weights can be found that leave the output where it is. Use it beside
the shuffled weights: dots high up at the right are samples whose peak of attention could as well lie elsewhere.
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

found = attrkit.studies.adversarial_attention(model, x, epsilon=0.01, n_starts=2, n_steps=100, show_progress=False)
attrkit.plot.adversarial(found)
