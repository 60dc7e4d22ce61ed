"""F-Fidelity against closed forms and a plain loop."""

import numpy as np
import pytest

import attrkit
from attrkit.errors import InputError
from attrkit.metrics import f_fidelity, random_masking
from attrkit.metrics.draws import DRAWS, generator
from attrkit.metrics.removal import removed

RNG = np.random.default_rng(2)
X = RNG.random((6, 20, 1)) + 0.5
WEIGHTS = RNG.random(20)
QUIET = {"operator": "zero", "show_progress": False}


def linear(x):
    return x[..., 0] @ WEIGHTS


def tree_of(scores, **options):
    return attrkit.from_arrays(scores, inputs=X, **options)


def test_of_an_additive_model_it_is_a_part_of_comprehensiveness():
    parts = X[..., 0] * WEIGHTS
    ds = f_fidelity(linear, tree_of({"exact": parts}), shares=[0.1, 0.5], n_draws=4000, n_random=0, **QUIET)
    # 0.5 of 2 items is within 0.1 of 20, of 10 items only 0.2 is; of the other 18 it is 1 / 9.
    np.testing.assert_allclose(ds["removal_plus"][0], [0.5, 0.2])
    np.testing.assert_allclose(ds["removal_minus"][0], [1 / 9, 0.2])
    ordered = -np.sort(-parts, axis=1)
    for at, k in enumerate((2, 10)):
        first, rest = ordered[:, :k].sum(axis=1), ordered[:, k:].sum(axis=1)
        plus, minus = (ds[f"f_fidelity_{side}"].isel(extractor=0, share=at) for side in ("plus", "minus"))
        np.testing.assert_allclose(plus, ds["removal_plus"].values[0, at] * first, rtol=0.1)
        np.testing.assert_allclose(minus, ds["removal_minus"].values[0, at] * rest, rtol=0.1)


def test_as_in_a_plain_loop():
    def classify(x):
        z = np.stack([linear(x), (x[:, 1:, 0] * x[:, :-1, 0]).sum(1), np.full(len(x), 5.0)], axis=1)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return z / z.sum(axis=1, keepdims=True)

    mask = np.arange(20) < np.array([20, 12, 20, 7, 20, 1])[:, None]
    x = X * mask[..., None]
    scores = RNG.standard_normal((6, 20))
    tree = attrkit.from_arrays({"mine": scores}, inputs=x, mask=mask)
    options = {"shares": [0.2], "removal": 0.7, "max_share": 0.3, "n_draws": 9, "seed": 4, "target": "predicted"}
    ds = f_fidelity(classify, tree, **options, **QUIET)
    for i, n in enumerate(mask.sum(axis=1)):
        p = classify(x[i : i + 1])[0]
        y = p.argmax()
        k = int(np.ceil(0.2 * n))
        first = np.argsort(-np.where(mask[i], scores[i], -np.inf))[:k]
        rest = np.setdiff1d(np.flatnonzero(mask[i]), first)
        uniform = generator(4, DRAWS, i).random((9, 20))
        for side, items in (("plus", first), ("minus", rest)):
            q = min(0.7, 0.3 * n / len(items)) if len(items) else 0
            lost, kept = [], []
            for draw in uniform:
                changed = x[i].copy()
                for t in items:
                    if draw[t] < q:
                        changed[t] = 0
                out = classify(changed[None])[0]
                lost.append(p[y] - out[y])
                kept.append(out.argmax() == y)
            own = ds.sel(extractor="mine", sample=i).isel(share=0)
            np.testing.assert_allclose(own[f"f_fidelity_{side}"], np.mean(lost), atol=1e-12)
            np.testing.assert_allclose(own[f"kept_{side}"], np.mean(kept))


def test_the_oracle_is_above_chance_and_its_opposite_below():
    parts = X[..., 0] * WEIGHTS
    ds = f_fidelity(linear, tree_of({"oracle": parts, "anti": -parts}), n_random=3, **QUIET)
    plus, minus = (ds[f"f_fidelity_{side}"].mean(("sample", "share")) for side in ("plus", "minus"))
    assert plus.sel(extractor="oracle") > plus.sel(extractor="random") > plus.sel(extractor="anti")
    assert minus.sel(extractor="oracle") < minus.sel(extractor="random") < minus.sel(extractor="anti")


def test_batches_and_chunks_change_nothing(monkeypatch):
    tree = tree_of({"a": RNG.standard_normal((6, 20))})
    whole = f_fidelity(linear, tree, n_draws=5, **QUIET)
    monkeypatch.setattr(removed, "CHUNK", 1)
    parts = f_fidelity(linear, tree, n_draws=5, batch_size=3, **QUIET)
    np.testing.assert_allclose(parts["f_fidelity_plus"], whole["f_fidelity_plus"], atol=1e-12)


def test_the_model_is_fine_tuned_with_the_same_gaps():
    seen = []

    def fine_tune(model, mask):
        seen.extend(mask(X, seed=epoch) for epoch in range(30))
        return lambda x: 2 * model(x)

    tree = tree_of({"a": RNG.standard_normal((6, 20))})
    options = {"n_draws": 5, "max_share": 0.2, "background": X, "show_progress": False}
    tuned = f_fidelity(linear, tree, fine_tune=fine_tune, **options)
    plain = f_fidelity(linear, tree, **options)
    np.testing.assert_allclose(tuned["f_fidelity_plus"], 2 * plain["f_fidelity_plus"], atol=1e-12)
    gaps = np.stack(seen) != X
    assert abs(gaps.mean() - 0.2) < 4 * np.sqrt(0.16 / gaps.size)
    np.testing.assert_allclose(np.stack(seen)[gaps], X.mean())
    assert tuned.attrs["fine_tuned"] == "in this call"
    assert plain.attrs["fine_tuned"] == "by the caller, not checked"


def test_masking_leaves_padding_alone():
    mask = np.arange(20) < 12
    found = random_masking(X, max_share=1, operator="zero", mask=np.broadcast_to(mask, (6, 20)))
    np.testing.assert_array_equal(found[:, :12], 0)
    np.testing.assert_array_equal(found[:, 12:], X[:, 12:])
    cells = random_masking(np.ones((50, 20, 2)), max_share=0.3, operator="zero", resolution="cell")
    assert (cells[..., 0] != cells[..., 1]).any()
    with pytest.raises(InputError, match=r"the mask has shape \(6, 3\)"):
        random_masking(X, mask=np.ones((6, 3), bool))


def test_undefined_samples_are_counted():
    scores = RNG.standard_normal((6, 20))
    scores[2, 3] = np.nan
    ds = f_fidelity(linear, tree_of({"a": scores}), n_draws=3, **QUIET)
    np.testing.assert_array_equal(ds["undefined"].sel(extractor="a"), np.arange(6) == 2)
    assert not ds["undefined"].sel(extractor="random").any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": [1.0]}, "between 0 and 1"),
        ({"removal": 0}, "removal must be a number above 0"),
        ({"max_share": 2}, "max_share must be a number above 0"),
        ({"n_draws": 0}, "n_draws must be a whole number, 1 or more"),
        ({"operator": ["zero", "mean"]}, "one is accepted here"),
        ({"rank_by": None}, "accepted are 'value', 'magnitude'"),
        ({"fine_tune": 3}, "fine_tune=3 is no function"),
        ({"shares": "half"}, "shares='half'; accepted are numbers"),
        ({"operator": 3}, "operator"),
        ({"max_share": "all"}, "max_share"),
        ({"background": np.zeros((2, 2))}, "background"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        f_fidelity(linear, tree_of({"a": X[..., 0]}), **{**QUIET, **options})
