"""Files of inseq: what `FeatureAttributionOutput.save` writes, read without inseq; the classes they name stay names."""

import base64
import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.errors import InputError
from attrkit.store import as_path

_LARGEST = 2**30
"""Bytes of text that a file may hold; a compressed one may say little and hold much."""

# How safetensors calls the types that inseq writes; numpy has none for the last two.
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1"}


class _Side(NamedTuple):
    """Scores of one text for every generated token.

    ``scores`` has shape (generated, token[, unit]), or (generated, token, layer, head) of attention; ``seen`` of shape
    (generated,) counts the tokens, from the first, that each generated one depends on.
    """

    texts: list[str]
    ids: list[int]
    scores: np.ndarray
    seen: np.ndarray


class _Sequence(NamedTuple):
    """One sequence of a file: its class in inseq, the generated tokens and their places, scores by text and by step."""

    kind: str
    generated: list[str]
    positions: np.ndarray
    sides: dict[str, _Side]
    steps: dict[str, np.ndarray]


def from_inseq(path: str | Path | Sequence[str | Path], *, name: str | None = None) -> xr.Dataset:
    """Read a file that inseq saved, plain or compressed.

    Every generated token is one sample: the question was why the model wrote it. Its timesteps are the tokens that it
    depends on, which are text in the coordinate ``token``; those of shorter sequences, and those that were not there
    yet, are padding. Units of an embedding are channels.

    Parameters
    ----------
    path : str, Path or sequence of these
        Of ``out.save(path)``; with ``split_sequences=True``, all the files, in order.
    name : str, optional
        The attribute ``method`` of the dataset, which plots show. The method's name in inseq if not given.

    Returns
    -------
    Dataset
        Of a model that goes on with a text: ``attribution``, or ``attention`` of dims (sample, layer, head,
        key_timestep), over the text so far. Of a model with an encoder: over the source; and over what was generated so
        far ``attribution_prefix``, if it was asked for. ``input`` are the ids of the tokens. The coordinates
        ``sequence`` and ``position`` of dim sample say where the explained token stands, ``target`` which it is. Step
        scores are ``step_NAME``; those of the explained function are ``prediction``, and ``deltas`` are the
        ``completeness_gap``.

    Raises
    ------
    InputError
        If a file is missing or is no file of inseq, was saved with ``use_primitives=True``, which leaves out what the
        axes are, or holds scores by layer without heads; if several files do not belong together.

    Notes
    -----
    Scores of an encoder's or decoder's tokens among themselves (``sequence_scores``) are left out. Scores saved with
    ``scores_precision`` have the digits that were left to them.

    References
    ----------
    Sarti et al. 2023, "Inseq: An Interpretability Toolkit for Sequence Generation Models".

    Examples
    --------
    >>> from_inseq("missing.json")
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: missing.json cannot be read: [Errno 2] No such file or directory: 'missing.json'
    """
    paths = [as_path(one) for one in (path if isinstance(path, list | tuple) else [path])]
    if not paths:
        raise InputError("no files were given; accepted is a path, or the paths of one split output")
    read = [_read_file(one) for one in paths]
    info, sequences = read[0][0], [sequence for _, found in read for sequence in found]
    if not any(one.generated for one in sequences):
        raise InputError(f"{paths[0]} holds no generated token")
    method = _alike([str(own.get("attribution_method")) for own, _ in read], "methods")
    texts, steps = _alike([(tuple(one.sides), tuple(one.steps)) for one in sequences], "kinds of scores")
    forms = [(one.kind, *(side.scores.shape[2:] for side in one.sides.values())) for one in sequences]
    kind, further, *_ = _alike(forms, "kinds of scores")
    variable, dims = _dims(kind, 2 + len(further), method)
    variables: dict[str, Any] = {}
    for text in texts:
        # The first has the plain names, as the first of a model's inputs has.
        suffix = "" if text == texts[0] else f"_{text}"
        own = {dim: f"{dim}{suffix}" for dim in ("timestep", "key_timestep", "channel")}
        for name_, array in _joined([one.sides[text] for one in sequences], variable, dims).items():
            here = array.rename({dim: own[dim] for dim in array.dims if dim in own})
            variables[f"{name_}{suffix}"] = here.rename(token=f"token{suffix}") if "token" in here.coords else here
    explained = str(info.get("attributed_fn")).removesuffix("_fn")
    for step in steps:
        key = {"deltas": "completeness_gap", explained: "prediction"}.get(step, f"step_{step}")
        variables[key] = xr.DataArray(np.concatenate([one.steps[step] for one in sequences]), dims="sample")
    return schema.build(variables, coords=_coordinates(sequences), attrs=_attributes(info, name or method))


def _alike(found: list[Any], what: str) -> Any:
    different = sorted(set(found))
    if len(different) > 1:
        raise InputError(f"the sequences hold several {what}: {different}; read the files one by one")
    return different[0]


def _dims(kind: str, ndim: int, method: str) -> tuple[str, tuple[str, ...]]:
    """Return the variable that scores of inseq's class `kind` are, and the dims of those after the samples."""
    if kind.startswith("MultiDimensional") and method == "attention" and ndim in (2, 4):
        return "attention", ("key_timestep", "layer", "head")[: ndim - 1]
    if ndim == 2 or (ndim == 3 and kind.startswith("Granular")):
        return "attribution", ("timestep", "channel")[: ndim - 1]
    raise InputError(
        f"scores of {method!r} have {ndim} axes, of which {ndim - 2} are neither tokens nor units of an embedding; "
        "aggregate them before saving: out.aggregate().save(path)"
    )


def _joined(sides: list[_Side], variable: str, dims: tuple[str, ...]) -> dict[str, xr.DataArray]:
    """Join the sequences, one generated token after the other, padded to one length."""
    length = max(int(side.seen.max(initial=0)) for side in sides)
    scores, ids, texts, masks = [], [], [], []
    for side in sides:
        kept, count = min(length, len(side.ids)), len(side.seen)
        mask = np.arange(length) < side.seen[:, None]
        values = np.zeros((count, length, *side.scores.shape[2:]), side.scores.dtype)
        values[:, :kept] = side.scores[:, :kept]
        # inseq has NaN where a token was not there yet.
        scores.append(np.where(mask.reshape(*mask.shape, *[1] * (values.ndim - 2)), values, 0))
        ids.append(np.where(mask, np.array([*side.ids[:kept], *[-1] * (length - kept)], dtype=np.int64), -1))
        texts.append(np.where(mask, np.array([*side.texts[:kept], *[""] * (length - kept)]), ""))
        masks.append(mask)
    steps = ("sample", "timestep")
    token = {"token": (steps, np.concatenate(texts), {"long_name": "token"})}
    found = xr.DataArray(
        np.concatenate(scores), dims=("sample", *dims), attrs={"long_name": schema.VARIABLES[variable].long_name}
    )
    return {
        variable: found.transpose("sample", "layer", "head", ..., missing_dims="ignore"),
        "input": xr.DataArray(np.concatenate(ids), dims=steps, coords=token, attrs={"long_name": "token id"}),
        "mask": xr.DataArray(np.concatenate(masks), dims=steps),
    }


def _coordinates(sequences: list[_Sequence]) -> dict[Any, Any]:
    counts = [len(one.generated) for one in sequences]
    number, position = np.repeat(np.arange(len(counts)), counts), np.concatenate([one.positions for one in sequences])
    tokens = [token for one in sequences for token in one.generated]
    labels = [f"{n}.{p} {token}" for n, p, token in zip(number, position, tokens, strict=True)]
    return {
        "sample": ("sample", labels),
        "target": ("sample", tokens, {"long_name": "generated token"}),
        "sequence": ("sample", number, {"long_name": "sequence"}),
        "position": ("sample", position, {"long_name": "position in the sequence"}),
    }


def _attributes(info: Mapping[str, Any], name: str) -> dict[str, str | int | float]:
    attrs: dict[str, str | int | float] = {"method": name, "framework": "transformers", "toolkit": "inseq"}
    attrs["method_options"] = json.dumps(info.get("attribution_args", {}))
    for key, own in (("model", "model_name"), ("model_class", "model_class"), ("explained", "attributed_fn")):
        if isinstance(info.get(own), str):
            attrs[key] = info[own]
    if isinstance(info.get("exec_time"), int | float):
        attrs["seconds"] = round(float(info["exec_time"]), 3)
    return attrs


# ---- the file -------------------------------------------------------------------------------------------------------


def _read_file(path: Path) -> tuple[dict[str, Any], list[_Sequence]]:
    try:
        node = json.loads(_text(path))
        if isinstance(node, dict) and "sequence_attributions" in node:
            raise InputError(
                f"{path} was saved with use_primitives=True, which leaves out what the axes are; save it without"
            )
        fields = _fields(node, "FeatureAttributionOutput")
        return dict(fields["info"]), [_sequence(one) for one in fields["sequence_attributions"]]
    except InputError:
        raise
    # A file of something else may lack anything, anywhere.
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as err:
        raise InputError(
            f"{path} is no file that inseq saved ({type(err).__name__}: {err}); accepted is what "
            "FeatureAttributionOutput.save of inseq 0.7 writes"
        ) from err


def _text(path: Path) -> bytes:
    """Read a file, plain or compressed, up to the largest size."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if packed else file as opened:
                text = opened.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"{path} cannot be read: {err}") from err
    if len(text) > _LARGEST:
        raise InputError(f"{path} holds more than {_LARGEST >> 20} MiB of text; save it by split_sequences=True")
    return text


def _fields(node: Any, ending: str) -> dict[str, Any]:
    """Return what an object of inseq's is written as; its class is compared, never looked up."""
    module, kind = node["__instance_type__"]
    if not module.startswith("inseq.") or not kind.endswith(ending):
        raise ValueError(f"a {module}.{kind} stands where a {ending} is expected")
    return {**node["attributes"], "kind": kind}


def _sequence(node: Any) -> _Sequence:
    fields = _fields(node, "FeatureAttributionSequenceOutput")
    source, target = ([_fields(token, "TokenWithId") for token in fields[key]] for key in ("source", "target"))
    found = {}
    if fields["source_attributions"] is not None:
        found["source"] = (source, _tensor(fields["source_attributions"]))
    if fields["target_attributions"] is not None:
        found["prefix"] = (target, _tensor(fields["target_attributions"]))
    if not found:
        raise ValueError("a sequence has no attributions")
    count = next(iter(found.values()))[1].shape[1]
    positions = int(fields["attr_pos_start"]) + np.arange(count)
    steps = {str(name): _tensor(values) for name, values in (fields["step_scores"] or {}).items()}
    wrong = [scores.shape for tokens, scores in found.values() if scores.shape[:2] != (len(tokens), count)]
    wrong += [values.shape for values in steps.values() if values.shape != (count,)]
    if wrong:
        raise ValueError(f"scores of shape {wrong[0]} for {count} generated tokens")
    sides = {}
    for name, (tokens, scores) in found.items():
        # A token that is generated depends on those before it, and on the whole source.
        seen = positions if name == "prefix" else np.full(count, len(tokens))
        texts, ids = [str(token["token"]) for token in tokens], [int(token["id"]) for token in tokens]
        sides[name] = _Side(texts, ids, np.moveaxis(scores, 1, 0), seen)
    generated = [str(target[position]["token"]) for position in positions]
    return _Sequence(fields["kind"], generated, positions, sides, steps)


def _tensor(text: str) -> np.ndarray:
    """Read one array in the format of safetensors: the length of a header, the header as JSON, the numbers."""
    data = base64.b64decode(text, validate=True)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])["attribution"]
    shape, (start, stop) = [int(n) for n in header["shape"]], header["data_offsets"]
    raw = np.frombuffer(data[8 + size :][start:stop], _TYPES[header["dtype"]])
    if min(shape, default=0) < 0 or math.prod(shape) != raw.size:
        raise ValueError(f"{raw.size} numbers came for the shape {shape}")
    return _as_floats(raw, header["dtype"]).reshape(shape)


def _as_floats(raw: np.ndarray, kind: str) -> np.ndarray:
    if kind == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if kind != "F8_E4M3":
        return raw.astype(np.float64 if kind == "F64" else np.float32)
    exponent, digits = (raw >> 3 & 15).astype(int), (raw & 7).astype(np.float32)
    size = np.where(exponent == 0, digits * 2.0**-9, (8 + digits) * 2.0 ** (exponent - 10))
    size[raw & 127 == 127] = np.nan
    return np.where(raw >> 7, -size, size).astype(np.float32)
