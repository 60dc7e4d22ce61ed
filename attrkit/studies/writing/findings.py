"""What a study has found, in plain sentences that follow from intervals and corrected tests."""

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.digits import number
from attrkit.studies.writing import findings_trained as trained
from attrkit.studies.writing.findings_told import REFERENCES, Finding, Row, told
from attrkit.studies.writing.tables import names_of_tests

_FLAT = 0.95
"""Of the highest entropy there can be: weights beyond it are called nearly flat."""

_MOST_LINES = 12
"""Of a test without sentences of its own."""


def find(tree: xr.DataTree, frames: dict[str, pd.DataFrame]) -> list[Finding]:
    """Return what each test of a study has found."""
    attention = attention_of(tree)
    found = []
    for name in names_of_tests(tree):
        if name not in frames:
            continue
        frame = frames[name]
        if name == "agreement":
            found.append(_agreement(frame, attention))
        elif name == "seed_variance":
            found.append(_seed_variance(frame))
        elif name == "permutation":
            found.append(_permutation(tree[name].to_dataset(), frame, flatness(tree, attention)))
        elif name == "adversarial":
            found.append(_adversarial(tree[name].to_dataset(), frame))
        elif name in ("faithfulness", "ground_truth"):
            title = "Faithfulness" if name == "faithfulness" else "Against what is known to matter"
            found.append(_ranking(title, name, frame, frames.get(f"{name}_tests"), frames.get(f"{name}_ranks")))
        elif name == "uniform_training":
            found.append(trained.uniform_training(tree[name].to_dataset()))
        elif name == "adversarial_training":
            seeds = tree["seed_variance"].to_dataset() if "seed_variance" in tree else None
            found.append(trained.adversarial_training(tree[name].to_dataset(), seeds))
        elif name == "diagnostic":
            found.append(trained.diagnostic(tree[name].to_dataset()))
        elif name == "parameter_randomisation":
            found.append(trained.parameter_randomisation(frame))
        elif name == "data_randomisation":
            found.append(trained.data_randomisation(frame))
        else:
            found.append(_any(name, frame))
    return found


def attention_of(tree: xr.DataTree) -> str | None:
    """Return the name of the extractor that is attention weights, if there is one."""
    nodes = tree["extractors"].children
    return next((name for name, node in nodes.items() if node.attrs.get("method") == "attention"), None)


def flatness(tree: xr.DataTree, attention: str | None) -> float | None:
    """Return the mean entropy of attention, as a share of the highest there can be; None if it is not known."""
    ds = None if attention is None else tree["extractors"][attention].to_dataset()
    return None if ds is None or "attention_entropy" not in ds else float(ds["attention_entropy"].mean())


def _agreement(frame: pd.DataFrame, attention: str | None) -> Finding:
    frame = frame[~(frame["extractor"].isin(REFERENCES) | frame["other"].isin(REFERENCES))]
    lines, beyond, count = [], 0, 0
    for metric, words in (("kendall_tau", "Kendall's tau"), ("top_k_overlap", "The share of the top k in common,")):
        own = frame[frame["metric"] == metric]
        with_attention = own[(own["extractor"] == attention) | (own["other"] == attention)]
        for row in with_attention.to_dict("records"):
            text, more = _pair(row, attention, words)
            lines.append(text)
            if metric == "kendall_tau":
                beyond, count = beyond + more, count + 1
        rest = own.drop(with_attention.index)["estimate"].dropna()
        if len(rest):
            same = words.replace("The share", "the share")
            lines.append(
                f"For comparison, {same} of the {len(rest)} pairs of other extractors is {number(rest.median())} in "
                f"the middle, from {number(rest.min())} to {number(rest.max())}."
            )
    headline = ""
    if count:
        headline = f"By Kendall's tau, attention agrees more than chance with {beyond} of {count} other extractors."
    return Finding("Do attention and attribution agree?", lines or ["No pair with attention was compared."], headline)


def _pair(row: Row, attention: str | None, words: str) -> tuple[str, bool]:
    other = row["other"] if row["extractor"] == attention else row["extractor"]
    if pd.isna(row["estimate"]):
        return f"{words} of attention and `{other}` is not defined for any sample.", False
    text = f"{words} of attention and `{other}` is {told(row)}"
    more = False
    if "above_chance" in row and not pd.isna(row["above_chance"]):
        more = bool(row["above_chance_low"] > 0)
        versus = "more than" if more else "less than" if row["above_chance_high"] < 0 else "not told apart from"
        text += f", {versus} by chance ({number(row['chance'])}; difference {told(row, 'above_chance')})"
        text = text.replace("not told apart from by chance", "not told apart from chance")
    selves = [row.get("self_agreement", np.nan), row.get("other_self_agreement", np.nan)]
    if not np.isnan(selves).any():
        low, high = row["low"], row["high"]
        place = "less than either" if high < min(selves) else "more than either" if low > max(selves) else ""
        mine, its = selves if row["extractor"] == attention else selves[::-1]
        text += f"; on models of other seeds attention agrees with itself by {number(mine)}, `{other}` by {number(its)}"
        text += f", so this is {place}" if place else ""
    if row["n_undefined"]:
        text += f"; {row['n_undefined']} of {row['n'] + row['n_undefined']} cases are undefined"
    return f"{text}.", more


def _seed_variance(frame: pd.DataFrame) -> Finding:
    own = frame[(frame["metric"] == "kendall_tau") & ~frame["extractor"].isin(REFERENCES)].dropna(subset=["estimate"])
    rows = own.sort_values("estimate", ascending=False).to_dict("records")
    lines = [
        f"`{row['extractor']}` agrees with itself on models of other seeds by Kendall's tau {told(row)}."
        for row in rows
    ]
    return Finding("How much do seeds differ?", lines or ["Kendall's tau is not defined for any extractor."])


def _of_all(frame: pd.DataFrame, variable: str) -> Row:
    chosen = frame[(frame["variable"] == variable) & (frame["largest_weight"] == "all")]
    return dict(chosen[chosen["predicted_class"] == "all"].to_dict("records")[0])


def _permutation(ds: xr.Dataset, frame: pd.DataFrame, flat: float | None) -> Finding:
    row = _of_all(frame, "median_output_change")
    measure = ds["output_change"].attrs.get("long_name", "output change")
    change = ds["median_output_change"].values
    lines = [
        f"Shuffled attention weights move the output by {told(row)} ({measure}; the median over "
        f"{ds.sizes['permutation']} shuffles of each sample, averaged). Of single samples the median is "
        f"{number(float(np.nanmedian(change)))}, the 95 percent quantile {number(float(np.nanquantile(change, 0.95)))}."
    ]
    largest = float(ds["largest_weight"].mean())
    lines.append(f"The largest weight of a row is {number(largest)} on average: that is what there was to shuffle.")
    if flat is not None and flat > _FLAT:
        lines.append(
            f"Attention is nearly flat, with {number(flat)} of the highest entropy there can be. Shuffles of flat "
            "weights change nothing, so a small change would say little."
        )
    return Finding(
        "Does shuffled attention change the output?", lines, f"Shuffling attention moves the output by {told(row)}."
    )


def _adversarial(ds: xr.Dataset, frame: pd.DataFrame) -> Finding:
    row = _of_all(frame, "jensen_shannon")
    epsilon, measure = float(ds.attrs["epsilon"]), ds["output_change"].attrs.get("long_name", "output change")
    found = float((ds["jensen_shannon"] > 0).mean())
    lines = [
        f"Other weights give the same answer within {epsilon:g} ({measure}), and differ from the layer's own by a "
        f"Jensen-Shannon divergence of {told(row)} bits; 1 is the most there can be.",
        f"Such weights were found for {number(100 * found)} percent of the cases. It is a lower bound: a longer search "
        "may go farther.",
    ]
    return Finding(
        "How far can attention go without changing the output?",
        lines,
        f"Within {epsilon:g} of the output, attention can go as far as {told(row)} bits.",
    )


_TOLD = {
    "faithfulness": ("aopc_comprehensiveness", "aopc_sufficiency", "deletion_auc", "insertion_auc"),
    "ground_truth": ("auprc", "auroc"),
}


def _ranking(
    title: str, name: str, frame: pd.DataFrame, tests: pd.DataFrame | None, ranks: pd.DataFrame | None
) -> Finding:
    lines, headline = [], ""
    for metric in _TOLD[name]:
        own = frame[(frame["metric"] == metric) & frame["estimate"].notna()]
        candidates = own[~own["extractor"].isin(REFERENCES)]
        if not len(candidates):
            continue
        up = str(candidates["direction"].iloc[0]).startswith("higher")
        ordered = candidates.sort_values("estimate", ascending=not up).to_dict("records")
        best = ordered[0]
        chance = own[own["extractor"] == "random"].to_dict("records")
        text = f"By `{metric}` ({best['direction']}), `{best['extractor']}` comes first with {told(best)}"
        text += f"; random has {told(chance[0])}" if chance else ""
        beyond = _versus(tests, metric, best["extractor"], "random")
        text += f". {beyond}" if beyond else "."
        over_attention = _versus(tests, metric, best["extractor"], "attention")
        text += f" {over_attention}" if over_attention else ""
        text += f" {_orders(ranks, metric)}" if ranks is not None else ""
        lines.append(text.rstrip())
        worse = _not_beyond_random(tests, metric)
        if worse:
            lines.append(f"By `{metric}`, not better than random after Holm's correction: {', '.join(worse)}.")
        if name == "faithfulness" and not headline:
            sure = beyond.startswith("That is better")
            after = "better" if sure else "which is not known to be better"
            headline = f"Most faithful by {metric} is {best['extractor']}, {after} than random after Holm's correction."
    if tests is not None and tests["metric"].isin(_TOLD[name]).any():
        cases = str(tests[tests["metric"].isin(_TOLD[name])]["cases"].iloc[0])
        what = "other samples, and these very models" if cases == "sample" else "other models, and these very samples"
        lines.append(f"Tests are paired by {cases}, of the mean over what is left: they are about {what}.")
    return Finding(title, lines or ["No metric is defined."], headline)


def _versus(tests: pd.DataFrame | None, metric: str, extractor: str, other: str) -> str:
    rows = _tested(tests, metric, other)
    row = next((row for row in rows if row["extractor"] == extractor), None)
    if row is None:
        return ""
    p = row["p_adjusted"]
    if pd.isna(p):
        return f"Whether it differs from {other} cannot be tested."
    value = "below 0.001" if p < 0.001 else f"{p:.3f}"
    if p >= 0.05:
        return f"That is not told apart from {other} (p {value} after Holm's correction)."
    return f"That is {'better' if row['better'] else 'worse'} than {other} (p {value} after Holm's correction)."


def _not_beyond_random(tests: pd.DataFrame | None, metric: str) -> list[str]:
    rows = [row for row in _tested(tests, metric, "random") if row["extractor"] not in REFERENCES]
    return [f"`{row['extractor']}`" for row in rows if not (row["p_adjusted"] < 0.05 and row["better"])]


def _tested(tests: pd.DataFrame | None, metric: str, other: str) -> list[Row]:
    if tests is None:
        return []
    return list(tests[(tests["metric"] == metric) & (tests["other"] == other)].to_dict("records"))


def _orders(ranks: pd.DataFrame, metric: str) -> str:
    own = ranks[ranks["metric"] == metric]
    if not len(own) or pd.isna(own["kendall_w"].iloc[0]):
        return ""
    return f"From seed to seed the order has Kendall's W {number(own['kendall_w'].iloc[0])} (1 is the same order)."


def _any(name: str, frame: pd.DataFrame) -> Finding:
    labels = [column for column in frame.columns[: list(frame.columns).index("estimate")] if column != "variable"]
    lines = []
    for row in frame.head(_MOST_LINES).to_dict("records"):
        where = ", ".join(f"{label} {row[label]}" for label in labels if not pd.isna(row[label]))
        lines.append(f"`{row['variable']}`{f' at {where}' if where else ''}: {told(row) or 'not defined'}.")
    if len(frame) > _MOST_LINES:
        lines.append(f"{len(frame) - _MOST_LINES} more are in the table `{name}`.")
    return Finding(f"Test {name}", lines)
