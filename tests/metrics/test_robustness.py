"""Maximum sensitivity and infidelity of models whose answers are known in closed form."""

import json

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.adapters.function import NumpyFunction
from attrkit.errors import InputError, RefusedError
from attrkit.method import OUTPUT, OUTPUT_PER_INPUT, attribution
from attrkit.metrics import infidelity, max_sensitivity
from attrkit.metrics.draws import ONLY, generator
from attrkit.metrics.robustness.perturbations import PERTURBATIONS, Sample

SHAPE = (4, 6, 3)
WEIGHTS = np.random.default_rng(1).normal(size=SHAPE[1:])
QUIET = {"show_progress": False}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=SHAPE)


def linear(x):
    return (x * WEIGHTS).sum(axis=(1, 2))


def slope(model, x, target, *, factor=1.0):
    """The gradient of `linear`."""
    return attribution(np.broadcast_to(factor * WEIGHTS, x.shape), long_name="slope", units=OUTPUT_PER_INPUT)


def share(model, x, target, *, baseline):
    """Integrated gradients of `linear`."""
    return attribution((x - baseline) * WEIGHTS, long_name="share", units=OUTPUT)


def squares(x):
    return (x**2).sum(axis=(1, 2)) / 2


def itself(model, x, target):
    """The gradient of `squares`."""
    return attribution(x, long_name="slope", units=OUTPUT_PER_INPUT)


def by_timestep(model, x, target, *, baseline):
    """Shares without channels."""
    return attribution(((x - baseline) * WEIGHTS).sum(axis=2), long_name="share", units=OUTPUT)


# Infidelity


@pytest.mark.parametrize("perturbation", [*PERTURBATIONS, lambda x, rng: rng.uniform(0, 3) * x[::-1]])
def test_exact_attributions_of_a_linear_model_foretell_everything(x, perturbation):
    tree = attrkit.compare(linear, x, {"slope": slope, "share": share}, baseline=0.3, **QUIET)
    found = infidelity(linear, tree, perturbation=perturbation, n_samples=20, **QUIET)
    assert float(found["infidelity"].max()) < 1e-25
    assert float(found["output_change"].min()) > 1e-3
    assert found["n_undefined"].values.tolist() == [0, 0]


def test_of_a_multiple_of_the_gradient_it_is_what_the_closed_form_says(x):
    tree = attrkit.compare(linear, x, {str(a): (slope, {"factor": a}) for a in (-1.0, 0.0, 0.5, 3.0)}, **QUIET)
    asked = {"n_samples": 500, "unit": "input", "noise_scale": 0.7, **QUIET}
    found = infidelity(linear, tree, **asked)
    factors = np.array([-1.0, 0.0, 0.5, 3.0])
    # (a - 1)^2 E[(I g)^2], of the perturbations that were drawn
    expected = (factors[:, None] - 1) ** 2 * found["output_change"].values
    np.testing.assert_allclose(found["infidelity"], expected, rtol=1e-10)
    # and in expectation, where (I g)^2 has the mean of sigma^2 |g|^2 chi^2(1).
    square = 0.7**2 * (WEIGHTS**2).sum()
    np.testing.assert_allclose(found["output_change"], square, atol=4 * np.sqrt(2 / 500) * square)
    np.testing.assert_allclose(found["standard_error"][1], np.sqrt(2 / 500) * square, rtol=0.3)
    fitted = infidelity(linear, tree, normalise=True, **asked)
    np.testing.assert_allclose(fitted["scale"], np.array([-1, 0, 2, 1 / 3])[:, None] * np.ones(4), atol=1e-12)
    np.testing.assert_allclose(fitted["infidelity"].sel(extractor=["-1.0", "0.5", "3.0"]), 0, atol=1e-25)
    # Nothing is foretold at any scale.
    np.testing.assert_allclose(fitted["infidelity"].sel(extractor="0.0"), found["output_change"])


def test_what_a_gradient_misses_of_a_curved_model(x):
    ds = attrkit.extract(squares, x, itself, **QUIET)
    found = infidelity(squares, ds, n_samples=2000, unit="input", noise_scale=0.3, **QUIET)
    # It is E[(|I|^2 / 2)^2], and |I|^2 is sigma^2 chi^2 of as many degrees as there are values.
    size = SHAPE[1] * SHAPE[2]
    expected = 0.3**4 * size * (size + 2) / 4
    assert (abs(found["infidelity"].sel(extractor="itself") - expected) < 4 * found["standard_error"][0]).all()


def test_shares_without_channels_need_windows_of_all_channels(x):
    tree = attrkit.compare(linear, x, {"steps": by_timestep, "cells": share}, baseline="mean", **QUIET)
    found = infidelity(linear, tree, perturbation="window", **QUIET)
    np.testing.assert_allclose(found["infidelity"], 0, atol=1e-25)
    for name in ("square", "gaussian", "noisy_baseline"):
        with pytest.raises(InputError, match=r"'steps' does not resolve channels.*perturbation='window'"):
            infidelity(linear, tree, perturbation=name, **QUIET)
    with pytest.raises(InputError, match="of a slope"):
        infidelity(linear, tree, perturbation="window", kind={"steps": "slope"}, **QUIET)


def test_attention_is_compared_at_its_best_scale(x):
    ds = attrkit.extract(linear, x, by_timestep, **QUIET)
    weights = xr.DataArray(ds["attribution"].values * 7, dims=("sample", "key_timestep"), attrs={"units": "1"})
    tree = {"attention": weights.to_dataset(name="attention").assign(input=ds["input"]), "steps": ds}
    plain = infidelity(linear, tree, perturbation="window", **QUIET)
    assert (plain["infidelity"].sel(extractor="attention") > 1).all()
    fitted = infidelity(linear, tree, perturbation="window", normalise=True, **QUIET)
    np.testing.assert_allclose(fitted["infidelity"], 0, atol=1e-20)
    np.testing.assert_allclose(fitted["scale"].sel(extractor="attention"), 1 / 7)
    queries = weights.expand_dims(query_timestep=6, axis=1).to_dataset(name="attention").assign(input=ds["input"])
    with pytest.raises(InputError, match="attention='mean'"):
        infidelity(linear, {"attention": queries}, perturbation="window", **QUIET)
    reduced = infidelity(linear, {"attention": queries}, perturbation="window", attention="mean", **QUIET)
    np.testing.assert_allclose(reduced["infidelity"][0], plain["infidelity"].sel(extractor="attention"))


def test_perturbations_do_not_depend_on_batches_or_other_samples(x):
    ds = attrkit.extract(linear, x, slope, factor=2.0, **QUIET)
    asked = {"unit": "input", "n_samples": 7, **QUIET}
    found = infidelity(linear, ds, **asked)
    xr.testing.assert_allclose(infidelity(linear, ds, batch_size=3, **asked), found)
    first = infidelity(linear, ds.isel(sample=[0, 1]), **asked)
    xr.testing.assert_allclose(
        first[["infidelity", "output_change"]], found[["infidelity", "output_change"]].isel(sample=[0, 1])
    )
    other = infidelity(linear, ds, seed=1, **asked)
    assert (other["output_change"] != found["output_change"]).all()


def sample(**changes):
    x = np.random.default_rng(2).normal(size=(8, 3))
    real = np.arange(8) < 5
    given = {"x": x, "baseline": np.where(real[:, None], 0.5, x), "scale": np.where(real, 0.1, 0)[:, None] * np.ones(3)}
    return Sample(**{**given, "real": real, **changes})


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_padding_stays_as_it_is(name):
    own = sample()
    for draw in range(30):
        change, part = PERTURBATIONS[name](own, generator(0, ONLY, 0, draw))
        assert not change[5:].any()
        assert not part[5:].any()
        assert change[:5].any()
        np.testing.assert_allclose(change, part * (own.x - own.baseline))


def test_windows_have_any_length_and_place():
    own = sample()
    found = {
        name: [PERTURBATIONS[name](own, generator(0, ONLY, 0, j)).share for j in range(400)]
        for name in ("square", "window")
    }
    windows = {tuple(np.flatnonzero(part.any(axis=1))) for part in found["window"]}
    assert windows == {tuple(range(i, j)) for i in range(5) for j in range(i + 1, 6)}
    assert all((part.all(axis=1) == part.any(axis=1)).all() for part in found["window"])
    channels = {tuple(np.flatnonzero(part.any(axis=0))) for part in found["square"]}
    assert len(channels) == 7
    flat = sample(x=np.ones(8), baseline=np.zeros(8), scale=np.zeros(8))
    assert PERTURBATIONS["square"](flat, generator(0, ONLY, 0, 0)).share.shape == (8,)


def test_masks_and_samples_that_are_all_padding(x):
    mask = np.array([[True] * 6, [True] * 2 + [False] * 4, [False] * 6, [True] * 6])
    values = xr.DataArray(np.broadcast_to(WEIGHTS, x.shape), dims=("sample", "timestep", "channel"))
    values = values.assign_attrs(units=OUTPUT_PER_INPUT)
    tree = attrkit.from_arrays({"slope": values}, inputs=x, mask=mask)
    found = infidelity(linear, tree, **QUIET)
    assert np.isfinite(found["infidelity"][0]).values.tolist() == [True, True, False, True]
    assert found["n_undefined"].values.tolist() == [1]
    np.testing.assert_allclose(found["infidelity"][0, [0, 1, 3]], 0, atol=1e-25)
    # What an attribution says of padding is out, and so is what the input holds there: none of it is perturbed.
    values = values.where(mask[..., None], 1e6).assign_attrs(values.attrs)
    again = infidelity(linear, attrkit.from_arrays({"slope": values}, inputs=x, mask=mask), **QUIET)
    xr.testing.assert_allclose(again, found)


def test_outputs_and_attributions_that_are_not_finite_are_counted(x):
    def breaks(x):
        return np.where(abs(x).max(axis=(1, 2)) > 4, np.nan, linear(x))

    x = x.clip(-2, 2)
    ds = attrkit.extract(breaks, x, slope, **QUIET)
    found = (
        infidelity(breaks, ds, perturbation=lambda x, rng: 0 * x + (5 if x[0, 0] == first else 0.1), **QUIET)
        if (first := x[1, 0, 0])
        else None
    )
    assert np.isnan(found["infidelity"][0]).values.tolist() == [False, True, False, False]
    assert found["n_undefined"].values.tolist() == [1]
    ds["attribution"] = ds["attribution"].copy(
        data=np.where(np.arange(4)[:, None, None] == 3, np.inf, ds["attribution"])
    )
    assert infidelity(linear, ds, **QUIET)["n_undefined"].values.tolist() == [1]


def two(x):
    return np.stack([linear(x), squares(x)], axis=1)


def slope_of(model, x, target):
    values = np.where(target[:, None, None] == 0, WEIGHTS, x)
    return attribution(values, long_name="slope", units=OUTPUT_PER_INPUT)


@pytest.mark.parametrize("target", [0, 1, [0, 1, 1, 0], "predicted", "rain"])
def test_the_target_is_that_of_the_results(x, target):
    labels = ["sun", "rain"] if target == "rain" else None
    ds = attrkit.extract(two, x, slope_of, target=target, output_labels=labels, **QUIET)
    found = infidelity(two, ds, **QUIET)
    index = [ds["prediction"]["output"].values.tolist().index(label) for label in ds["target"].values.tolist()]
    np.testing.assert_array_equal(found["infidelity"][0] < 1e-25, np.array(index) == 0)
    if labels is None and not isinstance(target, str):
        xr.testing.assert_allclose(infidelity(two, ds.drop_vars("target"), target=target, **QUIET), found)


def test_a_function_of_the_outputs_is_given_again(x):
    def first(outputs):
        return outputs[:, 0]

    def of_first(model, x, target):
        return slope(model, x, target)

    ds = attrkit.extract(two, x, of_first, target=first, **QUIET)
    with pytest.raises(InputError, match="function of the outputs; give it again"):
        infidelity(two, ds, **QUIET)
    assert float(infidelity(two, ds, target=first, **QUIET)["infidelity"].max()) < 1e-25


def test_other_inputs_are_handed_on(x):
    def with_static(series, static):
        return linear(series) * static[:, 0]

    static = np.arange(1.0, 5)[:, None]

    def slope_of_series(model, x, target):
        return attribution(WEIGHTS * static[:, None], long_name="slope", units=OUTPUT_PER_INPUT)

    inputs = {"series": x, "static": static}
    ds = attrkit.extract(with_static, inputs, slope_of_series, explain="series", **QUIET)
    found = infidelity(with_static, ds, inputs=inputs, explain="series", **QUIET)
    np.testing.assert_allclose(found["infidelity"], 0, atol=1e-24)
    with pytest.raises(InputError, match=r"2 inputs are explained.*explain="):
        infidelity(with_static, ds, inputs=inputs, **QUIET)
    found = max_sensitivity(with_static, inputs, slope_of_series, explain="series", **QUIET)
    np.testing.assert_array_equal(found["max_sensitivity"], 0)
    assert (found["prediction_change"] > 0).all()
    with pytest.raises(InputError, match="2 inputs are explained"):
        max_sensitivity(with_static, inputs, slope_of_series, **QUIET)


def test_results_that_do_not_belong_together_are_refused(x):
    ds = attrkit.extract(linear, x, slope, **QUIET)
    with pytest.raises(InputError, match="predicts something else than 'slope' holds"):
        infidelity(lambda x: 2 * linear(x), ds, **QUIET)
    with pytest.raises(InputError, match="not those that were explained"):
        infidelity(linear, ds, inputs=x + 1, **QUIET)
    with pytest.raises(InputError, match="differ in their input"):
        infidelity(linear, {"a": ds, "b": attrkit.extract(linear, x + 1, slope, **QUIET)}, **QUIET)
    with pytest.raises(InputError, match="other samples"):
        infidelity(linear, {"a": ds, "b": ds.isel(sample=[0])}, **QUIET)
    with pytest.raises(InputError, match="inputs="):
        infidelity(linear, ds.drop_vars("input"), **QUIET)
    shares = {str(b): attrkit.extract(linear, x, share, baseline=b, **QUIET) for b in (0, 1)}
    with pytest.raises(InputError, match="several baselines, 0, 1"):
        infidelity(linear, shares, **QUIET)
    targets = {str(i): attrkit.extract(two, x, slope_of, target=i, **QUIET) for i in (0, 1)}
    with pytest.raises(InputError, match="differ in their target"):
        infidelity(two, targets, **QUIET)
    with pytest.raises(InputError, match=r"units of 'mine' are .*kind="):
        infidelity(linear, attrkit.from_arrays({"mine": x}, inputs=x), **QUIET)
    with pytest.raises(InputError, match="kind of 'slope'='rank'"):
        infidelity(linear, ds, kind="rank", **QUIET)
    with pytest.raises(InputError, match=r"kind= names .'slop'.; the results are .'slope'."):
        infidelity(linear, ds, kind={"slop": "slope"}, **QUIET)
    with pytest.raises(InputError, match="perturbation='blur'"):
        infidelity(linear, ds, perturbation="blur", **QUIET)
    for perturbation in ([], np.zeros(2), 3):
        with pytest.raises(InputError, match="perturbation="):
            infidelity(linear, ds, perturbation=perturbation, **QUIET)
    with pytest.raises(InputError, match="perturbation= returns shape"):
        infidelity(linear, ds, perturbation=lambda x, rng: x[0], **QUIET)
    with pytest.raises(InputError, match="noise_scale"):
        infidelity(linear, ds, noise_scale=0, **QUIET)
    with pytest.raises(InputError, match="unit='range'"):
        infidelity(linear, ds, unit="range", **QUIET)


def test_tokens_are_refused():
    ids = np.array([[1, 2, 0], [3, 1, 2]])
    table = np.array([0.0, 1.0, 10.0, 100.0])

    def model(ids):
        return table[ids].sum(axis=1)

    with pytest.raises(RefusedError, match="other tokens"):
        max_sensitivity(model, ids, "occlusion", **QUIET)
    with pytest.raises(RefusedError, match="other tokens"):
        infidelity(model, attrkit.extract(model, ids, "occlusion", **QUIET), **QUIET)


# Maximum sensitivity


def noises(shape, n_samples, radius, seed=0):
    draws = [[generator(seed, ONLY, i, j).uniform(-1, 1, shape[1:]) for i in range(shape[0])] for j in range(n_samples)]
    return radius * np.array(draws)


def test_the_gradient_of_a_linear_model_does_not_move(x):
    found = max_sensitivity(linear, x, {"slope": slope, "share": share}, **QUIET)
    np.testing.assert_array_equal(found["max_sensitivity"].sel(extractor="slope"), 0)
    assert (found["max_sensitivity"].sel(extractor="share") > 0).all()
    assert json.loads(json.dumps(found.attrs)) == found.attrs


@pytest.mark.parametrize("norm", [1, 2, np.inf])
def test_it_is_the_most_that_a_noisy_copy_moves(x, norm):
    asked = {"radius": 0.1, "unit": "input", "n_samples": 6, "norm": norm, **QUIET}
    found = max_sensitivity(squares, x, itself, **asked).isel(extractor=0)
    flat = noises(SHAPE, 6, 0.1).reshape(6, 4, -1)
    moves = np.linalg.norm(flat, ord=norm, axis=2)
    sizes = np.linalg.norm(x.reshape(4, -1), ord=norm, axis=1)
    np.testing.assert_allclose(found["max_sensitivity"], moves.max(axis=0) / sizes)
    np.testing.assert_allclose(found["mean_sensitivity"], moves.mean(axis=0) / sizes)
    assert float(abs(noises(SHAPE, 6, 0.1)).max()) <= 0.1
    plain = max_sensitivity(squares, x, itself, normalise=False, **asked).isel(extractor=0)
    np.testing.assert_allclose(plain["max_sensitivity"], moves.max(axis=0))
    moved = abs(squares((x + noises(SHAPE, 6, 0.1)).reshape(-1, *SHAPE[1:])).reshape(6, 4) - squares(x))
    np.testing.assert_allclose(found["prediction_change"], moved.max(axis=0))


def test_noise_is_in_units_of_each_channel(x):
    scale = np.array([1.0, 100.0, 0.0])
    seen = []

    def watched(model, x, target):
        seen.append(x)
        return x

    max_sensitivity(squares, x * scale, watched, radius=0.5, n_samples=4, **QUIET)
    moved = abs(np.array(seen[1:]) - x * scale).max(axis=(0, 1, 2))
    spread = (x * scale).std(axis=(0, 1))
    assert (moved <= 0.5 * spread).all()
    assert (moved >= 0.45 * spread).all()


def test_padding_does_not_move(x):
    mask = np.arange(6) < np.array([6, 4, 0, 1])[:, None]
    asked = {"radius": 0.1, "unit": "input", **QUIET}
    found = max_sensitivity(squares, x, itself, mask=mask, **asked)
    own = np.where(mask[..., None], x, 0)
    flat = np.where(mask[..., None], noises(SHAPE, 10, 0.1), 0).reshape(10, 4, -1)
    with np.errstate(invalid="ignore"):
        expected = np.linalg.norm(flat, axis=2).max(axis=0) / np.linalg.norm(own.reshape(4, -1), axis=1)
    np.testing.assert_allclose(found["max_sensitivity"][0], expected)
    assert np.isnan(expected).tolist() == [False, False, True, False]
    assert found["n_undefined"].values.tolist() == [1]


def test_what_is_asked_is_that_of_the_inputs_as_they_came(x):
    seen = {"target": [], "baseline": []}

    def watched(model, x, target, *, baseline):
        seen["target"].append(target)
        seen["baseline"].append(np.broadcast_to(baseline, x.shape))
        return x - baseline

    # Outputs so near to each other that noise makes the other one the largest.
    def close(x):
        return np.stack([x.sum(axis=(1, 2)), x.sum(axis=(1, 2)) + 1e-9 * x[:, 0, 0]], axis=1)

    found = max_sensitivity(close, x, watched, target="predicted", baseline="mean", radius=1, **QUIET)
    assert found["max_sensitivity"].shape == (1, 4)
    for values in seen.values():
        assert len(values) == 11
        for one in values[1:]:
            np.testing.assert_array_equal(one, values[0])
    np.testing.assert_allclose(seen["baseline"][0][0, 0], x.mean(axis=(0, 1)))


def test_methods_with_options_and_labels(x):
    inputs = xr.DataArray(x, dims=("sample", "timestep", "channel"), coords={"sample": list("abcd")})

    def scaled(model, x, target, *, power, seed):
        return np.random.default_rng(seed).random() * x**power

    methods = {"cubed": (scaled, {"power": 3}), "steps": by_timestep, "first": (scaled, {"power": 1})}
    found = max_sensitivity(linear, inputs, methods, n_samples=4, seed=2, **QUIET)
    assert found["extractor"].values.tolist() == list(methods)
    ratio = found["max_sensitivity"].sel(extractor="cubed") / found["max_sensitivity"].sel(extractor="first")
    assert (ratio > 1.2).all()
    assert found["sample"].values.tolist() == list("abcd")
    again = max_sensitivity(linear, inputs, methods, n_samples=4, seed=2, batch_size=1, **QUIET)
    xr.testing.assert_allclose(again, found)
    # Noise is in units of all samples; in the input's own, a sample has the noise of its number.
    asked = {"unit": "input", "n_samples": 3, **QUIET}
    whole, part = (max_sensitivity(linear, own, itself, **asked) for own in (inputs, inputs[:2]))
    xr.testing.assert_allclose(part.drop_vars("n_undefined"), whole.drop_vars("n_undefined").isel(sample=[0, 1]))


def test_the_model_is_adapted_once(x):
    adapted = []

    class Counted(NumpyFunction):
        def left_as_found(self):
            adapted.append(self)
            return super().left_as_found()

    model = Counted(linear)
    max_sensitivity(model, x, slope, n_samples=2, **QUIET)
    assert all(one is model for one in adapted)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"norm": 3}, "accepted are 1, 2, inf"),
        ({"radius": -1}, "radius must be a number above 0"),
        ({"n_samples": 0}, "n_samples must be"),
        ({"unit": "range"}, "unit='range'"),
    ],
)
def test_what_is_refused(x, asked, words):
    with pytest.raises(InputError, match=words):
        max_sensitivity(linear, x, slope, **asked, **QUIET)


@pytest.mark.parametrize(
    ("name", "value"), [("norm", np.zeros(2)), ("norm", slice(2)), ("normalise", "no"), ("normalise", -0.5)]
)
def test_options_of_the_wrong_type_are_refused_by_name(x, name, value):
    with pytest.raises(InputError, match=f"{name}=.* is not known; accepted are"):
        max_sensitivity(linear, x, ["occlusion"], **QUIET, **{name: value})
