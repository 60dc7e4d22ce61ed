"""Chunk by chunk as all at once: what comes in, what is refused, what is kept. On functions of numpy alone."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import attrkit
from attrkit.errors import AttrkitWarning, InputError, RefusedError, StoreError
from tests.streaming.common import alike, contents, inputs, model

X = inputs()
ASK = {"target": 0, "show_progress": False}


def stream(source, path, method="occlusion", *, model=model, **asked):
    return attrkit.extract(model, source, method, store=path, **{"chunk_size": 7, **ASK, **asked})


@pytest.fixture(scope="module")
def whole():
    return attrkit.extract(model, X, "occlusion", **ASK)


def memory_map(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def view_of_a_memory_map(tmp_path):
    np.save(tmp_path / "more.npy", np.concatenate([X[:5], X]))
    return np.load(tmp_path / "more.npy", mmap_mode="r")[5:]


def zarr_array(tmp_path):
    array = zarr.create_array(tmp_path / "x_of.zarr", shape=X.shape, chunks=(9, 6, 3), dtype=X.dtype)
    array[:] = X
    return array


def lazy_labelled(tmp_path):
    xr.DataArray(X, dims=("batch", "time", "feature"), name="x").to_dataset().to_zarr(
        tmp_path / "lazy.zarr", zarr_format=2
    )
    return xr.open_zarr(tmp_path / "lazy.zarr", chunks=None)["x"]


SOURCES = {
    "array": lambda tmp_path: X,
    "labelled": lambda tmp_path: xr.DataArray(X, dims=("sample", "timestep", "channel")),
    "list": lambda tmp_path: list(X),
    "memory map": memory_map,
    "view of a memory map": view_of_a_memory_map,
    "zarr": zarr_array,
    "lazy": lazy_labelled,
    "small batches": lambda tmp_path: (X[i : i + 3] for i in range(0, 50, 3)),
    "large batches": lambda tmp_path: iter([X[:2], X[2:40], X[40:]]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_whatever_the_samples_come_in_the_result_is_that_of_memory(kind, tmp_path, whole):
    streamed = stream(SOURCES[kind](tmp_path), tmp_path / "out.zarr")
    assert not streamed["attribution"].variable._in_memory
    attrkit.validate(streamed)
    xr.testing.assert_identical(alike(streamed), alike(whole))
    xr.testing.assert_identical(alike(attrkit.load(tmp_path / "out.zarr")), alike(whole))
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_store_is_read_by_xarray_alone_and_without_a_warning(tmp_path, whole):
    stream(X, tmp_path / "out.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_zarr(tmp_path / "out.zarr", chunks=None, consolidated=False) as ds:
            xr.testing.assert_equal(ds.load(), whole)


def test_labels_text_and_times_keep_their_values_whatever_the_first_chunk_has(tmp_path):
    samples = [f"run {'x' * (i // 5)}{i}" for i in range(50)]
    time = pd.date_range("2001-01-01", periods=300, freq="h").to_numpy().reshape(50, 6)[::-1]
    x = xr.DataArray(
        X,
        dims=("sample", "timestep", "channel"),
        coords={"sample": samples, "channel": ["rain", "wind", "snow"], "time": (("sample", "timestep"), time)},
    )
    labels = ["a", "a much longer name"]
    target = [labels[i > 20] for i in range(50)]
    asked = {"target": target, "output_labels": labels}
    streamed, whole = (
        stream(x, tmp_path / "out.zarr", **asked),
        attrkit.extract(model, x, "occlusion", **{**ASK, **asked}),
    )
    assert streamed.attrs["target"] == "one a sample"
    assert set(streamed["target"].values.tolist()) == set(labels)
    assert "target" in streamed.coords
    np.testing.assert_array_equal(streamed["time"].values, time)
    xr.testing.assert_identical(alike(streamed), alike(whole))


def test_what_is_given_sample_by_sample_goes_with_its_samples(tmp_path):
    mask = np.arange(6)[None, :] < 1 + np.arange(50)[:, None] % 6
    order = np.random.default_rng(1).permutation(50)
    labelled = xr.DataArray(X * 0.5, dims=("sample", "timestep", "channel"), coords={"sample": np.arange(50)})
    for number, asked in enumerate(
        [
            {"target": np.arange(50) % 2},
            {"target": pd.Series(np.arange(50) % 2)},
            {"mask": mask},
            {"baseline": X * 0.5},
            {"baseline": labelled.isel(sample=order)},
            {"baseline": np.array([1.0, 2.0, 3.0])},
        ]
    ):
        streamed = stream(X, tmp_path / f"{number}.zarr", **asked)
        xr.testing.assert_identical(alike(streamed), alike(attrkit.extract(model, X, "occlusion", **{**ASK, **asked})))


@pytest.mark.parametrize("kind", ["array", "zarr"])
def test_the_mean_is_that_of_all_samples(kind, tmp_path):
    streamed = stream(SOURCES[kind](tmp_path), tmp_path / "out.zarr", baseline="mean")
    whole = attrkit.extract(model, X, "occlusion", baseline="mean", **ASK)
    assert streamed.attrs["baseline"] == whole.attrs["baseline"]
    xr.testing.assert_allclose(alike(streamed), alike(whole), rtol=1e-5)
    with pytest.raises(RefusedError, match="an iterator gives them once"):
        stream(iter([X]), tmp_path / "batches.zarr", baseline="mean")


def two_inputs(series, static):
    return (series.mean(axis=1) * static).sum(axis=1)


@pytest.mark.parametrize("form", [dict, tuple])
@pytest.mark.parametrize("lazy", [False, True])
def test_several_inputs_and_one_of_them_on_the_disk(form, lazy, tmp_path):
    static = np.random.default_rng(5).standard_normal((50, 3)).astype("float32")
    given = {"series": zarr_array(tmp_path) if lazy else X, "static": static}
    streamed = stream(form(given) if form is dict else tuple(given.values()), tmp_path / "out.zarr", model=two_inputs)
    xr.testing.assert_identical(
        alike(streamed), alike(attrkit.extract(two_inputs, {"series": X, "static": static}, "occlusion", **ASK))
    )


def test_the_size_of_a_chunk_is_found_and_kept(tmp_path):
    stream(X, tmp_path / "out.zarr", chunk_size=None)
    manifest = json.loads((tmp_path / "out.zarr/sample/.attrkit.json").read_text())["manifest"]
    assert [(chunk["start"], chunk["stop"]) for chunk in manifest["chunks"]] == [(0, 50)]
    assert manifest["chunk_size"] > 50


# ---- once more ------------------------------------------------------------------------------------------------


def test_an_error_names_its_samples_and_the_rest_is_done_by_the_next_call(tmp_path):
    broken = X.copy()
    broken[23, 2, 1] = np.nan
    np.save(tmp_path / "x.npy", broken)
    kept = np.load(tmp_path / "x.npy", mmap_mode="r+")
    with pytest.raises(InputError, match=r"samples 21 to 27 \(chunk 3\): inputs as float32 hold 1 NaN"):
        stream(kept, tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()
    assert len(list((tmp_path / "out.zarr.partial/done").iterdir())) == 3
    attribution = tmp_path / "out.zarr.partial/data.zarr/attribution"
    written = {name: (attribution / name).stat().st_mtime_ns for name in ("0.0.0", "1.0.0", "2.0.0")}
    kept[23, 2, 1] = X[23, 2, 1]
    kept.flush()
    seen = []

    def counting(x):
        seen.append(len(x))
        return model(x)

    counting.__name__, counting.__module__ = model.__name__, model.__module__
    streamed = stream(kept, tmp_path / "out.zarr", model=counting)
    assert {name: (tmp_path / "out.zarr/attribution" / name).stat().st_mtime_ns for name in written} == written
    xr.testing.assert_identical(alike(streamed), alike(attrkit.extract(model, X, "occlusion", **ASK)))
    # 29 samples are left, each with 18 places to cover, beside its prediction and four samples that are looked at.
    assert sum(seen) < 29 * 19 + 4 * 10


def test_a_call_with_other_samples_or_another_question_is_refused(tmp_path):
    path = tmp_path / "out.zarr"
    stream(X, path)
    xr.testing.assert_identical(stream(X, path), stream(X, path, chunk_size=None))
    for asked, said in [
        ({"target": 1}, "asked.target is 1 now and was 0"),
        ({"baseline": 1.0}, "asked.baseline is 1.0 now"),
        ({"window": 2}, "options.window is 2 now and was None"),
        ({"chunk_size": 8}, "chunk_size is 8 now and was 7"),
        (
            {"model": lambda x: 2 * model(x)},
            "the model's predictions .* differ by",
        ),
    ]:
        with pytest.raises(StoreError, match=said):
            stream(X, path, **asked)
    with pytest.raises(StoreError, match=r"inputs\.samples is 49 now and was 50"):
        stream(X[:49], path)
    other = X.copy()
    other[33] += 1
    with pytest.raises(StoreError, match=r"samples 28 to 34.* is of other inputs"):
        stream(other, path)
    attrkit.save(attrkit.extract(model, X, "occlusion", **ASK), tmp_path / "saved.zarr")
    with pytest.raises(StoreError, match="exists already, and was not written chunk by chunk"):
        stream(X, tmp_path / "saved.zarr")


def test_a_run_that_was_begun_goes_on_with_the_same_samples_only(tmp_path):
    broken = X.copy()
    broken[23] = np.nan
    other = X.copy()
    other[8] += 1

    def batches(x):
        return (x[i : i + 10] for i in range(0, 50, 10))

    path = tmp_path / "out.zarr"
    with pytest.raises(InputError, match="batch 2, whose first sample is number 20"):
        stream(batches(broken), path)
    with pytest.raises(StoreError, match="not those that were explained before"):
        stream(batches(other), path)
    with pytest.raises(StoreError, match=r"is the answer to another question: asked\.seed is 3 now"):
        stream(batches(X), path, seed=3)
    xr.testing.assert_identical(alike(stream(batches(X), path)), alike(attrkit.extract(model, X, "occlusion", **ASK)))


def test_what_failed_before_the_first_chunk_leaves_nothing_in_the_way(tmp_path):
    with pytest.raises(InputError, match="window"):
        stream(X, tmp_path / "out.zarr", window=99)
    stream(X, tmp_path / "out.zarr", window=2)


# ---- damage ---------------------------------------------------------------------------------------------------


def test_a_chunk_that_is_missing_cut_or_changed_is_not_read_as_numbers(tmp_path):
    stream(X, tmp_path / "out.zarr")
    chunk = tmp_path / "out.zarr/attribution/3.0.0"
    raw = chunk.read_bytes()
    for lazy in (True, False):
        chunk.unlink()
        with pytest.raises(StoreError, match=r"attribution/3\.0\.0 is missing"):
            attrkit.load(tmp_path / "out.zarr", lazy=lazy)
        chunk.write_bytes(raw[:-1])
        with pytest.raises(StoreError, match=rf"attribution/3\.0\.0 has {len(raw) - 1} bytes, {len(raw)} were written"):
            attrkit.load(tmp_path / "out.zarr", lazy=lazy)
    chunk.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"attribution/3\.0\.0 has changed"):
        attrkit.load(tmp_path / "out.zarr")
    chunk.write_bytes(raw)
    attrkit.load(tmp_path / "out.zarr")


def test_a_chunk_that_was_damaged_meanwhile_is_done_again(tmp_path):
    broken = X.copy()
    broken[45] = np.nan
    path = tmp_path / "out.zarr"
    with pytest.raises(InputError):
        stream(iter([X[:40], broken[40:]]), path)
    (tmp_path / "out.zarr.partial/data.zarr/attribution/2.0.0").write_bytes(b"damaged")
    stream(iter([X[:40], X[40:]]), path)
    stream(iter([X[:40], X[40:]]), tmp_path / "other.zarr")
    assert contents(path) == contents(tmp_path / "other.zarr")


# ---- what chunks would change ---------------------------------------------------------------------------------


def centred(model, x, target):
    return x - x.mean(axis=0)


def test_a_method_that_compares_samples_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"centred gives other values of 'attribution' for a sample among other"):
        stream(X, tmp_path / "out.zarr", centred)
    with pytest.raises(RefusedError, match="lrp cannot be run chunk by chunk: it input_rule='z_box' takes its box"):
        stream(X, tmp_path / "out.zarr", "lrp", input_rule="z_box")


def test_what_does_not_go_together_is_refused_by_name(tmp_path):
    for asked in ({"chunk_size": 4}, {"client": 4}):
        with pytest.raises(InputError, match="give store= too"):
            attrkit.extract(model, X, "occlusion", **ASK, **asked)
    with pytest.raises(StoreError, match=r"ends in '\.nc'"):
        stream(X, tmp_path / "out.nc")
    with pytest.raises(InputError, match="chunk_size must be a whole number"):
        stream(X, tmp_path / "out.zarr", chunk_size=0)
    with pytest.raises(InputError, match="the target has 49 samples, the inputs have 50"):
        stream(X, tmp_path / "out.zarr", target=[0] * 49)
    with pytest.raises(InputError, match="the mask has 49 samples"):
        stream(X, tmp_path / "out.zarr", mask=np.ones((49, 6), bool))
    with pytest.raises(InputError, match="gave no batch"):
        stream(iter([]), tmp_path / "out.zarr")
    with pytest.raises(InputError, match="client is a int"):
        stream(X, tmp_path / "out.zarr", client=3)
    same = xr.DataArray(X[:10], dims=("sample", "timestep", "channel"), coords={"sample": range(5, 15)})
    with pytest.raises(StoreError, match="labels of sample came more than once"):
        stream(iter([same, same]), tmp_path / "twice.zarr")


def warning_of_each(model, x, target):
    warnings.warn(f"{len(x)} samples came", AttrkitWarning, stacklevel=2)
    return x


def test_warnings_of_chunks_are_said_once(tmp_path):
    with pytest.warns(AttrkitWarning) as caught:
        stream(X, tmp_path / "out.zarr", warning_of_each)
    assert [str(w.message) for w in caught] == ["in 8 of 8 chunks; of the first, samples 0 to 6: 7 samples came"]
