"""What attrkit can use on this machine, and why not the rest."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class Check(NamedTuple):
    """One thing to look for: ``code`` prints a version; ``gives`` is what it is for, ``install`` how to get it."""

    name: str
    code: str
    gives: str
    install: str
    env: dict[str, str] = {}  # noqa: RUF012 - never changed


class Finding(NamedTuple):
    """What a check came to: ``reason`` is empty where it is usable."""

    check: Check
    version: str
    reason: str


CHECKS = (
    Check(
        "Keras 3 on TensorFlow",
        "import tensorflow, keras; assert keras.__version__[0] == '3', f'Keras {keras.__version__} is not Keras 3'; "
        "print(f'{keras.__version__} on TensorFlow {tensorflow.__version__}')",
        "models of Keras 3",
        "pip install 'attrkit[tensorflow]'",
        {"KERAS_BACKEND": "tensorflow"},
    ),
    Check(
        "Keras 2 on TensorFlow",
        "import tensorflow as tf\n"
        "try:\n    import tf_keras as keras\nexcept ImportError:\n    import keras\n"
        "assert keras.__version__.startswith('2'), f'Keras {keras.__version__} is not Keras 2'\n"
        "print(f'{keras.__version__} on TensorFlow {tf.__version__}')",
        "models of Keras 2",
        "pip install tf-keras, and set TF_USE_LEGACY_KERAS=1",
        {"TF_USE_LEGACY_KERAS": "1"},
    ),
    Check(
        "keras-self-attention",
        "import keras_self_attention; from importlib.metadata import version; print(version('keras-self-attention'))",
        "attention of its layers",
        "pip install 'attrkit[tensorflow]'",
    ),
    Check(
        "vega-datasets",
        "import vega_datasets; print(vega_datasets.__version__)",
        "attrkit demo",
        "pip install 'attrkit[demo]'",
    ),
)


def examine(*, timeout: float = 180) -> list[Finding]:
    """Try each check in a process of its own, so that one Keras does not keep out the other.

    Parameters
    ----------
    timeout : float, default 180
        Seconds for one check.

    Returns
    -------
    list of Finding
        In the order of `CHECKS`.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda check: _try(check, timeout), CHECKS))


def _try(check: Check, timeout: float) -> Finding:
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **check.env}
    try:
        done = subprocess.run(
            [sys.executable, "-c", check.code], env=env, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(check, "", f"importing it took more than {timeout:g} s")
    if done.returncode == 0:
        return Finding(check, done.stdout.strip().splitlines()[-1], "")
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    return Finding(check, "", last)
