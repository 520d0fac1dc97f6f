"""A directory on disk: everything it may lack or have broken is one sentence; what it holds is found."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import BadCheckpoint, LogitscopeError, ModelNotFound, UnsupportedModel
from tests.weights.support import tiny
from weights.huggingface.checkpoint import Checkpoint
from weights.load import load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write("llama", tmp_path / "model")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tiny.write("llama", tmp_path / "model", max_shard_size="30KB")


def refused(source: Path, kind: type[LogitscopeError], *said: str) -> None:
    """Opening it fails with this kind of error; sentence and hint are on one line and say these things."""
    with pytest.raises(kind) as caught:
        load(source, device="cpu")
    assert type(caught.value) is kind
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.hint


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


# --- what may be missing ----------------------------------------------------------------------------------------------


def test_no_directory(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", ModelNotFound, "nowhere")


def test_a_file_instead_of_a_directory(folder: Path) -> None:
    refused(folder / "model.safetensors", ModelNotFound, "is a file, not a directory", "config.json")


def test_an_empty_directory(tmp_path: Path) -> None:
    refused(tmp_path, ModelNotFound, "there is no config.json")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("adapter_config.json", "there is no config.json. It is an adapter"),
        ("README.md", "Give a GGUF file, or the dir"),
    ],
)
def test_a_directory_of_another_kind(file: str, said: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("{}")
    refused(tmp_path, ModelNotFound, said)


def test_a_directory_that_holds_a_single_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "model.Q4_0.gguf").write_text("{}")
    refused(tmp_path, BadCheckpoint, "model.Q4_0.gguf is not complete")


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, BadCheckpoint, "has no model.safetensors")


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_pickled_weights_are_never_opened(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "gone off"))
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    refused(folder, BadCheckpoint, "has no model.safetensors", name, "save_pretrained")
    assert not (tmp_path / "gone off").exists()


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    refused(folder, BadCheckpoint, "has no tokenizer.json", "AutoTokenizer")


def test_a_missing_shard(shards: Path) -> None:
    gone = sorted(shards.glob("model-*.safetensors"))[1]
    gone.unlink()
    refused(shards, BadCheckpoint, f"{gone.name} is missing")


def test_a_missing_tensor(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    refused(folder, BadCheckpoint, "model.layers.1.mlp.up_proj.weight is missing")


def test_several_missing_tensors(folder: Path) -> None:
    edit_weights(folder, lambda tensors: [tensors.pop(name) for name in sorted(tensors)[:5]])
    refused(folder, BadCheckpoint, "lm_head.weight and 4 more is missing")


def test_a_tensor_that_the_index_promises(shards: Path) -> None:
    index = shards / "model.safetensors.index.json"
    table = json.loads(index.read_text())["weight_map"]
    table["model.extra.weight"] = table["lm_head.weight"]
    tiny.change_json(index, weight_map=table)
    refused(shards, BadCheckpoint, table["lm_head.weight"], "lacks the tensor 'model.extra.weight'")


# --- what may be broken -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'"model"', b"\xff\xfe", b"[" * 100_000, b'{"a": 1} trailing']
)
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json"]
)
def test_broken_json(name: str, text: bytes, folder: Path) -> None:
    (folder / name).write_bytes(text)
    refused(folder, BadCheckpoint, name, "is damaged")


@pytest.mark.parametrize("text", [b"", b"{}", b"not json", b"\xff\xfe", b'{"model": {"type": "Strange"}}'])
def test_a_broken_tokenizer(text: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(text)
    refused(folder, BadCheckpoint, "tokenizer.json is damaged")


def header(values: object) -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        b"this is no safetensors file at all",
        b"\xff" * 64,
        header([]),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}) + bytes(4),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + bytes(4),
        header({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}) + bytes(4),
    ],
)
def test_damaged_weights(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, BadCheckpoint, "model.safetensors is damaged or not complete", f"{len(content):,} bytes")


@pytest.mark.parametrize("missing", [1, 100, 20_000])
def test_a_download_that_broke_off(missing: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-missing])
    refused(folder, BadCheckpoint, "model.safetensors is damaged or not complete")


def test_a_tensor_of_the_wrong_shape(folder: Path) -> None:
    tiny.change_json(folder / "config.json", intermediate_size=40)
    refused(
        folder,
        BadCheckpoint,
        "model.layers.0.mlp.up_proj.weight has the shape (48, 32)",
        "the config implies (40, 32)",
    )


def test_a_fused_tensor_of_the_wrong_shape(tmp_path: Path) -> None:
    for case, change, said in (
        (
            "phi3",
            {"num_key_value_heads": 4},
            "qkv_proj.weight has the shape (64, 32), but the config implies (96, 32)",
        ),
        ("gpt2", {"n_inner": 100}, "c_fc.weight has the shape (32, 128), but the config implies (32, 100)"),
    ):
        folder = tiny.write(case, tmp_path / case)
        tiny.change_json(folder / "config.json", **change)
        refused(folder, BadCheckpoint, said)


def test_a_tensor_the_model_has_no_place_for(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}))
    refused(folder, UnsupportedModel, "'model.layers.0.self_attn.q_proj.bias' has no place")


def test_more_layers_stored_than_the_config_says(folder: Path) -> None:
    tiny.change_json(folder / "config.json", num_hidden_layers=2)
    refused(folder, UnsupportedModel, "model.layers.2", "and 8 more has no place")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.bool])
def test_numbers_that_are_codes_for_other_numbers(dtype: torch.dtype, folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["lm_head.weight"].to(dtype)}))
    refused(folder, UnsupportedModel, "'lm_head.weight' is stored as", "cannot be read here")


@pytest.mark.parametrize(
    "size",
    [{"num_hidden_layers": 10**12}, {"hidden_size": 10**30}, {"vocab_size": 2**62}, {"intermediate_size": 2**40}],
)
def test_sizes_no_machine_has(size: dict[str, int], folder: Path) -> None:
    tiny.change_json(folder / "config.json", **size)
    refused(folder, BadCheckpoint, "config.json")


@pytest.mark.parametrize(
    ("case", "size"),
    [
        ("mistral", {"num_hidden_layers": 10**12}),
        ("smollm3", {"num_hidden_layers": 10**12, "no_rope_layers": None}),
        ("mixtral", {"num_local_experts": 10**9}),
        ("xglm", {"max_position_embeddings": 10**12}),
        ("yarn", {"rope_parameters": tiny.YARN | {"original_max_position_embeddings": 10**400}}),
        ("longrope", {"max_position_embeddings": 10**400}),
        ("yarn", {"rope_parameters": tiny.YARN | {"beta_slow": 1e-320}}),
    ],
)
def test_numbers_that_would_fill_the_memory_or_overflow(case: str, size: dict[str, Any], tmp_path: Path) -> None:
    tiny.write(case, tmp_path)
    tiny.change_json(tmp_path / "config.json", **size)
    refused(tmp_path, BadCheckpoint, "config.json")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/secret.safetensors",
        "..\\secret.safetensors",
        "C:secret.safetensors",
        "a.bin",
        "",
        7,
    ],
)
def test_shards_cannot_lie_elsewhere(name: object, shards: Path) -> None:
    save_file({"lm_head.weight": torch.zeros(300, 32)}, shards.parent / "secret.safetensors")
    index = shards / "model.safetensors.index.json"
    table = json.loads(index.read_text())["weight_map"]
    tiny.change_json(index, weight_map=table | {"lm_head.weight": name})
    refused(shards, BadCheckpoint, f"names {name!r} as a file of weights")


@pytest.mark.parametrize("table", [None, {}, [], "x"])
def test_an_index_without_a_map(table: object, shards: Path) -> None:
    index = shards / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    refused(shards, BadCheckpoint, "has no weight_map")


@pytest.mark.parametrize("ids", ["2", [1, "2"], 2.0, {"a": 1}, [True]])
def test_end_ids_that_are_none(ids: object, folder: Path) -> None:
    tiny.change_json(folder / "generation_config.json", eos_token_id=ids)
    refused(folder, BadCheckpoint, "generation_config.json", "eos_token_id")


def test_an_end_id_that_is_no_token_is_passed_over(folder: Path) -> None:
    """Some files say -1 for none, which transformers opens as well; `models` tells of it."""
    tiny.change_json(folder / "generation_config.json", eos_token_id=[-1, 2])
    tiny.change_json(folder / "config.json", eos_token_id=4294967295, vocab_size=300)
    files = Checkpoint(folder)
    assert files.end_ids >= {2}
    assert -1 not in files.end_ids
    assert files.notes == ("eos_token_id 4294967295 is no token of the model: passed over.",)


def test_tokens_that_nothing_joins_are_refused(folder: Path) -> None:
    """The library opens such a file, and cuts every text into letters."""
    table = json.loads((folder / "tokenizer.json").read_text())
    table["model"]["merges"] = []
    (folder / "tokenizer.json").write_text(json.dumps(table))
    refused(folder, BadCheckpoint, "tokenizer.json", "no merges")


def test_a_name_from_a_file_cannot_act_on_the_terminal(folder: Path) -> None:
    tiny.change_json(folder / "config.json", model_type="\x1b]52;c;ZXZpbA==\x07\x9b2J" + "x" * 10_000)
    refused(folder, UnsupportedModel, "\\x1b]52", "...")


# --- what is found ----------------------------------------------------------------------------------------------------


def test_the_tensors_of_all_shards(shards: Path) -> None:
    checkpoint = Checkpoint(shards)
    model = tiny.random_model("llama")
    assert {name: stored.shape for name, stored in checkpoint.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in model.state_dict().items()
    }
    assert {stored.dtype for stored in checkpoint.tensors.values()} == {"F32"}
    assert checkpoint.n_bytes == sum(file.stat().st_size for file in shards.glob("*.safetensors"))


def template_of(folder: Path) -> str | None:
    return Checkpoint(folder).template


def test_where_a_template_may_be(folder: Path) -> None:
    assert template_of(folder) is None
    tiny.change_json(folder / "tokenizer_config.json", chat_template="in the config")
    assert template_of(folder) == "in the config"
    named = [{"name": "tool_use", "template": "with tools"}, {"name": "default", "template": "the usual"}]
    tiny.change_json(folder / "tokenizer_config.json", chat_template=named)
    assert template_of(folder) == "the usual"
    tiny.change_json(folder / "tokenizer_config.json", chat_template=named[:1])
    assert template_of(folder) == "with tools"
    tiny.change_json(folder / "tokenizer_config.json", chat_template=[])
    assert template_of(folder) is None
    (folder / "chat_template.jinja").write_text("in a file\n")
    assert template_of(folder) == "in a file\n"


@pytest.mark.parametrize("template", [7, {"a": "b"}, [{"name": "default", "template": 7}]])
def test_a_template_that_is_no_text(template: object, folder: Path) -> None:
    tiny.change_json(folder / "tokenizer_config.json", chat_template=template)
    refused(folder, BadCheckpoint, "tokenizer_config.json", "chat_template")


def test_special_tokens_in_both_spellings(folder: Path) -> None:
    tiny.change_json(folder / "special_tokens_map.json", bos_token="<a>", unk_token="<u>")
    tiny.change_json(folder / "tokenizer_config.json", bos_token="<s>", eos_token={"content": "</s>", "lstrip": False})
    assert Checkpoint(folder).specials == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<u>"}
