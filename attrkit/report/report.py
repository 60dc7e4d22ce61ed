"""The page itself: what it takes, and where it goes."""

import os
import tempfile
from pathlib import Path
from typing import Any

from attrkit.errors import InputError, StoreError
from attrkit.store import as_path

SUFFIXES = (".html", ".htm")


def report(
    data: Any,
    path: str | os.PathLike[str],
    *,
    samples: Any = None,
    channels: Any = None,
    title: str = "What the model looks at",
    overwrite: bool = False,
) -> Path:
    """Write one page that shows results in a browser, by itself: no network, no server.

    The page has the series, what each extractor found beside it, and attention weights, under one time axis that
    zooms as one; below them tables of agreement and checks, and where each result comes from. On it, readers choose
    the sample, the extractors, the channels and the scale of colours, and take figures and numbers away.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        As `attrkit.compare` returns it. Each extractor holds ``attribution`` or ``attention``.
    path : str or path
        Ends in ``.html``.
    samples : label or list of labels, optional
        The first 50 if not given. The tables are of all samples.
    channels : label or list of labels, optional
        The 12 with the largest mean of absolute attributions if not given, where each extractor counts alike.
    title : str, optional
        The heading of the page.
    overwrite : bool, default False
        Replace what is there.

    Returns
    -------
    Path
        `path`. The page says what of `data` was left out, joined or rounded to stay below 5 MB.

    Raises
    ------
    InputError
        If `data` holds nothing to show, extractors differ in samples, timesteps or channels, or a label is unknown.
    StoreError
        If the suffix is not known, something is there already, or writing fails. The file appears under its name
        when it is complete, never before.
    MissingDependencyError
        If bokeh, jinja2 or scipy is not installed.

    Examples
    --------
    >>> page = attrkit.report(tree, "report.html")
    >>> page.name, "<script" in page.read_text(encoding="utf-8")
    ('report.html', True)
    """
    from attrkit.report._contents import read_contents
    from attrkit.report._page import check_packages, render

    target = _check_target(path, overwrite=overwrite)
    if not isinstance(title, str) or not title.strip():
        raise InputError(f"title={title!r} is no title; accepted is text")
    check_packages()
    page = render(read_contents(data, samples=samples, channels=channels), title=title)
    _write(page, target)
    return target


def _check_target(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    target = as_path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise StoreError(f"{target} ends in {target.suffix!r}; accepted are {', '.join(SUFFIXES)}")
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already; pass overwrite=True to replace it")
    if target.is_dir():
        raise StoreError(f"{target} is a folder; accepted is the name of a file")
    return target


def _write(page: str, target: Path) -> None:
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename on one file system.
        handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
        # Made for its owner alone: as open as any new file is.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(scratch, 0o666 & ~mask)
        os.replace(scratch, target)
        scratch = None
    except OSError as err:
        raise StoreError(f"{target} could not be written: {err}") from err
    finally:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
