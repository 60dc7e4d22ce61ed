"""Remove and retrain, with models that are fitted in closed form."""

import numpy as np
import pytest

import attrkit
from attrkit.errors import InputError
from attrkit.metrics import roar

RNG = np.random.default_rng(3)
X = RNG.standard_normal((300, 6, 2))
Y = (X[:, 2, 0] + 0.5 * X[:, 4, 1] > 0).astype(int)
TRAIN, TEST = (X[:200], Y[:200]), (X[200:], Y[200:])
SCORE = np.array([0.4, 0.3, 2.0, 0.2, 1.0, 0.1])


def fit(x, y, seed):
    flat = x.reshape(len(x), -1)
    weights = np.linalg.lstsq(flat, 2.0 * y - 1, rcond=None)[0]
    return lambda x: x.reshape(len(x), -1) @ weights


def explain(x):
    exact = np.broadcast_to(SCORE, x.shape[:2])
    return attrkit.from_arrays({"oracle": exact, "anti": -exact}, inputs=x)


def run(model_factory=fit, train=TRAIN, test=TEST, results_of=explain, **options):
    options = {"shares": [1 / 3], "seeds": [0, 7], "threshold": 0, "show_progress": False, **options}
    return roar(model_factory, train, test, results_of, **options)


def test_what_tells_the_class_is_what_is_missed():
    ds = run()
    accuracy = ds["correct"].mean(("seed", "sample"))
    assert (accuracy.sel(share=0) > 0.9).all()
    gone = accuracy.sel(share=1 / 3)
    assert abs(float(gone.sel(extractor="oracle")) - 0.5) < 0.15
    assert gone.sel(extractor="anti") > 0.9
    assert gone.sel(extractor="oracle") < gone.sel(extractor="random") < gone.sel(extractor="anti")


def test_as_in_a_plain_loop():
    mean = TRAIN[0].mean(axis=(0, 1))
    ds = run(operator="mean")
    for name, steps in (("oracle", [2, 4]), ("anti", [3, 5])):
        cut = [split[0].copy() for split in (TRAIN, TEST)]
        for x in cut:
            x[:, steps] = mean
        expected = (fit(cut[0], TRAIN[1], 0)(cut[1]) > 0) == TEST[1]
        np.testing.assert_array_equal(ds["correct"].sel(extractor=name, share=1 / 3, seed=0), expected)


def test_each_model_has_its_own_seed_and_none_is_trained_twice():
    calls = []

    def spied(x, y, seed):
        calls.append((seed, int((x == 0).all(axis=2).sum(axis=1)[0])))
        return fit(x, y, seed)

    ds = run(spied, operator="zero", shares=[1 / 3, 1])
    assert sorted(calls) == [(seed, n) for seed in (0, 7) for n in (0, 2, 2, 2, 6, 6, 6)]
    assert ds.attrs["models_trained"] == len(calls)
    assert ds["correct"].dims == ("extractor", "share", "seed", "sample")
    assert run(random=False)["extractor"].values.tolist() == ["oracle", "anti"]


def test_random_gaps_are_others_for_each_seed():
    seen = []

    def spied(x, y, seed):
        seen.append((x == 0).all(axis=2))
        return fit(x, y, seed)

    run(spied, operator="zero")
    gaps = [one for one in seen if one.sum() > 0 and len(np.unique(one, axis=0)) > 1]
    assert len(gaps) == 2
    assert (gaps[0] != gaps[1]).any()


def test_numbers_are_scored_by_their_error():
    def fit_numbers(x, y, seed):
        flat = x.reshape(len(x), -1)
        weights = np.linalg.lstsq(flat, y, rcond=None)[0]
        return lambda x: x.reshape(len(x), -1) @ weights

    y = np.stack([X[:, 2, 0], X[:, 4, 1]], axis=1)
    ds = run(fit_numbers, (X[:200], y[:200]), (X[200:], y[200:]))
    error = ds["absolute_error"]
    np.testing.assert_allclose(error.sel(share=0), 0, atol=1e-9)
    expected = abs(y[200:]).mean(axis=1)
    # What is left is noise to the new model, up to what it learns by heart of 200 samples.
    assert abs(error.sel(extractor="oracle", share=1 / 3, seed=0) - expected).mean() < 0.2
    assert error.attrs["direction"] == "higher is better"


def test_undefined_samples_are_counted_and_left_alone():
    def broken(x):
        tree = explain(x)
        tree["oracle"]["attribution"].values = np.where(
            np.arange(len(x))[:, None] == 3, np.nan, tree["oracle"]["attribution"].values
        )
        return tree

    ds = run(results_of=broken)
    assert ds["n_undefined_train"].values.tolist() == [1, 0, 0]
    assert ds["undefined"].sum("sample").values.tolist() == [1, 0, 0]
    assert np.isnan(ds["correct"].sel(extractor="oracle").isel(sample=3)).all()
    assert np.isfinite(ds["correct"].sel(extractor="anti")).all()


def test_results_may_be_given_and_must_fit():
    given = run(results_of=(explain(TRAIN[0]), explain(TEST[0])))
    np.testing.assert_array_equal(given["correct"], run()["correct"])
    with pytest.raises(InputError, match="the results for test have sizes"):
        run(results_of=(explain(TRAIN[0]), explain(TEST[0][:5])))
    with pytest.raises(InputError, match=r"extractors are \['oracle', 'anti'\] for train and \['oracle'\] for test"):
        run(results_of=(explain(TRAIN[0]), {"oracle": explain(TEST[0])["oracle"].to_dataset()}))
    with pytest.raises(InputError, match=r"the labels are int64 .* and float64"):
        run(test=(TEST[0], TEST[1].astype(float)))
    with pytest.raises(InputError, match=r"the labels of train have shape \(200, 2\)"):
        run(train=(TRAIN[0], np.eye(2, dtype=int)[TRAIN[1]]))
    with pytest.raises(InputError, match="train is a ndarray; accepted is a tuple"):
        run(train=TRAIN[0], results_of=(explain(TRAIN[0]), explain(TEST[0])))
    with pytest.raises(InputError, match="one is accepted here"):
        run(operator=["zero", "mean"])
    with pytest.raises(InputError, match="give one at least, each once"):
        run(seeds=[1, 1])
    with pytest.raises(InputError, match="seeds=3; accepted is a list of whole numbers"):
        run(seeds=3)
    with pytest.raises(InputError, match="train is a int; accepted is a tuple"):
        run(train=3)
    with pytest.raises(InputError, match="results_of is a int; accepted are a function of inputs"):
        run(results_of=3)
    for shares in (0.5, "all", [], [0.0], [1.5]):
        with pytest.raises(InputError, match="accepted are numbers above 0 and up to 1, one at least"):
            run(shares=shares)
