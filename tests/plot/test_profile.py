import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import attrkit
from attrkit.cli import app
from attrkit.errors import InputError
from attrkit.metrics import interval
from attrkit.plot import profile
from attrkit.schema import build


def shares(ds):
    real = ds["attribution"].where(ds["mask"]) if "mask" in ds else ds["attribution"]
    dims = [dim for dim in real.dims if dim != "sample"]
    return abs(real) / abs(real).sum(dims)


def middle(panels, **labels):
    return panels.artists["mean"].sel(labels).item()


def test_by_timestep_shares_are_summed_over_channels_and_averaged_over_samples(tree, gradient, saliency):
    panels = profile(tree)
    assert dict(panels.axes.sizes) == {"extractor": 2, "profile": 2}
    by_step = shares(gradient).sum("channel", min_count=1)
    line = middle(panels, extractor="gradient", profile="timestep")
    np.testing.assert_allclose(line.get_ydata(), by_step.mean("sample"))
    own = middle(panels, extractor="saliency", profile="timestep").get_ydata()
    np.testing.assert_allclose(own, shares(saliency).mean("sample"))
    np.testing.assert_allclose(own.sum(), 1)
    # Each timestep has as many samples as are no padding there.
    assert panels.artists["note"].item().get_text() == "means over 3 to 4 samples with 95% intervals (Student's t)"


def test_bands_are_intervals_over_the_samples_that_are_there(gradient):
    panels = profile(gradient, confidence=0.9)
    found = interval(shares(gradient).sum("channel", min_count=1), confidence=0.9)
    band = panels.artists["interval"].sel(profile="timestep").item().get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [found["low"].min(), found["high"].max()])
    assert {*found["n"].values} == {3, 4}


def test_by_channel_shares_are_summed_over_real_timesteps(tree, gradient):
    panels = profile(tree)
    means = panels.artists["interval"].sel(extractor="gradient", profile="channel").item()
    by_channel = shares(gradient).sum("timestep").mean("sample")
    np.testing.assert_allclose(means.lines[0].get_xdata(), by_channel)
    np.testing.assert_allclose(by_channel.sum(), 1)
    axes = panels.axes.sel(extractor="gradient", profile="channel").item()
    panels.figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rain", "wind", "sun"]
    low, high = axes.get_ylim()
    assert low > high
    alone = panels.axes.sel(extractor="saliency", profile="channel").item()
    assert alone.texts[0].get_text().replace("\n", " ") == "does not resolve channels"
    assert not alone.axison


def test_signed_values_cancel_and_keep_their_units(gradient):
    gradient["attribution"].attrs["units"] = "logit"
    panels = profile(gradient, signed=True, normalise="none")
    real = gradient["attribution"].where(gradient["mask"])
    line = middle(panels, extractor="gradient", profile="timestep")
    np.testing.assert_allclose(line.get_ydata(), real.sum("channel", min_count=1).mean("sample"))
    label = panels.artists["ylabel"].sel(profile="timestep").item()
    assert label.get_text() == "attribution [logit]"
    shared = profile(gradient, signed=True)
    total = abs(real).sum(["timestep", "channel"])
    np.testing.assert_allclose(
        middle(shared, extractor="gradient", profile="timestep").get_ydata(),
        (real / total).sum("channel", min_count=1).mean("sample"),
    )


def test_extractors_of_one_unit_share_their_axes_and_magnitudes_start_at_zero(tree):
    panels = profile(tree)
    for kind, limits in (("timestep", "get_ylim"), ("channel", "get_xlim")):
        drawn = [ax for ax in panels.axes.sel(profile=kind).values if ax.axison]
        ranges = {getattr(ax, limits)() for ax in drawn}
        assert len(ranges) == 1
        low, high = ranges.pop()
        assert -0.05 * high <= low <= 0
    apart = profile(tree, normalise="none")
    assert len({ax.get_ylim() for ax in apart.axes.sel(profile="timestep").values}) == 2


def test_channels_are_left_out_where_nothing_resolves_them(saliency, weighted):
    panels = profile({"saliency": saliency, "attention": weighted})
    assert list(panels.axes["profile"].values) == ["timestep"]
    np.testing.assert_allclose(
        middle(panels, extractor="attention", profile="timestep").get_ydata(), weighted["attention"].mean("sample")
    )
    with pytest.raises(InputError, match="no channels to draw: saliency tell timesteps apart only; accepted is 'tim"):
        profile(saliency, profiles="channel")


def test_a_sample_without_relevance_has_no_share():
    values = np.ones((3, 4, 2))
    values[1] = 0
    panels = profile(build({"attribution": values}, attrs={"method": "m"}))
    np.testing.assert_allclose(middle(panels, extractor="m", profile="timestep").get_ydata(), 0.25)
    assert panels.artists["note"].item().get_text().startswith("means over 2 samples")


def test_long_series_are_means_of_neighbours_and_many_channels_the_largest():
    rng = np.random.default_rng(0)
    values = rng.random((5, 4000, 60)) + 5 * (np.arange(60) % 2)
    panels = profile(build({"attribution": values}, attrs={"method": "m"}))
    line = middle(panels, extractor="m", profile="timestep")
    each = (values / values.sum(axis=(1, 2), keepdims=True)).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(line.get_ydata(), each.reshape(1000, 4).mean(axis=1))
    means = panels.artists["interval"].sel(profile="channel").item().lines[0].get_xdata()
    assert len(means) == 40
    totals = np.sort((values.sum(axis=1) / values.sum(axis=(1, 2))[:, None]).mean(axis=0))
    np.testing.assert_allclose(np.sort(means), totals[-40:])
    note = panels.artists["note"].item().get_text().replace("\n", "  ·  ")
    assert note.endswith("each point: the mean of 4 timesteps  ·  the 40 of 60 channels with the largest means")


def test_seeds_and_samples_are_resampled_together(saliency):
    seeds = xr.concat([saliency["attribution"], 2 * saliency["attribution"] + 1], "seed").assign_coords(seed=[0, 1])
    panels = profile({"saliency": seeds}, over=("seed", "sample"))
    each = seeds / seeds.sum("timestep")
    np.testing.assert_allclose(
        middle(panels, extractor="saliency", profile="timestep").get_ydata(), each.mean(["seed", "sample"])
    )
    with pytest.raises(InputError, match=r"has 2 labels along 'seed' \(0, 1\).*select one label first"):
        profile({"saliency": seeds})


@pytest.mark.parametrize("name", ["mean", "interval", "zero_line", "title", "row_title", "xlabel", "ylabel", "note"])
def test_false_omits_a_visual(tree, name):
    plain = {key: ds.to_dataset().assign_coords(timestep=np.arange(12)) for key, ds in tree.children.items()}
    assert name in profile(plain).artists
    assert name not in profile(plain, visuals={name: False}).artists


def test_wrong_arguments_are_refused(tree, weights):
    with pytest.raises(InputError, match=r"attention of 'attention' has queries \(12\); this plot needs one value a"):
        profile(weights)
    with pytest.raises(InputError, match="normalise='max' is not known; accepted are 'sample', 'none'"):
        profile(tree, normalise="max")
    with pytest.raises(InputError, match="profiles='query' is not known; accepted are some of 'timestep', 'channel'"):
        profile(tree, profiles="query")
    with pytest.raises(InputError, match="method='wald' is not known"):
        profile(tree, method="wald")


def test_the_command_line_draws_it(gradient, tmp_path):
    attrkit.save(gradient, tmp_path / "gradient.nc")
    target = tmp_path / "profile.pdf"
    done = CliRunner().invoke(app, ["plot", str(tmp_path / "gradient.nc"), "--kind", "profile", "--out", str(target)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert target.read_bytes().startswith(b"%PDF")
