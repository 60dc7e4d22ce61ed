"""Chunks spread over the workers of a Dask cluster: two processes here."""

import json
import os
import signal
import threading
import time

import dask.array
import distributed
import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.errors import ForwardMismatchError, InputError
from tests.streaming.common import alike, contents, inputs, model

ASK = {"target": 0, "show_progress": False, "chunk_size": 7}


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def whole():
    return attrkit.extract(model, inputs(), "occlusion", target=0, show_progress=False)


@pytest.mark.parametrize("labelled", [False, True])
def test_arrays_of_dask_are_read_chunk_by_chunk(labelled, tmp_path, whole):
    x = dask.array.from_array(inputs(), chunks=(11, 6, 3))
    x = xr.DataArray(x, dims=("sample", "timestep", "channel")) if labelled else x
    streamed = attrkit.extract(model, x, "occlusion", **ASK, store=tmp_path / "out.zarr")
    assert not streamed["attribution"].variable._in_memory
    xr.testing.assert_identical(alike(streamed), alike(whole))


def test_the_bytes_are_those_of_one_process(client, tmp_path, whole):
    np.save(tmp_path / "x.npy", inputs())
    sources = {
        "array": inputs(),
        "map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "dask": dask.array.from_array(inputs(), chunks=(11, 6, 3)),
        "batches": (inputs()[i : i + 9] for i in range(0, 50, 9)),
    }
    attrkit.extract(model, inputs(), "occlusion", **ASK, store=tmp_path / "alone.zarr")
    for name, source in sources.items():
        spread = attrkit.extract(model, source, "occlusion", **ASK, store=tmp_path / f"{name}.zarr", client=client)
        xr.testing.assert_identical(alike(spread), alike(whole))
    assert contents(tmp_path / "map.zarr").keys() == contents(tmp_path / "alone.zarr").keys()
    for name in ("array", "map", "dask"):
        assert contents(tmp_path / f"{name}.zarr") == contents(tmp_path / "alone.zarr")


def test_what_a_worker_refuses_is_raised_here_with_its_samples(client, tmp_path):
    x = inputs()
    x[30] = np.nan
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with pytest.raises(InputError, match=r"samples 28 to 34 \(chunk 4\): inputs as float32 hold 18 NaN"):
        attrkit.extract(model, mapped, "occlusion", **ASK, store=tmp_path / "o.zarr", client=client)


def slow(x):
    time.sleep(0.002 * len(x) / 7)
    return model(x)


def test_a_worker_that_is_killed_loses_no_chunk_that_is_done(client, tmp_path):
    folder = tmp_path / "out.zarr.partial"
    seen, workers = {}, list(client.run(os.getpid).values())

    def kill():
        while len(done := list(folder.glob("done/*.json"))) < 3:
            time.sleep(0.005)
        seen.update({path.name: path.read_bytes() for path in done})
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    streamed = attrkit.extract(slow, inputs(120), "occlusion", **ASK, store=tmp_path / "out.zarr", client=client)
    killer.join()
    assert 3 <= len(seen) < 18
    assert set(client.run(os.getpid).values()) != set(workers)
    whole = attrkit.extract(model, inputs(120), "occlusion", target=0, show_progress=False)
    np.testing.assert_array_equal(streamed["attribution"], whole["attribution"])
    manifest = json.loads((tmp_path / "out.zarr/sample/.attrkit.json").read_text())["manifest"]
    for name, marker in seen.items():
        # Its seconds are those of the worker that did it first.
        assert manifest["chunks"][int(name[:8])]["seconds"] == json.loads(marker)["attrs"]["seconds"]


@pytest.fixture(scope="module")
def net():
    from tensorflow import keras

    keras.utils.set_random_seed(1)
    x = inputs()
    net = keras.Sequential([keras.layers.Input((6, 3)), keras.layers.GRU(4), keras.layers.Dense(1)])
    net.compile("adam", "mse")
    net.fit(x, x[:, 2].sum(axis=1), epochs=3, verbose=0)
    return net


def test_a_net_goes_to_the_workers_by_its_file(client, net, tmp_path):
    asked = {"batch_size": 7, "show_progress": False}
    whole = attrkit.extract(net, inputs(), "gradient", **asked)
    net.save(tmp_path / "net.keras")
    for name, given in {"file": tmp_path / "net.keras", "net": net}.items():
        spread = attrkit.extract(
            given, inputs(), "gradient", **asked, store=tmp_path / f"{name}.zarr", client=client, chunk_size=7
        )
        np.testing.assert_allclose(spread["attribution"], whole["attribution"], rtol=1e-4, atol=1e-6)
    assert contents(tmp_path / "file.zarr") == contents(tmp_path / "net.zarr")


def loaded():
    from attrkit.streaming.cluster import _LOADED

    return [id(adapter) for adapter in _LOADED.values()]


def test_a_worker_loads_a_net_in_memory_once_and_again_when_its_weights_change(client, net, tmp_path):
    def run(net, name):
        asked = {"batch_size": 7, "show_progress": False, "chunk_size": 7}
        attrkit.extract(net, inputs(), "gradient", **asked, store=tmp_path / f"{name}.zarr", client=client)
        return client.run(loaded)

    from tensorflow import keras

    other = keras.models.clone_model(net)
    other.set_weights([w * 1.5 for w in net.get_weights()])
    first, again, changed = run(net, "first"), run(net, "again"), run(other, "other")
    assert first == again
    assert all(len(ids) == 1 and ids != changed[worker] for worker, ids in first.items())


def test_a_worker_with_another_model_stops_the_run(client, net, tmp_path):
    from tensorflow import keras

    other = keras.models.clone_model(net)
    other.set_weights([w * 1.5 for w in net.get_weights()])
    path = tmp_path / "net.keras"
    net.save(path)

    def batches():
        yield inputs()
        # The file changes before a worker reads it.
        other.save(path)

    with pytest.raises(ForwardMismatchError, match="predicts something else than yours"):
        attrkit.extract(
            path, batches(), "gradient", show_progress=False, store=tmp_path / "o.zarr", client=client, chunk_size=60
        )
