"""The GGUF file of the chat model: read back by the `gguf` package, and run by llama.cpp where that is installed."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from core.conversation import Message
from core.engine import Engine
from core.model import Model
from core.records import Finished
from core.settings import Settings
from tests.support import export_gguf
from weights.library.names import BUNDLED
from weights.load import load

ROOT = Path(__file__).parents[3]
SPARE = 5  # rows of the tiny model's embedding that no token has
# Nothing as in the shipped model, no two numbers alike, and heads that together are wider than the model.
TINY: dict[str, Any] = {
    "max_position_embeddings": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "head_dim": 24,
    "intermediate_size": 160,
    "rms_norm_eps": 1e-2,
    "rope_theta": 500.0,
    "tie_word_embeddings": False,
}
TEXTS = (
    "",
    " ",
    "Hello! How are you?",
    "  two  spaces, a tab\tand\n\na new line\n",
    " \n \n\n   x   \t\t\r\n ",
    "a no-break\u00a0space, a wide\u3000one, a zero-width\u200bone, a line\u2028separator, \x00 \x1c \x7f \x85",
    "3.14 + 100 = 103.14; 1234567890 a1b22c333 1  2   3",
    "½ ² ٣ Ⅷ 一二 𝟘 are numbers to some",
    "don't WON'T it's 'tis we'll I'd they've 's ''s 't",
    "naïve café, Привет, 你好, e\u0301 ſ ﬁ ß नमस्ते ไทย",
    "🙂👩‍👩‍👧 🇩🇪🏽 ❤️",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|><|im_end|>  <|im_start|> a<|im_end|>b",
    "<|im_end <|im_end|> |> <|IM_END|> <| im_end|> <||>",
    "def f(x):\n    return x**2  # ≠ x^2\n",
    "=====-----.....!!!!!?????",
    "supercalifragilisticexpialidocious" * 5,
)
PROMPTS = ("Hello! How are you?", "Who are you?", "What is a token?", "What is 2 plus 3?", "Tell me a story.")
CONVERSATION = (
    Message(role="system", text="Be kind."),
    Message(role="user", text="Hello!"),
    Message(role="assistant", text="Hi! How are you?"),
    Message(role="user", text="What is 2 plus 3?"),
)


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(read_json(path) | changes), encoding="utf-8")


def tiny_weights(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random ones under transformers' names, norms too, or a missed one would not show."""
    torch.manual_seed(7)
    width, wide = config["hidden_size"], config["intermediate_size"]
    queries, keys = (config["head_dim"] * config[f"num_{kind}_heads"] for kind in ("attention", "key_value"))
    shapes: dict[str, tuple[int, ...]] = {"model.norm": (width,), "lm_head": (config["vocab_size"], width)}
    shapes["model.embed_tokens"] = (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        shapes |= {
            f"model.layers.{layer}.input_layernorm": (width,),
            f"model.layers.{layer}.post_attention_layernorm": (width,),
            f"model.layers.{layer}.self_attn.q_proj": (queries, width),
            f"model.layers.{layer}.self_attn.k_proj": (keys, width),
            f"model.layers.{layer}.self_attn.v_proj": (keys, width),
            f"model.layers.{layer}.self_attn.o_proj": (width, queries),
            f"model.layers.{layer}.mlp.gate_proj": (wide, width),
            f"model.layers.{layer}.mlp.up_proj": (wide, width),
            f"model.layers.{layer}.mlp.down_proj": (width, wide),
        }
    return {f"{name}.weight": (torch.randn(shape) * 0.3).bfloat16() for name, shape in shapes.items()}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny")


def write_tiny(folder: Path) -> Path:
    """The shipped model's tokenizer and template, with a small random model of quite another shape."""
    shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns("textbook", "*.safetensors"))
    change_json(folder / "config.json", **TINY)
    change_json(folder / "config.json", vocab_size=read_json(folder / "config.json")["vocab_size"] + SPARE)
    save_file(tiny_weights(read_json(folder / "config.json")), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module", params=["shipped", "tiny"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BUNDLED if request.param == "shipped" else write_tiny(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def in_float32(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(folder, "f32", tmp_path_factory.mktemp("gguf"))


def exported(folder: Path, kind: str, where: Path) -> Path:
    export_gguf.export(folder, where / f"{kind}.gguf", kind)
    return where / f"{kind}.gguf"


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["export_gguf", *map(str, words)])
    export_gguf.main()


# --- what is in the file ----------------------------------------------------------------------------------------------


def unpaired(rows: np.ndarray, heads: int) -> np.ndarray:
    """By the definition: llama.cpp turns channels 2i and 2i + 1 of a head together, transformers i and i + half."""
    found = np.empty_like(rows)
    width = len(rows) // heads
    for head in range(heads):
        for i in range(width // 2):
            found[head * width + i] = rows[head * width + 2 * i]
            found[head * width + i + width // 2] = rows[head * width + 2 * i + 1]
    return found


def read_tensors(path: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every tensor in float32, in transformers' order of channels, under the file's own names."""
    found = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert values.shape == tuple(reversed(tensor.shape.tolist()))
        if tensor.name.endswith("attn_q.weight"):
            values = unpaired(values, config["num_attention_heads"])
        if tensor.name.endswith("attn_k.weight"):
            values = unpaired(values, config["num_key_value_heads"])
        found[tensor.name] = values
    return found


def checkpoint_tensors(folder: Path) -> dict[str, np.ndarray]:
    """The checkpoint's, under the names that the gguf package itself gives to transformers' names."""
    n_layers = read_json(folder / "config.json")["num_hidden_layers"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, n_layers)
    stored = load_file(folder / "model.safetensors")
    return {str(names.get_name(name, (".weight",))): values.float().numpy() for name, values in stored.items()}


@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_every_tensor_is_the_checkpoints(folder: Path, kind: str, tmp_path: Path) -> None:
    expected = checkpoint_tensors(folder)
    found = read_tensors(exported(folder, kind, tmp_path), read_json(folder / "config.json"))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_half_precision_rounds_as_numpy_does(folder: Path, tmp_path: Path) -> None:
    found = read_tensors(exported(folder, "f16", tmp_path), read_json(folder / "config.json"))
    for name, values in checkpoint_tensors(folder).items():
        expected = values if values.ndim == 1 else values.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_eight_bits_are_off_by_half_a_step_at_most(folder: Path, tmp_path: Path) -> None:
    """A step is a 127th of the largest of 32 values; rounded to half precision it is wrong by 2^-11 of itself, which
    127 steps make 0.0621 of a step."""
    found = read_tensors(exported(folder, "q8_0", tmp_path), read_json(folder / "config.json"))
    for name, values in checkpoint_tensors(folder).items():
        blocks = values.reshape(-1, 32)
        steps = np.abs(blocks).max(axis=1, keepdims=True) / 127
        off = np.abs(found[name].reshape(-1, 32) - blocks)
        assert (off <= (0.0 if values.ndim == 1 else (0.5 + 127 / 2**11) * steps * 1.0001)).all(), name


def test_the_file_opens_here_as_the_model_it_was_made_from(folder: Path, in_float32: Path) -> None:
    made_from, back = (load(path, device="cpu", dtype="float32") for path in (folder, in_float32))
    theirs = dict(back.transformer.named_parameters())
    for name, values in made_from.transformer.named_parameters():
        assert torch.equal(theirs[name], values), name
    ids = torch.tensor([made_from.tokenizer.encode("".join(TEXTS))[:64]])
    want, got = (model.transformer.unembed(model.transformer(ids)) for model in (made_from, back))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)  # the epsilon of the norms is of single precision there
    for text in TEXTS:
        assert back.tokenizer.encode(text) == made_from.tokenizer.encode(text)
    assert back.end_ids == made_from.end_ids
    assert (back.template is None) is (made_from.template is None)


@pytest.mark.parametrize(
    ("kind", "type_", "file_type"), [("f32", 0, 0), ("f16", 1, 1), ("q8_0", 8, 7), ("bf16", 30, 32)]
)
def test_matrices_are_of_the_type_asked_for_and_norms_in_float32(
    kind: str, type_: int, file_type: int, tiny: Path, tmp_path: Path
) -> None:
    """The numbers are those of the enums ggml_type and llama_ftype."""
    reader = gguf.GGUFReader(exported(tiny, kind, tmp_path))
    assert {tensor.tensor_type for tensor in reader.tensors if len(tensor.shape) == 1} == {0}
    assert {tensor.tensor_type for tensor in reader.tensors if len(tensor.shape) == 2} == {type_}
    assert metadata(reader)["general.file_type"] == file_type


def metadata(reader: gguf.GGUFReader) -> dict[str, Any]:
    return {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}


def test_the_metadata_are_those_of_the_config(folder: Path, in_float32: Path) -> None:
    config = read_json(folder / "config.json")
    found = metadata(gguf.GGUFReader(in_float32))
    expected = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Logitscope chat",
        "general.license": "MIT",
        "general.file_type": 0,
        "general.quantization_version": 2,
        "llama.vocab_size": config["vocab_size"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.block_count": config["num_hidden_layers"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.key_length": config["head_dim"],
        "llama.attention.value_length": config["head_dim"],
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(config["rms_norm_eps"]),
        "llama.rope.dimension_count": config["head_dim"],
        "llama.rope.freq_base": config["rope_theta"],
    }
    label = found.pop("general.size_label")
    assert {name: value for name, value in found.items() if not name.startswith("tokenizer.")} == expected
    values = sum(math.prod(part.shape) for part in load_file(folder / "model.safetensors").values())
    assert float(label[:-1]) * {"K": 1e3, "M": 1e6}[label[-1]] == pytest.approx(values, rel=0.05)


def test_the_vocabulary_is_the_tokenizers(folder: Path, in_float32: Path) -> None:
    found = metadata(gguf.GGUFReader(in_float32))
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = read_json(folder / "config.json")["vocab_size"]
    size = theirs.get_vocab_size()
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == rows == len(set(tokens))
    assert tokens[:size] == [theirs.id_to_token(row) for row in range(size)]
    control = {theirs.token_to_id(mark) for mark in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")}
    assert types[:size] == [3 if row in control else 1 for row in range(size)]  # 1: normal, 3: control
    assert set(types[size:]) <= {5}  # unused
    merges = read_json(folder / "tokenizer.json")["model"]["merges"]
    assert [tuple(merge.split(" ")) for merge in found["tokenizer.ggml.merges"]] == [tuple(pair) for pair in merges]


def test_the_marks_and_the_template(folder: Path, in_float32: Path) -> None:
    found = metadata(gguf.GGUFReader(in_float32))
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lists = {"tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"}
    assert {name: value for name, value in found.items() if name.startswith("tokenizer.") and name not in lists} == {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.eos_token_id": theirs.token_to_id("<|im_end|>"),
        "tokenizer.ggml.eot_token_id": theirs.token_to_id("<|im_end|>"),
        "tokenizer.ggml.padding_token_id": theirs.token_to_id("<|endoftext|>"),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": (folder / "chat_template.jinja").read_text(encoding="utf-8"),
    }


def test_added_tokens_that_are_not_special_and_those_beyond_the_embedding(tiny: Path, tmp_path: Path) -> None:
    rows = read_json(tiny / "config.json")["vocab_size"]
    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    tokenizer.add_tokens([f"<added {n}>" for n in range(SPARE + 2)])
    tokenizer.save(str(tiny / "tokenizer.json"))
    found = metadata(gguf.GGUFReader(exported(tiny, "bf16", tmp_path)))
    assert found["tokenizer.ggml.tokens"][rows - SPARE :] == [f"<added {n}>" for n in range(SPARE)]
    assert found["tokenizer.ggml.token_type"][rows - SPARE :] == [4] * SPARE  # user-defined


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "folder" / "model.gguf"
    run(monkeypatch, "--model-directory", tiny, "--to", target)
    assert str(target) in capsys.readouterr().out
    assert metadata(gguf.GGUFReader(target))["general.file_type"] == 32
    assert [path.name for path in target.parent.iterdir()] == ["model.gguf"]


def test_a_bad_directory_is_one_clear_sentence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.support.export_gguf", "--model-directory", str(tmp_path / "nowhere")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def refusal(monkeypatch: pytest.MonkeyPatch, folder: Path, target: Path, *words: str) -> str:
    """What is said; nothing may be written."""
    before = target.read_bytes() if target.is_file() else None
    with pytest.raises(SystemExit) as ending:
        run(monkeypatch, "--model-directory", folder, "--to", target, *words)
    assert isinstance(ending.value.code, str)
    assert "\n" not in ending.value.code
    assert (target.read_bytes() if target.is_file() else None) == before
    assert not target.parent.is_dir() or not list(target.parent.glob("*.part"))
    return ending.value.code


def test_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "config.json" in refusal(monkeypatch, tmp_path, tmp_path / "x.gguf")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file(name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny / name).unlink()
    assert name in refusal(monkeypatch, tiny, tmp_path / "x.gguf")


def test_a_model_that_the_architecture_has_no_word_for(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "sinusoidal" in refusal(monkeypatch, BUNDLED / "textbook", tmp_path / "x.gguf")
    change_json(tiny / "config.json", hidden_act="gelu")
    assert "activation 'gelu'" in refusal(monkeypatch, tiny, tmp_path / "x.gguf")
    change_json(tiny / "config.json", hidden_act="silu", rope_scaling={"rope_type": "linear", "factor": 2.0})
    assert "scaling 'linear'" in refusal(monkeypatch, tiny, tmp_path / "x.gguf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}),
        ("normalizer", {"type": "NFC"}),
        ("post_processor", {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}),
    ],
)
def test_a_tokenizer_of_another_kind(
    name: str, value: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_json(tiny / "tokenizer.json", **{name: value})
    assert name in refusal(monkeypatch, tiny, tmp_path / "x.gguf")


def test_a_mark_that_swallows_the_spaces_around_it(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = read_json(tiny / "tokenizer.json")["added_tokens"]
    marks[1]["rstrip"] = True
    change_json(tiny / "tokenizer.json", added_tokens=marks)
    assert "<|im_start|>" in refusal(monkeypatch, tiny, tmp_path / "x.gguf")


@pytest.mark.parametrize("named", [None, "<|nowhere|>"])
def test_no_token_that_ends_a_reply(
    named: str | None, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_json(tiny / "tokenizer_config.json", eos_token=named)
    assert "eos_token" in refusal(monkeypatch, tiny, tmp_path / "x.gguf")


def test_rows_that_do_not_fill_a_block(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_json(tiny / "config.json", intermediate_size=90)
    save_file(tiny_weights(read_json(tiny / "config.json")), tiny / "model.safetensors")
    said = refusal(monkeypatch, tiny, tmp_path / "x.gguf", "--type", "q8_0")
    assert "32" in said
    assert "90" in said
    run(monkeypatch, "--model-directory", tiny, "--to", tmp_path / "x.gguf", "--type", "f16")


def test_a_file_that_cannot_be_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("kept")
    assert "cannot be written" in refusal(monkeypatch, tiny, tmp_path / "file" / "x.gguf")
    assert (tmp_path / "file").read_text() == "kept"
    assert "cannot be written" in refusal(monkeypatch, tiny, tiny)


# --- llama.cpp, where it is installed ---------------------------------------------------------------------------------


def test_eight_bits_are_those_of_llama_cpps_own_quantizer(folder: Path, in_float32: Path, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    wanted = llama_cpp.llama_model_quantize_default_params()
    wanted.ftype, wanted.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, 1
    assert llama_cpp.llama_model_quantize(str(in_float32).encode(), str(tmp_path / "theirs").encode(), wanted) == 0
    expected = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "theirs").tensors}
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(exported(folder, "q8_0", tmp_path)).tensors}
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].tensor_type == tensor.tensor_type
        np.testing.assert_array_equal(found[name].data, tensor.data, err_msg=name)


@pytest.fixture(scope="module")
def ours(folder: Path) -> Model:
    return load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def theirs(ours: Model, in_float32: Path) -> Any:
    llama_cpp = pytest.importorskip("llama_cpp")
    return llama_cpp.Llama(
        str(in_float32),
        n_ctx=ours.context_length,
        n_batch=ours.context_length,
        n_ubatch=ours.context_length,
        n_threads=1,
        n_threads_batch=1,
        type_k=llama_cpp.GGML_TYPE_F32,  # the cache is in half precision otherwise
        type_v=llama_cpp.GGML_TYPE_F32,
        logits_all=True,
        verbose=False,
    )


def logits(theirs: Any, ids: list[int]) -> torch.Tensor:
    """llama.cpp's: (time, vocab)."""
    theirs.reset()
    theirs.eval(ids)
    return torch.from_numpy(theirs.scores[: len(ids)].copy())


def test_the_logits_are_close_over_the_whole_context(ours: Model, theirs: Any) -> None:
    """Measured with llama-cpp-python 0.3.36 over three random contexts each, at most: 6.4e-5 for the shipped model of
    3.1 million parameters, 5.2e-6 for the tiny one, 3.6e-4 for a random one of 14 million with a context of 1024. With
    llama.cpp's usual cache in half precision it is 1.1e-2, so this is tight enough to tell."""
    ids = torch.randint(ours.tokenizer.vocab_size, (1, ours.context_length), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = ours.transformer.unembed(ours.transformer(ids))[0]
    torch.testing.assert_close(logits(theirs, ids[0].tolist()), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("text", PROMPTS)
def test_the_likeliest_64_tokens_are_the_same(text: str, ours: Model, theirs: Any) -> None:
    assert ours.template is not None
    prompt = ours.tokenizer.encode(ours.template.render((Message(role="user", text=text),)))
    mine, other = list(prompt), list(prompt)
    theirs.reset()
    theirs.eval(other)
    for _ in range(64):
        with torch.no_grad():
            mine.append(int(ours.transformer.unembed(ours.transformer(torch.tensor([mine]))[0, -1]).argmax()))
        other.append(int(theirs.scores[len(other) - 1].argmax()))
        theirs.eval(other[-1:])
    assert other == mine


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_is_cut_up_alike(text: str, ours: Model, theirs: Any) -> None:
    ids = ours.tokenizer.encode(text)
    assert theirs.tokenize(text.encode(), add_bos=True, special=True) == ids
    assert theirs.tokenize(text.encode(), add_bos=True, special=False) == ours.tokenizer.encode(text, literal=True)
    assert theirs.detokenize(ids, special=True).decode() == text


def test_the_same_tokens_end_a_reply(ours: Model, theirs: Any) -> None:
    import llama_cpp

    vocabulary: Any = llama_cpp.llama_model_get_vocab(theirs.model)
    ends = {row for row in range(theirs.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocabulary, row)}
    assert ends == ours.end_ids
    assert theirs.token_eos() in ends


@pytest.mark.parametrize("first", [0, 1, 3])
def test_the_template_renders_alike(first: int, ours: Model, theirs: Any) -> None:
    """By Jinja with the template in the file, and by llama.cpp's own code, which knows ChatML when it sees it."""
    import llama_cpp
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    conversation = CONVERSATION[first:]
    assert ours.template is not None
    expected = ours.template.render(conversation)
    source = theirs.metadata["tokenizer.chat_template"]
    by_jinja = Jinja2ChatFormatter(template=source, eos_token="<|im_end|>", bos_token="")
    messages: Any = [{"role": message.role, "content": message.text} for message in conversation]
    assert by_jinja(messages=messages).prompt == expected

    turns = [(message.role.encode(), message.text.encode()) for message in conversation]
    chat = (llama_cpp.llama_chat_message * len(turns))(*(llama_cpp.llama_chat_message(*turn) for turn in turns))
    room = bytes(2 * len(expected))
    size = llama_cpp.llama_chat_apply_template(source.encode(), chat, len(turns), True, room, len(room))
    assert room[:size].decode() == expected


def test_the_shipped_model_gives_the_same_answers(folder: Path, ours: Model, theirs: Any) -> None:
    """All the way: messages in, template, tokens, 64 likeliest ones at most, an end, text out."""
    if folder != BUNDLED:
        pytest.skip("random weights never end a turn")
    settings = Settings(temperature=0.0, max_tokens=64)
    for text in PROMPTS:
        parts = Engine(ours).reply((Message(role="user", text=text),), lambda: settings)
        expected = next(part for part in parts if isinstance(part, Finished))
        said: Any = [{"role": "user", "content": text}]
        [choice] = theirs.create_chat_completion(said, temperature=0.0, max_tokens=64)["choices"]
        assert choice["message"]["content"] == expected.text
        assert choice["finish_reason"] == {"end": "stop"}.get(expected.reason, "length")
