"""The command line: ``attrkit demo``, ``extract``, ``plot``, ``report``, ``study``, ``doctor``."""

import json
import os
import sys
import warnings
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Before any command imports TensorFlow, whose start-up messages would bury ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

app = typer.Typer(
    help="What does a trained sequence model look at?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Kind(StrEnum):
    """The plots that ``attrkit plot`` draws."""

    heatmap = "heatmap"
    curves = "curves"
    hist = "hist"
    attention = "attention"
    overlay = "overlay"
    profile = "profile"
    scatter = "scatter"
    difference = "difference"
    tokens = "tokens"
    heads = "heads"
    ledger = "ledger"


def _errors_as_text(command: Callable[..., None]) -> Callable[..., None]:
    """Print an error of attrkit as one message with exit code 1; any other error is ours and keeps its traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from attrkit.errors import AttrkitError

        # A warning is for the reader of the result, whom our file and line do not help.
        as_found = warnings.formatwarning
        warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
        try:
            command(*args, **kwargs)
        except AttrkitError as err:
            typer.echo(f"error: {err}", err=True)
            raise typer.Exit(1) from err
        finally:
            warnings.formatwarning = as_found

    return run


@app.command()
@_errors_as_text
def demo(
    out: Annotated[Path, typer.Option(help="Folder for model, dataset and figures; new or empty.")] = Path(
        "attrkit-demo"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Training epochs.")] = 18,
    samples: Annotated[int, typer.Option(min=3, help="Windows to explain.")] = 48,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and noise.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Train an attention LSTM on real weather, then show what it looks at."""
    from attrkit.demo import run_demo

    typer.echo(run_demo(out, epochs=epochs, n_samples=samples, seed=seed, show_progress=not quiet))


@app.command()
@_errors_as_text
def extract(
    model: Annotated[Path, typer.Argument(help="Trained model: .keras, .h5, a SavedModel folder, or TorchScript.")],
    data: Annotated[Path, typer.Argument(help="Inputs: .npy, .npz, .csv, .nc or .zarr.")],
    out: Annotated[Path, typer.Option(help="Where to write: .zarr or .nc.")],
    method: Annotated[list[str], typer.Option(help="Method; may be given more than once.")] = [  # noqa: B006
        "integrated_gradients"
    ],
    target: Annotated[str | None, typer.Option(help="Output to explain: 2, or 3,1 for (horizon, channel).")] = None,
    baseline: Annotated[str, typer.Option(help="A number, or mean.")] = "0.0",
    layer: Annotated[list[str] | None, typer.Option(help="Layer to look at; may be given more than once.")] = None,
    option: Annotated[list[str], typer.Option(help="An option of the method, as name=value.")] = [],  # noqa: B006
    stride: Annotated[int | None, typer.Option(min=1, help="Of windows cut from a long CSV.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a pass.")] = None,
    seed: Annotated[int, typer.Option(help="For methods that draw.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write OUT chunk by chunk; the same command goes on where it was stopped.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Explain a saved model on data from a file."""
    import attrkit
    from attrkit.data_files import read_inputs
    from attrkit.errors import InputError
    from attrkit.inputs import label_inputs
    from attrkit.store import check_target

    if len(set(method)) < len(method):
        raise InputError(f"a method is named twice: {', '.join(method)}")
    options = dict(_parse_option(text) for text in option)
    if options and len(method) > 1:
        raise InputError("--option goes with one --method; run the methods one by one")
    if stream and (overwrite or len(method) > 1):
        raise InputError("--stream goes with one --method, and goes on with what is there: leave --overwrite out")
    if not stream:
        check_target(out, overwrite=overwrite)
    adapter = attrkit.adapt(attrkit.load_model(model))
    if len(adapter.inputs) > 1:
        raise InputError(f"the model has {len(adapter.inputs)} inputs, and a file holds one; use attrkit.extract")
    shape = adapter.inputs[0].shape if adapter.inputs else None
    inputs = read_inputs(data, length=None if shape is None else shape[0], stride=stride)
    labelled = label_inputs(inputs)
    dtype = adapter.inputs[0].dtype if adapter.inputs else ""
    if labelled.dtype.kind in "iu" and dtype.startswith("float"):
        # A file has no way to say float where all numbers are whole.
        labelled = labelled.astype(dtype)
    given = {
        "target": None if target is None else _parse_target(target),
        "baseline": _parse_value(baseline),
        "layer": layer or None,
        "batch_size": batch_size,
        "seed": seed,
        "show_progress": not quiet,
    }
    if stream:
        attrkit.extract(adapter, labelled, method[0], store=out, **given, **options)
        typer.echo(f"wrote {out}")
        return
    methods = {name: (name, options) for name in method}
    tree = attrkit.compare(adapter, labelled, methods, **given)
    path = attrkit.save(tree[method[0]].to_dataset() if len(method) == 1 else tree, out, overwrite=overwrite)
    typer.echo(f"wrote {path}")


@app.command()
@_errors_as_text
def plot(
    file: Annotated[Path, typer.Argument(help="What attrkit extract or attrkit.save wrote.")],
    kind: Annotated[Kind, typer.Option(help="What to draw.")] = Kind.heatmap,
    out: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg.")] = None,
) -> None:
    """Draw a saved result."""
    import attrkit

    panels = getattr(attrkit.plot, kind.value)(attrkit.load(file))
    target = file.with_suffix(f".{kind.value}.png") if out is None else out
    panels.save(target)
    typer.echo(f"wrote {target}")


@app.command()
@_errors_as_text
def report(
    files: Annotated[list[Path], typer.Argument(help="What attrkit extract or attrkit.save wrote; one or more.")],
    out: Annotated[Path, typer.Option(help="Where to write: .html.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Write saved results as one page for the browser."""
    import attrkit
    from attrkit.collect import as_datasets
    from attrkit.errors import InputError

    found: dict[str, Any] = {}
    for file in files:
        for name, ds in as_datasets(attrkit.load(file)).items():
            if name in found:
                raise InputError(f"two results are named {name!r}, one of them in {file}; name them apart in one file")
            found[name] = ds
    given = {} if title is None else {"title": title}
    typer.echo(f"wrote {attrkit.report(found, out, overwrite=overwrite, **given)}")


@app.command()
@_errors_as_text
def study(
    config: Annotated[Path, typer.Argument(help="TOML: factory, data, and options of attrkit.study.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Ask of trained models whether attention and attribution agree, and which is faithful.

    Runs the code that CONFIG names as its factory: run only what you trust. The same command goes on where it was
    stopped.
    """
    from attrkit.packages import needed
    from attrkit.studies import study as run_study
    from attrkit.study_config import read_config
    from attrkit.study_output import write_study

    for package in ("scipy", "statsmodels", "jinja2", "tabulate"):
        # Before models are trained, not after.
        needed(package, "what comes out of a study", extra="study")
    asked = read_config(config)
    out = asked.pop("out")
    tree = run_study(**asked, show_progress=not quiet)
    files = write_study(tree, out)
    typer.echo(f"wrote {asked['store']}")
    typer.echo(f"wrote {files[0]}, {len(files) - 1} files of tables and figures in {out}")


@app.command()
def doctor() -> None:
    """Say what can be used here, and why not the rest."""
    from attrkit.doctor import examine
    from attrkit.schema import installed_version

    console = Console(highlight=False)
    console.print(f"attrkit {installed_version('attrkit')} on Python {sys.version.split()[0]}\n")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in examine():
        check = finding.check
        found = finding.version or "\n".join(filter(None, [finding.reason, check.install]))
        # As it is: an extra stands in square brackets, which rich would read as markup.
        table.add_row(check.name, "no" if finding.reason else "yes", Text(f"{check.gives}\n{found}"))
    console.print(table)


def _parse_option(text: str) -> tuple[str, Any]:
    from attrkit.errors import InputError

    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--option {text!r} is not name=value")
    return name, _parse_value(value)


def _parse_value(text: str) -> Any:
    """Read numbers, true, false and lists as JSON does, and anything else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _parse_target(text: str) -> Any:
    parts = [_parse_value(part.strip()) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else tuple(parts)


if __name__ == "__main__":
    app()
