"""Torch files: what is loaded, and what is refused before any of its code runs."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import attrkit
from attrkit.errors import InputError, RefusedError, StoreError


class Net(torch.nn.Module):
    def __init__(self, units=4):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, units, batch_first=True)
        self.head = torch.nn.Linear(units, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Evil:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((4, 6, 3)).astype("float32")


def gradients(model, x):
    return attrkit.extract(model, x, "gradient", target=1, show_progress=False)["attribution"].values


@pytest.mark.parametrize("nested", [None, "state_dict", "model_state_dict"])
def test_weights_go_into_the_model_that_is_built(tmp_path, net, x, nested):
    state = net.state_dict()
    torch.save(state if nested is None else {nested: state, "epoch": 3}, tmp_path / "state.pt")
    other = Net()
    assert attrkit.load_model(tmp_path / "state.pt", into=other) is other
    np.testing.assert_array_equal(gradients(other, x), gradients(net, x))
    with pytest.raises(StoreError, match=r"holds 6 tensors \(lstm.weight_ih_l0.*into=model"):
        attrkit.load_model(tmp_path / "state.pt")


def test_weights_that_do_not_fit_are_named(tmp_path, net):
    state = net.state_dict()
    state["extra"] = state.pop("head.bias")
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(StoreError, match=r'(?s)Missing key.*"head.bias".*Unexpected key.*"extra"'):
        attrkit.load_model(tmp_path / "state.pt", into=Net())
    torch.save(net.state_dict(), tmp_path / "state.pt")
    with pytest.raises(StoreError, match=r"(?s)do not fit.*size mismatch for lstm.weight_ih_l0"):
        attrkit.load_model(tmp_path / "state.pt", into=Net(units=5))
    with pytest.raises(InputError, match="into is a dict"):
        attrkit.load_model(tmp_path / "state.pt", into={})
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(StoreError, match="holds a list, not the weights"):
        attrkit.load_model(tmp_path / "list.pt", into=Net())


@pytest.mark.parametrize("wrong", ["names", "shapes"])
def test_weights_that_do_not_fit_leave_the_model_as_it_was(tmp_path, net, wrong):
    torch.save(net.state_dict(), tmp_path / "state.pt")
    other = Net()
    if wrong == "names":
        other.last = torch.nn.Linear(2, 2)
    else:
        other.head = torch.nn.Linear(4, 3)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(StoreError, match="do not fit the model of into="):
        attrkit.load_model(tmp_path / "state.pt", into=other)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_explained(tmp_path, net, x):
    torch.jit.save(torch.jit.script(net), tmp_path / "script.pt")
    loaded = attrkit.load_model(tmp_path / "script.pt")
    assert isinstance(loaded, torch.jit.ScriptModule)
    np.testing.assert_allclose(gradients(loaded, x), gradients(net, x), atol=1e-6)
    with pytest.raises(InputError, match="leave into= out"):
        attrkit.load_model(tmp_path / "script.pt", into=Net())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_that_touches_files_is_refused(tmp_path, net):
    torch.jit.save(torch.jit.script(net), tmp_path / "script.pt")
    with zipfile.ZipFile(tmp_path / "script.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    code = next(name for name in parts if "/code/" in name and name.endswith(".py"))
    parts[code] += b'\ndef f(x: Tensor) -> Tensor:\n  torch.save(x, "evil")\n  return x\n'
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(RefusedError, match=r"calls torch.save, which reads or writes files"):
        attrkit.load_model(tmp_path / "evil.pt")


@pytest.mark.filterwarnings("ignore")
def test_exported_programs_are_loaded_where_that_is_allowed(tmp_path, x):
    model = torch.nn.Sequential(torch.nn.Conv1d(6, 4, 1), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(12, 2))
    batch = torch.export.Dim("batch")
    program = torch.export.export(model.eval(), (torch.tensor(x),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(RefusedError, match=r"torch.export.*unpickles without limits.*allow_code_execution=True"):
        attrkit.load_model(tmp_path / "model.pt2")
    loaded = attrkit.load_model(tmp_path / "model.pt2", allow_code_execution=True)
    np.testing.assert_allclose(gradients(loaded, x), gradients(model, x), atol=1e-6)


def test_whole_modules_are_refused_unless_allowed(tmp_path, net, x):
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(RefusedError, match=r"calls \S*Net when it is loaded.*state_dict.*allow_code_execution=True"):
        attrkit.load_model(tmp_path / "whole.pt")
    loaded = attrkit.load_model(tmp_path / "whole.pt", allow_code_execution=True)
    np.testing.assert_array_equal(gradients(loaded, x), gradients(net, x))
    other = Net()
    assert attrkit.load_model(tmp_path / "whole.pt", into=other, allow_code_execution=True) is other


@pytest.mark.parametrize("way", ["zip", "old", "pickle"])
def test_pickles_that_run_code_are_refused(tmp_path, way):
    marker, path = tmp_path / "marker", tmp_path / "evil.pt"
    if way == "pickle":
        path.write_bytes(pickle.dumps({"w": Evil(marker)}))
    else:
        torch.save({"w": Evil(marker)}, path, _use_new_zipfile_serialization=way == "zip")
    with pytest.raises(RefusedError, match=r"calls (\S*mkdir|what torch does not know) when"):
        attrkit.load_model(path, into=Net())
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
def test_files_that_are_cut_short_or_of_another_kind(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "state.pt")
    torch.save(net.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(net), tmp_path / "script.pt")
    for name in ("state.pt", "old.pt", "script.pt"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"short_{name}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StoreError, match=r"is cut short"):
            attrkit.load_model(tmp_path / f"short_{name}", into=Net())
    for suffix in (".pt", ".pth", ".pt2", ".safetensors"):
        path = Path(tmp_path, f"text{suffix}")
        path.write_text("nothing that is known")
        with pytest.raises(StoreError, match=r"text\.\w+"):
            attrkit.load_model(path)
    shutil.copy(tmp_path / "state.pt", tmp_path / "model.keras")
    with pytest.raises(StoreError, match=r"ends in .keras, but is a torch file"):
        attrkit.load_model(tmp_path / "model.keras")
    # Without a suffix, what the file holds decides.
    shutil.copy(tmp_path / "state.pt", tmp_path / "checkpoint")
    attrkit.load_model(tmp_path / "checkpoint", into=Net())


def test_safetensors(tmp_path, net, x):
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        gradients(attrkit.load_model(tmp_path / "model.safetensors", into=Net()), x), gradients(net, x)
    )
