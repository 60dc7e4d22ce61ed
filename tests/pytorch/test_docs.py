"""What the documentation shows of torch runs, and does what is said of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import attrkit
from attrkit.relevance import COMPOSITES
from tests.docs.calls import HERE_ONLY, PAGES, calls_of, run_calls
from tests.docs.examples import DOCS, EXTENDING, module_of


def test_the_quick_start_with_a_torch_model(tmp_path, monkeypatch):
    """The script is run from its questions on, with the module that it shows in the place of the Keras model."""
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2015-01-01", periods=134)
    columns = ["precipitation", "temp_max", "temp_min", "wind"]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(134, 4)), index=days, columns=columns)
    x = attrkit.windows(frame.iloc[:-1], 14).astype("float32")
    names = {"attrkit": attrkit, "x": x, "y": frame["temp_max"].to_numpy()[14:].astype("float32")}
    exec((DOCS / "lessons" / "torch_model.py").read_text(), names)
    script = (DOCS / "lessons" / "plot_00_quick_start.py").read_text()
    _, asks = script.split("# Ask\n")
    exec(asks, names)
    assert list(names["tree"].children) == ["attention", "gradient", "integrated gradients", "occlusion"]
    assert names["tree"]["attention"]["attribution"].dims == ("sample", "timestep")
    assert names["faithful"]["aopc_comprehensiveness"].dims == ("extractor", "sample")


HIGHWAY = module_of(EXTENDING / "highway_torch.py")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.highway, self.gru, self.out = HIGHWAY.Highway(3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.gru(self.highway(x))[0][:, -1])


def test_the_rule_of_a_highway_layer_conserves():
    net, x = Net().double(), np.random.default_rng(1).normal(size=(4, 6, 3))
    ds = attrkit.extract(net, x, "lrp", composite=HIGHWAY.composite, by_layer=True)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-9)
    assert float(abs(ds.sel(layer="highway")["layer_bias_relevance"]).min()) > 1e-6
    # Without the rule the gate is not known to be one, and gets half.
    plain = attrkit.extract(net, x, "lrp")
    assert float(abs(plain["attribution"] - ds["attribution"]).max()) > 1e-6


def test_the_rule_of_a_highway_layer_by_hand():
    net = nn.Sequential(HIGHWAY.Highway(1), nn.Flatten()).double()
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), (2.0, 1.0, 0.0, 0.0), strict=True):
            parameter.fill_(value)
    composite = COMPOSITES["z"].extended({"Highway": HIGHWAY.highway})
    ds = attrkit.extract(net, np.full((1, 1, 1), 3.0), "lrp", composite=composite)
    half = 0.5 * np.tanh(7)
    np.testing.assert_allclose(ds["attribution"].item(), half * 6 / 7 + 1.5, rtol=1e-12)
    np.testing.assert_allclose(ds["bias_relevance"].item(), half / 7, rtol=1e-12)


class Texts(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.gru, self.out = nn.Embedding(9, 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, ids):
        return self.out(self.gru(self.embedding(ids))[0][:, -1])


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.attention = nn.LSTM(3, 4, batch_first=True), nn.MultiheadAttention(4, 1, batch_first=True)
        self.flat, self.out = nn.Flatten(), nn.Linear(8 * 4, 3)

    def forward(self, x):
        states, _ = self.lstm(x)
        return self.out(self.flat(self.attention(states, states, states)[0]))


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttrkitWarning")
@pytest.mark.parametrize("page", PAGES)
def test_every_call_in_a_table_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, background = rng.normal(size=(2, 3, 8, 3)).astype("float32")
    model = Scores()
    names = {
        "model": model,
        "text_model": Texts(),
        "x": x,
        "ids": rng.integers(1, 9, (3, 8)),
        "background": background,
        "ds": attrkit.extract(model, x, "gradient", target=1),
        "tree": attrkit.compare(model, x, ["input_x_gradient", "integrated_gradients"], target=1),
        "attention": attrkit.extract(model, x, "attention"),
        "outputs": attrkit.layer_outputs(model, x, "lstm"),
        "flat": attrkit.layer_outputs(model, x, "flat"),
        "values": rng.normal(size=x.shape),
        "explanation": rng.normal(size=x.shape),
    }
    calls = [call for call in calls_of(page) if not any(word in call for word in HERE_ONLY)]
    assert len(calls) > 5
    of_classes = [call for call in calls if "logits=True" in call]
    run_calls([call for call in calls if call not in of_classes], names)
    run_calls(of_classes, {**names, "model": nn.Sequential(model, nn.Softmax(-1))})
