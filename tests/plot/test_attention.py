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


def test_words_and_time_stamps_of_each_sample_are_on_its_axes(weights, weighted):
    words = np.array([[f"{sample}{i}" for i in range(12)] for sample in "abcd"], dtype=object)
    own = weights.assign_coords(token=(("sample", "timestep"), words))
    panels = attention(own, samples=["b", "d"], head=0, figsize=(7, 7))
    panels.figure.draw_without_rendering()
    for sample in "bd":
        axes = panels.axes.sel(sample=sample).item()
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels
        assert all(label.startswith(sample) for label in labels)
    stamps = np.datetime64("2025-01-01") + np.arange(12) + 100 * np.arange(4)[:, None]
    own = weighted.assign_coords(time=(("sample", "timestep"), stamps.astype("datetime64[ns]")))
    low, high = attention(own, samples="c").axes.item().get_xlim()
    np.testing.assert_allclose([low, high], date2num(stamps[2, [0, -1]]) + np.array([-0.5, 0.5]))
