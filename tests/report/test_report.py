"""What a page holds, and what is refused; tests/browser tests what it does."""

import os
import re
import stat

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import attrkit
from attrkit.cli import app
from attrkit.errors import InputError, MissingDependencyError, StoreError
from attrkit.metrics import agreement, interval
from attrkit.report import _page
from attrkit.schema import build
from tests.report.pages import SCRIPT, Page, results


@pytest.fixture(scope="module")
def tree():
    return results()


@pytest.fixture(scope="module")
def page(tree, tmp_path_factory):
    return Page(attrkit.report(tree, tmp_path_factory.mktemp("report") / "report.html"))


# The numbers


def test_series_and_attributions_are_those_of_the_results_and_padding_is_blank(tree, page):
    for i in range(3):
        series, strips, _ = page.sample(i)
        mask = tree["attention"]["mask"].values[i]
        expected = np.where(mask, tree["attention"]["input"].values[i].T, np.nan).astype("f4")
        np.testing.assert_array_equal(series, expected)
        for place, name in enumerate(page.data["strips"]):
            assert name["name"] == list(tree.children)[place]
        np.testing.assert_array_equal(
            strips[2], np.where(mask, tree["gradient 0"]["attribution"].values[i].T, np.nan).astype("f4")
        )
        # What does not resolve channels is one row, never one a channel.
        np.testing.assert_array_equal(
            strips[1], np.where(mask, tree["occlusion"]["attribution"].values[i], np.nan).astype("f4")[None]
        )
    assert [strip["resolved"] for strip in page.data["strips"]] == [False, False, True]


def test_attention_is_kept_to_the_rounding_that_the_page_declares(tree, page):
    weights, mask = tree["attention"]["attention"].values, tree["attention"]["mask"].values
    for i in range(3):
        (found,) = page.sample(i)[2]
        real = np.where(mask[i][:, None] & mask[i][None], weights[i], np.nan)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(real))
        top = np.nanmax(real)
        np.testing.assert_allclose(np.sqrt(found / top), np.sqrt(real / top), atol=0.5 / 254 + 1e-6)
    assert "rounded: their square roots to 1/254 of the sample's largest" in page.text


def test_the_strip_of_attention_is_its_mean_over_queries_and_says_so(tree, page):
    reduced = attrkit.reduce_attention(tree["attention"].to_dataset(), "mean")
    mask = tree["attention"]["mask"].values[1]
    expected = np.where(mask, reduced["attribution"].values[1], np.nan)
    np.testing.assert_allclose(page.sample(1)[1][0][0], expected, rtol=1e-6)
    assert page.data["strips"][0]["note"] == "query_timestep: mean"


def test_the_axis_has_the_dates_of_the_results(page):
    (place,) = page.data["head"]["steps"]
    edges, first, last = page.axis(place)
    dates = pd.date_range("2012-01-01", periods=24, freq="h")
    np.testing.assert_array_equal(first.astype("datetime64[ms]"), dates.values.astype("datetime64[ms]"))
    np.testing.assert_array_equal(first, last)
    np.testing.assert_array_equal(np.diff(edges), 3600 * 1000)
    assert page.data["head"]["axes"][place]["kind"] == "date"


def test_ranges_leave_padding_out_and_say_which_extractors_are_signed(tree, page):
    tops = page.data["head"]["strips"][2]["tops"]
    values = np.where(tree["attention"]["mask"].values[..., None], np.abs(tree["gradient 0"]["attribution"].values), 0)
    np.testing.assert_allclose(tops, values.max(axis=(1, 2)), rtol=1e-6)
    assert [strip["signed"] for strip in page.data["head"]["strips"]] == [False, True, True]


def test_windows_with_time_stamps_of_their_own_have_an_axis_each(tmp_path):
    tree = results()
    time = tree["occlusion"]["timestep"].values + np.arange(3)[:, None] * np.timedelta64(30, "D")
    ds = tree["occlusion"].to_dataset().assign_coords(timestep=np.arange(24), time=(("sample", "timestep"), time))
    page = Page(attrkit.report(ds, tmp_path / "own.html"))
    assert len(page.data["head"]["steps"]) == 3
    for i, place in enumerate(page.data["head"]["steps"]):
        np.testing.assert_array_equal(page.axis(place)[1].astype("datetime64[ms]"), time[i].astype("datetime64[ms]"))


def test_each_head_has_a_matrix(tmp_path):
    page = Page(attrkit.report(results(heads=3), tmp_path / "heads.html"))
    assert page.data["matrices"] == [f"attention, head {i}" for i in range(3)]
    assert len(page.sample(0)[2]) == 3
    assert page.data["strips"][0]["note"] == "head: mean query_timestep: mean"


def test_weighted_attention_is_a_strip_and_needs_no_series(tmp_path):
    weights = np.random.default_rng(0).dirichlet(np.ones(7), size=3)
    page = Page(attrkit.report(build({"attention": weights}, attrs={"method": "attention"}), tmp_path / "w.html"))
    series, (strip,), matrices = page.sample(2)
    assert (series, matrices, page.data["channels"]) == (None, [], [])
    np.testing.assert_array_equal(strip, weights[2:].astype("f4"))


def test_of_many_heads_those_of_the_last_layer_are_shown(tmp_path):
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=(1, 6, 4, 4))
    ds = build({"attention": weights}, coords={"layer": list("abcdef")}, attrs={"method": "attention"})
    page = Page(attrkit.report(ds, tmp_path / "heads.html"))
    assert page.data["matrices"] == [f"attention, layer f, head {i}" for i in range(4)]
    assert "4 of 24 attention heads of attention" in page.text
    assert page.data["strips"][0]["note"] == "layer: f head: mean query_timestep: mean"


def test_keys_of_a_shortened_sequence_have_an_axis_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    pooled = build(
        {"attention": rng.dirichlet(np.ones(6), size=(2, 12))},
        inputs=xr.DataArray(rng.normal(size=(2, 12, 1)), dims=("sample", "timestep", "channel")),
        attrs={"method": "attention"},
    )
    page = Page(attrkit.report(pooled, tmp_path / "pooled.html"))
    assert not page.data["linked"]
    assert page.data["strips"] == []
    assert page.sample(0)[2][0].shape == (12, 6)


# What is reduced


def test_a_large_page_stays_small_and_says_what_was_reduced(tmp_path):
    tree = results(50, 240, 4, 6)
    page = Page(attrkit.report(tree, tmp_path / "large.html"))
    print(f"50 samples, 6 extractors, 240 timesteps, 4 channels: {page.size / 1e6:.2f} MB")
    assert page.size < 5_000_000
    # Series and attributions are as they were; of attention, blocks show their largest weight.
    np.testing.assert_array_equal(page.sample(0)[1][5], tree["gradient 3"]["attribution"].values[0].T.astype("f4"))
    weights = tree["attention"]["attention"].values[0]
    (found,) = page.sample(0)[2]
    side = int(re.search(r"blocks of (\d+) by \1", page.text)[1])
    assert found.shape == (-(-240 // side),) * 2
    blocks = weights[: 240 // side * side, : 240 // side * side]
    blocks = blocks.reshape(240 // side, side, 240 // side, side).max(axis=(1, 3))
    shown = found[: 240 // side, : 240 // side]
    np.testing.assert_allclose(np.sqrt(shown / blocks.max()), np.sqrt(blocks / blocks.max()), atol=0.5 / 254 + 1e-6)


def test_long_series_are_joined_and_peaks_stay(tmp_path):
    values = np.zeros((1, 100_000, 2))
    values[0, 77_777, 1] = -5.0
    x = xr.DataArray(np.ones((1, 100_000, 2)), dims=("sample", "timestep", "channel"))
    page = Page(
        attrkit.report(build({"attribution": values}, inputs=x, attrs={"method": "spike"}), tmp_path / "l.html")
    )
    series, (strip,), _ = page.sample(0)
    assert strip.shape == (2, 4000)
    np.testing.assert_array_equal(np.argwhere(strip), [[1, 77_777 // 25]])
    assert strip.min() == -5.0
    np.testing.assert_array_equal(series, 1.0)
    assert "100,000 timesteps joined into blocks of 25" in page.text
    _, first, last = page.axis(page.data["head"]["steps"][0])
    np.testing.assert_array_equal([first[1], last[1], last[-1]], [25, 49, 99_999])


def test_of_many_samples_and_channels_some_are_shown_and_the_tables_are_of_all(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 5, 1000)) * 0.01
    values[..., [3, 500]] += 10
    tree = attrkit.from_arrays({"a": values, "b": values + rng.normal(size=values.shape)})
    page = Page(attrkit.report(tree, tmp_path / "many.html"))
    assert len(page.data["names"]) == 50
    assert len(page.data["channels"]) == 12
    assert {"channel 3", "channel 500"} <= set(page.data["channels"])
    assert "50 of 60 samples" in page.text
    assert "12 of 1,000 channels, those with the largest attributions" in page.text
    assert "Means over 60 samples" in page.text


def test_named_samples_and_channels_are_shown_in_their_order(tmp_path):
    page = Page(
        attrkit.report(results(), tmp_path / "named.html", samples=["window 2", "window 0"], channels="channel_1")
    )
    assert page.data["names"] == ["window 2", "window 0"]
    assert page.data["channels"] == ["channel_1"]
    np.testing.assert_array_equal(
        page.sample(0)[1][2][0], results()["gradient 0"]["attribution"].values[2, :, 1].astype("f4")
    )


def test_too_much_attention_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(_page, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="3 samples with 1 matrices of attention do not fit a page; take fewer"):
        attrkit.report(results(), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


# Text


def test_every_label_stays_text(tmp_path):
    tree = results(channels=[SCRIPT, "]]><!--", '" onmouseover="alert(2)', "$$x$$"])
    tree = xr.DataTree.from_dict(
        {
            name.replace("occlusion", "<script>alert(3)<script>"): ds.to_dataset().assign_coords(
                sample=["<img src=x onerror=alert(4)>", "</script><script>alert(5)</script>", "&lt;b&gt;"]
            )
            for name, ds in tree.children.items()
        }
    )
    tree["attention"].attrs["model"] = "</script><script>alert(6)</script>"
    page = Page(attrkit.report(tree, tmp_path / "bad.html", title="</title><script>alert(7)</script>"))
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [attrs.get("id") for attrs in scripts] == ["data", None, None]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert page.html.count("alert(1)") > 0
    assert SCRIPT not in page.html
    assert SCRIPT in page.text
    assert "</script><script>alert(6)</script>" in page.text
    assert page.data["channels"][0] == SCRIPT
    assert page.data["names"][2] == "&lt;b&gt;"


def test_only_its_own_scripts_may_run_and_nothing_is_asked_for(page):
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy
    assert re.findall(r"script-src ([^;]*)", policy)[0].count("sha256-") == 2
    sources = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert sources == ["data:,"]


# Tables


def test_the_table_of_agreement_has_means_and_intervals(tree, page):
    alike = agreement(tree, attention="mean", channels="sum")["spearman"].sel(extractor="occlusion", other="gradient 0")
    found = interval(alike)
    expected = f"{float(found['estimate']):.2f} [{float(found['low']):.2f}, {float(found['high']):.2f}]"
    assert expected in page.text
    assert "channels summed; attention: last layer, mean over heads and queries" in page.text


def test_one_extractor_has_none_to_agree_with(tmp_path, tree):
    page = Page(attrkit.report(tree["occlusion"].to_dataset(), tmp_path / "one.html"))
    assert "One extractor: there is none to compare it with." in page.text


def test_extractors_that_cannot_be_compared_say_why(tmp_path, tree):
    mask = tree["gradient 0"]["mask"].copy(data=np.ones((3, 24), bool))
    odd = tree["gradient 0"].to_dataset().assign(mask=mask)
    page = Page(attrkit.report({"a": tree["occlusion"].to_dataset(), "b": odd}, tmp_path / "odd.html"))
    assert "Not compared: 'a' and 'b' take other timesteps for padding" in page.text


def test_checks_warn_of_gaps_again(tmp_path):
    x = xr.DataArray(np.ones((2, 4, 1)), dims=("sample", "timestep", "channel"))
    data = {
        "attribution": np.ones((2, 4, 1)),
        "prediction": xr.DataArray([4.0, 5.0], dims="sample"),
        "baseline_prediction": xr.DataArray([0.0, 0.0], dims="sample"),
        "completeness_gap": xr.DataArray([0.0, -1.0], dims="sample"),
    }
    attrs = {"method": "integrated_gradients", "forward_evaluations": 12, "gradient_evaluations": 1234, "seconds": 0.5}
    page = Page(attrkit.report(build(data, inputs=x, attrs=attrs), tmp_path / "gap.html"))
    assert "1 of 2" in page.text
    assert "1,234" in page.text
    assert "the attributions of 1 of 2 samples miss the change in output by more than 1% of it" in page.text


def test_provenance_has_the_attributes(page, tree):
    assert tree["attention"].attrs["created_at"] in page.text
    assert page.text.count("attrkit-2") == 3


# Refusals


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "got a int; accepted are"),
        ({}, "is empty"),
        (build({"activation": np.ones((2, 3, 4))}), "holds .'activation'.; a report shows attribution and attention"),
        (
            build({"attribution": xr.DataArray(np.ones((2, 3, 4)), dims=("sample", "output", "timestep"))}),
            "has 3 labels along 'output'",
        ),
        (
            {"a": build({"attribution": np.ones((2, 3))}), "b": build({"attribution": np.ones((3, 3))})},
            "'a' and 'b' are not of the same samples",
        ),
        (
            {"a": build({"attribution": np.ones((2, 3))}), "b": build({"attribution": np.ones((2, 4))})},
            "a and b differ along 'timestep'",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(data, message, tmp_path):
    with pytest.raises(InputError, match=message):
        attrkit.report(data, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_unknown_labels_are_refused(tree, tmp_path):
    with pytest.raises(InputError, match="unknown sample 'x'; accepted are 'window 0'"):
        attrkit.report(tree, tmp_path / "r.html", samples="x")
    with pytest.raises(InputError, match="unknown channel 'x'; accepted are 'channel_0'"):
        attrkit.report(tree, tmp_path / "r.html", channels=["x"])
    with pytest.raises(InputError, match="nothing here has a dim 'channel'"):
        attrkit.report(build({"attribution": np.ones((2, 3))}), tmp_path / "r.html", channels="a")
    with pytest.raises(InputError, match="title='' is no title"):
        attrkit.report(tree, tmp_path / "r.html", title="")


def test_a_package_that_is_missing_is_named_before_the_work(tree, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bokeh", None)
    with pytest.raises(MissingDependencyError, match=r"bokeh is needed for a report: pip install 'attrkit\[report\]'"):
        attrkit.report(tree, tmp_path / "r.html")


# The file


def test_nothing_is_replaced_unasked(tree, tmp_path):
    target = tmp_path / "r.html"
    target.write_text("mine")
    with pytest.raises(StoreError, match="exists already; pass overwrite=True"):
        attrkit.report(tree, target)
    assert target.read_text() == "mine"
    assert attrkit.report(tree, target, overwrite=True) == target
    assert Page(target).data["names"][0] == "window 0"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    assert list(tmp_path.iterdir()) == [target]


def test_a_page_that_cannot_be_written_leaves_what_was_there(tree, tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    target.write_text("mine")

    def refuse(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match="could not be written: the disk is full"):
        attrkit.report(tree, target, overwrite=True)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


def test_paths_that_are_no_page_are_refused(tree, tmp_path):
    with pytest.raises(StoreError, match=r"ends in '.pdf'; accepted are .html, .htm"):
        attrkit.report(tree, tmp_path / "r.pdf")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        attrkit.report(tree, tmp_path / "folder.html", overwrite=True)


def test_the_command_joins_files(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attrkit.save(tree["occlusion"].to_dataset(), "a.nc")
    attrkit.save(tree["gradient 0"].to_dataset(), "b.zarr")
    done = CliRunner().invoke(app, ["report", "a.nc", "b.zarr", "--out", "both.html", "--title", "Both"])
    assert (done.exit_code, done.output) == (0, "wrote both.html\n")
    page = Page(tmp_path / "both.html")
    assert [strip["name"] for strip in page.data["strips"]] == ["occlusion", "gradient"]
    assert "<title>Both</title>" in page.html
    again = CliRunner().invoke(app, ["report", "a.nc", "a.nc", "--overwrite", "--out", "both.html"])
    assert again.exit_code == 1
    assert "two results are named 'occlusion', one of them in a.nc" in again.output
