"""Write the stores beside this file with the attrkit of an earlier commit, in whose checkout it is run.

``first``: of the commit "Inputs, targets, Keras adapter, attention readers, methods, extract, compare, store": a folder
of zarr in version 3, and a tree in netCDF, both without checksum and with the target as the user had passed it.
``streamed``: of "Docs: the study of attention with its adversaries' weights, four studies in 876 s": a manifest without
a checksum of its own. Folders are kept as archives.

    PYTHONPATH=CHECKOUT python tests/data/stores/write.py first tests/data/stores
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


def inputs():
    """Return two windows of four steps and two channels."""
    return np.random.default_rng(0).standard_normal((2, 4, 2)).astype("float32")


def write_first(folder):
    """Write one result and a tree of two."""
    import keras

    import attrkit

    keras.utils.set_random_seed(0)
    steps = keras.Input((4, 2), name="steps")
    found = keras.layers.Attention(name="attention")([steps, steps])
    found = keras.layers.Dense(2, "softmax", name="classes")(keras.layers.Flatten()(found))
    model = keras.Model(steps, found, name="small")
    asked = {"target": -1, "output_labels": ["cold", "warm"], "show_progress": False}
    tree = attrkit.compare(model, inputs(), ["integrated_gradients", "attention"], **asked)
    attrkit.save(tree, folder / "first.nc")
    attrkit.save(tree["integrated_gradients"].to_dataset(), folder / "first.zarr")


def write_streamed(folder):
    """Write one result chunk by chunk."""
    import attrkit

    asked = {"target": -1, "output_labels": ["cold", "warm"], "show_progress": False}
    attrkit.extract(
        lambda x: x.sum(axis=1), inputs(), "occlusion", store=folder / "streamed.zarr", chunk_size=1, **asked
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        {"first": write_first, "streamed": write_streamed}[sys.argv[1]](Path(scratch))
        for made in Path(scratch).iterdir():
            if made.is_dir():
                shutil.make_archive(str(Path(sys.argv[2], made.name)), "zip", scratch, made.name)
            else:
                shutil.copy(made, sys.argv[2])
