import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from attrkit.errors import InputError
from attrkit.plot import convergence

STEPS = [4, 8, 16, 32]


def measured(n_samples=3, rules=None):
    """What the metric returns for a gap that falls with the square of the steps."""
    rng = np.random.default_rng(0)
    n = np.array(STEPS)[:, None]
    shape = (len(rules or [0]), len(STEPS), n_samples)
    gap = rng.uniform(0.5, 2, size=(shape[0], 1, n_samples)) / n**2
    change = np.concatenate([np.full((shape[0], 1, n_samples), np.nan), np.abs(np.diff(gap, axis=1))], axis=1)
    needed = np.where(gap[:, -1] < 0.0012, 32.0, np.nan)
    dims = ("quadrature", "n_steps", "sample")
    ds = xr.Dataset(
        {
            "gap_share": (dims, gap, {"long_name": "completeness gap / change in output"}),
            "attribution_change": (dims, change, {"long_name": "change of attribution"}),
            "steps_needed": (("quadrature", "sample"), needed),
        },
        {"quadrature": rules or ["midpoint"], "n_steps": STEPS, "sample": [f"s{i}" for i in range(n_samples)]},
        {"tolerance": 0.01, "change_tolerance": 0.05, "quadratures": ", ".join(rules or ["midpoint"])},
    )
    return ds if rules else ds.isel(quadrature=0, drop=True)


def curve(panels, **at):
    return panels.artists["curve"].sel(at).item()


def test_curves_hold_gaps_and_changes_by_steps_on_logarithmic_axes():
    ds = measured()
    panels = convergence(ds)
    for name in ("gap_share", "attribution_change"):
        line = curve(panels, measure=name, quadrature="midpoint", sample="s2")
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
        np.testing.assert_array_equal(line.get_ydata(), ds[name].sel(sample="s2"))
        axes = panels.axes.sel(measure=name).item()
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert axes.get_xticks().tolist() == STEPS
    first, second = panels.axes.values
    assert first.get_ylim() == second.get_ylim()
    assert first.get_xlabel() == "steps"
    assert first.get_ylabel().replace("\n", " ") == "completeness gap / change in output"


def test_what_is_tolerated_is_marked():
    lines = convergence(measured()).artists["tolerance"]
    np.testing.assert_array_equal(lines.sel(measure="gap_share").item().get_ydata(), [0.01, 0.01])
    np.testing.assert_array_equal(lines.sel(measure="attribution_change").item().get_ydata(), [0.05, 0.05])
    words = [text.get_text() for axes in convergence(measured()).axes.values for text in axes.texts]
    assert words == ["tolerance\n0.01", "5 tolerances\n0.05"]


def test_few_samples_have_a_colour_and_a_name_each():
    panels = convergence(measured(7))
    colors = {curve(panels, measure="gap_share", sample=f"s{i}").get_color() for i in range(7)}
    assert len(colors) == 7
    assert [name.get_text() for name in panels.artists["legend"].item().get_texts()] == [f"s{i}" for i in range(7)]
    assert "median" not in panels.artists


def test_many_samples_have_a_median():
    ds = measured(50)
    panels = convergence(ds)
    median = panels.artists["median"].sel(measure="gap_share", quadrature="midpoint").item()
    np.testing.assert_allclose(median.get_ydata(), ds["gap_share"].median("sample"))
    assert median.get_linewidth() > curve(panels, measure="gap_share", sample="s0").get_linewidth()
    done = int(ds["steps_needed"].notnull().sum())
    assert 0 < done < 50
    assert panels.artists["note"].item().get_text() == f"done within 32 steps: {done} of 50"


def test_rules_have_a_colour_each():
    ds = measured(4, ["gauss_legendre", "left"])
    panels = convergence(ds)
    assert [name.get_text() for name in panels.artists["legend"].item().get_texts()] == ["gauss_legendre", "left"]
    medians = panels.artists["median"].sel(measure="gap_share")
    assert medians.values[0].get_color() != medians.values[1].get_color()
    line = curve(panels, measure="gap_share", quadrature="left", sample="s1")
    np.testing.assert_array_equal(line.get_ydata(), ds["gap_share"].sel(quadrature="left", sample="s1"))
    assert line.get_color() == medians.values[1].get_color()


def test_zero_is_drawn_at_the_edge_and_said():
    ds = measured()
    ds["gap_share"][3, 1] = 0.0
    panels = convergence(ds)
    line = curve(panels, measure="gap_share", sample="s1")
    smallest = min(float(ds[name].where(ds[name] > 0).min()) for name in ("gap_share", "attribution_change"))
    assert 0 < line.get_ydata()[3] < smallest
    assert f"0 is drawn at {line.get_ydata()[3]:.0e}" in panels.artists["note"].item().get_text()


def test_two_hundred_samples_are_drawn_unless_named():
    panels = convergence(measured(220), measures="gap_share")
    assert panels.artists["curve"].sizes["sample"] == 200
    assert panels.artists["note"].item().get_text().startswith("200 of 220 samples")
    assert convergence(measured(220), samples="s219").artists["curve"]["sample"].values.tolist() == ["s219"]


def test_it_draws_on_axes_of_the_user():
    axes = Figure().subplots(1, 2)
    panels = convergence(measured(), ax=axes)
    assert panels.axes.values.tolist() == axes.tolist()
    assert "note" not in panels.artists


@pytest.mark.parametrize("name", ["curve", "median", "tolerance", "xlabel", "ylabel", "legend", "note"])
def test_false_omits_a_visual(name):
    ds = measured(9, ["midpoint", "left"])
    assert name in convergence(ds).artists
    assert name not in convergence(ds, visuals={name: False}).artists


def test_something_else_is_refused(gradient):
    with pytest.raises(
        InputError, match=r"got a Dataset with \['attribution'.*accepted is what attrkit.metrics.conver"
    ):
        convergence(gradient)
    with pytest.raises(
        InputError, match="measures='gap' is not known; accepted are some of 'gap_share', 'attribution_change'"
    ):
        convergence(measured(), measures="gap")
    with pytest.raises(InputError, match="unknown sample 9; accepted are 's0', 's1', 's2'"):
        convergence(measured(), samples=9)
    every = measured().expand_dims(output=["rain", "wind"], axis=-1)
    with pytest.raises(InputError, match=r"has 2 labels along 'output'.*such as .sel\(output='rain'\)"):
        convergence(every)
