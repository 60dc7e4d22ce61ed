"""What a framework answers to every method that it has, as bytes: printed, so that another process can be asked."""

import hashlib
import random
import sys
import warnings

import numpy as np

import attrkit
from tests.contract import reference
from tests.contract.builders import built

FUNCTIONS = ("jax", "numpy")


METHODS = {
    "occlusion": ("occlusion", {"window": 2}),
    "gradient": ("gradient", {}),
    "input_x_gradient": ("input_x_gradient", {}),
    "integrated_gradients": ("integrated_gradients", {"n_steps": 5}),
    "adaptive": ("integrated_gradients", {"n_steps": "auto"}),
    "smoothgrad": ("smoothgrad", {"n_samples": 5}),
    "lrp": ("lrp", {}),
    "held": ("gradient", {"hold_attention": True}),
    "attention": ("attention", {}),
}


def methods_of(framework):
    """Return those that hold for a framework's model of attention."""
    without = {"numpy": set(METHODS) - {"occlusion"}, "jax": {"lrp", "held", "attention"}}.get(framework, set())
    return {name: asked for name, asked in METHODS.items() if name not in without}


def ask(framework, model, *, batch_size=2):
    """Return what each method finds, by name."""
    x = reference.inputs().astype("float32")
    found = {}
    for name, (method, options) in methods_of(framework).items():
        asked = {"target": reference.TARGET, "batch_size": batch_size, "seed": 3, "show_progress": False, **options}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = attrkit.extract(model, x, method, **asked)
        found[name] = ds["attention" if name == "attention" else "attribution"].values
    return found


def seed_all(framework, seed):
    """Seed the generators of the process that a user may have seeded."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if framework in ("torch", "keras-torch"):
        import torch

        torch.manual_seed(seed)
    elif framework in ("keras-tensorflow", "keras2"):
        import tensorflow as tf

        tf.random.set_seed(seed)
        tf.random.get_global_generator().reset_from_seed(seed)


def draw_all(framework):
    """Draw a number from each."""
    drawn = [random.random(), np.random.random()]  # noqa: NPY002
    if framework in ("torch", "keras-torch"):
        import torch

        drawn.append(float(torch.rand(1)))
    elif framework in ("keras-tensorflow", "keras2"):
        import tensorflow as tf

        drawn += [float(tf.random.uniform([])), float(tf.random.get_global_generator().uniform([]))]
    return drawn


def digest(found):
    """Return a text that is equal for equal bytes."""
    content = b"".join(name.encode() + values.tobytes() for name, values in sorted(found.items()))
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    with built(sys.argv[1], "attention", "float32") as model:
        print(digest(ask(sys.argv[1], model)))
