"""What metrics return is of the schema, and goes to a file as results do."""

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit import metrics
from attrkit.errors import SchemaError
from attrkit.schema import build_table, faults

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 5, 2))
TREE = attrkit.from_arrays({"exact": X, "noise": RNG.standard_normal(X.shape)}, inputs=X)
CLASSES = (X[:, 2, 0] > 0).astype(int)


def add_up(x):
    return x.sum((1, 2))


def fit(x, y, seed):
    return add_up


def tables():
    """Yield a table of every metric that needs no framework, by its name."""
    quiet = {"show_progress": False}
    alike = metrics.agreement(TREE, n_random=2)
    faith = metrics.faithfulness(add_up, TREE, channels="sum", operator=["zero", "mean"], error="signed", **quiet)
    yield "agreement", alike
    yield "self_agreement", metrics.self_agreement({0: TREE, 1: TREE})
    yield "ground_truth", metrics.ground_truth(TREE, X > 1)
    yield "faithfulness", faith
    yield "ranking_sensitivity", metrics.ranking_sensitivity(faith)
    yield "f_fidelity", metrics.f_fidelity(add_up, TREE, channels="sum", n_draws=2, **quiet)
    halves = (X, CLASSES), (X, CLASSES)
    yield "roar", metrics.roar(fit, *halves, (TREE, TREE), channels="sum", shares=[0.5], seeds=[0], **quiet)
    yield "max_sensitivity", metrics.max_sensitivity(add_up, X, "occlusion", n_samples=2, **quiet)
    yield "infidelity", metrics.infidelity(add_up, TREE, n_samples=2, kind="slope", **quiet)
    yield "data_randomisation", metrics.data_randomisation(fit, (X, CLASSES), X, "occlusion", **quiet)
    yield "interval", metrics.interval(alike["spearman"])
    yield "paired_tests", metrics.paired_tests(faith["degradation_score"], test="t")
    yield "rank_stability", metrics.rank_stability(faith["degradation_score"], over="operator")


def test_tables_go_to_a_file_and_back(tmp_path):
    found = dict(tables())
    for name, table in found.items():
        assert faults(table) == [], name
        assert table.attrs["metric"] == name
    back = attrkit.load(attrkit.save(found, tmp_path / "tables.nc"))
    xr.testing.assert_identical(back, xr.DataTree.from_dict(found))
    one = attrkit.save(found["faithfulness"], tmp_path / "one.zarr")
    xr.testing.assert_identical(attrkit.load(one), found["faithfulness"])


def test_a_table_of_ones_own_is_one_as_soon_as_it_says_what_measured_it(tmp_path):
    own = xr.Dataset({"prediction": (("seed", "sample"), [[0.1, 0.2]])})
    with pytest.raises(SchemaError, match="nor the attribute 'metric' of a table; variables are"):
        attrkit.save(own, tmp_path / "own.nc")
    table = build_table("spread", own, {"seed": 0})
    assert table["sample"].values.tolist() == [0, 1]
    xr.testing.assert_identical(attrkit.load(attrkit.save(table, tmp_path / "own.nc")), table)
