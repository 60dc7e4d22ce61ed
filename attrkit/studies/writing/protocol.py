"""What was asked of a study and what came out, in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attrkit.digits import number, with_interval
from attrkit.errors import without_numbers
from attrkit.metrics import interval
from attrkit.packages import needed
from attrkit.studies.running.open_study import place_of
from attrkit.studies.writing.cautions import cautions_of
from attrkit.studies.writing.findings import Finding, find
from attrkit.studies.writing.tables import check_study, tables

_TEMPLATE = Path(__file__).with_name("protocol.md.j2")

_NO_OPTIONS = (
    "schema",
    "framework",
    "framework_version",
    "backend",
    "backend_version",
    "attrkit_version",
    "metric",
)
"""Attributes of a result that are no options of its test."""


def protocol(tree: xr.DataTree) -> str:
    """Write down a study: what was asked, which models passed, what was refused, what was found, and its limits.

    Parameters
    ----------
    tree : DataTree
        As `attrkit.study` or `attrkit.studies.open_study` returns it.

    Returns
    -------
    str
        Markdown. What was found is said of intervals and of tests corrected for their number, in the same words for
        every study; `attrkit.studies.tables` has the numbers.

    Raises
    ------
    InputError
        If `tree` is not a study.
    MissingDependencyError
        If jinja2, scipy or statsmodels is not installed.

    Examples
    --------
    >>> text = attrkit.studies.protocol(study_tree)
    >>> [line for line in text.splitlines() if line.startswith("## ")][:2]
    ['## What was asked', '## The models']
    """
    check_study(tree)
    jinja2 = needed("jinja2", "the protocol of a study", extra="study")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text: str = template.render(_words(tree))
    return text + "\n"


def _words(tree: xr.DataTree) -> dict[str, Any]:
    asked = json.loads(tree.attrs["study"])
    frames = tables(tree)
    model = tree["model"].to_dataset()
    findings = find(tree, frames)
    passed = int(model["passed"].sum())
    factory, _, digest = asked["factory"].rpartition(" ")
    return {
        "summary": _summary(findings, passed, model.sizes["seed"]),
        "factory": factory or asked["factory"],
        "factory_digest": digest,
        "seeds": ", ".join(map(str, asked["seeds"])),
        "data": _data(tree),
        "digests": asked["data"],
        "gate": _gate(asked["gate"], model),
        **_explained(tree, asked),
        "how": ", ".join(f"{key}={value!r}" for key, value in asked["how"].items() if value is not None) or "as it is",
        "attrkit": asked["attrkit"],
        "python": asked["python"],
        "versions": ", ".join(f"{name} {version}" for name, version in asked["versions"].items()),
        "extractors": [_extractor(name, *own) for name, own in asked["extractors"].items()],
        "tests": [_test(name, own, tree) for name, own in asked["tests"].items()],
        "said": _said(tree["steps"].to_dataset()),
        "models": _models(model, passed),
        "models_by_seed": _by_seed(frames["models"]),
        "intervals": _over(passed),
        "findings": findings,
        "limits": cautions_of(tree, passed),
        "cost": _cost(frames["steps"]["seconds"].sum(), len(frames["steps"])),
    }


def _summary(findings: list[Finding], passed: int, count: int) -> str:
    begun = f"{passed} of {count} models passed the gate and were explained."
    return " ".join([begun, *(part.headline for part in findings if part.headline)])


def _data(tree: xr.DataTree) -> str:
    data, model = tree["data"].to_dataset(), tree["model"].to_dataset()
    sizes = ", ".join(f"{data.sizes[dim]} {dim}s" for dim in ("timestep", "channel") if dim in data.sizes)
    padded = ", padded" if "mask" in data and not bool(data["mask"].all()) else ""
    labels = data["label"]
    told = f"{len(np.unique(model['label'].values))} classes" if labels.dtype.kind in "iu" else "numbers"
    return (
        f"{data.sizes['sample']} of {model.sizes['sample']} test samples were explained, of {sizes}{padded}; labels "
        f"are {told}"
    )


def _gate(gate: Any, model: xr.Dataset) -> str:
    if gate is None:
        return "none; all models are explained, whether they have learned anything or not"
    told = "better than chance, which is" if gate == "chance" else "at least"
    return f"{told} {number(float(model['needed'][0]))} ({model['score'].attrs.get('long_name', 'score')})"


def _explained(tree: xr.DataTree, asked: dict[str, Any]) -> dict[str, str]:
    """Say which output was explained and from where, as extractors have recorded it."""
    attrs = [node.attrs for node in tree["extractors"].children.values()]
    before = sorted({str(own["explained_before"]) for own in attrs if "explained_before" in own})
    baselines = sorted({str(own["baseline"]) for own in attrs if "baseline" in own})
    target = asked["target"]
    if target == "auto":
        target = "the predicted class" if tree["model"].sizes["output"] > 1 else "the one output"
    return {
        "target": f"{target}{f', before the {before[0]}' if before else ''}",
        "baseline": ", ".join(baselines) or f"{asked['baseline']} (no extractor has used it)",
    }


def _extractor(name: str, method: str, options: dict[str, Any]) -> dict[str, str]:
    if method.startswith("attrkit.studies.running.extractors."):
        said = "every timestep drawn at random" if name == "random" else "every timestep alike"
    else:
        said = f"`{method}`"
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return {"name": name, "method": said, "options": f" with {given}" if given else ""}


def _test(name: str, asked: dict[str, Any], tree: xr.DataTree) -> dict[str, str]:
    if name not in tree.children:
        return {"name": name, "options": "refused, see below"}
    attrs: dict[Any, Any] = {key: value for key, value in tree[name].attrs.items() if key not in _NO_OPTIONS}
    attrs |= json.loads(attrs.pop("metric_options", "{}"))
    options = ", ".join(f"{key}={value}" for key, value in {**asked, **attrs}.items() if value is not None)
    return {"name": name, "options": options or "no options"}


def _said(steps: xr.Dataset) -> list[str]:
    """Say each refusal and each kind of warning once, with the seeds it is of."""
    found: dict[tuple[str, str], tuple[str, list[str], list[str]]] = {}
    for name, refused, warned in zip(*(steps[key].values for key in ("step", "refused", "warned")), strict=True):
        place, seed = place_of(name)
        texts = [f"was refused: {refused}"] if refused else []
        texts += [f"warned: {line.partition(': ')[2] or line}" for line in warned.split("\n") if line]
        for text in texts:
            _, seeds, more = found.setdefault((place, without_numbers(text)), (text, [], []))
            name_of_seed = "all" if seed is None else str(seed)
            if name_of_seed not in seeds:
                seeds.append(name_of_seed)
            more.append(text)
    return [
        f"`{place}` (seeds {', '.join(seeds)}) {text}" + (f" (and {len(more) - 1} more like it)" if more[1:] else "")
        for (place, _), (text, seeds, more) in found.items()
    ]


def _models(model: xr.Dataset, passed: int) -> str:
    scores, name = model["score"], model["score"].attrs.get("long_name", "score")
    begun = f"{passed} of {model.sizes['seed']} models passed."
    if model.sizes["seed"] < 2:
        return f"{begun} The {name} is {number(float(scores[0]))}."
    found = interval(scores.reset_coords(drop=True), over="seed")
    told = with_interval(*(float(found[key]) for key in ("estimate", "low", "high")))
    ends = f"from {number(float(scores.min()))} to {number(float(scores.max()))}"
    return f"{begun} Mean over seeds of the {name}: {told}, {ends}."


def _by_seed(frame: Any) -> list[str]:
    lines = []
    for row in frame.to_dict("records"):
        own = with_interval(row["score"], row.get("score_low", np.nan), row.get("score_high", np.nan))
        told = "" if row["passed"] else "; did not pass, and was not explained"
        lines.append(f"seed {row['seed']}: {own} on test data, {number(row['train_score'])} on training data{told}")
    return lines


def _over(passed: int) -> str:
    if passed == 1:
        return " over samples: they hold for this one model, and say nothing of others that would be trained alike"
    few = ""
    if passed < 5:
        few = f". Of {passed} seeds they are wide, and may reach beyond what a number can be: five or more tell more"
    return f" over seeds and samples{few}"


def _cost(seconds: float, count: int) -> str:
    return f"{count} steps took {number(float(seconds))} s; the table `cost` has them by kind."
