import itertools

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure

from attrkit.errors import InputError
from attrkit.plot import heads
from attrkit.plot.heads import tell_apart
from attrkit.schema import build

LAYERS = [f"encoder.layer.{i}.attention.self" for i in range(12)]
WORDS = np.array([["[CLS]", "not", "bad", "[SEP]", "[PAD]", "[PAD]"], ["[CLS]", "a", "dread", "##ful", "one", "[SEP]"]])


@pytest.fixture
def bert():
    values = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 12, 12, 6))
    # The largest weight of the first sample lies on padding.
    values[0, 3, 3, 5] = [0, 0, 0, 0, 0, 1]
    coords = {"sample": ["kind", "harsh"], "layer": LAYERS, "token": (("sample", "timestep"), WORDS.astype(object))}
    variables = {"attention": values, "mask": WORDS != "[PAD]"}
    return build(variables, coords=coords, attrs={"method": "attention"})


def test_every_head_has_its_matrix_without_padding(bert):
    panels = heads(bert)
    assert dict(panels.axes.sizes) == {"layer": 12, "head": 12}
    for layer in (LAYERS[0], LAYERS[11]):
        mesh = panels.artists["mesh"].sel(layer=layer, head=7).item()
        own = bert["attention"].sel(sample="kind", layer=layer, head=7)
        np.testing.assert_array_equal(mesh.get_array(), own.values[:4, :4])
        assert not mesh.get_array().mask.any()


def test_all_heads_share_a_scale_that_starts_at_zero(bert):
    norms = {id(mesh.norm): mesh.norm for mesh in heads(bert).artists["mesh"].values.ravel()}
    (norm,) = norms.values()
    assert (norm.vmin, norm.vmax) == (0.0, float(bert["attention"].values[0, :, :, :4, :4].max()))
    low = heads(bert, robust=90)
    top = np.percentile(bert["attention"].values[0, :, :, :4, :4], 90)
    np.testing.assert_allclose(low.artists["mesh"].values[0, 0].norm.vmax, top)
    assert "clipped at percentile 90" in low.artists["colorbar"].item().ax.get_ylabel().replace("\n", " ")


def test_many_heads_have_names_and_their_ticks_are_told(bert):
    panels = heads(bert, samples="harsh")
    assert [title.get_text() for title in panels.artists["title"].values[0]] == [f"head {i}" for i in range(12)]
    assert [title.get_text() for title in panels.artists["row_title"].values[:, -1]] == [
        f"layer {i}" for i in range(12)
    ]
    assert panels.axes.values[11, 0].get_xticks().size == 0
    words = panels.artists["note"].item().get_text().replace("\n", "  ·  ")
    assert words == (
        "sample harsh  ·  layers: encoder.layer.*.attention.self  ·  "
        "each panel: queries down, [CLS] to [SEP]; keys across, [CLS] to [SEP]"
    )


def test_names_do_not_touch_and_nothing_is_cut_off(bert):
    panels = heads(bert)
    panels.figure.draw_without_rendering()
    renderer = RendererAgg(1, 1, panels.figure.dpi)
    page = panels.figure.bbox
    across = [title.get_window_extent(renderer) for title in panels.artists["title"].values[0]]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(across))
    down = [title.get_window_extent(renderer) for title in panels.artists["row_title"].values[:, -1]]
    assert all(a.y0 > b.y1 for a, b in itertools.pairwise(down))
    bar = panels.artists["colorbar"].item().ax
    assert max(box.x1 for box in down) < bar.get_window_extent(renderer).x0
    for box in (bar.get_tightbbox(renderer), panels.artists["note"].item().get_window_extent(renderer), across[0]):
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert box.y1 <= page.y1
    assert panels.artists["note"].item().get_window_extent(renderer).y0 >= across[0].y1


def test_few_heads_have_ticks_with_the_words(bert):
    panels = heads(bert, samples="harsh", layer=LAYERS[:2], head=[0, 1, 2])
    panels.figure.draw_without_rendering()
    axes = panels.axes.sel(layer=LAYERS[1], head=0).item()
    assert [label.get_text() for label in axes.get_yticklabels()] == WORDS[1].tolist()
    assert panels.artists["xlabel"].item().get_text() == "token attended to"
    assert panels.artists["note"].item().get_text() == "sample harsh  ·  layers: encoder.layer.*.attention.self"


def test_one_layer_or_one_head_needs_no_dim_of_its_own(weights):
    panels = heads(weights, samples="b")
    assert dict(panels.axes.sizes) == {"layer": 1, "head": 2}
    # Sample b is padded in its first four steps.
    np.testing.assert_array_equal(
        panels.artists["mesh"].sel(head=1).item().get_array(), weights["attention"].sel(sample="b", head=1)[4:, 4:]
    )
    assert panels.artists["row_title"].values[0, -1].get_text() == ""
    assert heads(weights.isel(head=0, drop=True)).axes.sizes["head"] == 1


def test_more_than_sixteen_are_cut_and_said():
    ds = build({"attention": np.full((1, 20, 18, 2, 2), 0.5)}, attrs={"method": "attention"})
    panels = heads(ds)
    assert dict(panels.axes.sizes) == {"layer": 16, "head": 16}
    assert "16 of 20 layers  ·  16 of 18 heads" in panels.artists["note"].item().get_text()
    assert heads(ds, layer=[19], head=[17, 0]).axes["head"].values.tolist() == [17, 0]


def test_what_labels_of_layers_have_in_common_is_said_once():
    assert tell_apart(LAYERS[:3]) == (["0", "1", "2"], "layers: encoder.layer.*.attention.self")
    assert tell_apart(["multi_head_attention", "multi_head_attention_1"]) == (
        ["attention", "attention_1"],
        "layers: multi_head_*",
    )
    assert tell_apart(["first", "second"]) == (["first", "second"], "")
    assert tell_apart(["block.attn", "block.attn.attn"]) == (["attn", "attn.attn"], "layers: block.*")


def test_it_draws_on_axes_of_the_user(bert):
    axes = Figure().subplots(2, 2)
    panels = heads(bert, layer=LAYERS[:2], head=[0, 1], ax=axes)
    assert panels.axes.values.ravel().tolist() == axes.ravel().tolist()
    assert "note" not in panels.artists


@pytest.mark.parametrize("name", ["mesh", "title", "row_title", "xlabel", "ylabel", "colorbar", "note"])
def test_false_omits_a_visual(bert, name):
    few = {"layer": LAYERS[:2], "head": [0, 1]}
    assert name in heads(bert, **few).artists
    assert name not in heads(bert, **few, visuals={name: False}).artists


def test_what_has_no_heads_is_refused(bert, weights, weighted, gradient):
    with pytest.raises(InputError, match=r"no attention to draw; the variables are \{'gradient'"):
        heads(gradient)
    with pytest.raises(InputError, match="attention of 'attention' has no queries, only"):
        heads(weighted)
    with pytest.raises(InputError, match="heads are drawn of one extractor, and 'a', 'b' hold attention; pass one"):
        heads({"a": weights, "b": weights})
    with pytest.raises(
        InputError, match="heads are drawn of one sample, and 2 came; give one label, such as samples='ki"
    ):
        heads(bert, samples=["kind", "harsh"])
    with pytest.raises(InputError, match="attention of 'attention' has no dim 'layer'"):
        heads(weights, layer=0)
    with pytest.raises(InputError, match="unknown head 12; accepted are 0, 1"):
        heads(bert, head=12)
    nothing = bert.assign(mask=xr.zeros_like(bert["mask"]))
    with pytest.raises(InputError, match="all timesteps of this sample of 'attention' are padding"):
        heads(nothing)
