"""What iNNvestigate says of a model: run by itself, because it needs graphs in place of eager execution.

``python -m tests.relevance.innvestigate_relevance GIVEN.npz FOUND.npz`` reads inputs ``x`` and weights ``KIND/0``,
``KIND/1``, ... of nets of each kind, and writes ``KIND/prediction`` and one array a rule, of the relevance of output 1.
"""

import sys

import numpy as np

from tests.relevance.common import plain_net

KINDS = ("dense", "convolution")
RULES = ("lrp.z", "lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.alpha_1_beta_0", "lrp.z_plus")


def main(given: str, found: str) -> None:
    # It works with Keras 2 only, which the caller asks for by TF_USE_LEGACY_KERAS.
    import innvestigate
    import tensorflow as tf
    from tensorflow import keras

    tf.compat.v1.disable_eager_execution()
    values = np.load(given)
    relevance = {}
    for kind in KINDS:
        model = plain_net(keras, kind)
        model.set_weights([values[f"{kind}/{i}"] for i in range(len(model.get_weights()))])
        relevance[f"{kind}/prediction"] = model.predict(values["x"])
        for rule in RULES:
            analyzer = innvestigate.create_analyzer(rule, model, neuron_selection_mode="index")
            relevance[f"{kind}/{rule}"] = analyzer.analyze(values["x"], 1)
    np.savez(found, **relevance)


if __name__ == "__main__":
    main(*sys.argv[1:])
