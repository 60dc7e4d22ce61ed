"""Methods whose result for a sample depends on the other samples: chunks would change it, so they are refused."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import difference_of
from attrkit.errors import RefusedError
from attrkit.explained import Explained
from attrkit.question import Asked
from attrkit.schema import CONTENT
from attrkit.streaming.chunk import Job, explain
from attrkit.streaming.samples import asked_of, samples_of

_DRAWS_FOR_ALL = "draws its noise for all samples in one go; take attrkit's smoothgrad"
_ACROSS = {
    "captum:FeaturePermutation": "puts values of other samples in the place of a sample's",
    "innvestigate:smoothgrad": _DRAWS_FOR_ALL,
    "innvestigate:random": _DRAWS_FOR_ALL,
}


def check_by_sample(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a method, by its name and options, that looks at all samples for each."""
    why = _ACROSS.get(name)
    if name == "lrp" and options.get("input_rule") == "z_box":
        why = (
            "input_rule='z_box' takes its box from the smallest and largest value of all samples; give the rule with "
            "a box of your own"
        )
    if name == "zennit:EpsilonGammaBox" and (options.get("low") is None or options.get("high") is None):
        why = "takes its box from the smallest and largest value of all samples; give low= and high="
    if why is not None:
        raise RefusedError(f"{name} cannot be run chunk by chunk: it {why}; or leave store= out")


def check_independent(adapter: Adapter, job: Job, few: Explained, asked: Asked) -> None:
    """Refuse a method, of a user's or of a toolkit, that says something else of samples among fewer others."""
    count = len(few.main)
    if count < 2:
        return
    labels, half = few.main["sample"].values, count // 2
    among, _ = explain(adapter, job, few, asked_of(asked, 0, labels, few), 0)
    rest = samples_of(few, half, count)
    alone, _ = explain(adapter, job, rest, asked_of(asked, half, labels[half:], few), half)
    for name, variable in among.data_vars.items():
        # What is left of sums, such as a gap, is rounding, which may differ.
        if not str(name).startswith(CONTENT) or variable.dtype.kind not in "fiu":
            continue
        expected = variable.isel(sample=slice(half, None)).values
        found = alone[name].values if name in alone else np.empty(0)
        finite = np.isfinite(expected)
        if expected.shape == found.shape and not finite.any():
            continue
        scale, difference = (
            difference_of(expected[finite], found[finite]) if expected.shape == found.shape else (0.0, np.inf)
        )
        if not difference <= 10 * adapter.precision * scale:
            raise RefusedError(
                f"{among.attrs['method']} gives other values of {name!r} for a sample among other samples, by "
                f"{difference:.3g} (largest {scale:.3g}): chunks would change the result; leave store= out"
            )
