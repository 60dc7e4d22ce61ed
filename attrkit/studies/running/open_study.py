"""The store of a study as one tree, over seeds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from attrkit.errors import StoreError
from attrkit.store import as_path
from attrkit.studies.running.steps import REFUSED, StudyStore, is_study, was_refused

_OF_SAMPLES = ("input", "mask", "label", "items", "k")
"""What is the same for every seed, because it is of the data."""


def open_study(store: str | Path) -> xr.DataTree:
    """Read a study that was done.

    Parameters
    ----------
    store : str or Path
        Where `study` has written it.

    Returns
    -------
    DataTree
        - ``data``: what was explained: ``input``, ``label``, and ``mask`` and ``saliency`` where there are any.
        - ``model`` (seed, sample): ``prediction`` for all test data, ``correct`` or ``absolute_error``, and by seed
          ``score``, ``train_score``, ``needed`` and ``passed``, what the gate said.
        - ``extractors/NAME`` (seed, sample, ...): what each extractor says of the models that passed.
        - a group for each test, over seeds; that of ``seed_variance`` over pairs of them.
        - ``steps`` (step): seconds each has taken, when it was done, and why it was ``refused``, if it was, and of what
          it ``warned``.

        The attribute ``study`` is JSON of what was asked, with versions and the SHA-256 of the data.

    Raises
    ------
    StoreError
        If there is no study, or one that is not finished.

    Examples
    --------
    >>> def train(x, y, seed):
    ...     weights = np.linalg.lstsq(x[..., 0], y, rcond=None)[0]
    ...     return lambda x: x[..., 0] @ weights
    >>> x = np.random.default_rng(0).standard_normal((40, 4, 1))
    >>> splits = (x[:20], x[:20, 2, 0]), (x[20:], x[20:, 2, 0])
    >>> asked = {"seeds": [0], "extractors": ["occlusion"], "tests": ["agreement"], "show_progress": False}
    >>> tree = attrkit.study(train, splits, store="study.zarr", **asked)
    >>> list(open_study("study.zarr").children)
    ['data', 'model', 'extractors', 'agreement', 'steps']
    """
    path = as_path(store).absolute()
    if not is_study(path):
        raise StoreError(f"{path} is no study; give the folder that attrkit.study has written")
    folder = StudyStore(path)
    described = folder.description()
    if "steps" not in described:
        raise StoreError(f"the study in {path} is not finished; call attrkit.study as before, and it goes on")
    steps = described.pop("steps")
    groups: dict[str, dict[Any, xr.Dataset]] = {}
    refused = {}
    for name in steps:
        place, seed = place_of(name)
        if place == "weights":
            continue
        found = folder.open(name)
        if was_refused(found):
            refused[name] = found.attrs[REFUSED]
        else:
            groups.setdefault(place, {})[seed] = found
    tree: dict[str, xr.Dataset] = {}
    for place, own in groups.items():
        # Before what is in it, so that groups are in the order in which they were made.
        tree.setdefault(place.split("/")[0], xr.Dataset())
        tree[place] = _over_seeds(own)
    tree["steps"] = _costs(folder, steps, refused)
    found_tree = xr.DataTree.from_dict(tree)
    found_tree.attrs = {"study": json.dumps(described)}
    return found_tree


def place_of(name: str) -> tuple[str, int | None]:
    """Return where in the tree a step belongs, and of which seed it is."""
    if not name.startswith("seeds/"):
        return name, None
    _, seed, place = name.split("/", 2)
    return place, int(seed)


def _over_seeds(found: dict[Any, xr.Dataset]) -> xr.Dataset:
    if None in found:
        return found[None]
    datasets = list(found.values())
    shared = [name for name in _OF_SAMPLES if name in datasets[0]]
    joined: xr.Dataset = xr.concat(
        [ds.drop_vars(shared) for ds in datasets],
        dim=pd.Index(list(found), name="seed"),
        data_vars="all",
        coords="different",
        compat="equals",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    return joined.assign(datasets[0][shared])


def _costs(folder: StudyStore, steps: Sequence[str], refused: dict[str, str]) -> xr.Dataset:
    records = [folder.record(name) or {} for name in steps]
    return xr.Dataset(
        {
            "seconds": ("step", [record["seconds"] for record in records], {"units": "s"}),
            "finished_at": ("step", [record["finished_at"] for record in records]),
            "refused": ("step", [refused.get(name, "") for name in steps]),
            "warned": ("step", ["\n".join(": ".join(each) for each in record["warnings"]) for record in records]),
        },
        coords={"step": list(steps)},
    )
