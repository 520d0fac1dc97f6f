"""The whole reading side against transformers: its own files in, its own numbers out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, GPT2Model, LlamaModel

from core.config import ModelConfig, RopeConfig
from core.errors import (
    BadCheckpoint,
    BadDevice,
    BadSetting,
    BadTemplate,
    ModelNotFound,
    OutOfMemory,
    UnsupportedModel,
)
from core.model import Model
from core.transformer import Transformer
from tests.weights.support import tiny
from tests.weights.support.greedy import greedy
from weights import load as loading
from weights.families.own_format import fields_of
from weights.fit.available import AvailableMemory
from weights.load import load

STORIES = Path(__file__).resolve().parents[3] / "shared" / "checkpoints" / "stories260K"
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The directory of a case, written once. Not to be changed by a test."""
    written: dict[str, Path] = {}

    def of(case: str) -> Path:
        if case not in written:
            written[case] = tiny.write(case, tmp_path_factory.mktemp("checkpoint"))
        return written[case]

    return of


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def opened(source: Path, **options: Any) -> Model:
    return load(source, device="cpu", **{"dtype": "float32"} | options)


def logits(transformer: Transformer, tokens: Tensor) -> Tensor:
    return transformer.unembed(transformer(tokens))


def some_tokens(n: int = 40, vocab: int = tiny.VOCAB) -> Tensor:
    return torch.randint(0, vocab, (1, n), generator=torch.Generator().manual_seed(1))


def greedy_by_transformers(folder: Path, ids: list[int], n: int) -> list[int]:
    written = tiny.reference(folder).generate(
        torch.tensor([ids]), do_sample=False, max_new_tokens=n, eos_token_id=None, pad_token_id=0
    )
    return written[0, len(ids) :].tolist()


@pytest.mark.parametrize("case", tiny.CASES)
def test_logits_are_those_of_transformers(case: str, folder: Folder) -> None:
    tokens = some_tokens()
    want = tiny.reference(folder(case))(tokens).logits
    got = logits(opened(folder(case)).transformer, tokens)
    print(f"{case}: largest difference {(got - want).abs().max():.1e}, largest logit {want.abs().max():.1f}")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", tiny.CASES)
def test_greedy_continuation_is_that_of_transformers(case: str, folder: Folder) -> None:
    ids = some_tokens(9)[0].tolist()
    assert greedy(opened(folder(case)), ids, 64) == greedy_by_transformers(folder(case), ids, 64)


@pytest.mark.skipif(not STORIES.is_dir(), reason="the real checkpoint stories260K is not on this machine")
def test_a_real_checkpoint_tells_the_same_story() -> None:
    model = opened(STORIES)
    ids = model.tokenizer.encode("Once upon a time", add_special=True)
    assert ids == AutoTokenizer.from_pretrained(STORIES)("Once upon a time")["input_ids"]
    assert greedy(model, ids, 200) == greedy_by_transformers(STORIES, ids, 200)
    assert model.n_parameters == tiny.reference(STORIES).num_parameters()


# --- every field counts -----------------------------------------------------------------------------------------------


def mutants(config: ModelConfig) -> Iterator[tuple[str, ModelConfig]]:
    """The config with one thing wrong at a time: (name of the field, config). What is refused at once is left out."""
    for name, changes in changes_to(config):
        with contextlib.suppress(ValueError):
            yield name, replace(config, **changes)


def changes_to(config: ModelConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    def another(name: str, *values: object) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from ((name, {name: value}) for value in values if value != getattr(config, name))

    for name in ("vocab_size", "n_layers"):
        yield from another(name, getattr(config, name) + 1)
    if len(config.expert_layers) < config.n_layers:
        yield from another("d_ff", config.d_ff + 1)
    for name in ("qkv_bias", "output_bias", "mlp_bias", "head_bias", "gated", "qk_norm", "tied_embeddings"):
        yield from another(name, True, False)
    yield from another("d_model", config.d_model * 2)
    yield "d_head", {"n_heads": config.n_heads * 2, "n_kv_heads": config.n_kv_heads * 2, "d_head": config.d_head // 2}
    yield from another("n_heads", config.n_heads * 2)
    yield from another("n_kv_heads", 1 if config.n_kv_heads > 1 else config.n_heads)
    yield from another("norm", "layer", "rms")
    if config.qk_norm:
        yield from another("qk_norm_over", "head", "own head", "all heads")
    for name, factor in (("norm_eps", 1000), ("embedding_scale", 1.1), ("residual_scale", 1.1), ("logit_scale", 1.1)):
        yield from another(name, getattr(config, name) * factor)
    yield from another("attention_scale", 0.9 * (config.attention_scale or config.d_head**-0.5))
    for name in ("attention_softcap", "logit_softcap"):
        yield from another(name, None if getattr(config, name) else 1.0)
    yield from another("positions", "rope", "learned", "sinusoidal")
    yield from another("residual", "pre", "post", "sandwich", "branch", "parallel", "parallel, two norms")
    yield from another("activation", "silu", "gelu", "gelu_tanh", "relu")
    yield from window_changes(config)
    yield from expert_changes(config)
    if config.positions == "sinusoidal":
        yield from another("sinusoids", "in turn", "halves")
        yield from another("position_offset", config.position_offset + 1)
    if config.positions == "rope":
        yield from another("nope_layers", config.nope_layers ^ {1})
        for name, changes in rotary_changes(config):
            yield name, {"rope": replace(config.rope, **changes)}


def window_changes(config: ModelConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    if not config.windowed_layers:
        yield "windowed_layers", {"window": 4, "windowed_layers": frozenset({1})}
        return
    assert config.window is not None
    yield "window", {"window": config.window + 1}
    yield "windowed_layers", {"windowed_layers": config.windowed_layers - {min(config.windowed_layers)}}
    if not config.windowed_layers <= config.nope_layers:
        local = config.rope_local or config.rope
        yield "rope_local", {"rope_local": replace(local, theta=local.theta * 2)}


def expert_changes(config: ModelConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "expert_layers", {"expert_layers": config.expert_layers ^ {0}}
    if config.expert_layers:
        yield "n_experts", {"n_experts": config.n_experts + 1}
        yield "n_experts_used", {"n_experts_used": config.n_experts_used + 1}
        yield "d_expert", {"d_expert": config.d_expert + 1}
        yield "renormalised", {"renormalised": not config.renormalised}


def rotary_changes(config: ModelConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    rope = config.rope
    yield "rope", {"theta": rope.theta * 2}
    yield "theta", {"theta": rope.theta * 1.1}
    yield "width", {"width": None if rope.width else config.d_head // 2}
    yield "magnitude", {"magnitude": rope.magnitude * 1.1}
    if rope.scaling in ("none", "linear"):
        yield "factors", {"factors": (1.5,) * ((rope.width or config.d_head) // 2)}
    if rope.scaling == "none":
        yield "scaling", {"scaling": "linear", "factor": 2.0}
        return
    yield "scaling", {"scaling": "none"}
    if rope.scaling != "linear":
        yield "original_context", {"original_context": rope.original_context * 4}
    if rope.scaling == "longrope":
        for name in ("short_factors", "long_factors"):
            yield name, {name: tuple(1.5 * factor for factor in getattr(rope, name))}
        return
    yield "factor", {"factor": rope.factor * 2}
    if rope.scaling in ("llama3", "yarn"):
        yield "low_frequency_factor", {"low_frequency_factor": rope.low_frequency_factor * 3.5}
        yield "high_frequency_factor", {"high_frequency_factor": rope.low_frequency_factor * 1.5}
    if rope.scaling == "yarn":
        yield "whole_pairs", {"whole_pairs": not rope.whole_pairs}


@pytest.mark.parametrize("case", tiny.CASES)
def test_no_field_of_the_config_can_be_wrong_unnoticed(case: str, folder: Folder) -> None:
    """Each makes the weights not fit, or moves the logits by twice the tolerance of the golden test."""
    reference, right = tiny.reference(folder(case)), opened(folder(case)).transformer
    texts = [some_tokens(), some_tokens(80)] if right.config.rope.scaling == "longrope" else [some_tokens()]
    wanted = [reference(text).logits for text in texts]
    weights = dict(right.named_parameters())
    unnoticed: list[tuple[str, float]] = []
    for name, config in mutants(right.config):
        wrong = Transformer(config).eval()
        try:
            wrong.load_state_dict(
                weights | ({"head.weight": weights["embedding.weight"]} if config.tied_embeddings else {})
            )
        except RuntimeError:  # a tensor is missing, left over, or of another shape
            continue
        differences = (logits(wrong, text) - want for text, want in zip(texts, wanted, strict=True))
        moved = max(difference.abs().max().item() for difference in differences)
        if moved < 2e-4:
            unnoticed.append((name, moved))
    assert not unnoticed


def test_every_field_of_the_config_is_tried(folder: Folder) -> None:
    configs = [opened(folder(case)).transformer.config for case in tiny.CASES]
    tried = {name for config in configs for name, _ in mutants(config)}
    names = {field.name for kind in (ModelConfig, RopeConfig) for field in fields(kind)}
    assert names - tried == {"context_length"}  # how long it may get changes no number


# --- ways of storing --------------------------------------------------------------------------------------------------


def assert_like_transformers(source: Path) -> Model:
    model = opened(source)
    tokens = some_tokens(20)
    torch.testing.assert_close(
        logits(model.transformer, tokens), tiny.reference(source)(tokens).logits, rtol=0, atol=1e-4
    )
    return model


def test_shards(tmp_path: Path) -> None:
    tiny.write("phi3", tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    assert_like_transformers(tmp_path)


@pytest.mark.parametrize(("case", "kind"), [("gpt2", GPT2Model), ("llama, all biases, tied", LlamaModel)])
def test_stored_without_its_head_and_prefix(case: str, kind: Any, tmp_path: Path) -> None:
    model = tiny.random_model(case)
    base = model.get_decoder() if isinstance(model.base_model, LlamaModel) else model.base_model
    assert isinstance(base, kind)
    model.save_pretrained(tmp_path)  # for the config
    tiny.write_tokenizer(tmp_path)
    save_file({name: t.contiguous() for name, t in base.state_dict().items()}, tmp_path / "model.safetensors")
    assert not any(name.startswith(("model.", "transformer.")) for name in load_file(tmp_path / "model.safetensors"))
    assert_like_transformers(tmp_path)


@pytest.mark.parametrize("case", ["gpt_neox", "mixtral", "mixtral, windows", "qwen3_moe, some plain layers"])
def test_stored_under_the_names_of_transformers_5(case: str, tmp_path: Path) -> None:
    """Experts as one tensor, the head under its new name."""
    tiny.write(case, tmp_path, save_original_format=False)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert "lm_head.weight" in names
    assert not any(".experts.0." in name for name in names)
    assert_like_transformers(tmp_path)


def test_masks_and_frequencies_that_old_files_hold_are_passed_over(tmp_path: Path) -> None:
    for case, extra in (
        ("gpt2", {"transformer.h.0.attn.bias": torch.ones(1, 1, 128, 128)}),
        ("llama", {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
        ("gpt_neox", {"gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 128, 128)}),
        ("xglm", {"model.embed_positions.weights": torch.ones(130, 32)}),
    ):
        tiny.write(case, tmp_path / case)
        path = tmp_path / case / "model.safetensors"
        save_file(load_file(path) | extra, path, metadata={"format": "pt"})
        assert_like_transformers(tmp_path / case)


def test_one_matrix_stored_under_the_heads_name_serves_as_both(tmp_path: Path) -> None:
    tiny.write("llama, all biases, tied", tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    assert assert_like_transformers(tmp_path).transformer.config.tied_embeddings


@pytest.mark.parametrize("different", [False, True])
def test_two_matrices_where_one_is_said_to_serve_as_both(different: bool, tmp_path: Path) -> None:
    tiny.write("llama, all biases, tied", tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone() + different
    save_file(tensors, path, metadata={"format": "pt"})
    assert assert_like_transformers(tmp_path).transformer.config.tied_embeddings is not different


@pytest.mark.parametrize("case", ["llama", "llama 3 scaling", "llama, linear scaling", "gemma3_text", "phi"])
def test_the_old_spelling_of_rope(case: str, tmp_path: Path) -> None:
    tiny.write(case, tmp_path)
    new = opened(tmp_path).transformer.config
    old = {"rope_theta": 1234.0}
    if case == "gemma3_text":
        old |= {"rope_local_base_freq": 99.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    elif case == "phi":
        old |= {"partial_rotary_factor": 0.25}
    elif case != "llama":
        scaling = dict(tiny.CASES[case][1]["rope_parameters"])
        scaling["type"] = scaling.pop("rope_type")
        del scaling["rope_theta"]
        old["rope_scaling"] = scaling
    tiny.change_json(tmp_path / "config.json", rope_parameters=None, **old)
    assert assert_like_transformers(tmp_path).transformer.config.rope != new.rope


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_stored_in_another_format(stored: torch.dtype, tmp_path: Path) -> None:
    tiny.random_model("gemma2").to(stored).save_pretrained(tmp_path)
    tiny.write_tokenizer(tmp_path)
    assert_like_transformers(tmp_path)


@pytest.mark.parametrize("case", ["llama", "gemma2", "gpt2"])
def test_run_in_bfloat16(case: str, folder: Folder) -> None:
    tokens = some_tokens()
    exact = logits(opened(folder(case)).transformer, tokens)
    theirs = tiny.reference(folder(case)).to(torch.bfloat16)(tokens).logits.float()
    model = opened(folder(case), dtype="bfloat16")
    assert {p.dtype for n, p in model.transformer.named_parameters() if "norm" not in n} == {torch.bfloat16}
    ours = logits(model.transformer, tokens)
    assert ours.dtype == torch.float32
    assert (ours - exact).abs().mean() < 1.2 * (theirs - exact).abs().mean()


# --- our own format ---------------------------------------------------------------------------------------------------

TEXTBOOK = ModelConfig(
    vocab_size=tiny.VOCAB,
    context_length=64,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    d_model=16,
    d_head=8,
    d_ff=32,
    positions="sinusoidal",
    embedding_scale=4.0,
    norm="layer",
    residual="post",
    qkv_bias=True,
    output_bias=True,
    mlp_bias=True,
    activation="relu",
    gated=False,
    tied_embeddings=False,
    head_bias=True,
)


def write_own(folder: Path, config: ModelConfig) -> Transformer:
    transformer = Transformer(config).eval()
    tiny.change_json(folder / "config.json", model_type="logitscope", transformer=fields_of(config))
    save_file({name: t.clone() for name, t in transformer.named_parameters()}, folder / "model.safetensors")
    tiny.write_tokenizer(folder)
    return transformer


@pytest.mark.parametrize(
    "config",
    [
        TEXTBOOK,
        replace(TEXTBOOK, positions="rope", rope_local=RopeConfig(), window=3, windowed_layers=frozenset({1})),
        replace(TEXTBOOK, positions="learned", tied_embeddings=True, head_bias=False),
        replace(
            TEXTBOOK,
            positions="rope",
            rope=RopeConfig(scaling="longrope", short_factors=(1.0,) * 4, long_factors=(2.0,) * 4),
            rope_local=RopeConfig(scaling="linear", factor=2.0, factors=(1.0, 2.0, 3.0, 4.0)),
            window=3,
            windowed_layers=frozenset({0}),
            expert_layers=frozenset({1}),
            n_experts=3,
            n_experts_used=2,
            d_expert=5,
        ),
    ],
)
def test_our_own_format_comes_back_as_it_was(config: ModelConfig, tmp_path: Path) -> None:
    written = write_own(tmp_path, config)
    model = opened(tmp_path)
    assert model.transformer.config == config
    tokens = some_tokens(30)
    torch.testing.assert_close(logits(model.transformer, tokens), logits(written, tokens), rtol=0, atol=0)
    assert model.n_parameters == sum(parameter.numel() for parameter in written.parameters())


def test_the_first_files_of_our_own_format_are_still_read(tmp_path: Path) -> None:
    """They called rope rotary, and layers without it unturned."""
    rope, local = RopeConfig(theta=50.0), RopeConfig(theta=7.0)
    config = replace(TEXTBOOK, positions="rope", rope=rope, rope_local=local, nope_layers=frozenset({1}))
    write_own(tmp_path, config)
    old = {"rope": "rotary", "rope_local": "rotary_local", "nope_layers": "unturned_layers"}
    fields = {old.get(name, name): value for name, value in fields_of(config).items()} | {"positions": "rotary"}
    tiny.change_json(tmp_path / "config.json", transformer=fields)
    assert opened(tmp_path).transformer.config == config


def test_a_field_of_our_own_format_that_a_later_version_added(tmp_path: Path) -> None:
    write_own(tmp_path, TEXTBOOK)
    fields = fields_of(TEXTBOOK) | {"experts": 8}
    tiny.change_json(tmp_path / "config.json", transformer=fields)
    with pytest.raises(UnsupportedModel, match="experts 8"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"n_layers": "2"},
        {"activation": "swiglu"},
        {"windowed_layers": [0.5]},
        {"expert_layers": 2},
        {"qkv_bias": 1},
        {"d_ff": 0},
        {"rope": {"short_factors": ["1"]}},
    ],
)
def test_a_field_of_our_own_format_with_a_wrong_value(change: dict[str, Any], tmp_path: Path) -> None:
    write_own(tmp_path, TEXTBOOK)
    fields = fields_of(TEXTBOOK) | change
    tiny.change_json(tmp_path / "config.json", transformer=fields)
    with pytest.raises((UnsupportedModel, BadCheckpoint), match=next(iter(change))):
        opened(tmp_path)


# --- the rest of a model ----------------------------------------------------------------------------------------------


def test_a_shorter_context(folder: Folder) -> None:
    for case in ("gpt2", "llama"):
        model = opened(folder(case), context=50)
        assert model.context_length == 50
        assert model.n_parameters == opened(folder(case)).n_parameters, "a table of positions keeps all its rows"
        tokens = some_tokens(50)
        want = tiny.reference(folder(case))(tokens).logits
        torch.testing.assert_close(logits(model.transformer, tokens), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("context", [129, 0, -1])
def test_a_context_the_model_was_not_made_for(context: int, folder: Folder) -> None:
    with pytest.raises(BadSetting, match=rf"{context} tokens .* 128"):
        opened(folder("llama"), context=context)


def test_of_several_faults_the_first_on_the_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Located, fitted, read: each fault is found before the work that would be in vain."""
    folder = tiny.write("llama", tmp_path / "m")
    (folder / "chat_template.jinja").write_text("{% if %}")
    whole = load_file(folder / "model.safetensors")
    one_less = {name: tensor for name, tensor in whole.items() if name != "model.norm.weight"}
    save_file(one_less, folder / "model.safetensors", {"format": "pt"})
    little = AvailableMemory(device="cpu", dtype="float32", free=1_000)
    monkeypatch.setattr(loading, "available_memory", lambda *_: little)
    with monkeypatch.context() as nothing_read:
        nothing_read.setattr(loading, "read_transformer", None)
        with pytest.raises(BadDevice):
            load("no/such/model", device="abacus")
        with pytest.raises(ModelNotFound):
            opened(tmp_path / "other", context=0)
        with pytest.raises(BadSetting, match="context of 0"):
            opened(folder, context=0, quantize="int3")
        with pytest.raises(BadSetting, match="int3"):
            opened(folder, quantize="int3")
        with pytest.raises(BadTemplate):
            opened(folder)
        (folder / "chat_template.jinja").unlink()
        with pytest.raises(BadCheckpoint, match="missing"):
            opened(folder)
        save_file(whole, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(OutOfMemory):
            opened(folder)
    monkeypatch.undo()
    assert opened(folder).name == "m"


def test_progress_only_moves_forward_and_arrives(folder: Folder) -> None:
    told: list[tuple[float, str]] = []
    opened(folder("llama"), on_progress=lambda fraction, what: told.append((fraction, what)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert all(folder("llama").name in what for _, what in told)


def test_nothing_is_left_to_train_or_on_the_meta_device(folder: Folder) -> None:
    transformer = opened(folder("gemma3_text")).transformer
    tensors = [*transformer.parameters(), *transformer.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    assert not any(tensor.requires_grad for tensor in tensors)
    assert not transformer.training


def test_what_ends_a_reply(tmp_path: Path) -> None:
    tiny.write("llama", tmp_path)
    assert opened(tmp_path).end_ids == frozenset()
    tiny.change_json(tmp_path / "config.json", eos_token_id=7)
    tiny.change_json(tmp_path / "generation_config.json", eos_token_id=[8, 9])
    assert opened(tmp_path).end_ids == {7, 8, 9}
    tiny.change_json(tmp_path / "tokenizer_config.json", eos_token={"content": "<|endoftext|>"})
    assert opened(tmp_path).end_ids == {7, 8, 9, 2}
    tiny.change_json(tmp_path / "tokenizer_config.json", chat_template="{{ messages[0].content }}<|im_end|><|eot_id|>")
    assert opened(tmp_path).end_ids == {7, 8, 9, 2, 1}  # <|eot_id|> is not in this vocabulary


def test_a_template_that_does_not_parse(tmp_path: Path) -> None:
    tiny.write("llama", tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{% for message in %}")
    with pytest.raises(BadTemplate, match="cannot be read"):
        opened(tmp_path)


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    tiny.write("llama", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = weights[name][:280].clone()
    save_file(weights, tmp_path / "model.safetensors")
    tiny.change_json(tmp_path / "config.json", vocab_size=280)
    with pytest.raises(BadCheckpoint, match="285 tokens, the embedding 280 rows"):
        opened(tmp_path)


def test_torchs_compiler_is_not_loaded(folder: Folder) -> None:
    """It takes seconds, and some operations on the meta device load it."""
    sources = [str(folder(case)) for case in ("llama", "gemma3_text", "phi", "gpt2")]
    code = (
        "import sys; from weights.load import load\n"
        f"for source in {sources}: load(source, device='cpu')\n"
        "print('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_stays_near_the_size_of_the_weights(dtype: str, tmp_path: Path) -> None:
    """200 MB in two matrices: at its highest the process grows by less than 1.2 times what it keeps."""
    write_own(tmp_path, replace(TEXTBOOK, n_layers=1, d_model=512, d_head=256, d_ff=48_000))
    code = (
        "import sys; from weights.load import load\n"
        "def peak(): return next(int(line.split()[1]) for line in open('/proc/self/status') if 'VmHWM' in line)\n"
        f"load({str(tmp_path / 'small')!r}, device='cpu')\n"  # what is loaded once, whatever the size
        f"before = peak(); model = load({str(tmp_path)!r}, device='cpu', dtype={dtype!r}); after = peak()\n"
        "print((after - before) * 1024 / sum(p.nbytes for p in model.transformer.parameters()))"
    )
    (tmp_path / "small").mkdir()
    write_own(tmp_path / "small", TEXTBOOK)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert 0.9 < float(run.stdout) < 1.2


# --- how its makers sample from it ------------------------------------------------------------------------------------


def generation(folder: Path, **values: object) -> dict[str, float]:
    tiny.change_json(folder / "generation_config.json", **values)
    return dict(opened(folder).sampling)


def test_the_makers_own_settings(tmp_path: Path) -> None:
    tiny.write("llama", tmp_path)
    assert opened(tmp_path).sampling == {}
    found = generation(tmp_path, do_sample=True, temperature=0.6, top_k=20, top_p=0.95, repetition_penalty=1.05)
    assert found == {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05}
    assert generation(tmp_path, min_p=0.01, typical_p=0.9, top_k=-1, temperature=None)["top_k"] == 0
    assert "temperature" not in opened(tmp_path).sampling
    assert generation(tmp_path, do_sample=False, temperature=0.6)["temperature"] == 0, "always the likeliest"


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("temperature", "hot"), ("top_k", 2.5), ("top_p", 1.5), ("min_p", True), ("top_k", -2)],
)
def test_a_setting_that_is_impossible(tmp_path: Path, name: str, value: object) -> None:
    tiny.write("llama", tmp_path)
    with pytest.raises(BadCheckpoint, match=rf"generation_config.json has .* as {name}"):
        generation(tmp_path, **{name: value})


def test_every_file_that_names_an_end(tmp_path: Path) -> None:
    tiny.write("llama", tmp_path)
    ours = opened(tmp_path).tokenizer
    special = {name: ours.id_of(name) for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    tiny.change_json(tmp_path / "tokenizer_config.json", eos_token="<|im_end|>")
    assert opened(tmp_path).end_ids == {special["<|endoftext|>"], special["<|im_end|>"]}, "files may disagree"


def test_what_a_template_closes_an_answer_with_ends_it(tmp_path: Path) -> None:
    tiny.write("llama", tmp_path)
    start = opened(tmp_path).tokenizer.id_of("<|im_start|>")
    each = "{% for m in messages %}{{ m.content }}\n%s{% endfor %}"
    for closing, ends in (("<|im_start|>", {start}), ("</s>", set()), ("", set())):
        (tmp_path / "chat_template.jinja").write_text(each.replace("%s", closing))
        assert opened(tmp_path).end_ids == ends, closing
