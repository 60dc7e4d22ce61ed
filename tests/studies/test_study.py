"""A whole study: what is in its tree, what is done again and what is not, and that a kill costs nothing."""

import functools
import platform
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.errors import AttrkitWarning, InputError, RefusedError, StoreError
from attrkit.studies.running.steps import StudyStore
from tests.studies.trainers import ASK, contents, data, features, killable, late


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "s.zarr"


@pytest.fixture(scope="module")
def tree(store):
    with pytest.warns(AttrkitWarning, match="permutation was refused"):
        return attrkit.study(features, data(), store=store, **ASK)


def test_every_value_is_that_of_the_function_for_one_model(tree):
    (x, y), (held_out, labels) = data()
    for seed in ASK["seeds"]:
        model = features(x, y, seed)
        outputs = model(held_out)
        found = tree["model"].to_dataset().sel(seed=seed)
        np.testing.assert_allclose(found["prediction"], outputs, rtol=1e-12)
        np.testing.assert_array_equal(found["correct"], outputs.argmax(1) == labels)
        np.testing.assert_allclose(found["score"], (outputs.argmax(1) == labels).mean())
        asked = {"target": "predicted", "baseline": "mean", "show_progress": False}
        own = attrkit.compare(model, held_out, ASK["extractors"], **asked)
        for name in own.children:
            known = tree["extractors"][name].to_dataset().sel(seed=seed)
            np.testing.assert_allclose(known["attribution"], own[name]["attribution"], rtol=1e-12)
        pair = {"extractor": "occlusion", "other": "late"}
        agreement = attrkit.metrics.agreement(own, channels="sum")
        for metric in ("kendall_tau", "cosine", "top_k_overlap"):
            np.testing.assert_allclose(
                tree["agreement"][metric].sel(seed=seed, **pair), agreement[metric].sel(**pair), rtol=1e-12
            )
        curves = attrkit.metrics.faithfulness(model, own, channels="sum", show_progress=False)
        np.testing.assert_allclose(
            tree["faithfulness"]["deletion"].sel(seed=seed, extractor="occlusion"),
            curves["deletion"].sel(extractor="occlusion"),
            rtol=1e-12,
        )


def test_the_tree_has_what_is_known_of_every_sample_and_seed(tree):
    assert set(tree.children) >= {"data", "model", "extractors", "agreement", "faithfulness", "seed_variance", "steps"}
    assert list(tree["extractors"].children) == ["occlusion", "late", "random", "uniform"]
    assert tree["agreement"]["spearman"].sizes == {"seed": 2, "extractor": 4, "other": 4, "sample": 60}
    # Two seeds draw other scores at random, and nothing else is drawn.
    assert not np.array_equal(*tree["extractors/random"]["attribution"].values)
    np.testing.assert_array_equal(*tree["extractors/late"]["attribution"].values)
    steps = tree["steps"].to_dataset()
    assert (steps["seconds"] >= 0).all()
    assert "seeds/3/agreement" in steps["step"].values


def test_what_was_refused_is_said_and_noted(tree):
    steps = tree["steps"].to_dataset()
    assert "no attention layer" in str(steps["refused"].sel(step="seeds/1/permutation").item())
    assert steps["refused"].sel(step="seeds/1/agreement") == ""
    assert "permutation" not in tree


def test_a_study_that_is_done_is_read_and_nothing_is_done_again(store, tree):
    def never(x, y, seed):
        raise AssertionError("the factory is called")

    before = contents(store)
    # By its source and what it was made with the factory is known, so it is the same one here.
    with pytest.warns(AttrkitWarning):
        again = attrkit.study(features, data(), store=store, **ASK)
    assert contents(store) == before
    xr.testing.assert_identical(again, tree)
    xr.testing.assert_identical(attrkit.studies.open_study(store), tree)
    with pytest.raises(AssertionError, match="factory is called"):
        attrkit.study(never, data(), store=store, **ASK)


CALLS = []


def counting(x, y, seed):
    CALLS.append(seed)
    return features(x, y, seed)


def test_only_what_depends_on_a_change_is_done_again(tmp_path):
    def run(**asked):
        CALLS.clear()
        before = records()
        given = {**ASK, "tests": ["agreement", "seed_variance"], "store": tmp_path / "s.zarr", **asked}
        attrkit.study(functools.partial(counting), data(), **given)
        return sorted(name for name, record in records().items() if before.get(name) != record)

    def records():
        store = StudyStore(tmp_path / "s.zarr")
        names = [path.parent.relative_to(store.path).as_posix() for path in store.path.rglob(".zattrs")]
        found = {name: store.record(name) for name in names}
        # What a step took tells one run of it from another.
        return {name: (found[name]["finished_at"], found[name]["seconds"]) for name in names if found[name]}

    first = run()
    assert len(first) == 1 + 2 * (2 + 4 + 1) + 1
    assert run() == []
    assert CALLS == []
    tests = {"agreement": {"metrics": ["cosine"]}, "seed_variance": {}}
    done = run(tests=tests)
    assert set(done) == {"seeds/1/agreement", "seeds/3/agreement"}
    assert CALLS == []
    done = run(tests=tests, seeds=[3, 1, 7])
    assert CALLS == [7]
    of_seed = [name.replace("/1/", "/7/") for name in first if name.startswith("seeds/1/")]
    assert done == sorted([*of_seed, "seed_variance"])


def test_a_model_that_has_learned_nothing_is_not_explained(tmp_path):
    def train(x, y, seed):
        return features(x, y if seed != 1 else 1 - y, seed)

    asked = {**ASK, "tests": ["agreement"], "store": tmp_path / "s.zarr"}
    with pytest.warns(AttrkitWarning, match=r"do not reach 0\.\d+ are not explained; score and seed: 0\.\d+ \(1\)"):
        tree = attrkit.study(train, data(), **asked)
    assert tree["model"]["passed"].values.tolist() == [True, False]
    assert tree["agreement"]["seed"].values.tolist() == [3]
    with pytest.raises(RefusedError, match=r"no model passes the gate 1\.5"):
        attrkit.study(train, data(), **asked, gate=1.5)
    both = attrkit.study(train, data(), **asked, gate=None)
    assert both["agreement"]["seed"].values.tolist() == [3, 1]


def test_numbers_are_judged_by_what_of_their_spread_is_explained(tmp_path):
    (x, _), (held_out, _) = data()
    truth = x[:, -1].sum(1), held_out[:, -1].sum(1)

    def train(x, y, seed):
        last = np.linalg.lstsq(x.reshape(len(x), -1), y, rcond=None)[0]
        return lambda x: x.reshape(len(x), -1) @ last[:, None] + 0.1 * seed

    splits = (x, truth[0]), (held_out, truth[1])
    tree = attrkit.study(train, splits, store=tmp_path / "s.zarr", **{**ASK, "tests": ["agreement"]})
    found = tree["model"].to_dataset()
    np.testing.assert_allclose(found["absolute_error"].sel(seed=3), 0.3, rtol=1e-6)
    np.testing.assert_allclose(found["score"].sel(seed=3), 1 - 0.09 / truth[1].var(), rtol=1e-6)


def test_ground_truth_is_asked_where_it_is_known(tmp_path):
    sides = []
    for x, y in data():
        cells = np.zeros(x.shape, bool)
        cells[:, -2:, 0] = True
        dims = ("sample", "timestep", "channel")
        sides.append(xr.Dataset({"input": (dims, x), "label": ("sample", y), "saliency": (dims, cells)}))
    tree = attrkit.study(features, sides, store=tmp_path / "s.zarr", **{**ASK, "tests": None, "n_samples": 20})
    found = tree["ground_truth"]["auroc"].mean(("seed", "sample"))
    np.testing.assert_array_equal(found.sel(extractor="late"), 1)
    assert found.sel(extractor="occlusion") > 0.55
    assert abs(found.sel(extractor="random") - 0.5) < 0.1
    assert tree["data"]["saliency"].sizes == {"sample": 20, "timestep": 6, "channel": 2}


def test_a_test_of_ones_own_is_given_model_and_results(tmp_path):
    def largest(case):
        values = case.results["occlusion"]["attribution"].max(("timestep", "channel"))
        assert case.model.predict(case.inputs.values).shape == (60, 2)
        return xr.Dataset({"largest": values})

    tree = attrkit.study(features, data(), store=tmp_path / "s.zarr", **{**ASK, "tests": {"largest": largest}})
    np.testing.assert_array_equal(
        tree["largest"]["largest"], tree["extractors/occlusion"]["attribution"].max(("timestep", "channel"))
    )


def test_kill_9_at_random_ten_times_leaves_the_store_of_an_uninterrupted_study(tmp_path):
    killable(tmp_path / "whole.zarr")
    code = f"from tests.studies.trainers import kill_often; print(kill_often({str(tmp_path / 'killed.zarr')!r}, 10))"
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["10"]
    assert contents(tmp_path / "killed.zarr") == contents(tmp_path / "whole.zarr")


def test_what_was_killed_at_its_first_note_is_begun_anew(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    part = tmp_path / "s.zarr" / f".part-{platform.node()}-{killed.pid}-0"
    part.mkdir(parents=True)
    (part / ".zattrs").write_text('{"attrkit')
    attrkit.study(features, data(), store=tmp_path / "s.zarr", **{**ASK, "tests": ["agreement"]})
    assert not list((tmp_path / "s.zarr").glob(".part*"))


def test_a_softmax_that_cannot_be_undone_is_explained_after_it(tmp_path):
    def train(x, y, seed):
        scores = features(x, y, seed)
        return lambda x: np.exp(scores(x)) / np.exp(scores(x)).sum(axis=1, keepdims=True)

    tree = attrkit.study(train, data(), store=tmp_path / "s.zarr", **{**ASK, "tests": ["agreement"]})
    found = tree["extractors/occlusion"]
    assert "explained_before" not in found.attrs
    np.testing.assert_allclose(found["prediction"], tree["model"]["prediction"], rtol=1e-12)


def test_a_model_that_no_extractor_holds_for_ends_the_study_with_the_reasons(tmp_path):
    asked = {**ASK, "extractors": ["attention", "gradient"], "store": tmp_path / "s.zarr"}
    with pytest.raises(RefusedError, match=r"no extractor holds for the model of seed 3\. attention: .*; gradient: "):
        attrkit.study(features, data(), **asked)


BAD = {
    "one side": (lambda: {"data": data()[:1]}, InputError, "to train on and to test on.*got 1 of them"),
    "no label": (
        lambda: {"data": (xr.Dataset(), xr.Dataset())},
        InputError,
        "train has no variable input and no label",
    ),
    "other shape": (
        lambda: {"data": (data()[0], data(steps=7)[1])},
        InputError,
        "all but the first axis must be the same",
    ),
    "no seed": (lambda: {"seeds": []}, InputError, "give one at least, each once"),
    "seed twice": (lambda: {"seeds": [1, 1]}, InputError, "give one at least, each once"),
    "unknown test": (
        lambda: {"tests": ["agrement"]},
        InputError,
        "test 'agrement' .* is not known; accepted are agree",
    ),
    "a name that is taken": (lambda: {"extractors": {"random": late}}, InputError, "cannot be called 'random'"),
    "gate": (lambda: {"gate": "luck"}, InputError, "accepted are a number, 'chance' and None"),
    "no zarr": (lambda: {"store": "study.nc"}, StoreError, "a study is a folder in .zarr"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_before_anything_is_trained(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, error, match = BAD[case]

    def never(x, y, seed):
        raise AssertionError("trained")

    given = {"data": data(), "store": "s.zarr", **ASK, **make()}
    with pytest.raises(error, match=match):
        attrkit.study(never, given.pop("data"), **given)
    assert not list(tmp_path.iterdir())


def test_a_store_of_something_else_is_left_alone(tmp_path, tree):
    other = attrkit.save(attrkit.from_arrays({"mine": np.zeros((2, 3))}), tmp_path / "other.zarr")
    before = contents(other)
    with pytest.raises(StoreError, match="is there and is no study"):
        attrkit.study(features, data(), store=other, **ASK)
    assert contents(other) == before
    with pytest.raises(StoreError, match="is no study"):
        attrkit.studies.open_study(other)


def test_a_study_that_is_not_finished_is_not_read(tmp_path):
    def train(x, y, seed):
        if seed == 1:
            raise RuntimeError("out of luck")
        return features(x, y, seed)

    with pytest.raises(RuntimeError, match="out of luck"):
        attrkit.study(train, data(), store=tmp_path / "s.zarr", **ASK)
    with pytest.raises(StoreError, match=r"is not finished; call attrkit.study as before, and it goes on"):
        attrkit.studies.open_study(tmp_path / "s.zarr")


def test_a_study_that_was_finished_and_is_being_changed_is_not_read(tmp_path):
    def stop(case):
        raise RuntimeError("out of luck")

    asked = {**ASK, "store": tmp_path / "s.zarr"}
    attrkit.study(features, data(), **asked | {"tests": ["agreement"]})
    with pytest.raises(RuntimeError, match="out of luck"):
        attrkit.study(features, data(), **asked | {"tests": {"agreement": {"k": 2}, "stop": stop}})
    # Agreement is that of the new question by now, and the rest that of the old one.
    with pytest.raises(StoreError, match="is not finished"):
        attrkit.studies.open_study(tmp_path / "s.zarr")
