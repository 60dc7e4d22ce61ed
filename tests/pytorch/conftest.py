"""Models for the torch lane. Where there is no torch nothing is collected: the lane itself fails without it."""

import importlib.util

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py", "common.py"]


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(7)
