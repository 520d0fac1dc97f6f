"""A key of config.json changed on disk changes our numbers just as it changes those of transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import UnsupportedModel
from tests.weights.support import tiny
from weights.load import load

LONG = 100  # tokens: more than the original context of every stretched case


def rope(case: str, **changes: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 10_000.0} | tiny.CASES[case][1].get("rope_parameters", {}) | changes}


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("smollm3", {"no_rope_layers": [0, 1, 1]}),
    ("smollm3", {"no_rope_layers": [1, 0, 1, 0, 0]} | {"rms_norm_eps": 0.01}),
    ("smollm3", {"no_rope_layers": None, "no_rope_layer_interval": 3}),
    ("smollm3", {"layer_types": ["full_attention", "full_attention", "sliding_attention"], "sliding_window": 5}),
    ("smollm3, biases, windows", {"sliding_window": 4}),
    ("olmo2", {"rms_norm_eps": 0.01}),
    ("granite", {"embedding_multiplier": None}),
    ("granite", {"attention_multiplier": None}),
    ("granite", {"residual_multiplier": 1}),
    ("granite", {"logits_scaling": 0.5}),
    ("stablelm", rope("stablelm", partial_rotary_factor=1.0)),
    ("stablelm", {"rope_parameters": None, "partial_rotary_factor": 0.5, "rope_theta": 100}),
    ("stablelm", {"layer_norm_eps": 0.01}),
    ("stablelm", {"hidden_act": "gelu"}),
    ("stablelm, norms of heads", {"layer_norm_eps": 0.01}),
    ("gpt_neox", {"use_parallel_residual": False}),
    ("gpt_neox", {"rope_parameters": None, "rotary_pct": 0.75}),
    ("gpt_neox", {"rope_parameters": None, "rotary_pct": 0.5, "rotary_emb_base": 100}),
    ("gpt_neox", {"rope_parameters": None, "rotary_pct": 0.5, "rope_scaling": {"type": "linear", "factor": 3.0}}),
    ("gpt_neox", {"layer_norm_eps": 0.01, "hidden_act": "relu"}),
    ("opt", {"activation_function": "gelu"}),
    ("xglm", {"scale_embedding": False}),
    ("xglm", {"activation_function": "gelu_new"}),
    ("mixtral", {"num_experts_per_tok": 3}),
    ("mixtral", {"sliding_window": 4}),
    ("mixtral", rope("mixtral", rope_theta=100.0)),
    ("mixtral, windows", {"sliding_window": None}),
    ("qwen3_moe", {"norm_topk_prob": True}),
    ("qwen3_moe", {"num_experts_per_tok": 4}),
    ("qwen3_moe", {"use_sliding_window": True, "sliding_window": 3}),
    ("qwen3_moe, some plain layers", {"use_sliding_window": False}),
    ("yarn", rope("yarn", factor=5.0)),
    ("yarn", rope("yarn", factor=5.0, finetuned=True)),  # as published; transformers passes over it
    ("yarn", rope("yarn", beta_slow=3.5)),
    ("yarn", rope("yarn", beta_fast=1.5)),
    ("yarn", rope("yarn", truncate=False)),
    ("yarn", rope("yarn", attention_factor=1.5)),
    ("yarn", rope("yarn", mscale=2.0, mscale_all_dim=0.5)),
    ("yarn", rope("yarn", original_max_position_embeddings=16)),
    ("yarn", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 2.0, "truncate": False}}),
    ("yarn", {"original_max_position_embeddings": 16}),
    ("llama 3 scaling", {"original_max_position_embeddings": 100}),
    ("longrope", rope("longrope", attention_factor=1.5)),
    ("longrope", rope("longrope", factor=5.0)),
    ("longrope", rope("longrope", long_factor=[1.0, 2.0, 3.0, 4.0])),
    ("longrope", {"original_max_position_embeddings": 99}),
    ("longrope", {"original_max_position_embeddings": None, "max_position_embeddings": 5000}),
    ("dynamic", rope("dynamic", rope_theta=100.0)),
]
# What says the same in other words: our numbers stay, as those of transformers do.
SAME: list[tuple[str, dict[str, Any]]] = [
    ("smollm3", {"rope_parameters": None}),
    ("smollm3, biases, windows", {"layer_types": None}),
    ("yarn", rope("yarn", beta_fast=None, beta_slow=None, mscale=None)),
    ("yarn", rope("yarn", mscale=2.0)),
    ("longrope", {"rope_parameters": None, "rope_scaling": tiny.LONGROPE, "rope_theta": 500.0}),
    ("dynamic", rope("dynamic", factor=9.0)),
    ("dynamic", rope("dynamic", original_max_position_embeddings=16)),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Tensor]]:
    """A case's directory and the logits it gives, once."""
    known: dict[str, tuple[Path, Tensor]] = {}

    def of(case: str) -> tuple[Path, Tensor]:
        if case not in known:
            folder = tiny.write(case, tmp_path_factory.mktemp("checkpoint"))
            known[case] = folder, both(folder)
        return known[case]

    return of


def both(folder: Path) -> Tensor:
    """Our logits, which are those of transformers."""
    tokens = torch.randint(0, tiny.VOCAB, (1, LONG), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        transformer = load(folder, device="cpu", dtype="float32").transformer
        got = transformer.unembed(transformer(tokens))
        torch.testing.assert_close(got, tiny.reference(folder)(tokens).logits, rtol=0, atol=1e-4)
    return got


def changed(folder: Path, target: Path, changes: dict[str, Any]) -> Tensor:
    shutil.copytree(folder, target, dirs_exist_ok=True)
    values = json.loads((target / "config.json").read_text()) | changes
    kept = {name: value for name, value in values.items() if name not in changes or value is not None}
    (target / "config.json").write_text(json.dumps(kept))
    return both(target)


@pytest.mark.parametrize(("case", "changes"), CHANGES)
def test_a_changed_key_changes_the_same_numbers(
    case: str, changes: dict[str, Any], written: Callable[[str], tuple[Path, Tensor]], tmp_path: Path
) -> None:
    folder, before = written(case)
    assert (changed(folder, tmp_path, changes) - before).abs().max() > 2e-4


@pytest.mark.parametrize(("case", "changes"), SAME)
def test_other_words_for_the_same_change_nothing(
    case: str, changes: dict[str, Any], written: Callable[[str], tuple[Path, Tensor]], tmp_path: Path
) -> None:
    folder, before = written(case)
    torch.testing.assert_close(changed(folder, tmp_path, changes), before, rtol=0, atol=1e-6)


def test_layers_that_are_all_of_the_usual_kind_change_nothing(tmp_path: Path) -> None:
    """A llama's config may list them, as newer ones of other families do."""
    folder = tiny.write("llama", tmp_path / "model")
    kinds = ["full_attention"] * json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    tiny.change_json(folder / "config.json", layer_types=kinds)
    load(folder, device="cpu")
    tiny.change_json(folder / "config.json", layer_types=[*kinds[1:], "sliding_attention"])
    with pytest.raises(UnsupportedModel, match="layer_types"):
        load(folder, device="cpu")
