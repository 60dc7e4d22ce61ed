"""Write the files of this folder: tiny models with random weights, attributed and saved by inseq 0.7.1.

Run in an environment with inseq, on transformers 5.23 and torch 2.13: ``python write.py``. ``expected.npz`` holds what
inseq itself has in memory, so that tests need neither inseq nor torch.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
WORDS = ["the", "rain", "falls", "and", "wind", "blows", "over", "a", "cold", "sea"]

PROMPTS = ["the rain", "the cold wind"]
TEXTS = ["the rain falls and the", "the cold wind blows"]
SOURCES = ["the rain falls", "cold wind over the sea"]
TARGETS = ["a sea", "the"]


def tokenizer(*, ends):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ends:
        own.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=own, padding_side="right" if ends else "left", **names)


def decoder():
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_positions": 16, "n_embd": 4, "n_layer": 2, "n_head": 2, "initializer_range": 0.5}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(SPECIAL + WORDS), **size, **ids))


def encoder_decoder():
    from transformers import BartConfig, BartForConditionalGeneration

    size = {"max_position_embeddings": 16, "d_model": 4, "init_std": 0.5}
    for side in ("encoder", "decoder"):
        size |= {f"{side}_layers": 1, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 4}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 2}
    config = BartConfig(vocab_size=len(SPECIAL + WORDS), forced_eos_token_id=None, **size, **ids)
    return BartForConditionalGeneration(config)


def main():
    import inseq
    import torch

    def attribute(model, method, texts, generated, **options):
        model.eval().set_attn_implementation("eager")
        own = tokenizer(ends=model.config.is_encoder_decoder)
        model.config._name_or_path = type(model).__name__
        explainer = inseq.load_model(model, method, tokenizer=own)
        return explainer.attribute(texts, generated, show_progress=False, **options)

    expected = {}

    def keep(name, out):
        for i, sequence in enumerate(out.sequence_attributions):
            found = {"source": sequence.source_attributions, "target": sequence.target_attributions}
            found |= sequence.step_scores or {}
            expected.update({f"{name}.{i}.{key}": v.numpy() for key, v in found.items() if v is not None})

    torch.manual_seed(0)
    gpt, bart = decoder(), encoder_decoder()
    scores = {"step_scores": ["probability", "entropy"]}
    out = attribute(gpt, "integrated_gradients", PROMPTS, TEXTS, n_steps=100, return_convergence_delta=True, **scores)
    keep("decoder", out)
    out.save(HERE / "decoder.json", overwrite=True)
    out.save(HERE / "decoder.json.gz", compress=True, overwrite=True)
    out.save(HERE / "split.json", compress=True, split_sequences=True, overwrite=True)
    out.save(HERE / "float16.json.gz", compress=True, scores_precision="float16", overwrite=True)
    out.save(HERE / "float8.json.gz", compress=True, scores_precision="float8", overwrite=True)
    out.save(HERE / "primitives.json.gz", compress=True, use_primitives=True, overwrite=True)
    out = attribute(bart, "saliency", SOURCES, TARGETS, attribute_target=True, **scores)
    keep("encoder", out)
    out.save(HERE / "encoder.json.gz", compress=True, overwrite=True)
    keep("norms", out.aggregate())
    out.aggregate().save(HERE / "norms.json.gz", compress=True, overwrite=True)
    out = attribute(bart, "occlusion", SOURCES, TARGETS, attributed_fn="logit", step_scores=["logit"])
    keep("occlusion", out)
    out.save(HERE / "occlusion.json.gz", compress=True, overwrite=True)
    for name, model, given in (("decoder", gpt, (PROMPTS, TEXTS)), ("encoder", bart, (SOURCES, TARGETS))):
        options = {"attribute_target": True} if name == "encoder" else {}
        out = attribute(model, "attention", *given, **options)
        keep(f"{name}_attention", out)
        out.save(HERE / f"{name}_attention.json.gz", compress=True, overwrite=True)
        if name == "decoder":
            partial = out.aggregate("mean", do_post_aggregation_checks=False)
            partial.save(HERE / "layers.json.gz", compress=True, overwrite=True)
    np.savez_compressed(HERE / "expected.npz", **expected)


if __name__ == "__main__":
    main()
