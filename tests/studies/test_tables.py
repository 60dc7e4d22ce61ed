"""Tables of a study: every number again by another way, and what is undefined counted."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import attrkit
from attrkit.errors import InputError, MissingDependencyError
from attrkit.studies import protocol, tables, write_tables
from attrkit.studies.summaries.attention_tests import by_largest_weight
from attrkit.studies.summaries.rows import interval_of
from attrkit.studies.writing.table_files import as_latex, as_markdown, for_readers

SEEDS = [4, 0, 2]


def draw(seed):
    x = np.random.default_rng(seed).standard_normal((40, 8, 2))
    return x, (x[:, -2:, 0].sum(axis=1) > 0).astype(int)


def fit(x, y, seed):
    """Fit the last layer of a net whose first is drawn: scores of two classes."""
    kernel = np.random.default_rng(seed).standard_normal((x[0].size, 30)) / 4

    def hidden(x):
        return np.tanh(x.reshape(len(x), -1) @ kernel)

    last = np.linalg.lstsq(hidden(x), np.eye(2)[y], rcond=None)[0]

    def model(x):
        scores = np.exp(3 * hidden(x) @ last)
        return scores / scores.sum(axis=1, keepdims=True)

    return model


def late(model, x, target):
    return np.broadcast_to(np.arange(x.shape[1], dtype=float), x.shape[:2])


def broken(model, x, target):
    """Say nothing of every other sample."""
    scores = late(model, x, target) ** 2
    return np.where((np.arange(len(x)) % 2 == 0)[:, None], scores, 0.0)


def own_test(case, **options):
    values = np.full((40, 2), float(case.seed))
    values[::4, 0] = np.nan
    return xr.Dataset({"height": (("sample", "side"), values)}, {"side": ["left", "right"]})


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    saliency = np.zeros((40, 8, 2), bool)
    saliency[:, -2:, 0] = True
    test = xr.Dataset({"input": (("sample", "timestep", "channel"), draw(1)[0]), "label": ("sample", draw(1)[1])})
    test["saliency"] = (("sample", "timestep", "channel"), saliency)
    asked = ("agreement", "faithfulness", "ground_truth", "seed_variance", "permutation")
    with pytest.warns(attrkit.errors.AttrkitWarning, match="permutation was refused"):
        return attrkit.study(
            fit,
            (draw(0), test),
            store=tmp_path_factory.mktemp("study") / "s.zarr",
            seeds=SEEDS,
            gate=None,
            logits=False,
            extractors={"occlusion": "occlusion", "late": late, "broken": broken},
            tests={**dict.fromkeys(asked), "mine": own_test},
            show_progress=False,
        )


@pytest.fixture(scope="module")
def found(tree):
    return tables(tree)


def row(frame, **labels):
    chosen = frame
    for name, label in labels.items():
        chosen = chosen[chosen[name] == label]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_what_was_refused_has_no_table(found):
    assert "permutation" not in found
    said = found["steps"].query("refused != ''")
    assert set(said["step"]) == {"permutation"}
    assert sorted(said["seed"]) == sorted(SEEDS)


def test_agreement_has_each_pair_once_with_chance_and_itself(tree, found):
    ds = tree["agreement"].to_dataset()
    frame = found["agreement"]
    assert len(frame) == 10 * 9
    for metric in ("kendall_tau", "top_k_overlap", "jensen_shannon"):
        own = row(frame, extractor="occlusion", other="late", metric=metric)
        values = ds[metric].sel(extractor="occlusion", other="late")
        by_interval = attrkit.metrics.interval(values, over=("seed", "sample"))
        np.testing.assert_allclose(own["estimate"], values.values.mean())
        np.testing.assert_allclose([own["low"], own["high"]], [by_interval["low"], by_interval["high"]])
        assert (own["n"], own["n_undefined"], own["over"]) == (120, 0, "seed, sample")
        floor = ds[f"{metric}_floor"].sel(extractor="occlusion", other="late")
        np.testing.assert_allclose(own["chance_low"], floor.sel(quantile=0.05).values.mean())
        selves = tree["seed_variance"][metric].sel(extractor="occlusion").values
        pairs = [selves[i, j] for i, j in ((0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(own["self_agreement"], np.mean(pairs))
        np.testing.assert_allclose(
            row(found["seed_variance"], extractor="occlusion", metric=metric)["estimate"], np.mean(pairs)
        )


def test_agreement_by_chance_is_what_shuffles_have_on_average():
    rng = np.random.default_rng(0)
    scores = {"one": rng.random((4000, 7)), "other": rng.random((4000, 7))}
    ds = attrkit.metrics.agreement(attrkit.from_arrays(scores), k=3, n_random=2)
    from attrkit.studies.summaries.agreement import chance_of, pairs_of

    pairs = pairs_of(ds)
    for metric in ("kendall_tau", "spearman", "top_k_overlap", "rank_agreement"):
        error = float(ds[metric].sel(extractor="one", other="other").std()) / 4000**0.5
        mean = float(pairs[metric].mean())
        assert abs(mean - float(chance_of(metric, pairs).mean())) < 4 * error, metric


def test_undefined_cases_are_counted_and_left_out(tree, found):
    own = row(found["agreement"], extractor="late", other="broken", metric="kendall_tau")
    assert (own["n"], own["n_undefined"]) == (60, 60)
    np.testing.assert_allclose(own["estimate"], 1.0)
    none = row(found["agreement"], extractor="late", other="uniform", metric="spearman")
    assert (none["n"], none["n_undefined"]) == (0, 120)
    assert np.isnan(none["estimate"])


def test_infinite_values_are_undefined_and_counted():
    values = xr.DataArray([[1.0, np.inf, 3.0], [2.0, 4.0, np.nan]], dims=("seed", "sample"))
    found = interval_of(values)
    np.testing.assert_allclose(found["estimate"], (2.0 + 3.0) / 2)
    assert (int(found["n"]), int(found["n_undefined"])) == (4, 2)


def test_one_seed_has_intervals_over_samples():
    values = xr.DataArray(np.random.default_rng(0).random((1, 20)), dims=("seed", "sample"))
    found = interval_of(values)
    assert found.attrs["over"] == "sample"
    low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values[0]))
    np.testing.assert_allclose([found["low"], found["high"]], [low, high])


def test_tests_against_random_are_those_of_all_pairs_with_holm(tree, found):
    values = tree["faithfulness"]["aopc_comprehensiveness"]
    known = attrkit.metrics.paired_tests(values)
    own = row(found["faithfulness_tests"], metric="aopc_comprehensiveness", extractor="occlusion", other="random")
    np.testing.assert_allclose(own["p_adjusted"], known["p_adjusted"].sel(extractor="occlusion", other="random"))
    difference = values.sel(extractor="occlusion") - values.sel(extractor="random")
    np.testing.assert_allclose(own["difference"], float(difference.mean()))
    assert own["better"] == (own["difference"] > 0)
    assert own["tests_in_family"] == 10
    lower = row(found["faithfulness_tests"], metric="deletion_auc", extractor="occlusion", other="random")
    assert lower["better"] == (lower["difference"] < 0)
    assert set(found["faithfulness_tests"]["other"]) == {"random"}


def test_curves_have_a_row_a_point(tree, found):
    curve = found["removal"].query("curve == 'deletion' and order == 'most_relevant_first' and extractor == 'late'")
    values = tree["faithfulness"]["deletion"].sel(order="most_relevant_first", extractor="late")
    np.testing.assert_allclose(curve["estimate"], values.mean(["seed", "sample"]))
    np.testing.assert_array_equal(curve["share"], values["share"])


def test_a_test_without_a_summary_has_its_means(found):
    frame = found["mine"]
    left, right = row(frame, side="left"), row(frame, side="right")
    assert (left["n"], left["n_undefined"], right["n"]) == (90, 30, 120)
    np.testing.assert_allclose([left["estimate"], right["estimate"]], 2.0)
    low, high = stats.t.interval(0.95, 2, 2.0, np.std(SEEDS, ddof=1) / 3**0.5)
    np.testing.assert_allclose([right["low"], right["high"]], [low, high])


def test_bins_of_the_largest_weight_and_classes_hold_each_case_once():
    rng = np.random.default_rng(0)
    largest = rng.random((3, 30))
    largest[0, :2] = 0.25, 1.0
    change, told = rng.random((3, 30)), rng.integers(0, 3, (3, 30))
    dims = ("seed", "sample")
    ds = xr.Dataset({"change": (dims, change), "largest_weight": (dims, largest)})
    frame = by_largest_weight(ds, ["change"], xr.DataArray(told, dims=dims), "about")
    bins = frame.query("largest_weight != 'all'")
    assert bins["n"].sum() == frame.query("predicted_class != 'all'")["n"].sum() == 90
    inside = (largest >= 0.25) & (largest < 0.5)
    own = row(frame, largest_weight="[0.25, 0.5)")
    np.testing.assert_allclose(own["estimate"], np.mean([change[s][inside[s]].mean() for s in range(3)]))
    assert own["n"] == inside.sum()
    assert not frame["n_undefined"].any()
    one = row(frame, predicted_class="1")
    np.testing.assert_allclose(one["estimate"], np.mean([change[s][told[s] == 1].mean() for s in range(3)]))


def test_files_of_csv_hold_all_digits(tree, found, tmp_path):
    files = write_tables(tree, tmp_path / "new", formats=["csv"])
    assert {file.stem for file in files} == set(found)
    again = pd.read_csv(tmp_path / "new" / "agreement.csv")
    pd.testing.assert_frame_equal(again, found["agreement"], check_dtype=False, rtol=1e-12)


def test_markdown_says_estimates_with_their_intervals(found):
    lines = as_markdown(found["agreement"]).splitlines()
    assert lines[0].endswith("; over seed, sample.")
    assert len(lines) == 2 + 2 + len(found["agreement"])
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert re.fullmatch(r"-?\d\.\d+ \[-?\d\.\d+, -?\d\.\d+\]", cells[3])
    assert as_markdown(pd.DataFrame({"a": ["x|y\nz"]})).splitlines()[-1].strip() == "| x\\|y z |"


def test_latex_has_rules_of_booktabs_and_nothing_that_breaks_it(found):
    text = as_latex(found["agreement"], "agreement")
    assert text.count(r"\toprule") == 2  # the head, and that of later pages
    assert r"\begin{longtable}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert not [line for line in body if re.search(r"(?<!\\)[_%#]", line)]
    weights = pd.DataFrame({"largest_weight": ["[0, 0.25)"], "estimate": [-0.5], "low": [-1.0], "high": [0.0]})
    short = as_latex(weights, "x")
    # A bracket after the end of a row would be an option of it.
    assert "\n{[}0, 0.25) & $-$0.50 [$-$1.00, 0.00]" in short


@pytest.mark.parametrize(
    ("estimate", "low", "high", "told"),
    [
        (0.4123, 0.351, 0.4704, "0.41 [0.35, 0.47]"),
        (0.4123, 0.4, 0.424, "0.412 [0.400, 0.424]"),
        (123.4, 120.0, 126.0, "123 [120, 126]"),
        (-0.0004, -0.2, 0.2, "0.00 [-0.20, 0.20]"),
        (np.nan, np.nan, np.nan, None),
    ],
)
def test_digits_are_those_that_an_interval_is_worth(estimate, low, high, told):
    frame = pd.DataFrame({"name": ["a"], "estimate": [estimate], "low": [low], "high": [high]})
    table = for_readers(frame)
    assert (table["estimate"].iloc[0] if "estimate" in table else None) == told


def test_what_does_not_fit_is_refused(tree, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"accepted is what attrkit\.study"):
        tables(xr.DataTree())
    with pytest.raises(InputError, match="accepted are some of 'csv', 'md', 'tex'"):
        write_tables(tree, tmp_path, formats=["html"])
    with pytest.raises(InputError, match="path is a int; accepted is a str or Path"):
        write_tables(tree, 3)
    for package, act in (("tabulate", "md"), ("jinja2", "tex")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingDependencyError, match=rf"{package} is needed .* 'attrkit\[study\]'"):
            write_tables(tree, tmp_path, formats=[act])
    with pytest.raises(MissingDependencyError, match="jinja2"):
        protocol(tree)


def test_the_protocol_says_what_was_asked_refused_and_found(tree, found):
    text = protocol(tree)
    asked = json.loads(tree.attrs["study"])
    for words in ("`occlusion`", "0, 2" if SEEDS == [0, 2] else "4, 0, 2", asked["data"]["test"][:16], "permutation"):
        assert words in text
    assert "- `permutation`: refused, see below" in text
    refused = str(tree["steps"]["refused"].sel(step="seeds/4/permutation").item())
    assert refused in text
    assert "3 of 3 models passed" in text
    best = found["ground_truth"].query("metric == 'auprc' and extractor in ['occlusion', 'late', 'broken']")
    first = best.sort_values("estimate").iloc[-1]
    assert f"By `auprc` (higher is better), `{first['extractor']}` comes first with" in text
    assert "## What must not be concluded" in text
    assert "{{" not in text
    assert "nan" not in text
