"""GGUF files against those who know better: transformers on the model they were written from, llama.cpp on the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf import GGUFWriter
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from core.errors import UnsupportedModel
from core.model import Model
from tests.weights.support import tiny, tiny_gguf
from tests.weights.support.greedy import greedy
from weights.gguf.file import GgufFile
from weights.gguf.tensor import READABLE
from weights.load import load

Kind = gguf.GGMLQuantizationType
_LLAMA_CPP = "llama.cpp is the oracle: pip install 'logitscope[llama]'"

# What no GGUF file can say is made the usual here: Gemma's own attention scale, Mistral's window.
_LIKE_PUBLISHED = {"query_pre_attn_scalar": 16}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": tiny.CASES["llama"],
    "llama, all biases, tied": (
        "llama",
        tiny.SIZES | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama 3 scaling": tiny.CASES["llama 3 scaling"],
    "llama, linear scaling": tiny.CASES["llama, linear scaling"],
    "mistral": ("mistral", tiny.SIZES | {"num_key_value_heads": 2, "sliding_window": None, "head_dim": 12}),
    "qwen2": tiny.CASES["qwen2"],
    "qwen3": tiny.CASES["qwen3"],
    "gemma": tiny.CASES["gemma"],
    "gemma2": ("gemma2", tiny.CASES["gemma2"][1] | _LIKE_PUBLISHED),
    "gemma2, as deep as the biggest": (
        "gemma2",
        tiny.CASES["gemma2"][1] | {"num_hidden_layers": 46, "query_pre_attn_scalar": 8},
    ),
    "gemma3": ("gemma3_text", tiny.CASES["gemma3_text"][1] | _LIKE_PUBLISHED),
    "gemma3, as deep as the biggest": (
        "gemma3_text",
        tiny.CASES["gemma3_text"][1] | {"num_hidden_layers": 62, "query_pre_attn_scalar": 8},
    ),
    "phi": tiny.CASES["phi"],
    "phi3": ("phi3", tiny.SIZES | {"num_key_value_heads": 2, "sliding_window": None}),
    "phi3, partial rope": tiny.CASES["phi3, partial rope"],
    "gpt2": tiny.CASES["gpt2"],
    "granite": tiny.CASES["granite"],
    "granite, biases, tied": (
        "granite",
        tiny.CASES["granite"][1] | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "olmo2": tiny.CASES["olmo2"],
    "smollm3": ("smollm3", tiny.SIZES | {"num_key_value_heads": 2, "num_hidden_layers": 5}),
    "stablelm": tiny.CASES["stablelm"],
    "stablelm, qkv bias, parallel": tiny.CASES["stablelm, qkv bias, parallel"],
    "stablelm, norms of heads": tiny.CASES["stablelm, norms of heads"],
    "neox": tiny.CASES["gpt_neox"],
    "neox, one after the other": ("gpt_neox", tiny.NEOX | {"use_parallel_residual": False}),
    "mixtral": tiny.CASES["mixtral"],
    "qwen3_moe": ("qwen3_moe", tiny.QWEN3_MOE | {"norm_topk_prob": True}),
    "yarn": tiny.CASES["yarn"],
    "yarn, a longer head": (
        "qwen3",
        tiny.SIZES | {"num_key_value_heads": 2, "head_dim": 32, "rope_parameters": tiny.YARN | {"factor": 4.0}},
    ),
    "longrope": tiny.CASES["longrope"],
    "longrope, a short text": (
        "phi3",
        tiny.CASES["longrope"][1] | {"original_max_position_embeddings": 300, "max_position_embeddings": 600},
    ),
    "longrope, partial rope": ("phi3", tiny.CASES["longrope, partial rope"][1] | {"sliding_window": None}),
}
# llama.cpp looks GELU up in a table of half precision, and it shows.
_GELU = ("gemma", "phi", "gpt2", "neox")
Written = Callable[[str], tuple[Path, PreTrainedModel]]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The file of a case and the model in it, made once."""
    made: dict[str, tuple[Path, PreTrainedModel]] = {}

    def of(case: str) -> tuple[Path, PreTrainedModel]:
        if case not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(tiny.CASES, case, CASES[case])
                model = tiny.random_model(case)
            if "as deep as the biggest" in case:
                _hush(model)
            made[case] = tiny_gguf.write_model(model, tmp_path_factory.mktemp("gguf") / "model.gguf"), model
        return made[case]

    return of


def opened(path: Path, **options: Any) -> Model:
    return load(path, device="cpu", **{"dtype": "float32", "quantize": "none"} | options)


def logits(model: Model, ids: list[int]) -> Tensor:
    return model.transformer.unembed(model.transformer(torch.tensor([ids])))[0]


def some_ids(n: int = 40) -> list[int]:
    found: list[int] = torch.randint(0, 285, (n,), generator=torch.Generator().manual_seed(1)).tolist()
    return found


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_model_that_was_written(case: str, written: Written) -> None:
    path, model = written(case)
    want = model(torch.tensor([some_ids()])).logits[0]
    got = logits(opened(path), some_ids())
    print(f"{case}: largest difference {(got - want).abs().max():.1e}, largest logit {want.abs().max():.1f}")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def _hush(model: PreTrainedModel) -> None:
    """Let the feed-forwards of a deep Gemma say a hundredth of what they would: what llama.cpp's table of 16-bit GELUs
    costs adds up over the layers, and what is asked of them here is their attention."""
    for name, weights in model.named_parameters():
        if name.endswith("post_feedforward_layernorm.weight"):  # stored less one
            weights.mul_(0.01).sub_(0.99)


def tolerance(case: str) -> float:
    return 3e-2 if case.startswith(_GELU) and not case.startswith("phi3") else 1e-4


@pytest.mark.parametrize("case", CASES)
def test_logits_and_greedy_text_are_those_of_llama_cpp(case: str, written: Written) -> None:
    pytest.importorskip("llama_cpp", reason=_LLAMA_CPP)
    from tests.weights.support.llama_cpp_oracle import Oracle

    path, _ = written(case)
    oracle, ours = Oracle(path), opened(path)
    longer = (
        48 if ours.transformer.config.uses_long_rope(49) else 0
    )  # llama.cpp takes every text for a long one where one may be
    ids, prompt = some_ids(40 + longer), some_ids(9 + longer)
    want, got = oracle.logits(ids), logits(ours, ids)
    print(f"{case}: largest difference {(got - want).abs().max():.1e}, largest logit {want.abs().max():.1f}")
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance(case))
    assert greedy(ours, prompt, 64) == oracle.greedy(prompt, 64)


# transformers 5.23 passes over rope_freqs.weight and over qwen3's attention.key_length, so those two cannot be asked.
@pytest.mark.parametrize("case", ["llama", "qwen2"])
def test_logits_are_what_transformers_makes_of_the_file(case: str, written: Written) -> None:
    path, _ = written(case)
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    want = theirs.eval()(torch.tensor([some_ids()])).logits[0]
    torch.testing.assert_close(logits(opened(path), some_ids()), want, rtol=0, atol=1e-4)


def test_a_window_of_phi3_is_kept_although_llama_cpp_passes_over_it(tmp_path: Path) -> None:
    path, model = tiny_gguf.write("phi3", tmp_path / "model.gguf")
    want = model(torch.tensor([some_ids()])).logits[0]
    torch.testing.assert_close(logits(opened(path), some_ids()), want, rtol=0, atol=1e-4)


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide() -> PreTrainedModel:
    """As wide as a block of 256."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"hidden_size": 256, "intermediate_size": 256, "num_key_value_heads": 2, "num_hidden_layers": 2}
        patch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | sizes))
        return tiny.random_model("wide")


def test_every_readable_format_is_tested() -> None:
    assert set(tiny_gguf.SCALES) | {Kind.F32, Kind.F16, Kind.BF16} == READABLE


@pytest.mark.parametrize("kind", sorted(READABLE), ids=lambda kind: kind.name)
def test_weights_of_every_format_are_those_of_ggml(kind: Kind, wide: PreTrainedModel, tmp_path: Path) -> None:
    """ggml turns the file into float32; then the weights are bit by bit the same, and llama.cpp says the same text.

    On the quantized file itself llama.cpp also rounds what it multiplies them with, to 8 bits; the gap is printed.
    """
    pytest.importorskip("llama_cpp", reason=_LLAMA_CPP)
    from tests.weights.support.llama_cpp_oracle import Oracle, dequantized

    block = tiny_gguf.random_blocks if kind in tiny_gguf.SCALES else None
    path = tiny_gguf.write_model(wide, tmp_path / "model.gguf", kind=kind, block=block)
    plain = dequantized(path, tmp_path / "float32.gguf")
    ours, by_ggml = opened(path), opened(plain)
    for got, want in zip(ours.transformer.parameters(), by_ggml.transformer.parameters(), strict=True):
        assert torch.equal(got, want)
    oracle = Oracle(plain)
    got, want = logits(ours, some_ids()), oracle.logits(some_ids())
    torch.testing.assert_close(got, want, rtol=0, atol=1e-3)
    assert greedy(ours, some_ids(9), 48) == oracle.greedy(some_ids(9), 48)
    rounded = Oracle(path).logits(some_ids())
    print(f"{kind.name}: {(got - want).abs().max():.1e}; with llama.cpp's rounding {(got - rounded).abs().max():.1e}")


def test_quantized_experts_are_those_of_ggml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of matrices, of which one is read at a time."""
    pytest.importorskip("llama_cpp", reason=_LLAMA_CPP)
    from tests.weights.support.llama_cpp_oracle import dequantized

    options = tiny.QWEN3_MOE | {"norm_topk_prob": True, "moe_intermediate_size": 64}
    monkeypatch.setitem(tiny.CASES, "experts", ("qwen3_moe", options))
    path, _ = tiny_gguf.write("experts", tmp_path / "model.gguf", kind=Kind.Q8_0)
    ours, by_ggml = opened(path), opened(dequantized(path, tmp_path / "float32.gguf"))
    for got, want in zip(ours.transformer.parameters(), by_ggml.transformer.parameters(), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_go_straight_to_the_format_that_is_computed_in(dtype: str, written: Written) -> None:
    path, _ = written("llama")
    exact, rounded = opened(path), opened(path, dtype=dtype)
    for one, other in zip(exact.transformer.parameters(), rounded.transformer.parameters(), strict=True):
        assert torch.equal(one.to(rounded.dtype), other)


def test_tensors_are_read_in_pieces(wide: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the rows are cut, also in the middle of a head whose channels lie in another order."""
    path = tiny_gguf.write_model(wide, tmp_path / "model.gguf", kind=Kind.Q8_0)
    whole = opened(path)
    monkeypatch.setattr("weights.assemble._CHUNK", 256 * 7)
    for one, other in zip(whole.transformer.parameters(), opened(path).transformer.parameters(), strict=True):
        assert torch.equal(one, other)


# --- several files ----------------------------------------------------------------------------------------------------


def test_a_split_model_is_opened_by_any_of_its_files(tmp_path: Path) -> None:
    _, model = tiny_gguf.write("llama", tmp_path / "model.gguf", split=9)
    files = sorted(tmp_path.glob("model-*.gguf"))
    assert len(files) == 4
    want = model(torch.tensor([some_ids()])).logits[0]
    for file in (files[0], files[2]):
        torch.testing.assert_close(logits(opened(file), some_ids()), want, rtol=0, atol=1e-4)
    assert GgufFile(files[0]).n_bytes == sum(file.stat().st_size for file in files)


# --- what is not understood -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.expert_gating_func", 2),
        ("llama.expert_shared_count", 1),
        ("llama.logit_scale", 0.5),
        ("llama.attention.causal", False),
        ("llama.attention.scale", 0.3),
        ("llama.attention.sliding_window", 4096),
        ("llama.rope.scaling.type", "su"),
        ("llama.rope.scaling.attn_factor", 1.5),
        ("llama.rope.scaling.yarn_ext_factor", 0.5),
        ("llama.rope.scaling.yarn_beta_fast", 4.0),
        ("llama.something.new", 1),
        ("general.type", "adapter"),
        ("tokenizer.ggml.pre", "superbpe"),
        ("tokenizer.ggml.normalizer.lowercase", True),
        ("tokenizer.ggml.remove_extra_whitespaces", True),
    ],
)
def test_a_key_that_would_change_the_result_is_refused_by_name(key: str, value: Any, tmp_path: Path) -> None:
    def change(writer: GGUFWriter) -> None:
        writer.kv_data[0].pop(key, None)
        kinds: dict[type, Any] = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        kinds.get(type(value), writer.add_string)(key, value)

    path, _ = tiny_gguf.write("llama", tmp_path / "model.gguf", change=change)
    with pytest.raises(UnsupportedModel) as caught:
        opened(path)
    assert key.removeprefix("llama.") in str(caught.value)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "mamba")
    writer.add_tensor("token_embd.weight", torch.zeros(3, 4).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModel, match=r"architecture 'mamba' cannot be run here\. Known: llama, "):
        opened(path)
