"""A study as tidy tables, one row a case."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from attrkit.checks import some_of
from attrkit.errors import InputError
from attrkit.store import as_path
from attrkit.studies.summaries import agreement as of_agreement
from attrkit.studies.summaries import attention_tests, course
from attrkit.studies.summaries import faithfulness as of_faithfulness
from attrkit.studies.summaries.other_tests import summarise
from attrkit.studies.writing.table_files import FORMATS, write_table

NOT_TESTS = ("data", "model", "extractors", "steps")
"""Groups of a study that are no tests."""


def tables(tree: xr.DataTree) -> dict[str, pd.DataFrame]:
    """Summarise a study: tidy tables with intervals over seeds and samples.

    Means of two seeds or more have 95 percent intervals over seeds and samples, those of one seed over samples: for
    this one model (`attrkit.metrics.interval`; the column ``over`` says which). What is undefined, or not finite, is
    left out and counted in ``n_undefined``.

    Parameters
    ----------
    tree : DataTree
        As `attrkit.study` or `attrkit.studies.open_study` returns it.

    Returns
    -------
    dict of str to DataFrame
        - ``models``: the score of each seed.
        - ``agreement``: of each pair of extractors, each metric, with ``chance`` and the agreement of each with itself
          on models of other seeds; that alone is ``seed_variance``.
        - ``faithfulness``: metrics of each extractor; ``faithfulness_tests``: against ``random`` and ``attention``,
          with Holm's correction; ``faithfulness_ranks``: from seed to seed; ``removal``: curves.
        - ``ground_truth``, with ``ground_truth_tests`` and ``ground_truth_ranks``.
        - ``permutation`` and ``adversarial``: by the largest weight, in bins of Jain and Wallace (2019,
          arXiv:1902.10186), and by predicted class.
        - any other test by its name: the mean of each number that it has of a sample.
        - ``cost`` and ``steps``.

        Those of what was asked, and not refused. ``attrs["about"]`` of each says what it shows.

    Raises
    ------
    InputError
        If `tree` is not a study.
    MissingDependencyError
        If scipy or statsmodels is not installed.

    Examples
    --------
    >>> found = attrkit.studies.tables(study_tree)
    >>> found["agreement"].columns[:6].tolist()
    ['extractor', 'other', 'metric', 'estimate', 'low', 'high']
    """
    check_study(tree)
    model = tree["model"].to_dataset()
    found = {"models": course.models(model)}
    for name in names_of_tests(tree):
        found |= _of_test(name, tree, model)
    extractors = {name: node.to_dataset() for name, node in tree["extractors"].children.items()}
    steps = tree["steps"].to_dataset()
    found |= {"cost": course.cost(steps, extractors), "steps": course.steps(steps)}
    return {name: frame for name, frame in found.items() if len(frame)}


def write_tables(tree: xr.DataTree, folder: str | Path, *, formats: Sequence[str] = ("csv", "md", "tex")) -> list[Path]:
    """Write the tables of a study to files.

    Parameters
    ----------
    tree : DataTree
        As `attrkit.studies.tables` takes it.
    folder : str or Path
        Made if it is not there. Files of the same names are replaced.
    formats : sequence of {"csv", "md", "tex"}, default all
        ``csv`` has all numbers as they are. ``md`` (Markdown) and ``tex`` (LaTeX, for the packages booktabs and
        longtable) have as many digits as the interval is worth, and say ``0.41 [0.35, 0.47]``.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        If `tree` is not a study, or a format is not known.
    MissingDependencyError
        If tabulate (Markdown) or jinja2 (LaTeX) is not installed.

    Examples
    --------
    >>> files = attrkit.studies.write_tables(study_tree, "tables", formats=["csv"])
    >>> "agreement.csv" in {file.name for file in files}
    True
    """
    kinds = some_of(formats, "formats", FORMATS)
    found = tables(tree)
    target = as_path(folder)
    target.mkdir(parents=True, exist_ok=True)
    return [write_table(frame, target / f"{name}.{kind}") for name, frame in found.items() for kind in kinds]


def check_study(tree: xr.DataTree) -> None:
    """Refuse what is not a study."""
    missing = [name for name in ("model", "steps", "extractors") if name not in getattr(tree, "children", {})]
    if missing or "study" not in tree.attrs:
        raise InputError(
            f"this {type(tree).__name__} is no study; accepted is what attrkit.study or attrkit.studies.open_study "
            "returns"
        )


def names_of_tests(tree: xr.DataTree) -> list[str]:
    """Return the names of the tests that a study holds."""
    return [str(name) for name in tree.children if name not in NOT_TESTS]


def _of_test(name: str, tree: xr.DataTree, model: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return the tables of one test."""
    ds = tree[name].to_dataset()
    if name == "agreement":
        selves = tree["seed_variance"].to_dataset() if "seed_variance" in tree else None
        return {name: of_agreement.agreement(ds, selves)}
    if name == "seed_variance":
        return {name: of_agreement.self_agreement(ds)}
    if name in ("faithfulness", "ground_truth"):
        about = {"faithfulness": "Faithfulness", "ground_truth": "Against what is known to be salient"}[name]
        found = {
            name: of_faithfulness.means(ds, about),
            f"{name}_tests": of_faithfulness.compared(ds),
            f"{name}_ranks": of_faithfulness.ranks(ds),
        }
        return found if name == "ground_truth" else {**found, "removal": of_faithfulness.removal(ds)}
    if name == "permutation":
        about = "Shuffled attention: how far the output moves, by the largest weight and by predicted class"
        told = attention_tests.predicted_class(model, ds)
        return {name: attention_tests.by_largest_weight(ds, ["median_output_change"], told, about)}
    if name == "adversarial":
        about = "Adversarial attention: how far weights can go, by the largest weight and by predicted class"
        told = attention_tests.predicted_class(model, ds)
        return {name: attention_tests.by_largest_weight(ds, ["jensen_shannon", "output_change"], told, about)}
    return {name: summarise(name, ds)}
