"""The checksum of results: of what they say, however a file stores it."""

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr


def checksum(data: xr.Dataset | xr.DataTree) -> str:
    """Return the SHA-256 of a dataset or a tree: of its names, dims, types, labels, values and attributes.

    What files keep in their own ways counts for nothing: the order of variables and attributes, the order of bytes, the
    width of text, the unit in which times are counted.

    Examples
    --------
    >>> ds = xr.Dataset({"a": ("x", [1.0, 2.0])}, attrs={"note": "mine"})
    >>> checksum(ds) == checksum(ds.copy(deep=True)), checksum(ds) == checksum(ds.assign_attrs(note="yours"))
    (True, False)
    """
    parts = []
    for path, ds in sorted(_groups(data).items()):
        parts += [path, _attributes(ds.attrs), json.dumps(checksums_of(ds))]
    return _digest(parts)


def checksums_of(ds: xr.Dataset) -> dict[str, str]:
    """Return the SHA-256 of each variable of a dataset, by name."""
    found = {}
    for name, variable in sorted(ds.variables.items(), key=lambda item: str(item[0])):
        kind = "coordinate" if name in ds.coords else "variable"
        about = [kind, json.dumps([*map(str, variable.dims), *variable.shape]), _attributes(variable.attrs)]
        found[str(name)] = _digest([*about, *_values(np.asarray(variable.values))])
    return found


def _groups(data: xr.Dataset | xr.DataTree) -> dict[str, xr.Dataset]:
    if isinstance(data, xr.Dataset):
        return {"/": data}
    return {node.path: node.to_dataset(inherit=False) for node in data.subtree}


def _digest(parts: Iterable[str | memoryview]) -> str:
    """Return the SHA-256 of parts, each with its length, so that none runs into the next."""
    found = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(f"{len(raw)} ".encode())
        found.update(raw)
    return found.hexdigest()


def _attributes(attrs: Mapping[Hashable, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return str(value)
        # A file may give a number another width; text of a number is another value.
        if isinstance(value, float | np.floating):
            return [repr(float(value))]
        return [repr(int(value)) if isinstance(value, int | np.integer) else repr(value)]

    return json.dumps({str(key): plain(value) for key, value in attrs.items()}, sort_keys=True)


def _values(values: np.ndarray) -> list[str | memoryview]:
    """Return type and values of an array."""
    kind = values.dtype.kind
    if kind in "mM":
        # As whole seconds and what is left, which hold what any unit can.
        seconds = values.astype(f"{kind}8[s]")
        rest = (values - seconds).astype("m8[ns]")
        return [kind, *_values(seconds.view(np.int64)), *_values(rest.view(np.int64))]
    if kind not in "biuf":
        return ["text", json.dumps([str(value) for value in values.ravel().tolist()])]
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return [f"{kind}{values.dtype.itemsize}", little.reshape(-1).view(np.uint8).data]
