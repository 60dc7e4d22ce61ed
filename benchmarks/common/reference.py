"""The same attributions in double precision on the processor, from a process of its own, whatever the other runs on.

Weights are the same in every framework, so it does not matter which of them computes the reference: torch if it is
there, and Keras on TensorFlow if not.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Asked = Sequence[tuple[str, str, Mapping[str, Any]]]
"""For each result its name, the method, and its options."""


def reference(model: str, asked: Asked, *, samples: int, timesteps: int, channels: int) -> dict[str, np.ndarray]:
    """Return the values of each method for the first samples, by the names asked for; without those it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "reference.npz"))
        given = {"model": model, "asked": list(asked), "samples": samples, "shape": [timesteps, channels], "file": file}
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "tensorflow"}
        subprocess.run([sys.executable, __file__], input=json.dumps(given), text=True, check=True, env=env)
        with np.load(file) as found:
            return dict(found)


def values_of(ds: Any) -> np.ndarray:
    """Return what a result is about."""
    return np.asarray(ds["attention" if "attention" in ds else "attribution"].values)


def largest_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, as a share of the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import attrkit
    from common.models import model_of, samples_of

    given = json.load(sys.stdin)
    timesteps, channels = given["shape"]
    sizes = {"timesteps": timesteps, "channels": channels}
    if importlib.util.find_spec("torch"):
        model = model_of("torch", given["model"], **sizes)
    else:
        model = model_of("keras-tensorflow", given["model"], **sizes)
        import keras

        keras.backend.set_floatx("float64")
    model = attrkit.to_float64(model)
    x = samples_of(given["samples"], **sizes).astype("float64")
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    found = {}
    for name, method, options in given["asked"]:
        try:
            ds = attrkit.extract(model, x, method, show_progress=False, batch_size=16, **options)
        except attrkit.errors.RefusedError as err:
            print(f"{given['model']}: {err}", file=sys.stderr)
            continue
        found[name] = values_of(ds)
    np.savez(given["file"], **found)


if __name__ == "__main__":
    main()
