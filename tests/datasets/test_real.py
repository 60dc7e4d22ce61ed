import json
import sys

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.datasets import _ts_files, basic_motions, japanese_vowels
from attrkit.errors import InputError, MissingDependencyError


@pytest.fixture(scope="module")
def vowels():
    return japanese_vowels("all")


def test_vowels_keep_their_lengths(vowels):
    assert vowels["input"].shape == (640, 29, 12)
    lengths = vowels["mask"].sum("timestep").values
    assert (lengths[:270].min(), lengths[:270].max()) == (7, 26)
    assert (lengths[270:].min(), lengths[270:].max()) == (7, 29)
    # Padding is at the end, and 0.
    np.testing.assert_array_equal(vowels["mask"], np.arange(29) < lengths[:, None])
    assert (vowels["input"].where(~vowels["mask"], 0) == 0).all()
    np.testing.assert_array_equal((vowels["input"] != 0).any("channel"), vowels["mask"])


def test_vowels_are_of_nine_speakers(vowels):
    train, test = (japanese_vowels(split) for split in ("train", "test"))
    xr.testing.assert_equal(xr.concat([train, test], "sample"), vowels)
    assert np.bincount(train["label"]).tolist() == [30] * 9
    counts = np.bincount(test["label"])
    assert (counts.sum(), counts.min(), counts.max(), len(counts)) == (370, 24, 88, 9)


def test_motions_are_of_four_kinds():
    data = basic_motions("all")
    assert data["input"].shape == (80, 100, 6)
    assert data["mask"].all()
    assert np.bincount(data["label"]).tolist() == [20] * 4
    assert json.loads(data.attrs["classes"])[int(data["label"][0])] == "Standing"


@pytest.mark.parametrize(("load", "name"), [(japanese_vowels, "japanese_vowels"), (basic_motions, "basic_motions")])
def test_they_are_what_sktime_loads(load, name):
    from sktime import datasets

    for split in ("train", "test"):
        data = load(split)
        series, classes = getattr(datasets, f"load_{name}")(split=split, return_type="df-list")
        assert [json.loads(data.attrs["classes"])[i].lower() for i in data["label"].values] == classes.tolist()
        for x, mask, one in zip(data["input"].values, data["mask"].values, series, strict=True):
            np.testing.assert_array_equal(x[mask], one)


def test_padding_is_known_to_attrkit(vowels):
    data = vowels.isel(sample=slice(3), channel=slice(2))
    ds = attrkit.extract(lambda x: x.sum(axis=(1, 2)), data, "occlusion", show_progress=False)
    np.testing.assert_array_equal(ds["mask"], data["mask"])


def test_a_split_that_is_none_is_refused():
    with pytest.raises(InputError, match="split='val' is not known; accepted are 'train', 'test', 'all'"):
        japanese_vowels("val")


def test_without_sktime_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'attrkit\[datasets\]'"):
        basic_motions()


def test_an_sktime_without_the_file_is_told():
    with pytest.raises(MissingDependencyError, match=r"does not have Vowels_TRAIN\.ts"):
        _ts_files.read("Vowels", "train", [], "nowhere")
