"""What tests that train or redraw models have found, in plain sentences."""

from typing import Any

import pandas as pd
import xarray as xr

from attrkit.studies.summaries.rows import interval_of
from attrkit.studies.writing.findings_told import REFERENCES, Finding, Row, told


def uniform_training(ds: xr.Dataset) -> Finding:
    """Say whether models trained with uniform attention do as well."""
    scored, what, up = _scored(ds)
    learned, uniform = (_row(scored.sel(attention=kind)) for kind in ("learned", "uniform"))
    gap = _row(scored.sel(attention="learned", drop=True) - scored.sel(attention="uniform", drop=True))
    lines = [
        f"Models have {told(learned)} {what} with attention as it was learned, and {told(uniform)} when they were "
        f"trained with uniform attention: a difference of {told(gap)}.",
        _verdict(gap, up, "learned attention", "uniform attention"),
    ]
    if not _better(gap, up):
        lines.append(
            "Unless more seeds tell otherwise, attention is not needed here, and its weights need not say what an "
            "answer rests on, whatever the other tests show."
        )
    headline = _verdict(gap, up, "learned attention", "uniform attention")
    return Finding("Do the data need attention?", lines, headline)


def adversarial_training(ds: xr.Dataset, seeds: xr.Dataset | None) -> Finding:
    """Say how far attention of models goes that are trained to answer alike, beside how far it goes by itself."""
    lines = []
    for penalty in ds["lambda_"].values:
        own = ds.sel(lambda_=penalty, drop=True)
        lines.append(
            f"Where divergence is worth {penalty:g}, a model was trained whose attention is "
            f"{told(_row(own['jensen_shannon']))} bits from the explained model's, and whose answers are "
            f"{told(_row(own['output_change']))} away ({own['output_change'].attrs.get('long_name', 'output change')})."
        )
    if 0 in ds["lambda_"].values:
        lines.append("That worth 0 is an imitation of the answers alone, and says how well training imitates at all.")
    if seeds is not None and "jensen_shannon" in seeds and "attention" in seeds["extractor"].values:
        between = seeds["jensen_shannon"].sel(extractor="attention")
        apart = float(between.where(between["run"] != between["other"]).mean())
        lines.append(f"Attention of models of two seeds is {apart:.3g} bits apart, without anyone's doing.")
    return Finding("Can a model be trained to answer so with other attention?", lines)


def diagnostic(ds: xr.Dataset) -> Finding:
    """Say which weights help a model without context."""
    scored, what, up = _scored(ds)
    kinds = [str(kind) for kind in scored["attention"].values]
    lines = []
    for kind in kinds:
        text = f"A model without context has {told(_row(scored.sel(attention=kind)))} {what} with `{kind}` weights"
        if kind != "uniform" and "uniform" in kinds:
            gap = _row(scored.sel(attention=kind, drop=True) - scored.sel(attention="uniform", drop=True))
            text += f", a difference of {told(gap)} from uniform ones"
            text += f". {_verdict(gap, up, f'`{kind}`', 'uniform weights')[:-1]}"
        lines.append(f"{text}.")
    return Finding("Do the weights help a model without context?", lines)


def parameter_randomisation(frame: pd.DataFrame) -> Finding:
    """Say how much of an explanation is left when all parameters are drawn anew."""
    own = frame[frame["variable"] == "spearman"]
    if "how" in own:
        own = own[own["how"] == "cascading"]
    # The last layer to be drawn is that closest to the input.
    last = own.drop_duplicates("extractor", keep="last") if "extractor" in own else own
    text = "With all layers drawn anew, `{}` has a rank correlation of {} with what it says of the trained model"
    return Finding("Do explanations depend on what was learned?", _correlations(last, text))


def data_randomisation(frame: pd.DataFrame) -> Finding:
    """Say how alike explanations are of a model that was trained on shuffled labels."""
    own = frame[frame["variable"] == "spearman"]
    text = "Of a model trained on shuffled labels, `{}` has a rank correlation of {} with what it says of the other"
    return Finding("Do explanations depend on the labels?", _correlations(own, text))


def _correlations(frame: pd.DataFrame, text: str) -> list[str]:
    """Put the extractors and their correlations into a sentence each."""
    lines = [
        f"{text.format(row['extractor'], told(row))}{_left(row)}."
        for row in frame.to_dict("records")
        if row["extractor"] not in REFERENCES and not pd.isna(row["estimate"])
    ]
    return lines or ["No rank correlation is defined."]


def _scored(ds: xr.Dataset) -> tuple[xr.DataArray, str, bool]:
    """Return what models get right, in words, and whether more is better."""
    if "correct" in ds:
        return ds["correct"], "of the answers right", True
    return ds["absolute_error"], "as the mean absolute error", False


def _row(values: xr.DataArray) -> Row:
    found = interval_of(values)
    return {name: float(found[name]) for name in ("estimate", "low", "high")}


def _better(gap: Row, up: bool) -> bool:
    return bool(gap["low"] > 0 if up else gap["high"] < 0)


def _verdict(gap: Row, up: bool, one: str, other: str) -> str:
    begun = one[0].upper() + one[1:]
    if _better(gap, up):
        return f"{begun} does better than {other}."
    return f"{begun} does {'worse than' if _better(gap, not up) else 'no better, as far as can be told, than'} {other}."


def _left(row: dict[Any, Any]) -> str:
    if pd.isna(row["low"]):
        return ""
    return ": part of it is there without what was learned" if row["low"] > 0 else ", not told apart from none"
