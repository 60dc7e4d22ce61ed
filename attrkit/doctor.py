"""What attrkit can use on this machine, and why not the rest."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from attrkit.engines.innvestigate.process import interpreter


class Check(NamedTuple):
    """One thing to look for.

    ``code`` prints a version where it is usable and fails with the reason where not; ``gives`` says what it is for,
    ``install`` how to get it. ``python`` is the interpreter, if not this one.
    """

    name: str
    code: str
    gives: str
    install: str
    env: tuple[tuple[str, str], ...] = ()
    python: str = ""


class Finding(NamedTuple):
    """What a check came to: ``reason`` is empty where it is usable."""

    check: Check
    version: str
    reason: str


_KERAS_3 = """
import tensorflow, keras
if keras.__version__[0] != "3":
    raise SystemExit(f"the Keras installed is {keras.__version__}")
print(f"{keras.__version__} on TensorFlow {tensorflow.__version__}")
"""

_KERAS_2 = """
import tensorflow
try:
    import tf_keras as keras
except ImportError:
    import keras
if keras.__version__[0] != "2":
    raise SystemExit(f"the Keras installed is {keras.__version__}, and tf-keras is not there")
print(f"{keras.__version__} on TensorFlow {tensorflow.__version__}")
"""

_INNVESTIGATE = """
import sys, tensorflow, innvestigate
from importlib.metadata import version
print(f"{version('innvestigate')} on TensorFlow {tensorflow.__version__}, in {sys.executable}")
"""

CHECKS = (
    Check(
        "Keras 3",
        _KERAS_3,
        "models of Keras 3 on TensorFlow",
        "pip install 'attrkit[tensorflow]'",
        (("KERAS_BACKEND", "tensorflow"),),
    ),
    Check(
        "Keras 2",
        _KERAS_2,
        "models of Keras 2 (tf-keras; set TF_USE_LEGACY_KERAS=1)",
        "pip install tf-keras",
        (("TF_USE_LEGACY_KERAS", "1"),),
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
    Check(
        "PyTorch",
        "import torch; print(torch.__version__, 'with CUDA' if torch.cuda.is_available() else 'on the CPU')",
        "torch modules, Keras 3 on torch (set KERAS_BACKEND=torch)",
        "pip install 'attrkit[torch]'",
    ),
    Check(
        "transformers",
        "import torch, transformers; print(transformers.__version__)",
        "models of Hugging Face transformers",
        "pip install 'attrkit[transformers]'",
    ),
    Check(
        "JAX",
        "import jax; print(jax.__version__, 'on', jax.default_backend())",
        "functions of JAX, Keras 3 on JAX (set KERAS_BACKEND=jax)",
        "pip install 'attrkit[jax]'",
    ),
    Check(
        "iNNvestigate",
        _INNVESTIGATE,
        "its analyzers on Keras models, innvestigate:NAME",
        "pip install 'attrkit[innvestigate]' on Python 3.11 or older, or set ATTRKIT_INNVESTIGATE_PYTHON",
        (("TF_USE_LEGACY_KERAS", "1"),),
        interpreter(),
    ),
    Check(
        "Captum",
        "import captum; print(captum.__version__)",
        "its classes on torch modules, captum:NAME",
        "pip install 'attrkit[captum]'",
    ),
    Check(
        "zennit",
        "from attrkit.engines.zennit import method; print(method('EpsilonPlus').provenance['engine_version'])",
        "its composites on torch modules, zennit:NAME",
        "pip install 'attrkit[zennit]'",
    ),
    Check(
        "xplique",
        "import xplique.attributions; from importlib.metadata import version; print(version('xplique'))",
        "its classes, xplique:NAME",
        "pip install 'attrkit[xplique]'",
    ),
    Check(
        "SHAP",
        "import shap; print(shap.__version__)",
        "its explainers, shap:NAME",
        "pip install 'attrkit[shap]'",
    ),
    Check(
        "Bokeh",
        "import bokeh, jinja2, scipy; print(bokeh.__version__)",
        "attrkit.report, a page for the browser",
        "pip install 'attrkit[report]'",
    ),
    Check(
        "jinja2, tabulate",
        "import jinja2, tabulate; print(jinja2.__version__, tabulate.__version__, sep=', ')",
        "tables and protocols of studies",
        "pip install 'attrkit[study]'",
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
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **dict(check.env)}
    try:
        done = subprocess.run(
            [check.python or sys.executable, "-c", check.code],
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding(check, "", f"importing it took more than {timeout:g} s")
    if done.returncode == 0:
        return Finding(check, done.stdout.strip().splitlines()[-1], "")
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    return Finding(check, "", last)
