"""The models in Keras, on whatever it runs on."""

from typing import Any

from common.models import ATTENTION, HEADS, INNER, KERNEL, UNITS, WIDTH, Weights


def keras_model(name: str, weights: Weights, *, timesteps: int, channels: int) -> Any:
    import keras

    layers = keras.layers
    inputs = layers.Input((timesteps, channels))
    if name == "seed":
        hidden = layers.LSTM(UNITS, return_sequences=True)(inputs)
        hidden = layers.Flatten()(_self_attention(keras)(hidden))
    elif name == "lstm":
        hidden = layers.LSTM(UNITS)(inputs)
    elif name == "gru":
        hidden = layers.GRU(UNITS)(inputs)
    elif name == "conv":
        hidden = inputs
        for _ in range(2):
            hidden = layers.Conv1D(UNITS, KERNEL, activation="relu")(hidden)
        hidden = layers.Flatten()(hidden)
    else:
        hidden = layers.Dense(WIDTH)(inputs)
        attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(hidden, hidden)
        hidden = layers.LayerNormalization(epsilon=1e-5)(hidden + attended)
        inner = layers.Dense(WIDTH)(layers.Dense(INNER, activation="relu")(hidden))
        hidden = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-5)(hidden + inner))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.set_weights(list(weights.values()))
    return model


def _self_attention(keras: Any) -> Any:
    """Return the layer of keras-self-attention, or, where that does not run, one of the same formula."""
    if keras.backend.backend() == "tensorflow":
        from keras_self_attention import SeqSelfAttention

        return SeqSelfAttention(units=ATTENTION, attention_activation="sigmoid")
    ops = keras.ops

    class AdditiveSelfAttention(keras.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.return_attention = False

        def build(self, shape: Any) -> None:
            self.of_query = self.add_weight(shape=(shape[-1], ATTENTION), name="Wt")
            self.of_key = self.add_weight(shape=(shape[-1], ATTENTION), name="Wx")
            self.bias = self.add_weight(shape=(ATTENTION,), name="bh")
            self.of_both = self.add_weight(shape=(ATTENTION, 1), name="Wa")
            self.both_bias = self.add_weight(shape=(1,), name="ba")

        def call(self, x: Any) -> Any:
            query, key = ops.matmul(x, self.of_query)[:, :, None], ops.matmul(x, self.of_key)[:, None]
            score = ops.matmul(ops.tanh(query + key + self.bias), self.of_both)[..., 0] + self.both_bias
            weights = ops.softmax(ops.sigmoid(score), axis=-1)
            return (ops.matmul(weights, x), weights) if self.return_attention else ops.matmul(weights, x)

    return AdditiveSelfAttention()
