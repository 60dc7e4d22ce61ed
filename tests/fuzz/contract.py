"""What every case must come to: a valid result, or a refusal that says what came; and nothing else has changed."""

import os
import random
import re
import signal
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, settings

import attrkit
from attrkit.errors import AttrkitError
from tests.fuzz.strategies import OwnError

THOROUGH = os.environ.get("ATTRKIT_FUZZ") == "thorough"

OF_INPUTS = (
    "inputs",
    "input",
    "window",
    "label",
    "sample",
    "timestep",
    "channel",
    "column",
    "batch",
    "mask",
    "variable",
)
"""Words by which a refusal of inputs may name what is wrong."""

SECONDS = 60
"""A case that takes longer hangs; the machine may be busy."""

COUNTS = Counter()
"""How many cases of each subject have come to what."""


def fuzz(examples, *, thorough=20):
    """Return the settings of a test: so many cases, `thorough` times as many with ATTRKIT_FUZZ=thorough.

    Every run of the suite tries the same cases; a thorough one others each time.
    """
    return settings(
        max_examples=examples * thorough if THOROUGH else examples,
        derandomize=not THOROUGH,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def state():
    """Return all that a call could change beside its result."""
    found = {
        "numpy's random state": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "Python's random state": random.getstate(),
        "warning filters": list(warnings.filters),
        "numpy's handling of errors": np.geterr(),
        "numpy's print options": {key: repr(value) for key, value in np.get_printoptions().items()},
        "environment": dict(os.environ),
        "working folder": str(Path.cwd()),
        "signal handlers": signal.getsignal(signal.SIGINT),
        "sys.path": list(sys.path),
        "xarray's options": dict(xr.get_options()),
    }
    if "matplotlib" in sys.modules:
        import matplotlib

        found["matplotlib's parameters"] = dict(matplotlib.rcParams)
    if "keras" in sys.modules:
        import keras

        found["keras's float type"] = keras.backend.floatx()
        found["keras's image format"] = keras.backend.image_data_format()
    if "torch" in sys.modules:
        import torch

        found["torch's random state"] = torch.get_rng_state().numpy().tobytes()
        found["torch's float type"] = torch.get_default_dtype()
        found["torch's modes"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()
        found["torch's autocast"] = torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()
        found["torch's threads"] = torch.get_num_threads()
        found["torch's backends"] = torch.backends.mkldnn.enabled, torch.are_deterministic_algorithms_enabled()
    return found


def differing(before, after):
    """Name what is not as it was; a library that has been imported meanwhile counts as it is."""
    return [name for name, value in before.items() if value != after.get(name, value)]


@contextmanager
def no_longer_than(seconds):
    """Fail where a block takes longer."""

    def stop(number, frame):
        raise AssertionError(f"the case is not done after {seconds} s")

    found = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, found)


def says(message, about):
    """Whether a message names what came: the argument it came as, the value, its type, shape or dtype."""
    words = set()
    for name, value in about.items():
        words |= {name, *name.split("_")} - {""}
        words |= {type(value).__name__, repr(value)[:20], str(value)[:20]}
        words |= {str(getattr(value, key)) for key in ("dtype", "shape", "dims") if hasattr(value, key)}
    return any(word and word in message for word in words)


# What Python and its libraries say of themselves: whoever reads it does not learn what was wrong with the call.
BARE = re.compile(
    r"^('\w+'|not supported between|unsupported operand|unhashable|The truth value of|operands could not be broadcast|"
    r"index \d+ is out of bounds|cannot unpack|object is not|\w+\(\) (got|takes|missing)|invalid literal|"
    r"Traceback|\(\)|None)$"
)


def outcome(subject, call, *, about, valid=None, apart=()):
    """Call, and return the result or the refusal; fail where it is neither, or something else has changed.

    Parameters
    ----------
    subject : str
        What cases are counted under.
    call : callable
    about : dict
        The arguments that may be wrong, by name: a refusal must name one of them.
    valid : callable, optional
        What the result must pass; `attrkit.validate` if not given.
    apart : sequence of str, optional
        What may change: zarr sets filters of warnings from a thread of its own, and puts them back when that is done.
    """
    result, refusal = None, None
    with no_longer_than(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = state()
        try:
            result = call()
        except (AttrkitError, OwnError) as err:
            refusal = err
        changed = [name for name in differing(before, state()) if name not in apart]
    assert not changed, f"not as it was: {changed}"
    COUNTS[subject, "valid" if refusal is None else type(refusal).__name__] += 1
    if refusal is None:
        (attrkit.validate if valid is None else valid)(result)
        return result
    if isinstance(refusal, OwnError):
        return refusal
    message = str(refusal)
    assert len(message) > 12, f"says next to nothing: {message!r}"
    assert not BARE.search(message), f"is of Python's own words: {message!r}"
    assert says(message, about), f"does not name what came, {sorted(about)}: {message!r}"
    return refusal


def refused(found):
    """Whether an outcome is a refusal."""
    return isinstance(found, AttrkitError | OwnError)
