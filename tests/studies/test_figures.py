"""Figures of a study: what is drawn is what the tests have found."""

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit import plot
from attrkit.errors import InputError
from attrkit.metrics import agreement, faithfulness, interval

NAMES = ["attention", "gradient", "lrp"]


def over_seeds(make):
    return xr.concat([make(seed) for seed in range(3)], "seed").assign_coords(seed=range(3))


def scores(seed):
    rng = np.random.default_rng(seed)
    shared = rng.random((12, 6))
    found = {name: shared + 0.3 * rng.random((12, 6)) for name in NAMES}
    return {**found, "uniform": np.full((12, 6), 1 / 6)}


def model(x):
    scores = np.stack([x[:, 4:, 0].sum(axis=1), x[:, :, 1].sum(axis=1)], axis=1)
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def curves(seed):
    x = np.random.default_rng(9).standard_normal((12, 6, 2))
    results = attrkit.from_arrays(scores(seed), inputs=x)
    return faithfulness(model, results, inputs=x, target=0, show_progress=False)


def weights(**variables):
    rng = np.random.default_rng(1)
    dims = ("seed", "sample")
    made = {name: (dims, scale * rng.random((3, 12))) for name, scale in variables.items()}
    made["output_change"] = ((*dims, "permutation"), rng.random((3, 12, 5)), {"long_name": "total variation distance"})
    return xr.Dataset(made, {"seed": range(3), "sample": range(12)})


@pytest.fixture(scope="module")
def tree():
    found = {
        "agreement": over_seeds(lambda seed: agreement(attrkit.from_arrays(scores(seed)), n_random=2)),
        "seed_variance": attrkit.metrics.self_agreement({seed: attrkit.from_arrays(scores(seed)) for seed in range(3)}),
        "faithfulness": over_seeds(curves),
        "permutation": weights(median_output_change=0.5, largest_weight=0.9),
        "adversarial": weights(jensen_shannon=0.8, largest_weight=0.9).assign_attrs(epsilon=0.01),
    }
    outputs = np.random.default_rng(2).random((3, 12, 3))
    dims = ("seed", "sample", "output")
    coords = {"seed": range(3), "sample": range(12), "output": range(3)}
    found["model"] = xr.Dataset({"prediction": (dims, outputs), "correct": (dims[:2], np.ones((3, 12)))}, coords)
    return xr.DataTree.from_dict(found)


def test_agreement_draws_each_pair_once_and_itself_on_the_diagonal(tree):
    panels = plot.agreement(tree)
    drawn = panels.artists["mesh"].item().get_array()
    ds = tree["agreement"]["kendall_tau"]
    for row, one in enumerate(NAMES):
        for col, other in enumerate(NAMES[:row]):
            np.testing.assert_allclose(drawn[row, col], float(ds.sel(extractor=one, other=other).mean()))
        assert drawn.mask[row, row + 1 :].all()
    selves = tree["seed_variance"]["kendall_tau"].sel(extractor="lrp").values
    np.testing.assert_allclose(drawn[2, 2], np.mean([selves[0, 1], selves[0, 2], selves[1, 2]]))
    norm = panels.artists["mesh"].item().norm
    assert (norm.vmin, norm.vmax) == (-1, 1)
    assert "not defined: uniform" in panels.artists["note"].item().get_text()


def test_agreement_writes_the_interval_in_each_cell(tree):
    panels = plot.agreement(tree, extractors=["lrp", "attention"])
    found = interval(tree["agreement"]["kendall_tau"].sel(extractor="lrp", other="attention"), over=("seed", "sample"))
    words = [text.get_text().replace("\N{MINUS SIGN}", "-") for text in panels.artists["text"].item()]
    assert f"{found['estimate']:.2f}\n[{found['low']:.2f}, {found['high']:.2f}]" in words


def test_divergences_have_a_scale_of_their_own(tree):
    panels = plot.agreement(tree, metric=["jensen_shannon", "total_variation"])
    norms = {(artist.norm.vmin, artist.norm.vmax) for artist in panels.artists["mesh"].values}
    assert norms == {(0, 1)}
    with pytest.raises(InputError, match="no common scale"):
        plot.agreement(tree, metric=["jensen_shannon", "spearman"])


def test_agreement_of_one_model_has_nothing_on_the_diagonal(tree):
    panels = plot.agreement(tree["agreement"].to_dataset().isel(seed=0))
    drawn = panels.artists["mesh"].item().get_array()
    assert drawn.mask.diagonal().all()
    assert "over samples" in panels.artists["note"].item().get_text()


def test_removal_draws_means_with_their_bands(tree):
    panels = plot.removal(tree)
    ds = tree["faithfulness"].to_dataset()
    line = panels.artists["curve"].sel(curve="deletion", extractor="lrp").item()
    values = ds["deletion"].sel(order="most_relevant_first", extractor="lrp")
    np.testing.assert_allclose(line.get_ydata(), values.mean(["seed", "sample"]))
    np.testing.assert_allclose(line.get_xdata(), ds["share"])
    found = interval(values, over=("seed", "sample"))
    band = panels.artists["band"].sel(curve="deletion", extractor="lrp").item().get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [found["low"].min(), found["high"].max()])
    dashed = panels.artists["curve"].sel(curve="insertion")
    assert [artist.get_linestyle() for artist in dashed.values] == ["-"] * 3 + ["--"]
    low, high = panels.axes.values[0].get_ylim()
    assert -0.05 < low < high < 1.05


def test_ranking_has_the_best_at_the_top_in_the_direction_of_the_metric(tree):
    metrics = ["aopc_comprehensiveness", "deletion_auc"]
    panels = plot.ranking(tree, metric=metrics)
    for metric, ascending in zip(metrics, (False, True), strict=True):
        means = tree["faithfulness"][metric].mean(["seed", "sample"]).to_series().drop("random")
        axes = panels.axes.sel(metric=metric).item()
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == means.sort_values(ascending=ascending).index.tolist()
        assert axes.get_ylim()[0] > axes.get_ylim()[1]
        drawn = panels.artists["interval"].sel(metric=metric).item().lines[0].get_xdata()
        np.testing.assert_allclose(drawn, means[labels])
        dots = panels.artists["seeds"].sel(metric=metric).item().get_offsets()[:, 0]
        own = tree["faithfulness"][metric].sel(extractor=labels).mean("sample").transpose("seed", "extractor")
        np.testing.assert_allclose(dots, own.values.ravel())
    with pytest.raises(InputError, match="no metric of one number a sample"):
        plot.ranking(tree, metric="deletion")


@pytest.mark.parametrize(
    ("draw", "group", "values"),
    [(plot.permutation, "permutation", "median_output_change"), (plot.adversarial, "adversarial", "jensen_shannon")],
    ids=["permutation", "adversarial"],
)
def test_dots_are_samples_of_seeds_by_class(tree, draw, group, values):
    panels = draw(tree)
    told = tree["model"]["prediction"].argmax("output").values
    ds = tree[group].to_dataset()
    for name in (0, 1, 2):
        dots = panels.artists["dots"].sel(predicted_class=name).item().get_offsets()
        own = np.stack([ds["largest_weight"].values[told == name], ds[values].values[told == name]], axis=1)
        np.testing.assert_allclose(dots, own)
    assert len({axes.get_ylim() for axes in panels.axes.values}) == 1
    one = draw(ds.isel(seed=0))
    assert one.artists["dots"].item().get_offsets().shape == (12, 2)


def test_what_is_not_there_is_said(tree):
    steps = xr.Dataset({"refused": ("step", ["no layer"])}, {"step": ["seeds/0/permutation"]})
    small = xr.DataTree.from_dict({"agreement": tree["agreement"].to_dataset(), "steps": steps})
    with pytest.raises(InputError, match=r"no 'permutation' .* was refused: no layer"):
        plot.permutation(small)
    with pytest.raises(InputError, match="accepted are some of 'attention', 'gradient', 'lrp', 'uniform'"):
        plot.agreement(tree, extractors=["mine"])
    with pytest.raises(InputError, match="accepted are some of 'deletion', 'insertion'"):
        plot.removal(tree, curves="fall")
    with pytest.raises(InputError, match="accepted are a study"):
        plot.ranking([1])
