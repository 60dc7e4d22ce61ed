"""attrkit: what a trained sequence model looks at, as labelled datasets, side by side."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from attrkit.adapters import adapt as adapt
from attrkit.attention.reduce import reduce_attention as reduce_attention
from attrkit.collect import from_arrays as from_arrays
from attrkit.collect import stack as stack
from attrkit.exchange.inseq import from_inseq as from_inseq
from attrkit.exchange.quantus import from_quantus as from_quantus
from attrkit.exchange.quantus import to_quantus as to_quantus
from attrkit.exchange.shap import from_shap as from_shap
from attrkit.extract import compare as compare
from attrkit.extract import extract as extract
from attrkit.layers import layer_outputs as layer_outputs
from attrkit.models import load_model as load_model
from attrkit.models.precision import to_float32 as to_float32
from attrkit.models.precision import to_float64 as to_float64
from attrkit.report import report as report
from attrkit.schema import installed_version as _installed_version
from attrkit.schema import validate as validate
from attrkit.series import pad as pad
from attrkit.series import windows as windows
from attrkit.store import load as load
from attrkit.store import save as save

if TYPE_CHECKING:
    from attrkit import datasets as datasets
    from attrkit import metrics as metrics
    from attrkit import plot as plot
    from attrkit import studies as studies
    from attrkit import study_output as study_output
    from attrkit.studies import study as study

__version__ = _installed_version("attrkit")


# matplotlib is loaded with the first plot, not with attrkit; so is what the others need.
_LATER = ("datasets", "metrics", "plot", "studies", "study", "study_output")


def __getattr__(name: str) -> _Any:
    if name == "study":
        return _import_module("attrkit.studies").study
    if name in _LATER:
        return _import_module(f"attrkit.{name}")
    raise AttributeError(f"module 'attrkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
