import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from attrkit.errors import InputError
from attrkit.plot import ledger
from attrkit.schema import build

PARTS = ["input", "biases", "epsilon"]


def lrp(seed=0, *, n_samples=5, outputs=None, missing=0.0):
    """A ledger that adds up: outputs are what the parts sum to, less what is missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_samples, 8, 3))
    bias, epsilon = rng.normal(size=n_samples), 0.1 * rng.normal(size=n_samples)
    explained = values.sum(axis=(1, 2)) + bias + epsilon + missing
    gap = np.full(n_samples, -missing)
    coords = {"sample": [f"window {i}" for i in range(n_samples)]}
    prediction = xr.DataArray(explained, dims="sample")
    if outputs is not None:
        target = np.arange(n_samples) % outputs
        every = rng.normal(size=(n_samples, outputs))
        every[np.arange(n_samples), target] = explained
        prediction = xr.DataArray(every, {"output": [f"class {i}" for i in range(outputs)]}, ("sample", "output"))
        coords["target"] = ("sample", [f"class {i}" for i in target])
    return build(
        {
            "attribution": values,
            "bias_relevance": bias,
            "epsilon_relevance": epsilon,
            "completeness_gap": gap,
            "prediction": prediction,
        },
        coords=coords,
        attrs={"method": "lrp"},
    )


def widths(panels, **at):
    return np.array([bar.get_width() for bar in panels.artists["bar"].sel(at).item()])


def ends(panels, i, extractor="lrp"):
    """Where the bars of one sample begin and end."""
    found = [artist[i] for artist in panels.artists["bar"].sel(extractor=extractor).values if artist is not None]
    return np.array([[bar.get_x(), bar.get_x() + bar.get_width()] for bar in found])


@pytest.mark.parametrize("outputs", [None, 4])
def test_bars_hold_the_parts_and_add_up_to_the_output(outputs):
    ds = lrp(outputs=outputs)
    panels = ledger(ds)
    assert panels.artists["bar"]["part"].values.tolist() == PARTS
    np.testing.assert_allclose(
        widths(panels, extractor="lrp", part="input"), ds["attribution"].sum(["timestep", "channel"])
    )
    np.testing.assert_allclose(widths(panels, extractor="lrp", part="biases"), ds["bias_relevance"])
    np.testing.assert_allclose(widths(panels, extractor="lrp", part="epsilon"), ds["epsilon_relevance"])
    output = panels.artists["output"].item().get_xdata()
    prediction = ds["prediction"] if outputs is None else ds["prediction"].sel(output=ds["target"])
    np.testing.assert_array_equal(output, prediction)
    for i in range(5):
        # Right less left.
        np.testing.assert_allclose(ends(panels, i).max() + ends(panels, i).min(), output[i])


def test_bars_of_one_sign_stand_beside_each_other_and_never_over_each_other():
    panels = ledger(lrp(3))
    for i in range(5):
        spans = np.sort(ends(panels, i), axis=1)
        right, left = spans[spans[:, 1] > 0], spans[spans[:, 0] < 0]
        for side, start in ((right, right[:, 0]), (-left[:, ::-1], -left[:, 1])):
            order = np.argsort(start)
            np.testing.assert_allclose(side[order][1:, 0], side[order][:-1, 1], atol=1e-12)
            if len(side):
                np.testing.assert_allclose(start.min(), 0, atol=1e-12)


def test_what_is_missing_is_a_part_where_it_shows_and_is_said_where_not():
    shown = ledger(lrp(missing=0.5))
    assert shown.artists["bar"]["part"].values.tolist() == [*PARTS, "missing"]
    np.testing.assert_allclose(widths(shown, extractor="lrp", part="missing"), 0.5)
    assert "note" not in shown.artists
    small = ledger(lrp(missing=1e-4))
    assert small.artists["bar"]["part"].values.tolist() == PARTS
    assert small.artists["note"].item().get_text() == "adds up to the output within 0.0001"
    assert ledger(lrp(missing=1e-7)).artists["note"].item().get_text() == "adds up to the output"


def test_without_prediction_the_gap_says_what_the_output_was():
    ds = lrp(missing=0.5)
    panels = ledger(ds.drop_vars("prediction"))
    np.testing.assert_allclose(panels.artists["output"].item().get_xdata(), ds["prediction"])
    with pytest.raises(
        InputError, match="'lrp' does not say which output its ledger adds up to; it needs 'prediction'"
    ):
        ledger(ds.drop_vars(["prediction", "completeness_gap"]))


def test_relevance_on_padding_is_a_part_of_its_own():
    ds = lrp()
    mask = np.ones((5, 8), bool)
    mask[2, 5:] = False
    panels = ledger(ds.assign(mask=(("sample", "timestep"), mask)))
    assert panels.artists["bar"]["part"].values.tolist() == [*PARTS, "padding"]
    on_padding = ds["attribution"].values[2, 5:].sum()
    np.testing.assert_allclose(widths(panels, extractor="lrp", part="padding"), [0, 0, on_padding, 0, 0], atol=1e-12)
    np.testing.assert_allclose(widths(panels, extractor="lrp", part="input")[2], ds["attribution"].values[2, :5].sum())


def test_other_inputs_are_parts_too():
    ds = lrp()
    static = np.full((5, 2), 0.25)
    ds["attribution_static"] = (("sample", "channel_static"), static)
    ds = ds.assign(prediction=ds["prediction"] + 0.5)
    panels = ledger(ds)
    assert panels.artists["bar"]["part"].values.tolist() == ["input", "input static", "biases", "epsilon"]
    np.testing.assert_allclose(widths(panels, extractor="lrp", part="input static"), 0.5)


def test_extractors_with_a_ledger_have_panels_on_one_axis(gradient):
    tree = xr.DataTree.from_dict({"arras": lrp(0), "gradient": gradient, "z": lrp(1)})
    panels = ledger(tree, samples=["window 3", "window 1"])
    assert panels.axes["extractor"].values.tolist() == ["arras", "z"]
    first, second = panels.axes.values
    assert first.get_xlim() == second.get_xlim()
    first.figure.draw_without_rendering()
    assert [label.get_text() for label in first.get_yticklabels()] == ["window 3", "window 1"]
    assert [label.get_text() for label in second.get_yticklabels() if label.get_visible()] in ([], ["", ""])
    expected = tree["z"]["bias_relevance"].sel(sample=["window 3", "window 1"])
    np.testing.assert_array_equal(widths(panels, extractor="z", part="biases"), expected)
    names = [name.get_text() for name in panels.artists["legend"].item().get_texts()]
    assert names == [*PARTS, "output"]


def test_marks_at_the_end_of_bars_are_not_cut_off():
    # One input that carries everything: the mark is where the longest bar ends, and empty bars begin there.
    ds = build({"attribution": np.ones((2, 4, 1)), "bias_relevance": [0.0, -1.0], "prediction": [4.0, 3.0]})
    axes = ledger(ds).axes.item()
    low, high = axes.get_xlim()
    assert low < -1
    assert high > 4.1


def test_forty_samples_are_drawn_unless_named():
    panels = ledger(lrp(n_samples=60))
    assert len(panels.artists["bar"].sel(extractor="lrp", part="input").item()) == 40
    assert panels.artists["note"].item().get_text().startswith("40 of 60 samples")


def test_it_draws_on_axes_of_the_user():
    axes = Figure().subplots()
    panels = ledger(lrp(), ax=axes)
    assert panels.axes.item() is axes
    assert "note" not in panels.artists


@pytest.mark.parametrize("name", ["bar", "output", "zero_line", "title", "xlabel", "ylabel", "legend", "note"])
def test_false_omits_a_visual(name):
    assert name in ledger(lrp()).artists
    assert name not in ledger(lrp(), visuals={name: False}).artists


def test_what_has_no_ledger_is_refused(gradient):
    with pytest.raises(
        InputError, match=r"no ledger to draw; the variables are .*; 'bias_relevance' is needed, as lrp"
    ):
        ledger(gradient)
    with pytest.raises(InputError, match="unknown sample 'window 9'"):
        ledger(lrp(), samples="window 9")
    every = lrp().expand_dims(output=["rain", "wind"], axis=1)
    with pytest.raises(
        InputError, match=r"has 2 labels along 'output' .*select one label first, such as .sel.output='rai"
    ):
        ledger(every)
