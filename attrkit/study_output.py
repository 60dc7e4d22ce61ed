"""All that comes out of a study, in one folder: tables, figures and a protocol."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from attrkit.store import as_path
from attrkit.studies.writing.protocol import protocol
from attrkit.studies.writing.tables import check_study, write_tables


def write_figures(tree: xr.DataTree, folder: str | Path, *, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Draw the figures of a study that its tests have something for.

    Parameters
    ----------
    tree : DataTree
        As `attrkit.study` or `attrkit.studies.open_study` returns it.
    folder : str or Path
        Made if it is not there. Files of the same names are replaced.
    formats : sequence of {"png", "pdf", "svg"}, default ("png", "pdf")

    Returns
    -------
    list of Path
        Of ``agreement``, ``removal``, ``ranking``, ``ground_truth``, ``permutation`` and ``adversarial`` those whose
        test is there; see `attrkit.plot`.

    Raises
    ------
    InputError
        If `tree` is not a study, or a format is not known.
    MissingDependencyError
        If scipy is not installed.

    Examples
    --------
    >>> files = attrkit.study_output.write_figures(study_tree, "figures", formats=["png"])
    >>> sorted(file.stem for file in files)
    ['adversarial', 'agreement', 'permutation', 'ranking', 'removal']
    """
    from attrkit import plot

    check_study(tree)
    target = as_path(folder)
    target.mkdir(parents=True, exist_ok=True)
    of_truth = partial(plot.ranking, test="ground_truth")
    drawn: list[tuple[str, str, Callable[..., Any]]] = [
        ("agreement", "agreement", plot.agreement),
        ("faithfulness", "removal", plot.removal),
        ("faithfulness", "ranking", plot.ranking),
        ("ground_truth", "ground_truth", of_truth),
        ("permutation", "permutation", plot.permutation),
        ("adversarial", "adversarial", plot.adversarial),
    ]
    files: list[Path] = []
    for test, name, draw in drawn:
        if test in tree.children:
            files += draw(tree).save([target / f"{name}.{kind}" for kind in formats])
    return files


def write_study(tree: xr.DataTree, folder: str | Path) -> list[Path]:
    """Write the tables, the figures and the protocol of a study into one folder.

    Parameters
    ----------
    tree : DataTree
        As `attrkit.study` or `attrkit.studies.open_study` returns it.
    folder : str or Path
        Made if it is not there: ``tables/``, ``figures/`` and ``protocol.md``.

    Returns
    -------
    list of Path
        What was written, the protocol first.

    Raises
    ------
    InputError
        If `tree` is not a study.
    MissingDependencyError
        If a package of the extra ``study`` is not installed.

    Examples
    --------
    >>> files = attrkit.study_output.write_study(study_tree, "results")
    >>> files[0].name, (files[0].parent / "tables" / "agreement.md").exists()
    ('protocol.md', True)
    """
    target = as_path(folder)
    target.mkdir(parents=True, exist_ok=True)
    text = protocol(tree)
    written = target / "protocol.md"
    written.write_text(text, encoding="utf-8")
    return [written, *write_tables(tree, target / "tables"), *write_figures(tree, target / "figures")]
