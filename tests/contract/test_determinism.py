"""The same question has the same answer: the same bytes, whatever was drawn before, in another process too."""

import os
import subprocess
import sys

import numpy as np

from tests.contract.answers import ask, digest, draw_all, methods_of, seed_all
from tests.contract.builders import built


def test_bytes_do_not_depend_on_the_generators_of_the_process_which_are_left_alone(framework):
    with built(framework, "attention", "float32") as model:
        seed_all(framework, 3)
        expected = draw_all(framework)
        seed_all(framework, 3)
        first = ask(framework, model)
        assert draw_all(framework) == expected
        again = ask(framework, model)
    assert list(first) == list(methods_of(framework))
    for name, values in first.items():
        assert np.isfinite(values).all()
        assert values.tobytes() == again[name].tobytes(), name


def test_batches_move_rounding_only(framework, record_property):
    with built(framework, "attention", "float32") as model:
        whole, parts = (ask(framework, model, batch_size=size) for size in (64, 1))
    differences = {name: float(np.abs(parts[name] - values).max()) for name, values in whole.items()}
    record_property("contract", f"{framework} attention float32: batches {max(differences.values()):.1e}")
    assert max(differences.values()) <= 2e-6, differences


def test_another_process_finds_the_same_bytes(framework):
    with built(framework, "attention", "float32") as model:
        own = digest(ask(framework, model))
    # Text has another hash there, and sets another order.
    other = str(1 + int(os.environ.get("PYTHONHASHSEED", "0").replace("random", "0")))
    run = subprocess.run(
        [sys.executable, "-m", "tests.contract.answers", framework],
        env={**os.environ, "PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert run.stdout.split()[-1] == own
