"""A layer of one's own, in a module that another process can import."""

from tensorflow import keras


class Doubled(keras.layers.Layer):
    """Twice what comes in."""

    def call(self, inputs):
        """Double."""
        return 2.0 * inputs
