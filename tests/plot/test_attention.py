import numpy as np
import pytest
from matplotlib.dates import date2num

from attrkit.errors import InputError
from attrkit.plot import attention
from attrkit.schema import build


def test_matrices_are_queries_down_by_keys_across(weights):
    panels = attention(weights)
    assert dict(panels.axes.sizes) == {"sample": 3, "head": 2}
    artist = panels.artists["mesh"].sel(sample="c", head=1).item()
    expected = weights["attention"].sel(sample="c", head=1).transpose("query_timestep", "key_timestep")
    np.testing.assert_array_equal(artist.get_array(), expected)
    low, high = artist.axes.get_ylim()
    assert low > high
    assert panels.artists["xlabel"].item().get_text() == "timestep attended to"
    assert panels.artists["ylabel"].item().get_text() == "timestep that attends"
    assert panels.artists["colorbar"].item().ax.get_ylabel() == "attention weight"


def test_panels_share_one_scale_from_zero_and_padding_is_blank(weights):
    panels = attention(weights)
    assert len({id(artist.norm) for artist in panels.artists["mesh"].values.ravel()}) == 1
    blank = panels.artists["mesh"].sel(sample="b", head=0).item().get_array().mask
    np.testing.assert_array_equal(blank[:, :4], True)
    np.testing.assert_array_equal(blank[:4], True)
    np.testing.assert_array_equal(blank[4:, 4:], False)
    norm = panels.artists["colorbar"].item().norm
    drawn = [artist.get_array().max() for artist in panels.artists["mesh"].values.ravel()]
    np.testing.assert_array_equal([norm.vmin, norm.vmax], [0, max(drawn)])


def test_layers_and_heads_are_selected_by_label():
    values = np.random.default_rng(0).dirichlet(np.ones(4), size=(1, 2, 3, 4))
    ds = build({"attention": values}, coords={"layer": ("layer", ["enc_0", "enc_1"])}, attrs={"method": "attention"})
    panels = attention(ds)
    assert panels.axes.sel(layer="enc_1", head=2).item().get_title() == "layer enc_1\nhead 2"
    one = attention(ds, layer="enc_1", head=[0, 2])
    assert one.axes.dims == ("sample", "head")
    np.testing.assert_array_equal(one.artists["mesh"].sel(head=2).item().get_array(), values[0, 1, 2])
    with pytest.raises(InputError, match="unknown head 9; accepted are 0, 1, 2"):
        attention(ds, head=9)


def test_weighted_attention_is_one_matrix_of_samples(weighted):
    panels = attention(weighted)
    assert panels.axes.dims == ("extractor",)
    np.testing.assert_array_equal(panels.artists["mesh"].item().get_array(), weighted["attention"])
    assert panels.axes.item().get_ylabel() == "sample"


def test_groups_without_attention_are_left_out(weights, gradient):
    panels = attention({"gradient": gradient, "enc": weights, "dec": weights})
    assert list(panels.axes.indexes["column"]) == [("enc", 0), ("enc", 1), ("dec", 0), ("dec", 1)]
    assert panels.axes.sel(sample="a", extractor="dec", head=1).item().get_title() == "dec\nhead 1"


def test_a_mask_of_another_length_blanks_nothing(weights):
    pooled = weights.isel(query_timestep=slice(6), key_timestep=slice(6))
    assert not attention(pooled, samples="b").artists["mesh"].values[0, 0].get_array().mask.any()


def test_what_is_not_attention_is_refused(gradient, weights, weighted):
    with pytest.raises(InputError, match=r"no attention to draw; the variables are {'gradient': \['attribution', 'inp"):
        attention(gradient)
    with pytest.raises(InputError, match=r"with queries and without does not fit one figure: .* draw one at a time"):
        attention({"a": weights, "b": weighted})
    with pytest.raises(InputError, match="attention of 'attention' has no dim 'layer'; its dims are"):
        attention(weights, layer="x")
    with pytest.raises(InputError, match="unknown visual 'matrix'; this plot has mesh"):
        attention(weights, visuals={"matrix": False})


def outline(panels, side, **labels):
    return panels.artists[side].sel(labels).item().get_data()


@pytest.mark.parametrize(("marginals", "how"), [(True, "mean"), ("mean", "mean"), ("max", "max")])
def test_marginals_are_over_real_queries_and_keys(weights, marginals, how):
    panels = attention(weights, marginals=marginals)
    real = weights["mask"].sel(sample="b").values
    kept = weights["attention"].sel(sample="b", head=1).transpose("query_timestep", "key_timestep").values
    kept = kept[np.ix_(real, real)]
    above, beside = (outline(panels, side, sample="b", head=1).values for side in ("above", "beside"))
    np.testing.assert_allclose(above[real], getattr(np, how)(kept, axis=0))
    np.testing.assert_allclose(beside[real], getattr(np, how)(kept, axis=1))
    assert np.isnan(above[~real]).all()
    assert np.isnan(beside[~real]).all()
    said = {"mean": "above: mean over queries", "max": "above: largest over queries"}[how]
    assert panels.artists["note"].item().get_text() == f"3 of 4 samples  ·  {said}, right: over keys  ·  grey: padding"


def test_marginals_stand_along_their_matrix_on_one_scale(weights):
    panels = attention(weights, marginals=True)
    panels.figure.draw_without_rendering()
    for at in ({"sample": "a", "head": 0}, {"sample": "c", "head": 1}):
        matrix = panels.axes.sel(at).item()
        above, beside = (panels.artists[side].sel(at).item().axes for side in ("above", "beside"))
        box, top, right = (ax.get_window_extent() for ax in (matrix, above, beside))
        np.testing.assert_allclose([top.x0, top.x1], [box.x0, box.x1])
        np.testing.assert_allclose([right.y0, right.y1], [box.y0, box.y1])
        assert top.y0 > box.y1
        assert right.x0 > box.x1
        assert above.get_xlim() == matrix.get_xlim()
        assert beside.get_ylim() == matrix.get_ylim()
        np.testing.assert_array_equal(outline(panels, "above", **at).edges, outline(panels, "beside", **at).edges)
    for side, limits in (("above", "get_ylim"), ("beside", "get_xlim")):
        ranges = {getattr(artist.axes, limits)() for artist in panels.artists[side].values.ravel()}
        assert len(ranges) == 1
    # Titles stand outside the marginals.
    assert panels.artists["title"].values[0, 0].axes is panels.artists["above"].values[0, 0].axes
    assert panels.artists["row_title"].values[0, -1].axes is panels.artists["beside"].values[0, -1].axes


def test_marginals_are_left_out_and_refused(weights, weighted):
    assert "above" not in attention(weights).artists
    assert "above" not in attention(weights, marginals=True, visuals={"marginals": False}).artists
    with pytest.raises(InputError, match="marginals='sum'; accepted are False, True, 'mean', 'max'"):
        attention(weights, marginals="sum")
    with pytest.raises(InputError, match="marginals=True, but this attention has no queries; accepted is False"):
        attention(weighted, marginals=True)


def test_words_and_time_stamps_of_each_sample_are_on_its_axes(weights, weighted):
    words = np.array([[f"{sample}{i}" for i in range(12)] for sample in "abcd"], dtype=object)
    own = weights.assign_coords(token=(("sample", "timestep"), words))
    panels = attention(own, samples=["b", "d"], head=0, figsize=(7, 7))
    panels.figure.draw_without_rendering()
    assert panels.axes.values[-1, 0].get_xlabel() == "token attended to"
    for sample in "bd":
        axes = panels.axes.sel(sample=sample).item()
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels
        assert all(label.startswith(sample) for label in labels)
    stamps = np.datetime64("2025-01-01") + np.arange(12) + 100 * np.arange(4)[:, None]
    own = weighted.assign_coords(time=(("sample", "timestep"), stamps.astype("datetime64[ns]")))
    low, high = attention(own, samples="c").axes.item().get_xlim()
    np.testing.assert_allclose([low, high], date2num(stamps[2, [0, -1]]) + np.array([-0.5, 0.5]))
