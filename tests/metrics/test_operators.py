"""What removed values become, against definitions in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attrkit.errors import InputError, RefusedError
from attrkit.metrics.removal.operators import OPERATORS, find_operators, make_background, replaced

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6, 2))
REAL = np.array([[True] * 6, [True] * 4 + [False] * 2, [True] * 6, [True] * 2 + [False] * 4])


def fill(name, removed, *, values=X, real=REAL, background=None, numbers=None, seed=0):
    background = make_background(values, real, explained=True) if background is None else background
    return replaced(
        *(find_operators(name, values, background)[name], values, removed),
        np.arange(len(removed)) if numbers is None else numbers,
        real=real,
        background=background,
        generator=lambda number: np.random.default_rng([seed, number]),
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_only_what_is_removed_and_real_changes(name):
    removed = RNG.random(X.shape) < 0.5
    found = fill(name, removed)
    untouched = ~(removed & REAL[..., None])
    np.testing.assert_array_equal(found[untouched], X[untouched])
    assert (found[~untouched] != X[~untouched]).any()
    assert fill(name, removed, values=X.astype("float32")).dtype == np.float32


def test_zero_mean_and_noise():
    everything = np.ones(X.shape, bool)
    real = [X[REAL][:, c] for c in range(2)]
    np.testing.assert_array_equal(fill("zero", everything)[REAL], 0)
    np.testing.assert_allclose(fill("mean", everything)[REAL], [[np.mean(own) for own in real]] * REAL.sum())
    z = np.random.default_rng([0, 2]).standard_normal((6, 2))
    expected = [np.mean(own) + np.std(own) * z[:, c] for c, own in enumerate(real)]
    np.testing.assert_allclose(fill("noise", everything)[2], np.transpose(expected))


def test_a_sample_never_gives_to_itself_and_padding_gives_nothing():
    values = np.broadcast_to(np.arange(4.0)[:, None, None], X.shape)
    seen = [set() for _ in range(4)]
    for seed in range(60):
        found = fill("sample", np.ones(X.shape, bool), values=values, seed=seed)
        for number in range(4):
            assert len(set(found[number, :2, 0])) == 1
            seen[number] |= set(found[number, 5, :])
            own = found[number, REAL[number], 0]
            assert number not in own
    # At the last timestep only samples 0 and 2 are real.
    assert seen[0] == {2.0}
    assert seen[2] == {0.0}


def test_where_no_other_sample_is_real_it_is_the_mean():
    real = np.array([[True, True], [True, False]])
    values = np.array([[[1.0], [5.0]], [[3.0], [0.0]]])
    found = fill("sample", np.ones((2, 2, 1), bool), values=values, real=real)
    np.testing.assert_array_equal(found[:, :, 0], [[3.0, 3.0], [1.0, 0.0]])


def test_samples_of_another_background():
    own = make_background(10 + X[:1], REAL[:1], explained=False)
    np.testing.assert_array_equal(fill("sample", np.ones(X.shape, bool), background=own)[0], 10 + X[0])


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=12, max_size=12), st.lists(st.booleans(), min_size=6, max_size=6))
def test_interpolation_is_that_of_numpy(removed, real):
    removed, real = np.reshape(removed, (1, 6, 2)), np.reshape(real, (1, 6))
    if not real.any():
        return
    values = X[:1]
    found = fill("interpolate", removed, values=values, real=real)
    for c in range(2):
        kept = np.flatnonzero(real[0] & ~removed[0, :, c])
        for t in np.flatnonzero(real[0] & removed[0, :, c]):
            expected = np.interp(t, kept, values[0, kept, c]) if len(kept) else values[0, real[0], c].mean()
            np.testing.assert_allclose(found[0, t, c], expected, rtol=1e-12, atol=1e-12)


def test_an_operator_of_ones_own():
    def doubled(values, removed, *, real, background, rng, number):
        return 2 * values + number

    found = fill_own(doubled, np.ones((2, 6, 1), bool), numbers=np.array([1, 1]))
    np.testing.assert_array_equal(found[:, :4], np.repeat(2 * X[1:2, :4] + 1, 2, axis=0))
    np.testing.assert_array_equal(found[:, 4:], np.repeat(X[1:2, 4:], 2, axis=0))
    with pytest.raises(InputError, match=r"the operator returns shape \(5,\); accepted is .* here \(2, 6, 2\)"):
        fill_own(lambda values, removed, **given: np.zeros(5), np.ones((2, 6, 1), bool), numbers=np.array([1, 1]))


def fill_own(operator, removed, *, numbers):
    background = make_background(X, REAL, explained=True)
    (own,) = find_operators(operator, X, background).values()
    return replaced(own, X, removed, numbers, real=REAL, background=background, generator=np.random.default_rng)


def test_what_does_not_fit_is_refused():
    background = make_background(X, REAL, explained=True)
    with pytest.raises(InputError, match="operator='blur' is not known; accepted are zero, mean"):
        find_operators("blur", X, background)
    with pytest.raises(InputError, match="two operators are named 'zero'"):
        find_operators(["zero", "zero"], X, background)
    with pytest.raises(RefusedError, match="operator 'mean' makes numbers between the inputs', which are int64"):
        find_operators("mean", X.astype("int64"), background)
    with pytest.raises(InputError, match="there is one only; give background="):
        find_operators("sample", X[:1], make_background(X[:1], REAL[:1], explained=True))
    with pytest.raises(InputError, match="no real timestep"):
        make_background(X, np.zeros_like(REAL), explained=True)
