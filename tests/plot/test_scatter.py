import numpy as np
import pytest
import xarray as xr

from attrkit import stack
from attrkit.errors import InputError
from attrkit.metrics import agreement, interval
from attrkit.plot import scatter
from attrkit.schema import build

TAU, RHO = "\N{GREEK SMALL LETTER TAU}", "\N{GREEK SMALL LETTER RHO}"
MINUS = "\N{MINUS SIGN}"


def pairs(panels, **labels):
    return np.asarray(panels.artists["dots"].sel(labels).item().get_offsets())


@pytest.fixture
def other(gradient):
    noise = np.random.default_rng(9).normal(size=gradient["attribution"].shape)
    return gradient.assign(attribution=gradient["attribution"] + noise)


@pytest.fixture
def two(gradient, other):
    return xr.DataTree.from_dict({"gradient": gradient, "other": other})


def test_each_dot_is_one_real_item(two, gradient, other):
    panels = scatter(two, "other", "gradient")
    assert list(panels.axes["sample"].values) == list("abcd")
    for sample, n in (("a", 36), ("b", 24)):
        found = pairs(panels, sample=sample)
        assert found.shape == (n, 2)
        real = gradient["mask"].sel(sample=sample).values
        for column, ds in ((0, other), (1, gradient)):
            values = ds["attribution"].sel(sample=sample).transpose("timestep", "channel").values[real]
            np.testing.assert_allclose(found[:, column], abs(values).ravel())
    note = panels.artists["note"].item().get_text().replace("\n", "  ·  ")
    assert note.startswith(f"items: channels at timesteps  ·  {TAU}: Kendall's tau-b, {RHO}: Spearman's rank corr")


@pytest.mark.parametrize("absolute", [True, False])
def test_titles_say_what_the_metric_says(two, absolute):
    panels = scatter(two, absolute=absolute)
    found = agreement(two, metrics=["kendall_tau", "spearman"], absolute=absolute)
    for sample in "ad":
        own = found.sel(extractor="gradient", other="other", sample=sample)
        tau, rho = (f"{float(own[name]):.2f}".replace("-", MINUS) for name in ("kendall_tau", "spearman"))
        assert (
            panels.artists["title"].sel(sample=sample).item().get_text()
            == f"sample {sample}\n{TAU} = {tau}, {RHO} = {rho}"
        )
    assert (pairs(panels, sample="a").min() < 0) == (not absolute)
    label = panels.artists["xlabel"].item().get_text()
    assert label == ("|gradient|" if absolute else "gradient")


def test_pooled_samples_have_the_mean_of_their_numbers_not_the_number_of_their_pool(two):
    panels = scatter(two, pooled=True, metric="spearman")
    assert len(pairs(panels, sample="all")) == 3 * 36 + 24
    values = agreement(two, metrics="spearman")["spearman"].sel(extractor="gradient", other="other")
    mean, low, high = (f"{float(interval(values)[end]):.2f}" for end in ("estimate", "low", "high"))
    title = panels.artists["title"].item().get_text()
    assert title == f"{RHO} = {mean} [{low}, {high}]".replace("-", MINUS)
    assert "mean over 4 samples with 95% interval" in panels.artists["note"].item().get_text().replace("\n", " ")


def test_without_channels_extractors_are_compared_as_metrics_do(tree):
    with pytest.raises(InputError, match="saliency does not resolve channels and the others do; pass channels='sum'"):
        scatter(tree)
    panels = scatter(tree, channels="sum", samples="a")
    expected = stack(tree, channels="sum").sel(sample="a")
    np.testing.assert_allclose(pairs(panels, sample="a"), abs(expected).transpose("timestep", "extractor"))
    assert panels.artists["note"].item().get_text().endswith("channels: sum")
    assert "items: timesteps" in panels.artists["note"].item().get_text()


def test_attention_of_queries_is_reduced_by_name(tree, weights):
    both = {"attention": weights, "saliency": tree["saliency"].to_dataset().assign(mask=weights["mask"])}
    panels = scatter(both, attention="mean", head=1, samples=["b", "d"])
    real = weights["attention"].where(weights["mask"].rename(timestep="query_timestep").drop_vars("query_timestep"))
    expected = real.sel(sample="b", head=1).mean("query_timestep").values[weights["mask"].sel(sample="b").values]
    np.testing.assert_allclose(pairs(panels, sample="b")[:, 0], expected)
    assert "attention: mean  ·  head: 1" in panels.artists["note"].item().get_text().replace("\n", "  ·  ")


def test_panels_share_their_axes(two):
    panels = scatter(two, absolute=False)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in panels.axes.values}) == 1
    whole = np.concatenate([pairs(panels, sample=sample) for sample in "abcd"])
    (left, right), (bottom, top) = panels.axes.values[0].get_xlim(), panels.axes.values[0].get_ylim()
    assert (whole > [left, bottom]).all()
    assert (whole < [right, top]).all()
    by_sample = scatter(two, scale="sample")
    for sample in "ab":
        np.testing.assert_allclose(pairs(by_sample, sample=sample).max(axis=0), 1)
    assert by_sample.artists["xlabel"].item().get_text() == "|gradient| / max |gradient| of each sample"


def test_many_values_are_counted_in_hexagons_of_one_scale():
    values = np.random.default_rng(0).normal(size=(2, 2, 3000))
    data = {name: build({"attribution": own}, attrs={"method": name}) for name, own in zip("ab", values, strict=True)}
    panels = scatter(data, metric="spearman")
    assert "dots" not in panels.artists
    hexagons = panels.artists["hexbin"].values
    assert [artist.get_array().sum() for artist in hexagons] == [3000, 3000]
    norms = {id(artist.norm) for artist in [*hexagons, panels.artists["colorbar"].item()]}
    assert len(norms) == 1
    assert hexagons[0].norm.vmin == 1
    assert hexagons[0].norm.vmax == max(artist.get_array().max() for artist in hexagons)
    assert panels.artists["colorbar"].item().ax.get_ylabel() == "number of values"
    few = scatter({name: ds.isel(timestep=slice(50)) for name, ds in data.items()}, kind="hexbin")
    assert few.artists["hexbin"].values[0].get_array().sum() == 50


def test_what_is_not_defined_is_said_to_be(two):
    constant = two["other"].to_dataset()
    constant["attribution"] = xr.ones_like(constant["attribution"])
    panels = scatter({"gradient": two["gradient"], "constant": constant}, samples="a")
    assert panels.artists["title"].item().get_text() == f"sample a\n{TAU} = n/a, {RHO} = n/a"


@pytest.mark.parametrize("name", ["dots", "zero_line", "title", "xlabel", "ylabel", "note"])
def test_false_omits_a_visual(two, name):
    assert name in scatter(two, absolute=False).artists
    assert name not in scatter(two, absolute=False, visuals={name: False}).artists


def test_wrong_arguments_are_refused(two, gradient):
    with pytest.raises(InputError, match="x='lrp', y=None; accepted are two of 'gradient', 'other'"):
        scatter(two, "lrp")
    with pytest.raises(InputError, match="x='other', y='other'; accepted are two of"):
        scatter(two, "other", "other")
    with pytest.raises(InputError, match="x=None, y=None; accepted are two of 'gradient'"):
        scatter(gradient)
    with pytest.raises(InputError, match="kind='line' is not known; accepted are 'dots', 'hexbin'"):
        scatter(two, kind="line")
    with pytest.raises(InputError, match="metrics='pearson' is not known"):
        scatter(two, metric="pearson")
