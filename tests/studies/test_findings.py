"""Sentences of a protocol follow from intervals: what is told apart, and what is not."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from attrkit.studies.summaries.agreement import agreement
from attrkit.studies.summaries.other_tests import summarise
from attrkit.studies.writing import findings_trained as trained
from attrkit.studies.writing.findings import find


def scored(gap, name="correct"):
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 4, 50))
    values = noise + np.array([0.6 + gap, 0.6])[:, None, None]
    return xr.Dataset({name: (("attention", "seed", "sample"), values)}, {"attention": ["learned", "uniform"]})


@pytest.mark.parametrize(
    ("gap", "name", "said"),
    [
        (0.2, "correct", "Learned attention does better than uniform attention."),
        (0.0, "correct", "Learned attention does no better, as far as can be told, than uniform attention."),
        (-0.2, "correct", "Learned attention does worse than uniform attention."),
        (-0.2, "absolute_error", "Learned attention does better than uniform attention."),
    ],
    ids=["better", "same", "worse", "less_error"],
)
def test_uniform_attention_is_told_apart_or_not(gap, name, said):
    found = trained.uniform_training(scored(gap, name))
    assert found.headline == said
    assert any("Unless more seeds" in line for line in found.lines) == ("does better" not in said)


def test_adversaries_are_told_beside_what_seeds_do_by_themselves():
    rng = np.random.default_rng(0)
    dims = ("seed", "lambda_", "sample")
    far = np.array([0.1, 0.9])[:, None] + rng.normal(0, 0.01, (3, 2, 40))
    ds = xr.Dataset({"jensen_shannon": (dims, far), "output_change": (dims, far / 10)}, {"lambda_": [0.0, 0.1]})
    between = np.full((1, 2, 2, 40), 0.25)
    between[:, [0, 1], [0, 1]] = 0
    seeds = xr.Dataset(
        {"jensen_shannon": (("extractor", "run", "other", "sample"), between)},
        {"extractor": ["attention"], "run": ["1", "2"], "other": ["1", "2"]},
    )
    lines = trained.adversarial_training(ds, seeds).lines
    assert "worth 0.1, " in lines[1]
    assert float(lines[1].split("attention is ")[1].split(" ")[0]) == pytest.approx(0.9, abs=0.02)
    assert "two seeds is 0.25 bits apart" in lines[-1]
    assert len(trained.adversarial_training(ds.sel(lambda_=[0.1]), None).lines) == 1


def test_each_kind_of_weights_is_compared_with_uniform_ones():
    lines = trained.diagnostic(scored(0.2)).lines
    assert len(lines) == 2
    assert "`Learned` does better" in lines[0].replace("`learned`", "`Learned`")
    assert "difference" not in lines[1]


def test_what_is_left_after_the_last_layer_was_drawn():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.05, (3, 2, 2, 3, 40))
    values[:, :, 0, :2] += 0.9  # left until the last layer
    values[:, :, 1] += 0.5  # left for ever
    dims = ("seed", "how", "extractor", "layer", "sample")
    coords = {"how": ["cascading", "independent"], "extractor": ["a", "b"], "layer": ["top", "mid", "low"]}
    frame = summarise("parameter_randomisation", xr.Dataset({"spearman": (dims, values)}, coords))
    gone, left = trained.parameter_randomisation(frame).lines
    assert gone.endswith("not told apart from none.")
    assert left.endswith("part of it is there without what was learned.")
    np.testing.assert_allclose(float(left.split("of ")[1].split(" ")[0]), 0.5, atol=0.05)


def test_cases_of_the_training_data_are_averaged():
    values = np.random.default_rng(0).random((3, 2, 70))
    ds = xr.Dataset({"correct": (("seed", "labels", "train_sample"), values)}, {"labels": ["true", "shuffled"]})
    frame = summarise("data_randomisation", ds)
    assert frame["labels"].tolist() == ["true", "shuffled"]
    np.testing.assert_allclose(frame["estimate"], values.mean(axis=(0, 2)))


@pytest.mark.parametrize(
    ("shift", "said"),
    [(0.4, "more than by chance"), (0.0, "not told apart from chance"), (-0.4, "less than by chance")],
    ids=["more", "same", "less"],
)
def test_agreement_is_said_against_chance(shift, said):
    rng = np.random.default_rng(1)
    values = np.clip(rng.normal(shift, 0.1, (4, 2, 2, 60)), -1, 1)
    dims = ("seed", "extractor", "other", "sample")
    coords = {"extractor": ["attention", "gradient"], "other": ["attention", "gradient"], "quantile": [0.05, 0.5, 0.95]}
    floor = np.broadcast_to([-0.2, 0.0, 0.2], (*values.shape, 3))
    ds = xr.Dataset(
        {
            "kendall_tau": (dims, values),
            "kendall_tau_floor": ((*dims, "quantile"), floor),
            "items": ("sample", np.full(60, 20)),
            "k": ("sample", np.full(60, 2)),
        },
        coords,
    )
    attention = xr.Dataset({"attention": ("sample", np.ones(60))}, attrs={"method": "attention"})
    tree = xr.DataTree.from_dict({"agreement": ds, "extractors/attention": attention})
    (found,) = find(tree, {"agreement": agreement(ds, None)})
    assert said in found.lines[0]
    assert found.headline.endswith(f"with {int(shift > 0)} of 1 other extractors.")


def test_a_test_of_ones_own_has_its_numbers_in_words():
    ds = xr.Dataset({"height": (("seed", "sample"), np.ones((2, 5)))})
    tree = xr.DataTree.from_dict({"mine": ds, "extractors": xr.Dataset()})
    (found,) = find(tree, {"mine": summarise("mine", ds)})
    assert found.title == "Test mine"
    assert found.lines == ["`height`: 1.00 [1.00, 1.00]."]
    assert isinstance(summarise("mine", ds), pd.DataFrame)
