"""Attention weights equal what the layer itself returns, whatever the layer, its options and the model around it."""

import numpy as np
import pytest
from keras_self_attention import ScaledDotProductAttention, SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

import attrkit
from attrkit.adapters.base import Adapter
from attrkit.errors import AttentionWarning, InputError, RefusedError

layers = keras.layers


@keras.utils.register_keras_serializable("attrkit-tests")
class Pooling(layers.Layer):
    """A user's layer: one weight a timestep, returned on request of the constructor, of shape (sample, timestep, 1)."""

    def __init__(self, return_attention=False, **kwargs):
        super().__init__(**kwargs)
        self.return_attention = return_attention
        self.score = layers.Dense(1)

    def build(self, shape):
        self.score.build(shape)
        super().build(shape)

    def call(self, inputs):
        weights = keras.activations.softmax(self.score(inputs), axis=1)
        pooled = keras.layers.Dot(axes=1)([weights, inputs])[:, 0]
        return [pooled, weights] if self.return_attention else pooled


@keras.utils.register_keras_serializable("attrkit-tests")
class Asked(layers.Layer):
    """A user's layer that returns its weights when the call asks for them."""

    def call(self, inputs, return_attention_scores=False):
        scores = keras.layers.Dot(axes=2)([inputs, inputs])
        weights = keras.activations.softmax(scores)
        output = keras.layers.Dot(axes=(2, 1))([weights, inputs])
        return (output, weights) if return_attention_scores else output


SELF_ATTENTION = {
    "additive": {},
    "multiplicative": {"attention_type": "multiplicative"},
    "odd width": {"attention_width": 5},
    "even width": {"attention_width": 4},
    "history": {"history_only": True},
    "history of a width": {"history_only": True, "attention_width": 3},
    "sigmoid": {"attention_activation": "sigmoid"},
    "no biases": {"use_additive_bias": False, "use_attention_bias": False},
    "multiplicative, tanh, width": {
        "attention_type": "multiplicative",
        "attention_activation": "tanh",
        "attention_width": 6,
    },
}


def sequence_model(layer, *, masked=False, pooled=False):
    """Return a model LSTM -> layer -> Dense(1), and the model up to the layer's input."""
    inputs = keras.Input((12, 3))
    hidden = layers.Masking()(inputs) if masked else inputs
    hidden = layers.LSTM(5, return_sequences=True)(hidden)
    output = layer(hidden)
    if not pooled:
        output = layers.GlobalAveragePooling1D()(output) if masked else layers.Flatten()(output)
    return keras.Model(inputs, layers.Dense(1)(output)), keras.Model(inputs, hidden)


def randomise(model):
    """Give every weight a value, so that biases count and no row is flat."""
    rng = np.random.default_rng(11)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype(w.dtype) for w in model.get_weights()])


def read(model, x, **options):
    """Extract attention and check what must hold every time: same predictions, model as it was."""
    before, weights = np.asarray(model(x, training=False)), model.get_weights()
    ds = attrkit.extract(model, x, "attention", show_progress=False, **options)
    np.testing.assert_array_equal(np.asarray(model(x, training=False)), before)
    np.testing.assert_allclose(ds["prediction"], before.reshape(ds["prediction"].shape), rtol=1e-4, atol=1e-6)
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for layer in attrkit.adapt(model).layers():
        assert "call" not in vars(layer.layer)
    return ds


def own_answer(layer, features, mask=None):
    """Ask a copy of the layer that was built to return its attention."""
    copy = type(layer).from_config({**layer.get_config(), "return_attention": True})
    copy(features, **({} if mask is None else {"mask": mask}))
    copy.set_weights(layer.get_weights())
    return np.asarray(copy(features, **({} if mask is None else {"mask": mask}))[-1])


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("options", SELF_ATTENTION.values(), ids=SELF_ATTENTION.keys())
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_seq_self_attention(x, padded, options, masked):
    data, mask = padded if masked else (x, None)
    layer = SeqSelfAttention(units=6, **options)
    model, before = sequence_model(layer, masked=masked)
    randomise(model)
    ds = read(model, data)
    assert ds["attention"].dims == ("sample", "query_timestep", "key_timestep")
    np.testing.assert_allclose(ds["attention"], own_answer(layer, before(data), mask), atol=1e-6)
    np.testing.assert_allclose(ds["attention"].sum("key_timestep"), 1, atol=1e-5)
    if masked:
        np.testing.assert_array_equal(ds["mask"], mask)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("options", [{}, {"use_bias": False}], ids=["bias", "no bias"])
def test_seq_weighted_attention(x, padded, options, masked):
    data, mask = padded if masked else (x, None)
    layer = SeqWeightedAttention(**options)
    model, before = sequence_model(layer, masked=masked, pooled=True)
    randomise(model)
    ds = read(model, data)
    assert ds["attention"].dims == ("sample", "key_timestep")
    np.testing.assert_allclose(ds["attention"], own_answer(layer, before(data), mask), atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("history_only", [False, True])
def test_scaled_dot_product_attention(x, padded, history_only, masked):
    data, mask = padded if masked else (x, None)
    layer = ScaledDotProductAttention(history_only=history_only)
    model, before = sequence_model(layer, masked=masked)
    randomise(model)
    ds = read(model, data)
    np.testing.assert_allclose(ds["attention"], own_answer(layer, before(data), mask), atol=1e-6)
    if masked:
        # It masks keys, so no real query attends to padding.
        np.testing.assert_allclose(ds["attention_on_padding"], 0, atol=1e-6)


def query_and_value(layer_class, **options):
    """Return a model with a built-in layer called on (query, value), and query, value, layer."""
    inputs = keras.Input((12, 3))
    query = layers.LSTM(6, return_sequences=True)(inputs)
    value = layers.Conv1D(6, 3, padding="same")(inputs)
    layer = layer_class(**options)
    if layer_class in (layers.Attention, layers.AdditiveAttention):
        output = layer([query, value])
    else:
        output = layer(query, value)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(output)))
    return model, keras.Model(inputs, [query, value]), layer


BUILT_IN = {
    "Attention": (layers.Attention, {"use_scale": True}),
    "AdditiveAttention": (layers.AdditiveAttention, {}),
    "MultiHeadAttention": (layers.MultiHeadAttention, {"num_heads": 3, "key_dim": 4}),
}
if hasattr(layers, "GroupQueryAttention"):
    BUILT_IN["GroupQueryAttention"] = (
        layers.GroupQueryAttention,
        {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
    )


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("kind", BUILT_IN)
def test_built_in_attention(x, kind):
    model, before, layer = query_and_value(BUILT_IN[kind][0], **BUILT_IN[kind][1])
    randomise(model)
    ds = read(model, x)
    query, value = before(x)
    if kind in ("Attention", "AdditiveAttention"):
        _, own = layer([query, value], return_attention_scores=True)
        assert ds["attention"].dims == ("sample", "query_timestep", "key_timestep")
    else:
        _, own = layer(query, value, return_attention_scores=True)
        assert ds["attention"].dims == ("sample", "head", "query_timestep", "key_timestep")
    np.testing.assert_allclose(ds["attention"], own, atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_masked_multi_head_attention_keeps_off_padding(padded):
    data, mask = padded
    inputs = keras.Input((12, 3))
    hidden = layers.LSTM(6, return_sequences=True)(layers.Masking()(inputs))
    output = layers.MultiHeadAttention(2, 4)(hidden, hidden)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(output)))
    randomise(model)
    ds = read(model, data)
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_allclose(ds["attention_on_padding"], 0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_layers_of_users(x):
    layer = Pooling(name="mine")
    model, before = sequence_model(layer, pooled=True)
    randomise(model)
    ds = read(model, x)
    assert ds["attention"].dims == ("sample", "key_timestep")
    np.testing.assert_allclose(ds["attention"], own_answer(layer, before(x))[..., 0], atol=1e-6)

    layer = Asked(name="asked")
    model, before = sequence_model(layer)
    ds = read(model, x)
    np.testing.assert_allclose(ds["attention"], layer(before(x), return_attention_scores=True)[1], atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_sequential_and_bidirectional(x):
    attention = SeqSelfAttention(attention_activation="sigmoid")
    recurrent = layers.Bidirectional(layers.LSTM(4, return_sequences=True))
    model = keras.Sequential([layers.Input((12, 3)), recurrent, attention, layers.Flatten(), layers.Dense(1)])
    randomise(model)
    ds = read(model, x)
    np.testing.assert_allclose(ds["attention"], own_answer(attention, recurrent(x)), atol=1e-6)


class Forecaster(keras.Model):
    """A subclassed model, with a branch in its call that needs tracing."""

    def __init__(self):
        super().__init__()
        self.recurrent = layers.GRU(4, return_sequences=True)
        self.attention = SeqSelfAttention(units=4)
        self.head = layers.Dense(1)

    def call(self, inputs, training=None):
        hidden = self.recurrent(inputs)
        return self.head(self.attention(hidden)[:, -1])


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_subclassed(x):
    model = Forecaster()
    model(x)
    randomise(model)
    ds = read(model, x)
    np.testing.assert_allclose(ds["attention"], own_answer(model.attention, model.recurrent(x)), atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_nested_model(x):
    attention = SeqSelfAttention(units=4, name="look")
    inner_in = keras.Input((12, 5))
    inner = keras.Model(inner_in, attention(inner_in), name="encoder")
    inputs = keras.Input((12, 3))
    hidden = layers.LSTM(5, return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inner(hidden))))
    randomise(model)
    ds = read(model, x)
    assert ds["attention"].attrs["layer"] == "encoder.look"
    np.testing.assert_allclose(ds["attention"], own_answer(attention, keras.Model(inputs, hidden)(x)), atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_unused_second_output(x):
    attention = SeqSelfAttention(units=4, return_attention=True)
    inputs = keras.Input((12, 3))
    output, _ = attention(inputs)
    multi = layers.MultiHeadAttention(2, 3)
    other, _ = multi(output, output, return_attention_scores=True)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(other)))
    randomise(model)
    ds = read(model, x, layer=attention.name)
    np.testing.assert_allclose(ds["attention"], attention(x)[1], atol=1e-6)
    ds = read(model, x, layer=multi.name)
    middle = attention(x)[0]
    np.testing.assert_allclose(ds["attention"], multi(middle, middle, return_attention_scores=True)[1], atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_several_layers_and_shared_layers(x):
    shared, last = SeqSelfAttention(units=4, name="shared"), SeqSelfAttention(units=4, name="last")
    inputs = keras.Input((12, 3))
    first = shared(inputs)
    second = shared(first)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(last(second))))
    randomise(model)
    ds = read(model, x)
    assert ds["layer"].values.tolist() == ["shared@0", "shared@1", "last"]
    np.testing.assert_allclose(ds["attention"].sel(layer="shared@0"), own_answer(shared, x), atol=1e-6)
    np.testing.assert_allclose(ds["attention"].sel(layer="shared@1"), own_answer(shared, shared(x)), atol=1e-6)
    np.testing.assert_allclose(ds["attention"].sel(layer="last"), own_answer(last, shared(shared(x))), atol=1e-6)
    assert "layer" not in read(model, x, layer="last").dims


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_layers_read_together_are_measured_with_their_own_masks(padded):
    data, mask = padded
    inputs = keras.Input((12, 3))
    behind = SeqSelfAttention(units=4, name="behind")(layers.Masking()(inputs))
    unmasked = layers.Lambda(lambda t: t * 1.0, name="forget", output_shape=(12, 3))(behind)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(SeqSelfAttention(units=4, name="after")(unmasked))))
    randomise(model)
    together = read(model, data)
    for name in ("behind", "after"):
        alone = read(model, data, layer=name)
        for measure in ("attention_entropy", "attention_on_padding"):
            np.testing.assert_allclose(together[measure].sel(layer=name), alone[measure], rtol=1e-6)
    np.testing.assert_array_equal(together["mask"], mask)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_attention_keeps_the_target_it_was_asked_with(x):
    inputs = keras.Input((12, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(SeqSelfAttention()(inputs))))
    ds = read(model, x, target="b", output_labels=["a", "b"])
    assert set(ds["target"].values.tolist()) == {ds.attrs["target"]} == {"b"}
    with pytest.raises(InputError, match="not an index or a known label"):
        read(model, x, target="c", output_labels=["a", "b"])
    assert "target" not in read(model, x).coords


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_layers_of_different_shapes_are_chosen_by_name(x):
    inputs = keras.Input((12, 3))
    hidden = SeqSelfAttention(name="square")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(SeqWeightedAttention(name="row")(hidden)))
    with pytest.raises(InputError, match=r"square \(12, 12\), row \(12,\); say which with layer="):
        attrkit.extract(model, x, "attention", show_progress=False)
    assert read(model, x, layer="row")["attention"].dims == ("sample", "key_timestep")
    with pytest.raises(InputError, match=r"no attention layer is named 'nothing'.*square, row"):
        attrkit.extract(model, x, "attention", layer="nothing", show_progress=False)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_attention_on_a_shortened_sequence_has_keys_of_its_own(x):
    inputs = keras.Input((12, 3))
    hidden = layers.MaxPooling1D(2)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(SeqSelfAttention()(hidden))))
    ds = read(model, x)
    assert ds["attention"].sizes["key_timestep"] == 6
    with pytest.raises(InputError, match="6 keys, the input has 12 timesteps"):
        attrkit.extract(model, x, "attention", reduce="mean", show_progress=False)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ("mean", lambda a: a.mean(axis=1)),
        ("max", lambda a: a.max(axis=1)),
        ("last", lambda a: a[:, -1]),
        (4, lambda a: a[:, 4]),
    ],
)
def test_reductions_are_named_and_recorded(x, reduce, expected):
    model, _ = sequence_model(SeqSelfAttention())
    randomise(model)
    ds = read(model, x, reduce=reduce)
    np.testing.assert_allclose(ds["attribution"], expected(ds["attention"].values), rtol=1e-6)
    assert ds["attribution"].dims == ("sample", "timestep")
    assert ds["attribution"].attrs["cell_methods"] == f"query_timestep: {reduce}"
    assert "attribution" not in read(model, x)


def test_heads_are_reduced_on_request_only(x):
    model, _, _ = query_and_value(layers.MultiHeadAttention, num_heads=2, key_dim=4)
    randomise(model)
    with pytest.raises(InputError, match=r"2 heads, head=None is not one; accepted are \[0, 1\] or 'mean' or 'max'"):
        attrkit.extract(model, x, "attention", reduce="mean", show_progress=False)
    ds = attrkit.extract(model, x, "attention", reduce="mean", head="max", show_progress=False)
    np.testing.assert_allclose(ds["attribution"], ds["attention"].values.max(axis=1).mean(axis=1), rtol=1e-6)
    assert ds["attribution"].attrs["cell_methods"] == "head: max query_timestep: mean"


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_padding_that_is_attended_to_is_reported(padded):
    data, mask = padded
    model, _ = sequence_model(SeqSelfAttention(), masked=True)
    with pytest.warns(AttentionWarning, match="of their weight on padding"):
        ds = attrkit.extract(model, data, "attention", show_progress=False)
    weights = ds["attention"].values
    share = [weights[i][mask[i]][:, ~mask[i]].sum(axis=1).mean() for i in range(len(data))]
    np.testing.assert_allclose(ds["attention_on_padding"], share, rtol=1e-5, atol=1e-7)


def test_one_timestep_and_flat_rows_are_reported(x):
    model = keras.Sequential([layers.Input((1, 3)), SeqSelfAttention(), layers.Flatten(), layers.Dense(1)])
    with pytest.warns(AttentionWarning, match="one key only"):
        ds = attrkit.extract(model, x[:, :1], "attention", show_progress=False)
    np.testing.assert_array_equal(ds["attention"], 1)
    model = keras.Sequential([layers.Input((12, 3)), SeqSelfAttention(kernel_initializer="zeros"), layers.Flatten()])
    with pytest.warns(AttentionWarning, match="flat"):
        attrkit.extract(model, x, "attention", target=0, show_progress=False)


def test_a_model_without_attention_is_refused_by_name(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.LSTM(4, name="memory"), layers.Dense(1)])
    with pytest.raises(RefusedError, match=r"memory \(LSTM\).*return_attention_scores"):
        attrkit.extract(model, x, "attention", show_progress=False)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_batches_do_not_change_weights(x):
    model, _ = sequence_model(SeqSelfAttention())
    whole = attrkit.extract(model, x, "attention", show_progress=False)
    parts = attrkit.extract(model, x, "attention", batch_size=3, show_progress=False)
    np.testing.assert_allclose(whole["attention"], parts["attention"], atol=1e-7)


class Block(layers.Layer):
    """A block that carries the attribute, and passes nothing on: what counts is the layer inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.return_attention = False
        self.inner = layers.MultiHeadAttention(2, 3, name="inner")

    def build(self, shape):
        self.inner.build(shape, shape) if hasattr(keras, "ops") else None
        super().build(shape)

    def call(self, inputs):
        return self.inner(inputs, inputs)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_blocks_around_attention_do_not_stand_in_the_way(x):
    model = keras.Sequential([layers.Input((12, 3)), Block(name="block"), layers.Flatten(), layers.Dense(1)])
    ds = read(model, x)
    assert ds["attention"].attrs["layer"] == "block.inner"
    assert dict(ds["attention"].sizes) == {"sample": 10, "head": 2, "query_timestep": 12, "key_timestep": 12}
    with pytest.raises(RefusedError, match="block returned no weights when asked"):
        attrkit.extract(model, x, "attention", layer="block", show_progress=False)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_reductions_leave_out_padding_that_only_the_model_knows(padded):
    data, mask = padded
    inputs = keras.Input((12, 3))
    hidden = layers.Masking()(inputs)
    hidden = layers.Reshape((12, 3))(hidden)
    output = layers.MultiHeadAttention(1, 3)(hidden, hidden)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(output)))
    ds = read(model, data, reduce="mean")
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_allclose(ds["attribution"], attrkit.reduce_attention(ds, "mean")["attribution"], rtol=1e-6)
    rows = ds["attention"].values[:, 0]
    np.testing.assert_allclose(ds["attribution"][3], rows[3][mask[3]].mean(axis=0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_half_precision(x):
    inputs = keras.Input((12, 3))
    multi = layers.MultiHeadAttention(2, 3, dtype="mixed_float16")
    model = keras.Model(inputs, layers.Dense(1, dtype="float32")(layers.Flatten()(multi(inputs, inputs))))
    ds = attrkit.extract(model, x, "attention", show_progress=False)
    np.testing.assert_allclose(ds["attention"].astype("float32").sum("key_timestep"), 1, atol=5e-3)


# Long series


def long_model():
    """Two inputs, one of them padded; two heads of attention."""
    given, other = keras.Input((12, 3), name="series"), keras.Input((2,), name="static")
    hidden = layers.LSTM(4, return_sequences=True)(layers.Masking()(given))
    # What it gives at padding is another when its weights are read, and has no part in a mean over real timesteps.
    pooled = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 3)(hidden, hidden))
    return keras.Model([given, other], layers.Dense(1)(layers.Concatenate()([pooled, other])))


@pytest.mark.parametrize("held", [1, 2**12, 2**20], ids=["one sample", "three samples", "all"])
def test_weights_that_are_not_kept_are_reduced_a_few_samples_at_a_time(padded, monkeypatch, held):
    model = long_model()
    x = {"series": padded[0], "static": np.random.default_rng(0).standard_normal((10, 2)).astype("float32")}
    asked = {"reduce": "mean", "head": "max", "explain": "series", "show_progress": False}
    whole = attrkit.extract(model, x, "attention", **asked)
    sizes, read = [], Adapter.read

    def spied(self, parts, *args, **kwargs):
        found = read(self, parts, *args, **kwargs)
        sizes.extend(call["attention"].nbytes for calls in found[1].values() for call in calls if "attention" in call)
        return found

    monkeypatch.setattr("attrkit.methods.attention.HELD", held)
    monkeypatch.setattr(Adapter, "read", spied)
    least = attrkit.extract(model, x, "attention", weights=False, **asked)
    assert "attention" not in least
    assert max(sizes) <= max(held, 2 * 12 * 12 * 4)
    for name in ("attribution", "attention_entropy", "attention_on_padding", "prediction", "mask", "input"):
        assert least[name].dims == whole[name].dims
        np.testing.assert_allclose(least[name], whole[name], atol=1e-6, err_msg=name)
    assert least["attribution"].attrs == whole["attribution"].attrs


def test_notes_are_of_all_samples_together(x, monkeypatch):
    given = keras.Input((12, 3))
    layer = SeqWeightedAttention()
    model = keras.Model(given, layers.Dense(1)(layer(given)))
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    monkeypatch.setattr("attrkit.methods.attention.HELD", 1)
    with pytest.warns(AttentionWarning, match="its rows are flat") as said:
        attrkit.extract(model, x, "attention", reduce="mean", weights=False, show_progress=False)
    assert len(said) == 1


def test_what_memory_does_not_hold_is_refused_with_its_size(x, monkeypatch):
    given = keras.Input((12, 3))
    model = keras.Model(given, layers.Dense(1)(layers.Flatten()(SeqSelfAttention(name="own")(given))))
    monkeypatch.setattr("attrkit.adapters._readings.free_memory", lambda: 5000)
    with pytest.raises(
        RefusedError, match=r"of 10 samples takes .* GiB are free: layer 'own' gives \(12, 12\) numbers"
    ):
        attrkit.extract(model, x, "attention", show_progress=False)
    ds = attrkit.extract(model, x[:2], "attention", show_progress=False)
    assert ds["attention"].nbytes == 2 * 12 * 12 * 4
