"""Files that inseq 0.7.1 saved; tests/data/inseq/write.py made them, and what inseq had in memory."""

import base64
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import attrkit
from attrkit.errors import InputError
from attrkit.exchange import inseq

DATA = Path(__file__).parent.parent / "data" / "inseq"
EXPECTED = dict(np.load(DATA / "expected.npz"))


def read(name):
    return attrkit.from_inseq(DATA / name)


def sequences(ds):
    return [ds.isel(sample=ds["sequence"].values == i) for i in range(2)]


def check_side(ds, name, side, suffix=""):
    """Compare the scores of one text with those inseq has, of shape (token, generated, ...)."""
    variable = "attention" if f"attention{suffix}" in ds else "attribution"
    for i, own in enumerate(sequences(ds)):
        wanted = EXPECTED[f"{name}.{i}.{side}"]
        assert own.sizes["sample"] == wanted.shape[1]
        for j in range(wanted.shape[1]):
            values, mask = own[f"{variable}{suffix}"].values[j], own[f"mask{suffix}"].values[j]
            if variable == "attention":
                # From (layer, head, token) to inseq's order.
                values = np.moveaxis(values, -1, 0)
            seen = int(mask.sum())
            assert mask[:seen].all()
            np.testing.assert_array_equal(values[mask], wanted[:seen, j])
            assert (values[~mask] == 0).all()
            # What is left out is what inseq says was not there yet.
            assert np.isnan(wanted[seen:, j]).all()


@pytest.mark.parametrize(
    ("file", "name", "sides"),
    [
        ("decoder.json", "decoder", {"target": ""}),
        ("decoder.json.gz", "decoder", {"target": ""}),
        ("decoder_attention.json.gz", "decoder_attention", {"target": ""}),
        ("encoder.json.gz", "encoder", {"source": "", "target": "_prefix"}),
        ("encoder_attention.json.gz", "encoder_attention", {"source": "", "target": "_prefix"}),
        ("norms.json.gz", "norms", {"source": "", "target": "_prefix"}),
        ("occlusion.json.gz", "occlusion", {"source": ""}),
    ],
)
def test_scores_are_those_that_inseq_saved(file, name, sides, tmp_path):
    ds = read(file)
    attrkit.validate(ds)
    for side, suffix in sides.items():
        check_side(ds, name, side, suffix)
    for suffix in (".zarr", ".nc"):
        assert attrkit.load(attrkit.save(ds, tmp_path / f"run{suffix}")).identical(ds)
    assert attrkit.plot.heatmap(ds).artists["mesh"].size


def test_every_generated_token_is_a_sample_with_its_place():
    ds = read("decoder.json")
    assert ds["sample"].values.tolist() == ["0.2 falls", "0.3 and", "0.4 the", "1.3 blows"]
    assert ds["target"].values.tolist() == ["falls", "and", "the", "blows"]
    assert ds["sequence"].values.tolist() == [0, 0, 0, 1]
    assert ds["position"].values.tolist() == [2, 3, 4, 3]
    assert ds["token"].values.tolist()[:2] == [["the", "rain", "", ""], ["the", "rain", "falls", ""]]
    assert ds["input"].values.tolist()[3] == [4, 12, 8, -1]
    np.testing.assert_array_equal(ds["mask"], ds["input"] >= 0)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert {key: ds.attrs[key] for key in ("method", "framework", "model", "explained")} == {
        "method": "integrated_gradients",
        "framework": "transformers",
        "model": "GPT2LMHeadModel",
        "explained": "probability_fn",
    }
    assert json.loads(ds.attrs["method_options"])["n_steps"] == 100


def test_step_scores_are_variables():
    ds = read("decoder.json")
    for i, own in enumerate(sequences(ds)):
        np.testing.assert_array_equal(own["prediction"].values, EXPECTED[f"decoder.{i}.probability"])
        np.testing.assert_array_equal(own["completeness_gap"].values, EXPECTED[f"decoder.{i}.deltas"])
        np.testing.assert_array_equal(own["step_entropy"].values, EXPECTED[f"decoder.{i}.entropy"])
    # The sum rule, as far as a file holds it: what is left is the probability at the baseline.
    at_baseline = ds["prediction"] - (ds["attribution"].sum(("timestep", "channel")) - ds["completeness_gap"])
    assert ((at_baseline > 0) & (at_baseline < 1)).all()
    assert read("occlusion.json.gz")["prediction"].values[0] == EXPECTED["occlusion.0.logit"][0]


def test_the_tokens_so_far_have_axes_of_their_own():
    ds = read("encoder.json.gz")
    assert ds["attribution_prefix"].dims == ("sample", "timestep_prefix", "channel_prefix")
    assert ds["token_prefix"].dims == ("sample", "timestep_prefix")
    assert ds["token"].values[0].tolist() == ["the", "rain", "falls", "</s>", "", ""]
    assert ds["token_prefix"].values[:2].tolist() == [["</s>", "", ""], ["</s>", "a", ""]]


def test_attention_keeps_layers_and_heads():
    ds = read("decoder_attention.json.gz")
    assert ds["attention"].dims == ("sample", "layer", "head", "key_timestep")
    np.testing.assert_allclose(ds["attention"].sum("key_timestep"), 1, rtol=1e-6)
    reduced = attrkit.reduce_attention(ds, layer=0, head="mean")
    assert reduced["attribution"].dims == ("sample", "timestep")


def test_split_files_are_read_as_one():
    whole = read("decoder.json")
    again = attrkit.from_inseq([DATA / "split_0.json.gz", DATA / "split_1.json.gz"], name="mine")
    assert again.equals(whole)
    assert again.attrs["method"] == "mine"


@pytest.mark.parametrize(
    ("file", "rtol", "atol"), [("float16.json.gz", 2.0**-11, 2.0**-25), ("float8.json.gz", 2.0**-4, 2.0**-10)]
)
def test_lower_precision_is_read_as_it_was_rounded(file, rtol, atol):
    ds, whole = read(file), read("decoder.json")
    for name in ("attribution", "prediction", "step_entropy"):
        assert ds[name].dtype == np.float32
        np.testing.assert_allclose(ds[name], whole[name], rtol=rtol, atol=atol)
    assert not ds["attribution"].equals(whole["attribution"])


def test_all_numbers_of_eight_bits():
    bits = np.arange(256, dtype=np.uint8)
    found = inseq._as_floats(bits, "F8_E4M3")
    # By the definition of E4M3: sign, four bits of exponent, three digits; no infinity.
    for code, value in zip(bits.tolist(), found.tolist(), strict=True):
        sign, exponent, digits = (-1) ** (code >> 7), code >> 3 & 15, code & 7
        if exponent == 15 and digits == 7:
            assert np.isnan(value)
        else:
            assert value == sign * (digits / 8 * 2**-6 if exponent == 0 else (1 + digits / 8) * 2.0 ** (exponent - 7))


def test_sixteen_bits_of_the_other_kind():
    values = np.array([1.5, -2.0, 0.0, np.inf, 3.0e38], dtype=np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    np.testing.assert_allclose(inseq._as_floats(bits, "BF16"), values, rtol=2.0**-7)


def test_neither_inseq_nor_torch_is_imported():
    read("encoder.json.gz")
    assert "inseq" not in sys.modules


# Files that are refused


def test_scores_that_lost_an_axis_are_refused():
    with pytest.raises(InputError, match="scores of 'attention' have 3 axes, of which 1 are neither tokens nor units"):
        read("layers.json.gz")


def test_files_without_classes_are_refused():
    with pytest.raises(InputError, match="was saved with use_primitives=True, which leaves out what the axes are"):
        read("primitives.json.gz")


def test_files_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match=r"hold several methods: \['integrated_gradients', 'occlusion'\]"):
        attrkit.from_inseq([DATA / "decoder.json", DATA / "occlusion.json.gz"])
    with pytest.raises(InputError, match="hold several kinds of scores"):
        attrkit.from_inseq([DATA / "encoder.json.gz", DATA / "norms.json.gz"])
    with pytest.raises(InputError, match="no files were given"):
        attrkit.from_inseq([])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1, 2",
        b"[]",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"__instance_type__": ["os", "system"], "attributes": {"command": "true"}}',
        b'{"__instance_type__": "inseq.x", "attributes": {}}',
        b'{"__instance_type__": ["inseq.data.attribution", "FeatureAttributionOutput"], "attributes": {"info": 3}}',
        gzip.compress(b"{}", mtime=0),
    ],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"file\.json is no file that inseq saved .*accepted is what"):
        attrkit.from_inseq(path)


@pytest.mark.parametrize("content", [gzip.compress(b"{}", mtime=0)[:12], b"\x1f\x8b broken"])
def test_broken_archives_are_refused(content, tmp_path):
    path = tmp_path / "file.json.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"file\.json\.gz cannot be read"):
        attrkit.from_inseq(path)
    with pytest.raises(InputError, match="cannot be read"):
        attrkit.from_inseq(tmp_path)


@pytest.mark.parametrize("path", [3, None, [None], object()], ids=["number", "None", "list", "object"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match=r"path is a .*; accepted is a str or Path"):
        attrkit.from_inseq(path)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(inseq, "_LARGEST", 2**20)
    path = tmp_path / "large.json.gz"
    path.write_bytes(gzip.compress(b" " * (2**20 + 1)))
    with pytest.raises(InputError, match="holds more than 1 MiB of text; save it by split_sequences=True"):
        attrkit.from_inseq(path)


def changed(tmp_path, change):
    """Write a file of inseq with one thing changed in its first sequence."""
    node = json.loads((DATA / "decoder.json").read_text())
    change(node["attributes"]["sequence_attributions"][0]["attributes"])
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(node))
    return path


def tensor(shape, numbers=4, kind="F32", stop=None):
    header = {"attribution": {"dtype": kind, "shape": shape, "data_offsets": [0, stop or 4 * numbers]}}
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + np.zeros(numbers, np.float32).tobytes()
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.update(target_attributions=tensor([5, 3, 400])), id="fewer numbers than the shape"),
        pytest.param(lambda s: s.update(target_attributions=tensor([2, 2])), id="other shape than the tokens"),
        pytest.param(lambda s: s.update(target_attributions=tensor([-2, -2])), id="negative shape"),
        pytest.param(lambda s: s.update(target_attributions=tensor([4], kind="I8")), id="unknown type"),
        pytest.param(lambda s: s.update(target_attributions=tensor([2, 2], stop=3)), id="offsets that cut a number"),
        pytest.param(lambda s: s.update(target_attributions="not base64!"), id="no base64"),
        pytest.param(lambda s: s.update(target_attributions=None), id="no scores"),
        pytest.param(lambda s: s.update(attr_pos_start=9), id="positions behind the end"),
        pytest.param(lambda s: s.update(attr_pos_start="x"), id="no position"),
        pytest.param(lambda s: s["step_scores"].update(entropy=tensor([4])), id="step scores of another length"),
        pytest.param(lambda s: s["target"].pop(), id="fewer tokens"),
        pytest.param(lambda s: s.pop("source"), id="no source"),
    ],
)
def test_damaged_files_are_refused(change, tmp_path):
    with pytest.raises(InputError, match="is no file that inseq saved"):
        attrkit.from_inseq(changed(tmp_path, change))


def test_models_of_several_widths_do_not_belong_together(tmp_path):
    narrow = changed(tmp_path, lambda s: s.update(target_attributions=tensor([5, 3, 2], numbers=30)))
    with pytest.raises(InputError, match="hold several kinds of scores"):
        attrkit.from_inseq(narrow)
