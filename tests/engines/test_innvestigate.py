"""iNNvestigate in its own process: its numbers, what it refuses, and what becomes of a process that dies."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from keras_self_attention import SeqSelfAttention
from tensorflow import keras

import attrkit
from attrkit.engines.innvestigate import names, process
from attrkit.errors import AttrkitError, EngineError, InputError, RefusedError
from tests.engines.layers import Doubled
from tests.relevance.common import with_biases

layers = keras.layers
STEPS, CHANNELS = 24, 3


@pytest.fixture(scope="module", autouse=True)
def _worker_ends():
    yield
    process.stop()


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(5, STEPS, CHANNELS)).astype("float32")


def sequential(*rows, steps=STEPS, channels=CHANNELS):
    return with_biases(keras.Sequential([layers.Input((steps, channels)), *rows]))


def seed_model(steps):
    """The model of the question that this began with."""
    attention = SeqSelfAttention(attention_width=15, attention_activation="sigmoid")
    memory = layers.LSTM(60, return_sequences=True)
    return sequential(memory, attention, layers.Flatten(), layers.Dense(1), steps=steps, channels=4)


def extract(model, x, name, **options):
    return attrkit.extract(model, x, f"innvestigate:{name}", show_progress=False, **options)


def agree(one, other, tolerance=1e-5):
    np.testing.assert_allclose(one / abs(other).max(), other / abs(other).max(), atol=tolerance)


@pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")
def test_gradients_through_the_model_that_its_users_have():
    model, x = seed_model(240), np.random.default_rng(0).normal(size=(2, 240, 4)).astype("float32")
    own = attrkit.extract(model, x, "gradient", show_progress=False)["attribution"].values
    for name in ("gradient", "gradient.baseline"):
        ds = extract(model, x, name)
        agree(ds["attribution"].values, own)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert ds.attrs["engine"] == "innvestigate"
    assert ds.attrs["engine_version"] >= "2.1.2"
    assert ds.attrs["engine_runs_on"].startswith("Keras 2")
    agree(extract(model, x, "input_t_gradient")["attribution"].values, own * x)
    integrated = extract(model, x, "integrated_gradients", steps=8)
    same = attrkit.extract(model, x, "integrated_gradients", n_steps=8, quadrature="left", show_progress=False)
    agree(integrated["attribution"].values, same["attribution"].values)
    total = integrated["attribution"].sum(("timestep", "channel")).values
    change = model.predict(x, verbose=0)[:, 0] - model.predict(np.zeros_like(x[:1]), verbose=0)[0, 0]
    np.testing.assert_allclose(integrated["completeness_gap"], total - change, atol=1e-5)
    smooth = extract(model, x, "smoothgrad", augment_by_n=4, seed=3)
    np.testing.assert_array_equal(
        smooth["attribution"], extract(model, x, "smoothgrad", augment_by_n=4, seed=3)["attribution"]
    )
    assert float(abs(smooth["attribution"] - extract(model, x, "smoothgrad", augment_by_n=4)["attribution"]).max()) > 0
    # What the process does stays there.
    import tensorflow as tf

    assert tf.executing_eagerly()
    assert model.predict(x, verbose=0).shape == (2, 1)


@pytest.mark.parametrize(
    "memory",
    [
        lambda: layers.Bidirectional(layers.LSTM(4)),
        lambda: layers.GRU(4),
        lambda: layers.SimpleRNN(4),
        lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]),
        lambda: layers.TimeDistributed(layers.Dense(2)),
    ],
    ids=["both", "gru", "simple", "stack", "distributed"],
)
def test_gradients_through_recurrent_layers(x, memory):
    model = sequential(memory(), layers.Flatten(), layers.Dense(2, "softmax"))
    ds = extract(model, x, "gradient", target=1)
    own = attrkit.extract(model, x, "gradient", target=1, logits=True, show_progress=False)
    agree(ds["attribution"].values, own["attribution"].values)
    assert ds.attrs["explained_before"] == "softmax"


def test_gradients_through_multi_head_attention(x):
    inputs = layers.Input((STEPS, CHANNELS))
    hidden = layers.Dense(8)(inputs)
    pooled = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 4)(hidden, hidden))
    model = with_biases(keras.Model(inputs, layers.Dense(2)(pooled)))
    own = attrkit.extract(model, x, "gradient", target=1, show_progress=False)
    agree(extract(model, x, "gradient", target=1)["attribution"].values, own["attribution"].values)
    with pytest.raises(RefusedError, match=r"no rule for .*MultiHeadAttention"):
        extract(model, x, "lrp.z", target=1)


def test_masked_steps_get_nothing(x):
    x[:, 20:] = 0
    model = sequential(layers.Masking(), layers.LSTM(4), layers.Dense(1))
    ds = extract(model, x, "gradient")
    agree(ds["attribution"].values, attrkit.extract(model, x, "gradient", show_progress=False)["attribution"].values)
    assert float(abs(ds["attribution"][:, 20:]).max()) == 0


NETS = {
    "dense": lambda: sequential(layers.Flatten(), layers.Dense(6, "relu"), layers.Dense(2, "softmax")),
    "pool": lambda: sequential(
        layers.Conv1D(4, 3, activation="relu"), layers.MaxPooling1D(2), layers.GlobalAveragePooling1D(), layers.Dense(2)
    ),
    "norm": lambda: sequential(
        layers.Conv1D(4, 3), layers.BatchNormalization(), layers.Activation("relu"), layers.Flatten(), layers.Dense(2)
    ),
}


def test_a_softmax_comes_off_whatever_layers_are_named(x):
    """The first model of a process has layers named dense and dense_1, and a copy of the last would be dense."""

    def named(head):
        return keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                layers.Flatten(),
                layers.Dense(6, "relu", name="dense"),
                *head,
            ]
        )

    whole = named([layers.Dense(2, "softmax", name="dense_1")])
    apart = named([layers.Dense(2, name="dense_1"), layers.Activation("softmax")])
    apart.set_weights(whole.get_weights())
    for model in (whole, apart):
        ds = extract(model, x, "gradient", target=1)
        assert ds.attrs["explained_before"] == "softmax"
        ours = attrkit.extract(model, x, "gradient", target=1, logits=True, show_progress=False)
        agree(ds["attribution"].values, ours["attribution"].values)


RULED = [name for name in names() if name.split(".")[0] in ("lrp", "deep_taylor")]


@pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")
@pytest.mark.parametrize("net", NETS)
def test_every_analyzer_answers_or_says_why_not(x, net):
    model = NETS[net]()
    options = {"lrp": {"rule": "Z"}, "deep_taylor.bounded": {"low": -4.0, "high": 4.0}}
    options["lrp.alpha_beta"] = {"alpha": 2, "beta": 1}
    options["lrp.sequential_preset_b_flat_until_idx"] = {"until_layer_idx": 1}
    for name in names():
        if net == "norm" and name in RULED:
            with pytest.raises(RefusedError, match=f"{name} does not hold.*batch normalisation"):
                extract(model, x, name, target=1, **options.get(name, {}))
            continue
        ds = extract(model, x, name, target=1, **options.get(name, {}))
        attrkit.validate(ds)
        assert ds["attribution"].dims == ("sample", "timestep", "channel")
        assert np.isfinite(ds["attribution"]).all()


def test_its_lrp_is_ours(x):
    model = NETS["pool"]()
    ours = attrkit.extract(model, x, "lrp", composite="innvestigate", target=1, show_progress=False)
    agree(extract(model, x, "lrp.epsilon", target=1)["attribution"].values, ours["attribution"].values)


def test_what_it_would_get_wrong_is_refused(x):
    model = sequential(layers.LSTM(4, name="memory"), layers.Dense(1))
    for name in ("lrp.epsilon", "deep_taylor", "guided_backprop"):
        with pytest.raises(RefusedError, match=r"no rule for memory \(LSTM\).*attrkit's own"):
            extract(model, x, name)
    with pytest.raises(RefusedError, match="gradient under another name"):
        extract(sequential(layers.Flatten(), layers.Dense(3, "tanh"), layers.Dense(1)), x, "deconvnet")
    for option in ("disable_model_checks", "noise_scale", "neuron_selection_mode"):
        with pytest.raises(RefusedError, match=f"leave {option}= out"):
            extract(model, x, "smoothgrad", **{option: 1})
    with pytest.raises(InputError, match=r"innvestigate:gradient: .*unexpected keyword argument 'scale'"):
        extract(model, x, "gradient", scale=2)
    with pytest.raises(InputError, match="Need LRP rule"):
        extract(NETS["pool"](), x, "lrp", target=1)
    with pytest.raises(InputError, match=r"no method 'lrp.epsilom'; did you mean 'lrp.epsilon'"):
        extract(model, x, "lrp.epsilom")
    given = keras.Input((STEPS, CHANNELS))
    with pytest.raises(RefusedError, match="an operation that is none"):
        extract(keras.Model(given, layers.Dense(1)(layers.Flatten()(given + given))), x, "gradient")
    with pytest.raises(RefusedError, match="takes Keras models"):
        extract(lambda x: x.sum((1, 2)), x, "gradient")
    two = keras.Model(
        [given, (other := keras.Input((2,)))], layers.Dense(1)(layers.Concatenate()([layers.Flatten()(given), other]))
    )
    with pytest.raises(RefusedError, match="one input"):
        extract(two, (x, x[:, 0, :2]), "gradient")


def test_layers_of_ones_own(x):
    model = sequential(Doubled(), layers.Flatten(), layers.Dense(1))
    own = attrkit.extract(model, x, "gradient", show_progress=False)["attribution"].values
    agree(extract(model, x, "gradient")["attribution"].values, own)

    class Local(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    with pytest.raises(RefusedError, match="put the class into a module of its own"):
        extract(sequential(Local(), layers.Flatten(), layers.Dense(1)), x, "gradient")


def test_new_weights_batches_and_every_output(x):
    model = sequential(layers.Flatten(), layers.Dense(3))
    before = extract(model, x, "gradient", target="all")
    np.testing.assert_allclose(
        before["attribution"].values[0].reshape(3, -1), model.get_weights()[0].T, rtol=1e-5, atol=1e-6
    )
    model.set_weights([2 * w for w in model.get_weights()])
    agree(
        extract(model, x, "gradient", target=1, batch_size=2)["attribution"].values,
        2 * before["attribution"].values[:, 1],
    )


def test_a_process_that_dies_is_an_error_and_is_started_again(x):
    model = seed_model(60)
    series = np.random.default_rng(0).normal(size=(64, 60, 4)).astype("float32")
    extract(model, series[:2], "gradient")
    pid = process.running().pid

    def kill():
        time.sleep(1.0)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(EngineError, match="has died, and is started again"):
        extract(model, series, "integrated_gradients", steps=2048)
    thread.join()
    assert extract(model, series[:2], "gradient")["attribution"].shape == (2, 60, 4)
    assert process.running().pid != pid


def test_a_question_that_takes_too_long_is_stopped(x):
    model = seed_model(60)
    extract(model, np.zeros((2, 60, 4), "float32"), "gradient")
    worker = process.running()
    with pytest.raises(EngineError, match="did not answer within"):
        extract(model, np.zeros((64, 60, 4), "float32"), "integrated_gradients", steps=512, timeout=0.05)
    assert not worker.log.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def test_an_interpreter_without_it_says_so(x, monkeypatch, tmp_path):
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setenv(process.PYTHON, str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(AttrkitError, match=r"innvestigate cannot be used in .*bare.*No module named 'innvestigate'"):
        extract(sequential(layers.Flatten(), layers.Dense(1)), x, "gradient")


def half_and_whole(policy):
    """A model that computes in half precision, and the same weights in single precision."""
    found = []
    for kind in (policy, "float32"):
        own = {"dtype": kind}
        model = keras.Sequential(
            [
                layers.Input((STEPS, CHANNELS)),
                layers.Dense(4, "tanh", **own),
                layers.Flatten(**own),
                layers.Dense(2, **own),
            ]
        )
        rng = np.random.default_rng(1)
        model.set_weights([0.7 * rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
        found.append(model)
    return found


@pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_models_in_half_precision(x, policy):
    half, whole = half_and_whole(policy)
    agree(*(extract(model, x, "gradient", target=0)["attribution"].values for model in (half, whole)), 0.03)
    for name in ("lrp.epsilon", "deep_taylor"):
        with pytest.raises(RefusedError, match=rf"innvestigate:{name} divides by sums.*attrkit\.to_float32\(model\)"):
            extract(half, x, name, target=0)
