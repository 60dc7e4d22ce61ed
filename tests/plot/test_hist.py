import numpy as np
import pytest

from attrkit.errors import InputError
from attrkit.plot import hist
from attrkit.schema import build


def counts(panels, **labels):
    return panels.artists["hist"].sel(labels).item().get_data()


def test_values_are_counted_without_padding(gradient, tree):
    panels = hist(tree, bins=8)
    real = gradient["attribution"].where(gradient["mask"]).values
    real = real[~np.isnan(real)]
    top = abs(real).max()
    expected, edges = np.histogram(real, bins=8, range=(-top, top))
    found = counts(panels, extractor="gradient")
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_allclose(found.edges, edges)
    np.testing.assert_allclose(found.edges, -found.edges[::-1])
    assert panels.artists["n"].sel(extractor="gradient").item().get_text() == f"n = {real.size}"
    assert panels.artists["zero_line"].sel(extractor="gradient").item() is not None
    assert panels.artists["zero_line"].sel(extractor="saliency").item() is None
    low = counts(panels, extractor="saliency").edges[0]
    assert low > 0


def test_channels_share_their_bins_and_lie_over_each_other(tree, gradient):
    panels = hist(tree, by="channel", bins=4, samples=["a", "c"])
    assert dict(panels.artists["hist"].sizes) == {"channel": 4, "extractor": 2}
    real = gradient["attribution"].sel(sample=["a", "c"])
    found = counts(panels, channel="wind", extractor="gradient")
    np.testing.assert_allclose(found.edges, [-1, -0.5, 0, 0.5, 1])
    expected = np.histogram(real.sel(channel="wind") / abs(real).max(), found.edges)[0]
    np.testing.assert_array_equal(found.values, expected)
    assert panels.artists["hist"].sel(channel="wind", extractor="saliency").item() is None
    assert panels.artists["hist"].sel(channel="all channels", extractor="saliency").item() is not None
    assert panels.artists["xlabel"].item().get_text() == "attribution / max |attribution| of each extractor"
    assert panels.artists["note"].item().get_text() == "2 of 4 samples"
    assert [words.get_text() for words in panels.artists["legend"].item().get_texts()] == ["gradient", "saliency"]


def test_channels_can_be_selected(gradient):
    one = hist(gradient, channels="rain", samples=["a", "c"])
    assert one.artists["n"].item().get_text() == "n = 24"
    two = hist(gradient, by="channel", channels=["sun", "rain"])
    np.testing.assert_array_equal(two.axes["channel"], ["sun", "rain"])


def test_each_outline_counts_its_own_values(gradient):
    both = hist({"a": gradient, "b": gradient.isel(sample=slice(2))}, by="channel", channels="rain", samples="a")
    assert both.artists["n"].item().get_text() == "n = 12"


def test_layers_attention_and_inputs_can_be_counted(layers, weights, gradient):
    panels = hist(layers)
    np.testing.assert_array_equal(panels.axes["extractor"], ["lstm", "block/dense"])
    assert hist(weights, samples="a").artists["n"].item().get_text() == "n = 288"
    assert hist(gradient, variable="input").artists["xlabel"].item().get_text() == "input"


def test_many_panels_say_their_number_of_values_and_range_once():
    values = np.ones((2, 3, 31))
    values[0, 0] = -4
    values[1, 2, 5] = np.nan
    panels = hist(build({"attribution": values}, attrs={"method": "m"}), by="channel")
    assert panels.artists["note"].item().get_text() == "n = 5 to 6 in each  ·  each panel: \N{MINUS SIGN}4 to 4 across"


def test_counts_can_be_logarithmic_and_edges_given(gradient):
    panels = hist(gradient, log=True, bins=[-1, 0, 3])
    assert panels.axes.item().get_yscale() == "log"
    np.testing.assert_array_equal(counts(panels, extractor="gradient").edges, [-1, 0, 3])


def test_a_constant_has_a_range():
    panels = hist(build({"attribution": np.ones((1, 4))}, attrs={"method": "m"}), bins=2)
    np.testing.assert_array_equal(counts(panels, extractor="m").edges, [0.5, 1, 1.5])


@pytest.mark.parametrize("name", ["hist", "zero_line", "title", "n", "xlabel", "ylabel"])
def test_false_omits_a_visual(gradient, name):
    assert name in hist(gradient).artists
    assert name not in hist(gradient, visuals={name: False}).artists


def test_wrong_arguments_are_refused(gradient):
    with pytest.raises(InputError, match="by='sample' is not known; accepted are 'extractor', 'channel'"):
        hist(gradient, by="sample")
    with pytest.raises(InputError, match="bins must be a whole number, 1 or more, got 'auto'"):
        hist(gradient, bins="auto")
    for edges in ([], [1.0], [1.0, 0.0], ["a", "b"], [0.0, np.nan], np.zeros((2, 2)), [[1.0, 2.0], [3.0]]):
        with pytest.raises(InputError, match=r"bins=.*; accepted are a whole number of bins above 0, or their rising"):
            hist(gradient, bins=edges)
    with pytest.raises(InputError, match="unknown visual 'bars'; this plot has hist, zero_line"):
        hist(gradient, visuals={"bars": False})
    blank = gradient.copy()
    blank["mask"] = blank["mask"] & False
    with pytest.raises(InputError, match="no value to count in 'gradient': all are padding or missing"):
        hist(blank)
