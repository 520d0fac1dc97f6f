"""Texts of every nasty kind are cut into the tokens that llama.cpp cuts them into, from the same file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer as Backend

from core.errors import BadCheckpoint, LogitscopeError, UnsupportedModel
from core.text.tokenizer import Tokenizer
from tests.support.tiny import tiny_backend
from tests.weights.support import tiny_gguf
from tests.weights.support.nasty import sentencepiece, texts
from tests.weights.support.tiny_pieces import add_pieces, some_pieces
from weights.gguf.file import GgufFile
from weights.gguf.pretokenizers import PRE_TOKENIZERS
from weights.text_side import end_ids, read_template

_LLAMA_CPP = "llama.cpp is the oracle: pip install 'logitscope[llama]'"
_PLACES = [up / "shared" / "tokenizers" for up in Path(__file__).resolve().parents]
_SHARED = next(filter(Path.is_dir, _PLACES), Path("/nowhere"))
needs_shared = pytest.mark.skipif(not _SHARED.is_dir(), reason="the real tokenizers are not on this machine")
Add = Callable[[GGUFWriter], object]
_PHI3 = ("<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|system|>", "<|end|>", "<|user|>")


def compare(path: Path, specials: Iterable[str], n: int) -> Tokenizer:
    """Ours and llama.cpp's ids of n texts, with special tokens read as such and as plain text."""
    pytest.importorskip("llama_cpp", reason=_LLAMA_CPP)
    from tests.weights.support.llama_cpp_oracle import Oracle

    ours, oracle = GgufFile(path).read_tokenizer(), Oracle(path, vocabulary_only=True)
    for text in texts(random.Random(0), tuple(specials), n):
        for options in ({}, {"literal": True}, {"add_special": True}):
            assert ours.encode(text, **options) == oracle.encode(text, **options), (text, options)
    assert end_ids(GgufFile(path), ours, read_template(GgufFile(path))) == oracle.end_ids
    return ours


# --- byte-level BPE ---------------------------------------------------------------------------------------------------


# One name of each way to cut, of those that llama.cpp came to know later also all others.
_LATER = ("tekken", "gpt-4o", "llama4", "falcon", "qwen35", "seed-coder")
_LATER += ("deepseek-llm", "deepseek-coder", "deepseek-v3")
_SLOW = _LATER  # in llama.cpp, which takes up to 20 ms for a text
_OTHERS = ("falcon3", "pixtral", "lfm2", "midm-2.0", "deepseek-r1-qwen", "kormo", "stablelm2", "a.x-4.0", "mellum")


@pytest.mark.parametrize("pre", ["default", "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", *_LATER, *_OTHERS])
def test_byte_level_tokens(pre: str, tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend(), pre=pre)
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(2)

    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    compare(path, ("<|im_start|>", "<|im_end|>", "<|endoftext|>"), 150 if pre in _SLOW else 1000)


@needs_shared
@pytest.mark.parametrize(
    ("name", "pre"),
    [("gpt2", "gpt-2"), ("gpt2", "default"), ("gpt2", "smollm"), ("gpt2", "qwen2"), ("llama3.2", "llama-bpe")]
    + [("llama3.2", pre) for pre in _LATER if pre not in ("llama4", "falcon", "seed-coder")],
)
def test_byte_level_tokens_of_real_vocabularies(name: str, pre: str, tmp_path: Path) -> None:
    backend = Backend.from_file(str(_SHARED / name / "tokenizer.json"))
    backend.add_special_tokens(["<|begin_of_text|>", "<|eot_id|>"])

    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, backend, pre=pre)
        writer.add_bos_token_id(backend.token_to_id("<|begin_of_text|>"))
        writer.add_eos_token_id(backend.token_to_id("<|eot_id|>"))

    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    ours = compare(path, ("<|begin_of_text|>", "<|eot_id|>"), 300 if pre in _SLOW else 2000)
    assert ours.decode(ours.encode("Straße 👩‍👩‍👧 in 2024\n")) == "Straße 👩‍👩‍👧 in 2024\n"


@pytest.mark.parametrize("pre", ["llama-bpe", "dbrx", "qwen2", *_LATER, *_OTHERS])
def test_a_word_that_no_merge_makes_and_contractions_in_capitals(pre: str, tmp_path: Path) -> None:
    """The first is one token only to those who look a word up before they merge; the second ends before the a."""
    plain = tiny_backend()

    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, plain, pre=pre)
        tokens, types, merges = (
            writer.kv_data[0][f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type", "merges")
        )
        tokens.value += ["Ġxyzzy", "La", "Sa"]
        types.value += [TokenType.NORMAL] * 3
        merges.value += ["L a", "S a"]
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(2)

    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    ours = compare(path, (" xyzzy", "'LLa", "'Sa", "'VEa"), 100 if pre in _SLOW else 500)
    assert len(ours.encode(" xyzzy")) == (1 if PRE_TOKENIZERS[pre].whole_words else 6)


def test_tokens_that_end_a_turn_by_their_name(tmp_path: Path) -> None:
    """Of any type: llama.cpp knows them by their name alone."""
    ends = ["<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>", "<|eom_id|>", "<EOT>", "<|end_of_text|>", "<eos>"]
    ends += ["<end_of_utterance>", "<|file_sep|>", "<|repo_name|>", "<|fim_pad|>"]

    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend())
        tokens, types = (writer.kv_data[0][f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type"))
        tokens.value += [*ends, "<|user|>", "<s>"]
        types.value += [TokenType.NORMAL, *[TokenType.CONTROL] * (len(ends) + 1)]
        writer.add_eos_token_id(0)

    ours = compare(tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add), (*ends, "<|user|>"), 300)
    assert ours.special_ids >= {ours.id_of(text) for text in ends}


# --- pieces with scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space_first", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_pieces_with_scores(seed: int, space_first: bool, tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        add_pieces(writer, some_pieces(seed))
        writer.add_add_space_prefix(space_first)

    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    ours = compare(path, ("<s>", "</s>", "<unk>", "<0x0A>"), 1000)
    assert ours.decode(ours.encode(" the  cat\n")) == " the  cat\n"


@needs_shared
@pytest.mark.parametrize(
    ("name", "added", "rstrip"),
    [
        ("Llama", {}, False),
        ("with tokens of a person", {"   ": 4, "\n\n": 4, "<|x|>": 4, "user thing": 4}, False),
        ("Phi-3-mini", dict.fromkeys(_PHI3, 3), True),
    ],
)
def test_pieces_of_a_real_vocabulary(name: str, added: dict[str, int], rstrip: bool, tmp_path: Path) -> None:
    found = sentencepiece(_SHARED / "sentencepiece" / "llama.model") + [(text, -1000.0, k) for text, k in added.items()]

    def add(writer: GGUFWriter) -> None:
        tokens, scores, types = zip(*found, strict=True)
        tiny_gguf.add_tokenizer(writer, tokens, types, model="llama", scores=scores)
        writer.add_name(name)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)

    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    # Of the white space after a token of Phi-3, llama.cpp drops what is ASCII; the model's own tokenizer, all of it.
    specials = ["<s>", "</s>", "<unk>", *(f"{text}  \n" if rstrip else text for text in added)]
    ours = compare(path, [*specials, "user", "\n\n\n"] if not rstrip else [f"{one}x" for one in specials], 1500)
    assert ours.decode(ours.encode("Hello  wörld 👩‍👩‍👧\n")) == "Hello  wörld 👩‍👩‍👧\n"


# --- what cannot be cut as llama.cpp does -----------------------------------------------------------------------------


def refused(tmp_path: Path, add: Add, kind: type[LogitscopeError], said: str) -> None:
    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    with pytest.raises(kind) as caught:
        GgufFile(path).read_tokenizer()
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_unknown_pre_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    assert "bloom" not in PRE_TOKENIZERS
    refused(tmp_path, lambda w: tiny_gguf.add_bpe(w, tiny_backend(), pre="bloom"), UnsupportedModel, "'bloom'")


def test_an_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    refused(
        tmp_path,
        lambda w: tiny_gguf.add_tokenizer(w, ["a"], [1], model="rwkv"),
        UnsupportedModel,
        "tokenizer.ggml.model",
    )


def test_scores_that_do_not_order_the_merges_are_refused(tmp_path: Path) -> None:
    pieces = {"ab": -1.0, "bc": -1.0, "a": -9.0, "b": -9.0, "c": -9.0}
    refused(tmp_path, lambda w: add_pieces(w, pieces), UnsupportedModel, "have the same score")


def test_a_piece_of_a_character_that_is_no_piece_is_refused(tmp_path: Path) -> None:
    pieces = {"né": -1.0, "n": -9.0}
    refused(tmp_path, lambda w: add_pieces(w, pieces), UnsupportedModel, "'né' contains 'é', which is no token")


def test_a_token_of_millions_of_characters_is_not_taken_apart(tmp_path: Path) -> None:
    refused(tmp_path, lambda w: add_pieces(w, {"a": -1.0, "a" * 5_000_000: -2.0}), UnsupportedModel, "too long")


def test_missing_bytes_are_not_refused(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_tokenizer(writer, ["<unk>", "a"], [2, 1], model="llama", scores=[0.0, 0.0])
        writer.add_bool("tokenizer.ggml.add_bos_token", False)

    path = tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add)
    assert GgufFile(path).read_tokenizer().encode("aé") == [0, 1, 0]  # the first is the space before it


def test_lists_of_different_lengths(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_tokenizer(writer, ["a", "b"], [1], model="gpt2", merges=[])

    refused(tmp_path, add, BadCheckpoint, "2 tokens and 1 values of token_type")


def test_a_token_twice(tmp_path: Path) -> None:
    refused(
        tmp_path, lambda w: tiny_gguf.add_tokenizer(w, ["a", "a"], [1, 1], model="gpt2"), BadCheckpoint, "'a' twice"
    )


def test_a_merge_of_what_is_no_token(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend())
        writer.kv_data[0].pop("tokenizer.ggml.merges")
        writer.add_token_merges(["q zz"])

    refused(tmp_path, add, BadCheckpoint, "'q zz'")


def test_an_id_beyond_the_vocabulary(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend())
        writer.add_bool("tokenizer.ggml.add_bos_token", True)
        writer.add_bos_token_id(99_999)

    refused(tmp_path, add, BadCheckpoint, "bos_token_id")


# --- template and turns -----------------------------------------------------------------------------------------------


def test_template_special_tokens_and_ends(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend())
        writer.add_eos_token_id(0)
        writer.add_eot_token_id(5)
        writer.add_chat_template("{{ eos_token }}{{ messages[0].content }}")

    files = GgufFile(tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add))
    tokenizer = files.read_tokenizer()
    assert files.template == "{{ eos_token }}{{ messages[0].content }}"
    assert files.specials == {"eos_token": tokenizer.piece(0)}
    assert end_ids(files, tokenizer, read_template(files)) == {0, 5, tokenizer.id_of("<|im_end|>")}
