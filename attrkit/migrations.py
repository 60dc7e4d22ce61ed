"""Datasets that an earlier version of the schema has made, brought to this one: a function for each step."""

from collections.abc import Callable

import xarray as xr

from attrkit.schema import VERSION

MIGRATED = "migrated_from"
"""Attribute of a dataset that was brought here: the version of the schema that made it."""


def migrate(ds: xr.Dataset) -> xr.Dataset:
    """Bring a dataset of an earlier version of the schema to this one; any other is returned as it is.

    Parameters
    ----------
    ds : Dataset
        Not changed.

    Returns
    -------
    Dataset
        Its attribute ``migrated_from`` says which version it was of.

    Examples
    --------
    >>> old = xr.Dataset(coords={"target": ("sample", ["warm"])}, attrs={"schema": "attrkit-1", "target": "-1"})
    >>> migrate(old).attrs
    {'schema': 'attrkit-2', 'target': 'warm', 'migrated_from': 'attrkit-1'}
    """
    came = version = ds.attrs.get("schema")
    while isinstance(version, str) and version in STEPS:
        version, step = STEPS[version]
        ds = step(ds).assign_attrs(schema=version)
    return ds if version == came else ds.assign_attrs({MIGRATED: ds.attrs.get(MIGRATED, came)})


def name_target(ds: xr.Dataset) -> xr.Dataset:
    """Name what was explained as its coordinate does: the first releases wrote down what the user had passed.

    ``-1`` stood there for the last class, and ``None`` where a model had one output.
    """
    text = str(ds.attrs.get("target", ""))
    if "target" not in ds.coords or "target" not in ds.attrs or text.startswith("function "):
        return ds
    labels = dict.fromkeys(ds["target"].values.ravel().tolist())
    return ds.assign_attrs(target=str(next(iter(labels))) if len(labels) == 1 else "one a sample")


STEPS: dict[str, tuple[str, Callable[[xr.Dataset], xr.Dataset]]] = {"attrkit-1": (VERSION, name_target)}
"""Of each earlier version: the next one, and what brings a dataset there."""
