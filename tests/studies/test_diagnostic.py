import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

import attrkit
from attrkit.errors import AttrkitWarning, InputError
from attrkit.schema import faults
from attrkit.studies import diagnostic
from attrkit.studies.attention.context_free import Task, fit, initial, loss_of, objective, outputs_of

LENGTH = 6


def data(n_samples=400, seed=0):
    """Inputs, labels, where the value stands that is the label; a second channel says so, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_samples, LENGTH, 2))
    where = rng.integers(0, LENGTH, n_samples)
    x[..., 1] = np.eye(LENGTH)[where] + 0.35 * rng.standard_normal((n_samples, LENGTH))
    return x, x[np.arange(n_samples), where, 0], where


X, VALUE, WHERE = data()
Y = (VALUE > 0).astype(int)
PLANTED = np.eye(LENGTH)[WHERE]
HALF = slice(200), slice(200, None)
TRAIN, TEST = ((X[part], Y[part]) for part in HALF)


def ask(attention=None, train=TRAIN, test=TEST, **options):
    attention = {} if attention is None else {name: tuple(w[part] for part in HALF) for name, w in attention.items()}
    options = {"seeds": [0], "n_hidden": 8, "show_progress": False, **options}
    return diagnostic(train, test, attention, **options)


def task(n_samples=7, n_channels=3, *, of_classes=True, own_weights=False, seed=0):
    rng = np.random.default_rng(seed)
    real = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (n_samples, 1))
    x = rng.standard_normal((n_samples, LENGTH, n_channels)) * real[..., None]
    labels = np.eye(3)[rng.integers(0, 3, n_samples)] if of_classes else rng.standard_normal((n_samples, 3))
    alpha = rng.random((n_samples, LENGTH)) * real
    return Task(x, real, labels, of_classes, None if own_weights else alpha / alpha.sum(1, keepdims=True))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.booleans(), st.booleans())
def test_the_gradient_is_that_of_the_objective(seed, of_classes, own_weights):
    asked = task(of_classes=of_classes, own_weights=own_weights, seed=seed)
    start = initial(3, 4, 3, seed, own_weights=own_weights)
    names = list(start)

    def by_name(flat):
        parts = np.split(flat, np.cumsum([start[name].size for name in names])[:-1])
        return {name: part.reshape(start[name].shape) for name, part in zip(names, parts, strict=True)}

    def value(flat):
        return objective(by_name(flat), asked, 0.1)[0]

    def slope(flat):
        return np.concatenate([objective(by_name(flat), asked, 0.1)[1][name].ravel() for name in names])

    at = np.random.default_rng(seed).normal(size=sum(v.size for v in start.values()))
    assert check_grad(value, slope, at) < 1e-5 * max(1, np.abs(slope(at)).max())


@pytest.mark.parametrize("own_weights", [False, True], ids=["given", "own"])
@pytest.mark.parametrize("of_classes", [False, True], ids=["numbers", "classes"])
def test_as_written_in_jax(of_classes, own_weights):
    import jax
    import jax.numpy as jnp

    asked = task(3, of_classes=of_classes, own_weights=own_weights)
    start = initial(3, 4, 3, 5, own_weights=own_weights)

    def written_out(p):
        total = 0.0
        for i in range(len(asked.x)):
            real = np.flatnonzero(asked.real[i])
            hidden = jnp.stack([jnp.tanh(p["W"].T @ asked.x[i, t] + p["b"]) for t in real])
            if own_weights:
                alpha = jax.nn.softmax(jnp.stack([p["v"] @ jnp.tanh(p["U"].T @ h) for h in hidden]))
            else:
                alpha = asked.alpha[i, real]
            output = p["V"].T @ sum(a * h for a, h in zip(alpha, hidden, strict=True)) + p["d"]
            if of_classes:
                total += -(asked.labels[i] * jax.nn.log_softmax(output)).sum()
            else:
                total += ((output - asked.labels[i]) ** 2).mean()
        return total / len(asked.x) + 0.05 * sum((p[name] ** 2).sum() for name in p if name not in "bd")

    with jax.enable_x64(True):
        value, slopes = jax.jit(jax.value_and_grad(written_out))({name: jnp.asarray(v) for name, v in start.items()})
    found, own = objective(start, asked, 0.1)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    for name in start:
        np.testing.assert_allclose(own[name], slopes[name], rtol=1e-9, atol=1e-12)


def test_with_one_timestep_it_is_the_network_of_sklearn():
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 1, 3))
    labels = (x[:, 0] @ rng.standard_normal((3, 3))).argmax(1)
    asked = Task(x, np.ones((60, 1), bool), np.eye(3)[labels], True, np.ones((60, 1)))
    start = initial(3, 5, 3, 0, own_weights=False)
    found, converged = fit(start, asked, penalty=0.05, max_iterations=2000)
    # Its penalty is on the sum over samples.
    other = MLPClassifier((5,), activation="tanh", solver="lbfgs", alpha=0.05 * 60, max_iter=2000, tol=1e-9)
    with pytest.warns(UserWarning, match="lbfgs failed to converge"):
        other.set_params(max_iter=1).fit(x[:, 0], labels)
    other.coefs_, other.intercepts_ = [start["W"].copy(), start["V"].copy()], [start["b"].copy(), start["d"].copy()]
    other.set_params(max_iter=2000, warm_start=True).fit(x[:, 0], labels)
    assert converged
    np.testing.assert_allclose(outputs_of(found, asked), other.predict_proba(x[:, 0]), atol=2e-3)
    np.testing.assert_allclose(objective(found, asked, 0.05)[0], other.loss_, atol=1e-6)
    np.testing.assert_allclose(loss_of(found, asked), -np.log(outputs_of(found, asked)[np.arange(60), labels]).mean())


def test_weights_are_worth_what_they_point_at():
    shuffled = PLANTED[np.random.default_rng(1).permutation(len(PLANTED))]
    found = ask({"planted": PLANTED, "shuffled": shuffled}, seeds=[0, 1])
    assert found["correct"].dims == ("attention", "seed", "sample")
    accuracy = found["correct"].mean(("seed", "sample"))
    planted, shuffled, uniform, learned = (float(accuracy.sel(attention=name)) for name in found["attention"].values)
    assert planted > 0.97
    assert uniform < 0.85
    assert shuffled < uniform
    assert uniform < learned < planted
    told = found["prediction"].idxmax("output")
    np.testing.assert_array_equal(found["correct"], (told == TEST[1]).transpose(*found["correct"].dims))
    np.testing.assert_allclose(found["prediction"].sum("output"), 1)
    assert found["converged"].all()


def test_numbers_are_given_back_in_their_own_units():
    y = 50 + 20 * np.stack([VALUE, -VALUE], axis=1)
    train, test = ((X[part], y[part]) for part in HALF)
    found = ask({"planted": PLANTED}, train, test)
    assert found["prediction"].sizes["output"] == 2
    error = found["absolute_error"].mean(("seed", "sample"))
    spread = abs(test[1] - train[1].mean(0)).mean()
    assert error.sel(attention="planted") < 0.15 * spread
    assert error.sel(attention="uniform") > 0.4 * spread
    wrong = abs(found["prediction"] - xr.DataArray(test[1], dims=("sample", "output"))).mean("output")
    np.testing.assert_allclose(found["absolute_error"], wrong.transpose("attention", "seed", "sample"))


def test_what_is_padded_does_not_count():
    real = np.arange(LENGTH) < np.random.default_rng(2).integers(2, LENGTH + 1, (len(X), 1))
    masks = tuple(real[part] for part in HALF)
    weights = np.random.default_rng(3).random(real.shape)
    given = ask({"some": weights}, masks=masks)
    noise = np.where(real[..., None], X, 1e6)
    train, test = ((noise[part], Y[part]) for part in HALF)
    other = ask({"some": np.where(real, 4 * weights, 7.0)}, train, test, masks=masks)
    xr.testing.assert_allclose(given.drop_attrs(), other.drop_attrs())
    # Inputs that were padded say so themselves.
    series = [[sample[:n] for sample, n in zip(X[part], real[part].sum(1), strict=True)] for part in HALF]
    sides = [(attrkit.pad(one), Y[part]) for one, part in zip(series, HALF, strict=True)]
    xr.testing.assert_allclose(given.drop_attrs(), ask({"some": weights}, *sides).drop_attrs())


def test_samples_without_weights_are_counted():
    weights = PLANTED.copy()
    weights[[3, 5]], weights[207] = 0, np.nan
    found = ask({"broken": weights})
    assert found["n_undefined_train"].values.tolist() == [2, 0, 0]
    assert found["undefined"].sum("sample").values.tolist() == [1, 0, 0]
    for name in ("correct", "prediction"):
        gone = found[name].isel(sample=7).isnull()
        assert gone.sel(attention="broken").all()
        assert not gone.sel(attention=["uniform", "learned"]).any()
    assert found["correct"].sel(attention="broken").count() == 199


def test_attention_is_reduced_by_name_only():
    rng = np.random.default_rng(4)
    rows = rng.dirichlet(np.ones(LENGTH), (len(X), 2, LENGTH))
    full = [
        xr.Dataset(
            {"attention": (("sample", "head", "query_timestep", "key_timestep"), rows[part])},
            coords={"head": [0, 1], "query_timestep": np.arange(LENGTH), "key_timestep": np.arange(LENGTH)},
        ).assign_coords(sample=np.arange(200), timestep=np.arange(LENGTH))
        for part in HALF
    ]
    with pytest.raises(InputError, match=r"attention 'lstm' has dims .*; say how .* reduce='mean'"):
        diagnostic(TRAIN, TEST, {"lstm": full})
    with pytest.raises(InputError, match="attention has 2 heads, head=None is not one"):
        diagnostic(TRAIN, TEST, {"lstm": full}, reduce="last")
    found = diagnostic(TRAIN, TEST, {"lstm": full}, reduce="last", head="mean", seeds=[0], show_progress=False)
    assert faults(found) == []
    expected = diagnostic(
        *(TRAIN, TEST, {"lstm": tuple(rows[part][:, :, -1].mean(1) for part in HALF)}),
        **{"seeds": [0], "show_progress": False},
    )
    xr.testing.assert_allclose(found.drop_attrs(), expected.drop_attrs())
    assert (found.attrs["attention_how"], found.attrs["attention_head"]) == ("last", "mean")
    turned = [one.isel(sample=slice(None, None, -1)) for one in full]
    with pytest.raises(InputError, match="samples in another order"):
        diagnostic(TRAIN, TEST, {"lstm": turned}, reduce="last", head="mean")


def test_fits_that_have_not_converged_are_said():
    with pytest.warns(AttrkitWarning, match="2 of 2 fits have not converged in 3 iterations"):
        found = ask(max_iterations=3)
    assert (found["converged"].values.any(), found.attrs["n_not_converged"]) == (False, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": {"learned": PLANTED}}, r"names \['learned'\], which are those"),
        ({"attention": {"some": PLANTED[:, :3]}}, r"attention 'some' has shape \(200, 3\).*\(200, 6\)"),
        ({"attention": {"some": PLANTED - 1}}, "weights are numbers, 0 or more"),
        ({"attention": {"some": 0 * PLANTED}}, "no weight on a real timestep of any training sample"),
        ({"penalty": -1}, "penalty must be a number, 0 or more"),
        ({"masks": (None,)}, "masks is a tuple; accepted is a tuple of two"),
        ({"masks": (np.ones((200, 6)), None)}, "the mask of train has shape .* float64; accepted is bool"),
        ({"train": (X[:200].argmax(2), Y[:200])}, "token ids, which have no values"),
        ({"train": (X[:200, :, :1], Y[:200])}, "train has 1 channels, test has 2"),
        ({"train": (X[:200], 0 * Y[:200])}, "the labels of train are all 0"),
        ({"test": (X[200:], VALUE[200:])}, "the labels are int64 .* and float64"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        ask(**options)


def test_a_model_that_sees_one_class_more_is_wrong_on_it():
    train = TRAIN[0], 3 + 2 * TRAIN[1]
    test = TEST[0], np.where(np.arange(200) < 5, 4, 3 + 2 * TEST[1])
    found = ask({"planted": PLANTED}, train, test)
    assert found["output"].values.tolist() == [3, 5]
    assert not found["correct"].isel(sample=slice(5)).any()
    assert found["correct"].isel(sample=slice(5, None)).sel(attention="planted").mean() > 0.95
