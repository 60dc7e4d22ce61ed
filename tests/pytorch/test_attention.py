"""Attention weights equal what the layer itself returns, whatever the layer, its options and the module around it."""

import numpy as np
import pytest
import torch
from torch import nn

import attrkit
from attrkit.errors import AttentionWarning, AttrkitWarning, InputError, RefusedError

pytestmark = pytest.mark.filterwarnings(
    "ignore::attrkit.errors.AttentionWarning", "ignore:The PyTorch API of nested tensors", "ignore:enable_nested_tensor"
)


def call(model, x):
    """The model's own answer, in evaluation mode and without gradients, as a user would ask for it."""
    with torch.no_grad():
        return model(torch.tensor(x)).numpy()


def read(model, x, **options):
    """Extract attention and check what must hold every time: same predictions, model as it was."""
    before = call(model, x)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    names = [set(vars(module)) for module in model.modules()]
    ds = attrkit.extract(model, x, "attention", show_progress=False, **options)
    np.testing.assert_array_equal(call(model, x), before)
    np.testing.assert_allclose(ds["prediction"], before.reshape(ds["prediction"].shape), rtol=1e-4, atol=1e-5)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    assert [module.training for module in model.modules()] == modes
    assert [set(vars(module)) for module in model.modules()] == names
    return ds


def weights_of(layer, query, key=None, **options):
    """Ask the layer itself for the weights of each head."""
    key = query if key is None else key
    with torch.no_grad():
        return layer(query, key, key, need_weights=True, average_attn_weights=False, **options)[1].numpy()


class Attending(nn.Module):
    """A linear map, one attention, a linear head on the mean over time; `options` go into the attention's call."""

    def __init__(self, width=8, *, heads=2, samples_first=True, padding=None, **options):
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=samples_first)
        self.head = nn.Linear(width, 1)
        self.samples_first, self.padding, self.options = samples_first, padding, options
        self.eval()

    def hidden(self, x):
        hidden = self.embed(x)
        return hidden if self.samples_first else hidden.transpose(0, 1)

    def masked(self, x):
        if self.padding is None:
            return {}
        padded = (x == 0).all(-1)
        if self.padding is not bool:
            padded = torch.zeros(padded.shape).masked_fill(padded, self.padding)
        return {"key_padding_mask": padded}

    def forward(self, x):
        hidden = self.hidden(x)
        output = self.attention(hidden, hidden, hidden, **self.masked(x), **self.options)[0]
        return self.head(output.mean(1 if self.samples_first else 0))


@pytest.mark.parametrize("samples_first", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_multi_head_attention(x, heads, samples_first):
    model = Attending(heads=heads, samples_first=samples_first)
    ds = read(model, x)
    assert dict(ds["attention"].sizes) == {"sample": 10, "head": heads, "query_timestep": 12, "key_timestep": 12}
    np.testing.assert_allclose(ds["attention"], weights_of(model.attention, model.hidden(torch.tensor(x))), atol=1e-6)
    np.testing.assert_allclose(ds["attention"].sum("key_timestep"), 1, atol=1e-5)


class Using(Attending):
    """A model that uses what its attention returns beside the output."""

    def forward(self, x):
        hidden = self.hidden(x)
        output, weights = self.attention(hidden, hidden, hidden, **self.options)
        expected = {False: None, True: (10, 12, 12), None: (10, 2, 12, 12)}
        need = self.options.get("need_weights", True)
        shape = expected[need and (self.options.get("average_attn_weights", True) or None)]
        assert (weights if shape is None else tuple(weights.shape[1:])) == (shape and shape[1:])
        return self.head(output.mean(1)) + (0 if weights is None else weights.flatten(1).pow(2).sum(1, keepdim=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"need_weights": True, "average_attn_weights": True},
    ],
    ids=str,
)
def test_the_model_gets_what_it_asked_for(x, options):
    model = Using(**options)
    ds = read(model, x)
    np.testing.assert_allclose(ds["attention"], weights_of(model.attention, model.hidden(torch.tensor(x))), atol=1e-6)


@pytest.mark.parametrize("padding", [bool, -np.inf, -1e9], ids=["bool", "infinite", "large"])
@pytest.mark.parametrize("samples_first", [True, False])
def test_padding_masks(padded, padding, samples_first):
    data, mask = padded
    model = Attending(padding=padding, samples_first=samples_first)
    ds = read(model, data)
    tensor = torch.tensor(data)
    own = weights_of(model.attention, model.hidden(tensor), **model.masked(tensor))
    np.testing.assert_allclose(ds["attention"], own, atol=1e-6)
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_allclose(ds["attention_on_padding"], 0, atol=1e-6)


def test_padding_that_is_attended_to_is_reported(padded):
    data, mask = padded
    with pytest.warns(AttentionWarning, match="of their weight on padding"):
        ds = attrkit.extract(Attending(), data, "attention", mask=mask, show_progress=False)
    weights = ds["attention"].values
    share = [weights[i][:, mask[i]][..., ~mask[i]].sum(-1).mean(-1) for i in range(len(data))]
    np.testing.assert_allclose(ds["attention_on_padding"], share, rtol=1e-5, atol=1e-7)


def test_attention_masks_are_the_layer_s_own(x):
    causal = nn.Transformer.generate_square_subsequent_mask(12)
    model = Attending(attn_mask=causal, is_causal=True, need_weights=False)
    ds = read(model, x)
    own = weights_of(model.attention, model.hidden(torch.tensor(x)), attn_mask=causal)
    np.testing.assert_allclose(ds["attention"], own, atol=1e-6)
    np.testing.assert_array_equal(np.triu(ds["attention"].values, 1), 0)


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 3, "vdim": 3}], ids=str)
def test_other_kinds_of_multi_head_attention(x, options):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 1)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)

        def parts(self, x):
            return self.embed(x), x if "kdim" in options else self.embed(x)

        def forward(self, x):
            query, key = self.parts(x)
            return self.head(self.attention(query, key, key, need_weights=False)[0].mean(1))

    model = Model().eval()
    ds = read(model, x)
    np.testing.assert_allclose(ds["attention"], weights_of(model.attention, *model.parts(torch.tensor(x))), atol=1e-6)


class Encoder(nn.Module):
    """A TransformerEncoder with a mean over real timesteps, which padding does not reach."""

    def __init__(self, layers=2, *, masked=False, mean_of_all=False, nested=True, **options):
        super().__init__()
        self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 1)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=nested)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.4)
        self.masked, self.mean_of_all = masked, mean_of_all
        self.eval()

    def forward(self, x):
        padding = (x == 0).all(-1) if self.masked else None
        output = self.encoder(self.embed(x), src_key_padding_mask=padding)
        if padding is None or self.mean_of_all:
            return self.head(output.mean(1))
        real = (~padding).to(output.dtype)[..., None]
        return self.head((output * real).sum(1) / real.sum(1))


def seen_by_hooks(model, x):
    """The weights of each layer, by hooks and the layer's own call: another way than attrkit's."""
    found = []

    def ask(module, args, kwargs):
        return args, {**kwargs, "need_weights": True, "average_attn_weights": False}

    def keep(module, args, output):
        found.append(output[1].detach().numpy())

    hooks = [layer.self_attn.register_forward_pre_hook(ask, with_kwargs=True) for layer in model.encoder.layers]
    hooks += [layer.self_attn.register_forward_hook(keep) for layer in model.encoder.layers]
    # With a gradient to take there is no fast path.
    model(torch.tensor(x).requires_grad_())
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize(
    "options", [{}, {"norm_first": True}, {"activation": "gelu"}, {"nested": False}, {"dropout": 0.5}], ids=str
)
def test_encoders_are_read_though_their_fast_path_gives_no_weights(x, padded, options, frozen, masked):
    data, mask = padded if masked else (x, None)
    model = Encoder(masked=masked, **options)
    if frozen:
        model.requires_grad_(False)
    ds = read(model, data)
    assert ds["layer"].values.tolist() == ["encoder.layers.0.self_attn", "encoder.layers.1.self_attn"]
    for path, own in zip(ds["layer"].values, seen_by_hooks(model, data), strict=True):
        np.testing.assert_allclose(ds["attention"].sel(layer=path), own, atol=1e-6)
    if masked:
        np.testing.assert_array_equal(ds["mask"], mask)
        np.testing.assert_allclose(ds["attention_on_padding"], 0, atol=1e-6)


def test_the_fast_path_stays_on_for_everyone_else(x, padded):
    before = torch.backends.mha.get_fastpath_enabled()
    model = Encoder(masked=True)
    seen = []

    def reader(layer_call):
        seen.append(torch.backends.mha.get_fastpath_enabled())
        return layer_call.original(*layer_call.args, **layer_call.kwargs), {}

    attrkit.adapt(model).read(padded[0], {"encoder.layers.0.self_attn": reader})
    assert set(seen) == {before}


def test_a_model_that_reads_padding_is_told_of_the_two_answers_of_torch(padded):
    data, _ = padded
    with pytest.warns(AttrkitWarning, match="reads the outputs of its TransformerEncoder at padding"):
        ds = attrkit.extract(Encoder(masked=True, mean_of_all=True), data, "attention", show_progress=False)
    torch.manual_seed(7)
    ordinary = Encoder(masked=True, mean_of_all=True, nested=False).requires_grad_()
    np.testing.assert_allclose(ds["prediction"], ordinary(torch.tensor(data)).detach()[:, 0], atol=1e-5)


class Decoding(nn.Module):
    """A TransformerDecoder: the last four steps look at all of the sequence."""

    def __init__(self, layers=1):
        super().__init__()
        self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 2)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), layers)
        self.eval()

    def forward(self, x):
        memory = self.embed(x)
        causal = nn.Transformer.generate_square_subsequent_mask(4)
        return self.head(self.decoder(memory[:, -4:], memory, tgt_mask=causal, tgt_is_causal=True)[:, -1])


def test_decoders_have_two_attentions_a_layer(x):
    model = Decoding()
    with pytest.raises(InputError, match=r"self_attn \(2, 4, 4\).*multihead_attn \(2, 4, 12\); say which with layer="):
        attrkit.extract(model, x, "attention", show_progress=False)
    ds = read(model, x, layer="self_attn")
    memory = model.embed(torch.tensor(x))
    layer, query = model.decoder.layers[0], memory[:, -4:]
    causal = nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_allclose(ds["attention"], weights_of(layer.self_attn, query, attn_mask=causal), atol=1e-6)
    ds = read(model, x, layer="multihead_attn")
    with torch.no_grad():
        query = layer.norm1(query + layer.self_attn(query, query, query, attn_mask=causal)[0])
    np.testing.assert_allclose(ds["attention"], weights_of(layer.multihead_attn, query, memory), atol=1e-6)
    deep = read(Decoding(3), x, layer="multihead_attn")
    assert dict(deep["attention"].sizes) == {
        "sample": 10,
        "layer": 3,
        "head": 2,
        "query_timestep": 4,
        "key_timestep": 12,
    }


def test_a_layer_that_is_called_twice(x):
    class Twice(Attending):
        def forward(self, x):
            hidden = self.hidden(x)
            for _ in range(2):
                hidden = hidden + self.attention(hidden, hidden, hidden)[0]
            return self.head(hidden.mean(1))

    model = Twice()
    ds = read(model, x)
    assert ds["layer"].values.tolist() == ["attention@0", "attention@1"]
    first = model.hidden(torch.tensor(x))
    second = first + model.attention(first, first, first)[0]
    np.testing.assert_allclose(ds["attention"].sel(layer="attention@1"), weights_of(model.attention, second), atol=1e-6)


def test_time_in_the_batch_is_refused(x):
    class Swapped(Attending):
        def forward(self, x):
            # Samples first, into a layer that takes time first.
            hidden = self.embed(x)
            return self.head(self.attention(hidden, hidden, hidden)[0].mean(1))

    with pytest.raises(RefusedError, match="layer 'attention' sees 12 rows where the batch has 10"):
        attrkit.extract(Swapped(samples_first=False).eval(), x, "attention", show_progress=False)


# Layers of users


class Scores(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.score = nn.Linear(width, width)

    def weights(self, x):
        return torch.softmax(self.score(x) @ x.transpose(1, 2), -1)


class ByNeedWeights(Scores):
    def forward(self, x, need_weights=False, key_padding_mask=None):
        weights = self.weights(x)
        return (weights @ x, weights) if need_weights else weights @ x


class ByArgument(Scores):
    def forward(self, x, lengths, return_attention=False):
        weights = self.weights(x)
        return (weights @ x, lengths, weights) if return_attention else (weights @ x, lengths)


class ByAttribute(Scores):
    return_attention_weights = False

    def forward(self, x, state=None):
        weights = self.weights(x)
        return (weights @ x, weights) if self.return_attention_weights else weights @ x


class Pooling(nn.Module):
    """One weight a timestep, of shape (sample, timestep, 1)."""

    def __init__(self, width):
        super().__init__()
        self.score, self.return_attention = nn.Linear(width, 1), False

    def weights(self, x):
        return torch.softmax(self.score(x), 1)

    def forward(self, x):
        weights = self.weights(x)
        pooled = (weights * x).sum(1)
        return (pooled, weights) if self.return_attention else pooled


class Around(nn.Module):
    """An LSTM, a layer, a linear head."""

    def __init__(self, layer):
        super().__init__()
        self.recurrent, self.layer, self.head = nn.LSTM(3, 6, batch_first=True), layer, nn.Linear(6, 1)
        self.eval()

    def hidden(self, x):
        return self.recurrent(x)[0]

    def forward(self, x):
        hidden = self.hidden(x)
        if isinstance(self.layer, ByArgument):
            output, _ = self.layer(hidden, torch.tensor([12, 12]))
        elif isinstance(self.layer, ByAttribute):
            # A state of shape (layer, sample, unit), as recurrent layers have, and no mask.
            output = self.layer(hidden, torch.zeros(1, len(x), 6))
        else:
            output = self.layer(hidden)
        return self.head(output if output.ndim == 2 else output[:, -1])


@pytest.mark.parametrize("layer", [ByNeedWeights, ByArgument, ByAttribute, Pooling])
def test_layers_of_users(x, layer):
    model = Around(layer(6))
    ds = read(model, x)
    with torch.no_grad():
        own = model.layer.weights(model.hidden(torch.tensor(x))).numpy()
    own = own[..., 0] if layer is Pooling else own
    assert ds["attention"].attrs["layer"] == "layer"
    np.testing.assert_allclose(ds["attention"], own, atol=1e-6)


def test_a_layer_built_to_return_its_weights(x):
    class Built(Around):
        def forward(self, x):
            output, weights = self.layer(self.hidden(x))
            return self.head(output) + weights.amax((1, 2))[:, None]

    model = Built(Pooling(6))
    model.layer.return_attention = True
    ds = read(model, x)
    np.testing.assert_allclose(
        ds["attention"], model.layer(model.hidden(torch.tensor(x)))[1][..., 0].detach(), atol=1e-6
    )


def test_a_model_without_attention_is_refused_by_name(x):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    with pytest.raises(RefusedError, match=r"1 \(Linear\).*return_attention"):
        attrkit.extract(model, x, "attention", show_progress=False)


@pytest.mark.parametrize("reduce", ["mean", "last"])
def test_reductions_and_heads(padded, reduce):
    data, mask = padded
    ds = read(Attending(padding=bool), data, reduce=reduce, head="max")
    rows = ds["attention"].values.max(axis=1)
    expected = [row[real].mean(0) if reduce == "mean" else row[real][-1] for row, real in zip(rows, mask, strict=True)]
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6)


def test_flat_rows_and_one_timestep_are_reported(x):
    with pytest.warns(AttentionWarning, match="one key only"):
        attrkit.extract(Attending(), x[:, :1], "attention", show_progress=False)
    model = Attending()
    nn.init.zeros_(model.attention.in_proj_weight)
    with pytest.warns(AttentionWarning, match="flat"):
        ds = attrkit.extract(model, x, "attention", show_progress=False)
    np.testing.assert_allclose(ds["attention_entropy"], 1, rtol=1e-5)


def test_batches_do_not_change_weights(padded):
    model = Encoder(masked=True)
    whole, parts = (read(model, padded[0], batch_size=size) for size in (64, 3))
    np.testing.assert_allclose(whole["attention"], parts["attention"], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(x, dtype):
    model = Attending().to(dtype)
    ds = attrkit.extract(model, x, "attention", show_progress=False)
    own = model.attention(*[model.hidden(torch.tensor(x, dtype=dtype))] * 3, average_attn_weights=False)[1]
    np.testing.assert_allclose(ds["attention"], own.detach().double(), atol=1e-10 if dtype == torch.float64 else 1e-2)


def test_compiled_modules_are_read(x):
    model = Attending()
    expected = read(model, x)["attention"]
    compiled = torch.compile(model, backend="eager")
    np.testing.assert_array_equal(attrkit.extract(compiled, x, "attention", show_progress=False)["attention"], expected)
    model.compile(backend="eager")
    np.testing.assert_array_equal(attrkit.extract(model, x, "attention", show_progress=False)["attention"], expected)
