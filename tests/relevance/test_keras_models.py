"""LRP through whole Keras models: the ledger adds up, what has no rule is refused, users add rules of their own."""

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.errors import CompletenessWarning, ForwardMismatchError, InputError, RefusedError
from attrkit.relevance import COMPOSITES, AlphaBeta, Composite, Epsilon, Gamma, ZBox, passes
from tests.relevance.common import with_biases

STEPS, CHANNELS = 12, 3
CONSERVED = 1e-5


@pytest.fixture
def x():
    return np.random.default_rng(3).standard_normal((6, STEPS, CHANNELS)).astype("float32")


@pytest.fixture(autouse=True)
def _seeded(keras):
    keras.utils.set_random_seed(5)
    yield
    keras.backend.clear_session()


def lrp(model, x, **options):
    return attrkit.extract(model, x, "lrp", show_progress=False, **options)


def of_layers(keras, *layers):
    model = keras.Sequential([keras.Input((STEPS, CHANNELS)), *layers])
    return with_biases(model)


def check_ledger(ds, tolerance=CONSERVED):
    dims = [dim for dim in ds["attribution"].dims if dim not in ("sample", "output")]
    total = ds["attribution"].sum(dims) + ds["bias_relevance"] + ds["epsilon_relevance"]
    explained = ds["prediction"] if "output" in ds["bias_relevance"].dims else None
    if explained is None:
        explained = total - ds["completeness_gap"]
    xr.testing.assert_allclose(total, explained.astype(total.dtype), atol=1e-4)
    size = np.maximum(np.abs(explained), 0.1 * np.abs(ds["attribution"]).sum(dims))
    assert float((abs(ds["completeness_gap"]) / size).max()) <= tolerance
    return ds


def bodies(keras):
    layers = keras.layers
    return {
        "lstm": [layers.LSTM(5, return_sequences=True), layers.GlobalAveragePooling1D()],
        "bidirectional": [layers.Bidirectional(layers.GRU(4, return_sequences=True)), layers.GlobalMaxPooling1D()],
        "convolution": [
            layers.Conv1D(6, 3, padding="causal", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling1D(2),
            layers.ZeroPadding1D(1),
            layers.Conv1D(4, 3, strides=2),
            layers.LeakyReLU(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, "tanh"),
        ],
        "distributed": [
            layers.TimeDistributed(layers.Dense(4, "relu")),
            layers.TimeDistributed(keras.Sequential([layers.Dense(3, "sigmoid")])),
            layers.Reshape((STEPS * 3,)),
        ],
    }


@pytest.mark.parametrize("body", ["lstm", "bidirectional", "convolution", "distributed"])
@pytest.mark.parametrize("composite", ["arras", "z_plus"])
def test_relevance_and_ledger_add_up_to_the_output(keras, x, body, composite):
    model = of_layers(keras, *bodies(keras)[body], keras.layers.Dense(2))
    ds = check_ledger(lrp(model, x, target=1, composite=composite))
    np.testing.assert_allclose(
        ds["attribution"].sum(("timestep", "channel")) + ds["bias_relevance"] + ds["epsilon_relevance"],
        ds["prediction"][:, 1] + ds["completeness_gap"],
        rtol=1e-4,
        atol=1e-5,
    )


def test_branches_shared_layers_and_nested_models(keras, x):
    layers = keras.layers
    inner = keras.Sequential([keras.Input((STEPS, CHANNELS)), layers.Dense(4, "relu"), layers.LSTM(3)], name="inner")
    shared = layers.Dense(3)
    one, two = keras.Input((STEPS, CHANNELS), name="one"), keras.Input((STEPS, CHANNELS), name="two")
    a, b = shared(one), shared(two)
    both = layers.Add()([a, b, one])
    attended = layers.MultiHeadAttention(2, 3)(both, both)
    normed = layers.LayerNormalization()(layers.Add()([both, attended]))
    joined = layers.Concatenate()([inner(normed), inner(two), layers.GlobalAveragePooling1D()(normed)])
    model = with_biases(keras.Model([one, two], layers.Dense(1)(joined)))
    given = {"one": x, "two": x[::-1].copy()}
    ds = lrp(model, given)
    total = ds["attribution"].sum(("timestep", "channel")) + ds["attribution_two"].sum(("timestep", "channel_two"))
    total = total + ds["bias_relevance"] + ds["epsilon_relevance"]
    np.testing.assert_allclose(total, ds["prediction"], rtol=1e-4, atol=1e-5)
    assert set(np.abs(ds["attribution_two"].values).max(axis=(1, 2)) > 0) == {True}


def test_masked_steps_and_padded_tokens_get_nothing(keras, x):
    layers = keras.layers
    x[:, 9:] = 0
    model = of_layers(keras, layers.Masking(), layers.LSTM(4), layers.Dense(1))
    ds = check_ledger(lrp(model, x))
    np.testing.assert_array_equal(ds["attribution"][:, 9:], 0)
    tokens = keras.Sequential(
        [keras.Input((STEPS,), dtype="int32"), layers.Embedding(9, 4, mask_zero=True), layers.GRU(4), layers.Dense(1)]
    )
    with_biases(tokens)
    ids = np.random.default_rng(0).integers(1, 9, (5, STEPS)).astype("int32")
    ids[:, 8:] = 0
    ds = check_ledger(lrp(tokens, ids))
    assert ds["attribution"].dims == ("sample", "timestep")
    np.testing.assert_array_equal(ds["attribution"][:, 8:], 0)


def test_every_output_and_the_score_before_a_softmax(keras, x):
    layers = keras.layers
    model = of_layers(keras, layers.LSTM(4), layers.Dense(3))
    ds = check_ledger(lrp(model, x, target="all"), 1e-4)
    assert ds["attribution"].dims == ("sample", "output", "timestep", "channel")
    classifier = keras.Sequential([*model.layers, layers.Softmax()])
    classifier.build((None, STEPS, CHANNELS))
    whole = keras.Sequential([keras.Input((STEPS, CHANNELS)), layers.LSTM(4), layers.Dense(3, "softmax")])
    whole.set_weights(model.get_weights())
    expected = lrp(model, x, target=2)
    for form in (classifier, whole):
        before = lrp(form, x, target=2, logits=True)
        np.testing.assert_allclose(before["attribution"], expected["attribution"], rtol=1e-4, atol=1e-6)
        with pytest.raises(RefusedError, match=r"softmax.* pass logits=True"):
            lrp(form, x, target=2)


def test_a_hidden_sigmoid_passes_relevance_on_under_logits(keras, x):
    layers = keras.layers
    body = [layers.Flatten(), layers.Dense(4, "sigmoid")]
    model = of_layers(keras, *body, layers.Dense(2, "softmax"))
    plain = of_layers(keras, layers.Flatten(), layers.Dense(4, "sigmoid"), layers.Dense(2))
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(
        lrp(model, x, target=0, logits=True)["attribution"],
        lrp(plain, x, target=0)["attribution"],
        rtol=1e-4,
        atol=1e-6,
    )


def test_layers_told_apart_account_for_all(keras, x):
    layers = keras.layers
    model = of_layers(
        keras, layers.LSTM(4, name="memory"), layers.Dense(3, "relu", name="mix"), layers.Dense(1, name="out")
    )
    whole, apart = lrp(model, x), lrp(model, x, by_layer=True)
    xr.testing.assert_allclose(whole["attribution"], apart["attribution"])
    assert apart["layer"].values.tolist() == ["memory", "mix", "out"]
    for kind in ("bias", "epsilon"):
        total = apart[f"layer_{kind}_relevance"].sum("layer")
        np.testing.assert_allclose(total, whole[f"{kind}_relevance"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(apart["layer_gap"], 0, atol=1e-5)
    np.testing.assert_allclose(apart["layer_relevance"].sel(layer="out"), apart["prediction"], rtol=1e-5)
    # What one layer passes on is what the next is given.
    given = apart["layer_relevance"]
    lost = apart["layer_bias_relevance"] + apart["layer_epsilon_relevance"]
    passed = (given - lost).sel(layer=["mix", "out"])
    np.testing.assert_allclose(passed, given.sel(layer=["memory", "mix"]), rtol=1e-4, atol=1e-5)


def test_layers_told_apart_account_for_attention_states_and_inputs(keras, x):
    layers = keras.layers
    given = keras.Input((STEPS, CHANNELS))
    later = keras.Input((6, CHANNELS))
    attended = layers.MultiHeadAttention(2, 4, name="attention")(given, given)
    _, *states = layers.LSTM(4, return_state=True)(attended)
    out = layers.Dense(2, "softmax")(layers.LSTM(4, name="later")(later, initial_state=states))
    model = with_biases(keras.Model([given, later], out))
    options = {"target": 1, "logits": True}
    whole, apart = (lrp(model, [x, x[:, :6]], by_layer=by_layer, **options) for by_layer in (False, True))
    xr.testing.assert_allclose(whole["attribution"], apart["attribution"], atol=1e-6)
    np.testing.assert_allclose(apart["layer_gap"], 0, atol=1e-5)
    np.testing.assert_allclose(apart["layer_relevance"][:, -1], apart["prediction"][:, 1], rtol=1e-5)
    model = of_layers(keras, layers.Conv1D(3, 3), layers.Flatten(), layers.Dense(1))
    ds = lrp(model, x, input_rule="z_box", by_layer=True)
    xr.testing.assert_allclose(ds["attribution"], lrp(model, x, input_rule="z_box")["attribution"], atol=1e-6)
    np.testing.assert_allclose(ds["layer_gap"], 0, atol=1e-5)


def test_new_weights_give_new_relevance(keras, x):
    layers = keras.layers
    model = of_layers(keras, layers.LSTM(4), layers.Dense(1))
    adapted = attrkit.adapt(model)
    before = lrp(adapted, x)
    model.compile("sgd", "mse")
    model.fit(x, np.ones(len(x)), epochs=1, verbose=0)
    trained = lrp(adapted, x)
    assert float(abs(trained["attribution"] - before["attribution"]).max()) > 1e-6
    xr.testing.assert_allclose(trained["attribution"], lrp(model, x)["attribution"])
    model.set_weights([0.5 * w for w in model.get_weights()])
    again = check_ledger(lrp(adapted, x))
    np.testing.assert_allclose(again["prediction"], model.predict(x, verbose=0)[:, 0], rtol=1e-5, atol=1e-6)


def test_the_model_is_left_as_it_was(keras, x):
    model = of_layers(keras, keras.layers.LSTM(4), keras.layers.BatchNormalization(), keras.layers.Dense(1))
    weights, before = model.get_weights(), model.predict(x, verbose=0)
    own = [set(vars(layer)) for layer in model.layers]
    lrp(model, x)
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for layer, names in zip(model.layers, own, strict=True):
        assert not {"call", "activation", "inner_loop"} & (set(vars(layer)) - names)
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)


def own_layers(keras):
    """Return layers as a user writes them: one that scales, one that squares, one that must not run."""

    class Scale(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 3.0

    class Square(keras.layers.Layer):
        def call(self, inputs):
            return inputs * inputs

    class Explodes(keras.layers.Layer):
        armed = False

        def call(self, inputs):
            if self.armed:
                raise AssertionError("a pass was run")
            return inputs + 0.0

    return Scale, Square, Explodes


def test_what_has_no_rule_is_refused_by_name_and_place_before_any_pass(keras, x):
    scale, _, explodes = own_layers(keras)
    layers = keras.layers
    given = keras.Input((STEPS, CHANNELS))
    hidden = explodes(name="mine")(given)
    hidden = layers.Multiply(name="gate")([scale(name="scale")(hidden), hidden])
    model = keras.Model(given, layers.Dense(1)(layers.Flatten()(hidden)))
    model.get_layer("mine").armed = True
    expected = r"scale \(Scale\): no rule.*; gate \(Multiply\).*composite=COMPOSITES"
    with pytest.raises(RefusedError, match=r"lrp has no rule for mine \(Explodes\).*" + expected):
        lrp(model, x)


def test_a_rule_for_a_layer_of_ones_own(keras, x):
    scale, square, _ = own_layers(keras)
    layers = keras.layers
    model = of_layers(
        keras, scale(), layers.LSTM(3, return_sequences=True), square(name="squared"), layers.Flatten(), layers.Dense(1)
    )

    def half_each(call, flow):
        value = flow.share(call.args[0], 0.5)
        return value * value

    composite = COMPOSITES["arras"].extended({"Scale": passes, "squared": half_each})
    check_ledger(lrp(model, x, composite=composite))
    with pytest.warns(CompletenessWarning, match="squared"):
        lrp(model, x, composite=composite.extended({"squared": passes}))
    with pytest.warns(CompletenessWarning, match="squared"):
        lrp(model, x, composite=composite.extended({"squared": passes}), by_layer=True)
    with pytest.raises(ForwardMismatchError, match="rule does not compute"):
        lrp(model, x, composite=composite.extended({"squared": lambda call, flow: 2 * half_each(call, flow)}))


def test_rules_by_type_and_by_path(keras, x):
    layers = keras.layers
    model = of_layers(keras, layers.Flatten(), layers.Dense(4, "relu", name="first"), layers.Dense(1, name="last"))
    plain = lrp(model, x)
    both = lrp(model, x, composite=COMPOSITES["arras"].extended({"Dense": Gamma(1.0)}))
    by_path = lrp(model, x, composite=COMPOSITES["arras"].extended({"first": Gamma(1.0), "last": Gamma(1.0)}))
    one = lrp(model, x, composite=Composite().extended({"Dense": Gamma(1.0), "last": Epsilon()}))
    xr.testing.assert_allclose(both["attribution"], by_path["attribution"])
    assert float(abs(both["attribution"] - plain["attribution"]).max()) > 1e-3
    assert float(abs(both["attribution"] - one["attribution"]).max()) > 1e-3
    with pytest.raises(RefusedError, match="is a rule for layers of one kernel"):
        lrp(
            of_layers(keras, layers.LSTM(3), layers.Dense(1)),
            x,
            composite=COMPOSITES["arras"].extended({"LSTM": Gamma()}),
        )


def test_a_rule_for_a_projection_of_attention(keras, x):
    layers = keras.layers
    given = keras.Input((STEPS, CHANNELS))
    attended = layers.MultiHeadAttention(2, 4, name="attention")(given, given)
    model = with_biases(keras.Model(given, layers.Dense(1)(layers.Flatten()(attended))))
    changed = lrp(model, x, composite=COMPOSITES["arras"].extended({"attention.value": Gamma(5.0)}))
    assert float(abs(changed["attribution"] - lrp(model, x)["attribution"]).max()) > 1e-3


def test_operations_that_are_no_layers(keras, x):
    given = keras.Input((STEPS, CHANNELS))

    def ending_in(values):
        return with_biases(keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(values))))

    check_ledger(lrp(ending_in(keras.layers.Rescaling(2.0, offset=1.0)(given)), x))
    check_ledger(lrp(ending_in(((given + given) * 2.0 - (-given) / 4.0)[:, 1:]), x))
    for values in (given + 1.0, 1.0 - given):
        with pytest.raises(RefusedError, match=r"(?i)(add|subtract).*a constant is a bias.*Rescaling"):
            lrp(ending_in(values), x)
    for values in (given * given, given / given, 1.0 / given):
        with pytest.raises(RefusedError, match=r"(?i)(multiply|div).*no rule is known"):
            lrp(ending_in(values), x)


def test_rules_of_the_first_layer(keras, x):
    layers = keras.layers
    model = of_layers(keras, layers.Conv1D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(1))
    for rule in ("flat", "w_square", "z_box"):
        check_ledger(lrp(model, x, input_rule=rule))
    zero = np.zeros_like(x)
    assert float(abs(lrp(model, zero, input_rule="flat")["attribution"]).max()) > 0
    np.testing.assert_array_equal(lrp(model, zero)["attribution"], 0)
    behind = of_layers(keras, layers.LSTM(4), layers.Dense(1))
    with pytest.raises(RefusedError, match="called with the model's input"):
        lrp(behind, x, input_rule="flat")


def test_rules_that_would_not_keep_relevance_are_refused():
    for rule, options, message in (
        (AlphaBeta, {"alpha": 2, "beta": 2}, "alpha=2 and beta=2 came; their difference must be 1"),
        (AlphaBeta, {"bias": "half"}, "bias='half' is not known; accepted are 'split', 'innvestigate', 'ignore'"),
        (AlphaBeta, {"alpha": 0, "beta": -1}, "beta must be a number, 0 or more, got -1"),
        (Epsilon, {"epsilon": -1e-3}, "epsilon must be a number, 0 or more"),
        (Gamma, {"gamma": "much"}, "gamma must be a number, 0 or more, got 'much'"),
        (ZBox, {"low": 0, "high": float("inf")}, "high must be a number, got inf"),
        (ZBox, {"low": 1, "high": 0}, "low=1 and high=0 came; accepted is a low no larger than high"),
    ):
        with pytest.raises(InputError, match=message):
            rule(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"composite": "aras"}, "unknown composite 'aras'; known are arras"),
        ({"composite": "attnlrp", "epsilon": float("nan")}, "epsilon must be a number, 0 or more, got nan"),
        ({"epsilon": -1}, "epsilon must be a number, 0 or more, got -1"),
        ({"input_rule": "round"}, "input_rule='round' is not known"),
        ({"composite": ["arras"]}, r"unknown composite \['arras'\]"),
        ({"input_rule": []}, r"input_rule=\[\] is no rule"),
        ({"by_layer": []}, r"by_layer=\[\] is not known; accepted are True and False"),
        ({"baseline": 1.0}, "lrp has no baseline"),
        ({"n_steps": 3}, "lrp has no option 'n_steps'"),
    ],
)
def test_bad_options_are_refused(keras, x, options, message):
    with pytest.raises(InputError, match=message):
        lrp(of_layers(keras, keras.layers.LSTM(2), keras.layers.Dense(1)), x, **options)


def test_a_subclassed_model_is_refused_until_it_is_said_to_only_call_layers(keras, x):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.memory, self.out = keras.layers.LSTM(3, name="memory"), keras.layers.Dense(1, name="out")

        def call(self, inputs):
            return self.out(self.memory(inputs))

    model = Mine()
    model(x)
    with_biases(model)
    with pytest.raises(RefusedError, match=r"the model itself \(Mine\)"):
        lrp(model, x)
    check_ledger(lrp(model, x, composite=COMPOSITES["arras"].extended({"Mine": passes})))


def test_a_function_has_no_layers():
    with pytest.raises(RefusedError, match=r"no gradient|no rules"):
        lrp(lambda values: values.sum((1, 2)), np.ones((2, 3, 2)))


def test_a_composite_says_how_attention_is_treated():
    with pytest.raises(InputError, match="attention='hold' is not known; accepted are 'held', 'shared'"):
        Composite(attention="hold")
