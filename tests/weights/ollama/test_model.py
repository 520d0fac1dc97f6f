"""What lies beside the weights of Ollama's models: template, parameters, system message, adapter."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from core.conversation import Message
from core.errors import BadCheckpoint, UnsupportedModel
from tests.weights.support.tiny_gguf import write
from weights.library import paths
from weights.library.listing import listing
from weights.load import load
from weights.open import open_files

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
LLAMA = "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{- end }}"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ollama's folder, and nothing else on the machine."""
    for name in ("HOME", "LOGITSCOPE_DATA", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("LOGITSCOPE_MODELS", raising=False)
    monkeypatch.setattr(paths, "package_folders", list)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    return tmp_path / "ollama"


def put(root: Path, tag: str, **layers: str | bytes | dict[str, object]) -> Path:
    """A tag of the model `pet`. The same weights are one blob, whatever else the tags have."""
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    contents = {"model": _weights(root), **layers}
    stated = []
    for kind, content in contents.items():
        data = (
            content
            if isinstance(content, bytes)
            else content.encode()
            if isinstance(content, str)
            else json.dumps(content).encode()
        )
        digest = hashlib.sha256(data).hexdigest()
        (root / "blobs" / f"sha256-{digest}").write_bytes(data)
        media = f"application/vnd.ollama.image.{kind}"
        stated.append({"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)})
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / "pet" / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": stated}))
    return manifest


def _weights(root: Path) -> bytes:
    path, _ = write("llama", root / "blobs" / "made.gguf")
    data = path.read_bytes()
    path.unlink()
    return data


def test_two_tags_of_the_same_weights_differ_in_what_lies_beside_them(root: Path) -> None:
    put(root, "a", template=CHATML, params={"temperature": 0.6, "top_k": 20, "stop": ["<|im_end|>"]})
    put(root, "b", template=LLAMA, params={"top_p": 0.9}, system='You are "B".')
    put(root, "c")
    a, b, c = (load(f"pet:{tag}") for tag in "abc")
    assert [model.name for model in (a, b, c)] == ["pet:a", "pet:b", "pet:c"]
    assert [dict(model.sampling) for model in (a, b, c)] == [{"temperature": 0.6, "top_k": 20}, {"top_p": 0.9}, {}]
    hello = (Message(role="user", text="Hi"),)
    assert a.template is not None
    assert a.template.render(hello) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert b.template is not None
    begun = (
        '<|start_header_id|>system<|end_header_id|>\n\nYou are "B".<|eot_id|><|start_header_id|>user<|end_header_id|>'
    )
    assert b.template.render(hello).startswith(f"{begun}\n\nHi<|eot_id|>")
    assert c.template is None
    assert len(list((root / "blobs").iterdir())) == 6, "one file of weights"


def test_the_files_own_template_comes_first_and_its_settings_after_ollamas(root: Path) -> None:
    own = "{{ messages[-1]['content'] }}"

    def change(writer: object) -> None:
        writer.add_chat_template(own)  # type: ignore[attr-defined]
        writer.add_float32("general.sampling.temp", 0.3)  # type: ignore[attr-defined]
        writer.add_float32("general.sampling.top_p", 0.8)  # type: ignore[attr-defined]

    path, _ = write("llama", root.parent / "x.gguf", change=change)
    put(root, "own", model=path.read_bytes(), template=CHATML, params={"temperature": 1.5})
    model = load("pet:own")
    assert model.template is not None
    assert model.template.render((Message(role="user", text="Hi"),)) == "Hi"
    assert dict(model.sampling) == {"temperature": 1.5, "top_p": 0.8}


def test_a_stop_string_that_is_a_special_token_ends_a_reply(root: Path) -> None:
    put(root, "stops", params={"stop": ["<|im_start|>", "a", "no token", 7]})
    put(root, "plain")
    stops, plain = load("pet:stops"), load("pet:plain")
    assert stops.end_ids - plain.end_ids == {stops.tokenizer.id_of("<|im_start|>")}, "an ordinary token ends nothing"


@pytest.mark.parametrize(
    "params",
    [
        "",
        "[",
        "[]",
        "null",
        '{"temperature": "hot", "top_k": 40.5, "top_p": 7, "min_p": true, "stop": "x"}',
        "{" * 100_000,
    ],
)
def test_parameters_that_make_no_sense_keep_no_model_closed(params: str, root: Path) -> None:
    put(root, "odd", params=params, template=b"\xff\xfe", system=b"\xff")
    model = load("pet:odd")
    assert (dict(model.sampling), model.template) == ({}, None)


def test_an_adapter_would_change_what_it_says(root: Path) -> None:
    put(root, "lora", adapter="weights")
    with pytest.raises(UnsupportedModel, match="pet:lora of Ollama has an adapter"):
        load("pet:lora")
    (entry,) = [entry for entry in listing() if entry.source == "Ollama"]
    assert "adapter" in (entry.problem or "")


def test_weights_that_are_gone_are_a_sentence(root: Path) -> None:
    manifest = put(root, "gone")
    for blob in (root / "blobs").iterdir():
        blob.unlink()
    with pytest.raises(BadCheckpoint):
        load("pet:gone")
    manifest.write_text("[]")
    with pytest.raises(BadCheckpoint, match="names no file of weights"):
        open_files(manifest)
