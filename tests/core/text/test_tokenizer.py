"""Streamed text against the whole decode of the `tokenizers` library, for every way of cutting nasty text up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from core.text.streaming import StopStrings, TextStream
from core.text.tokenizer import Tokenizer
from tests.support.tiny import BOS, END, START, tiny_backend

REAL = Path(__file__).parents[4] / "shared" / "tokenizers"

NASTY = {
    "emoji joined by ZWJ": "a👩‍👩‍👧‍👦b🏳️‍🌈",
    "flags and skins": "🇫🇷🇩🇪👍🏽!",
    "chinese, japanese, korean": "漢字とカナ한국어",
    "combining marks": "e\u0301 n\u0303 Z̷͑a̴l̶",
    "right to left": "שלום مرحبا\u200f\u202e",
    "astral": "𝔘𝕟𝕚𐍈𠜎\U0010ffff",
    "controls": "\x00\x1b[31m\x07\x7f\x85\r\n\t \u2028",
    "its own replacement character": "x\ufffdy\ufffd",
    "spaces": "  two  and   three \u00a0\u3000",
    "noncharacters and edges": "\u007f\u0080\u07ff\u0800\uffff\ufeff",
}

nasty = pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())


def stream(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """What becomes readable with each token, and what is left at the end."""
    flow = TextStream(tokenizer)
    return [*(flow.push(token_id) for token_id in ids), flow.flush()]


# --- byte-level: a vocabulary of every slice of the text ------------------------------------------------------------


def slices_of(text: str) -> tuple[Tokenizer, Callable[[bytes], int]]:
    """A byte-level tokenizer that has every slice of the text's bytes as a token, and the id of a slice."""
    stand_in = bytes_to_unicode()  # transformers' own table: byte -> printable character
    whole = text.encode()
    pieces = {whole[i:j] for i in range(len(whole)) for j in range(i + 1, len(whole) + 1)}
    vocabulary = {"".join(stand_in[byte] for byte in piece): n for n, piece in enumerate(sorted(pieces))}
    backend = Backend(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(backend), lambda piece: vocabulary["".join(stand_in[byte] for byte in piece)]


@nasty
def test_every_cut_into_three_streams_to_the_whole_text(text: str) -> None:
    tokenizer, id_of = slices_of(text)
    whole = text.encode()
    for i in range(1, len(whole)):
        for j in range(i, len(whole)):
            ids = [id_of(piece) for piece in (whole[:i], whole[i:j], whole[j:]) if piece]
            parts = stream(tokenizer, ids)
            assert "".join(parts) == text
            assert parts[-1] == ""  # nothing was held back to the end


@nasty
def test_byte_by_byte_a_character_appears_with_its_last_byte(text: str) -> None:
    tokenizer, id_of = slices_of(text)
    parts = stream(tokenizer, [id_of(bytes([byte])) for byte in text.encode()])
    ends = [part for part in parts if part]
    assert ends == list(text)  # one character at a time, each whole
    assert tokenizer.decode([id_of(bytes([byte])) for byte in text.encode()]) == text


@given(data=st.data(), text=st.sampled_from(list(NASTY.values())))
def test_any_cut_streams_to_the_whole_decode(data: st.DataObject, text: str) -> None:
    tokenizer, id_of = slices_of(text)
    whole = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=30)))
    pieces = [whole[i:j] for i, j in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    ids = [id_of(piece) for piece in pieces]
    shown = ""
    for part in stream(tokenizer, ids):
        shown += part
        assert text.startswith(shown)  # never half a character, never one taken back
    assert shown == text == tokenizer.decode(ids)
    assert [tokenizer.token_bytes(token_id) for token_id in ids] == pieces


@given(st.lists(st.integers(0, 255), max_size=12))
def test_bytes_that_make_no_character_are_replaced_as_the_whole_decode_does(junk: list[int]) -> None:
    tokenizer = Tokenizer(tiny_backend())
    stand_in = bytes_to_unicode()
    ids = [tokenizer.id_of(stand_in[byte]) for byte in junk]
    assert None not in ids
    known = [token_id for token_id in ids if token_id is not None]
    assert "".join(stream(tokenizer, known)) == tokenizer.decode(known) == bytes(junk).decode("utf-8", "replace")


@given(st.text(max_size=40))
def test_a_trained_vocabulary_gives_back_what_it_was_given(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, literal=True)
    assert "".join(stream(tokenizer, ids)) == tokenizer.decode(ids) == text
    assert b"".join(tokenizer.token_bytes(token_id) for token_id in ids) == text.encode()


def test_a_token_outside_the_alphabet_is_what_the_library_makes_of_it() -> None:
    """Some vocabularies hold tokens that were never written in the byte alphabet."""
    for piece in ("漢", "a b", "▁the", "Ġ漢"):
        vocabulary = {piece: 0}
        backend = Backend(models.BPE(vocab=vocabulary, merges=[]))
        backend.decoder = decoders.ByteLevel()
        tokenizer = Tokenizer(backend)
        assert tokenizer.token_bytes(0).decode() == tokenizer.decode([0])


# --- SentencePiece: pieces for the common, bytes for the rest -------------------------------------------------------


def sentencepiece(*, metaspace: bool) -> Backend:
    """Words and letters as pieces, every other character as byte tokens; as Llama 2 has it, or as newer files do."""
    words = ["<unk>", "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += [chr(code) for code in range(33, 127)] + ["é", "漢", "👍", "▁t", "he", "▁the", "▁▁"]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "▁")]
    vocabulary = {word: n for n, word in enumerate(words)}
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
        backend.decoder = decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always", split=False)]
        )
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(content=" ", left=1, right=0),
            ]
        )
    return backend


LLAMA_2 = Tokenizer(sentencepiece(metaspace=False))


@nasty
def test_byte_fallback_streams_to_the_whole_decode(text: str) -> None:
    ids = LLAMA_2.encode(text)
    assert any(LLAMA_2.piece(token_id).startswith("<0x") for token_id in ids) or text.isascii()
    assert "".join(stream(LLAMA_2, ids)) == LLAMA_2.decode(ids) == text
    joined = b"".join(LLAMA_2.token_bytes(token_id) for token_id in ids)
    assert joined == (" " + text).encode()  # SentencePiece's own space stands before it


@given(st.text(st.sampled_from("a the\né漢👍👩‍👧語 "), max_size=30))
def test_pieces_and_bytes_mixed_stream_to_the_whole_decode(text: str) -> None:
    ids = LLAMA_2.encode(text)
    parts = stream(LLAMA_2, ids)
    shown = ""
    for part in parts:
        shown += part
        assert text.startswith(shown)
    assert shown == LLAMA_2.decode(ids) == text


def test_what_goes_on_from_a_text_keeps_its_space() -> None:
    ids = LLAMA_2.encode("the the")
    flow = TextStream(LLAMA_2, continues=True)
    assert "".join(flow.push(token_id) for token_id in ids) + flow.flush() == " the the"


def test_one_space_goes_from_the_beginning_and_only_from_there() -> None:
    the, space, two = (LLAMA_2.id_of(piece) for piece in ("▁the", "▁", "▁▁"))
    assert the is not None
    assert space is not None
    assert two is not None
    for ids in ([the, the], [space, the], [two, the], [space, space, the], [the, space]):
        assert "".join(stream(LLAMA_2, ids)) == LLAMA_2.decode(ids)


@pytest.mark.parametrize("text", ["the the", " the", "  the", "the ", ""])
def test_metaspace_streams_to_the_whole_decode(text: str) -> None:
    tokenizer = Tokenizer(sentencepiece(metaspace=True))
    ids = tokenizer.encode(text)
    assert "".join(stream(tokenizer, ids)) == tokenizer.decode(ids)


# --- special tokens -------------------------------------------------------------------------------------------------


def test_special_tokens_are_read_but_never_said(tokenizer: Tokenizer) -> None:
    start, end = tokenizer.id_of(START), tokenizer.id_of(END)
    assert start is not None
    assert end is not None
    assert {start, end} <= tokenizer.special_ids
    ids = tokenizer.encode(f"{START}user{END}")
    assert (ids[0], ids[-1]) == (start, end)
    assert "".join(stream(tokenizer, ids)) == tokenizer.decode(ids) == "user"
    assert tokenizer.token_bytes(end) == END.encode()  # for the table it has a name
    assert tokenizer.token_text(end) == END


def test_read_literally_a_special_token_is_its_characters(tokenizer: Tokenizer) -> None:
    text = f"say {END} and {BOS}{BOS}"
    ids = tokenizer.encode(text, literal=True)
    assert not tokenizer.special_ids & set(ids)
    assert tokenizer.decode(ids) == text
    assert tokenizer.special_ids & set(tokenizer.encode(text))  # and the switch goes back


def test_which_texts_hold_a_special_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.has_special(f"a{END}b")
    assert not tokenizer.has_special("<|im_end|")
    assert not tokenizer.has_special("")


def test_a_special_token_between_two_halves_of_a_character_adds_nothing(tokenizer: Tokenizer) -> None:
    stand_in = bytes_to_unicode()
    halves = [tokenizer.id_of(stand_in[byte]) for byte in "é".encode()]
    ids = [halves[0], tokenizer.id_of(END), halves[1]]
    known = [token_id for token_id in ids if token_id is not None]
    assert "".join(stream(tokenizer, known)) == tokenizer.decode(known) == "é"


def test_an_unfinished_character_shows_only_at_the_end(tokenizer: Tokenizer) -> None:
    stand_in = bytes_to_unicode()
    first = tokenizer.id_of(stand_in["漢".encode()[0]])
    assert first is not None
    assert stream(tokenizer, [first]) == ["", "\ufffd"]
    assert tokenizer.token_text(first) == "\ufffd"
    assert tokenizer.token_bytes(first) == "漢".encode()[:1]


def test_ids_beyond_the_vocabulary_are_nothing(tokenizer: Tokenizer) -> None:
    """Models often have more rows than their tokenizer has tokens."""
    beyond = tokenizer.vocab_size + 5
    assert (tokenizer.token_bytes(beyond), tokenizer.piece(beyond)) == (b"", "")
    assert "".join(stream(tokenizer, [beyond])) == ""
    assert tokenizer.id_of("no such piece") is None


def test_lone_surrogates_do_not_reach_the_library(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a?b"


# --- reading files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "{}", '{"model": 3}', "null"])
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Tokenizer.from_json(text)


def test_a_file_that_says_to_shorten_texts_shortens_none(tokenizer: Tokenizer) -> None:
    """Files are often saved with the truncation and padding of their training; transformers ignores both, too."""
    backend = tiny_backend()
    text = "Once upon a time there was a small model that knew few words."
    whole = backend.encode(text).ids
    backend.enable_truncation(max_length=4)
    backend.enable_padding(length=64)
    assert len(backend.encode(text).ids) == 64
    reference = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert Tokenizer.from_json(backend.to_str()).encode(text) == reference.encode(text) == whole


REAL_NAMES = ("gpt2", "guppylm", "llama3.2", "phi-3-mini")


@pytest.mark.parametrize("name", REAL_NAMES)
def test_real_tokenizers(name: str) -> None:
    path = REAL / name / "tokenizer.json"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    tokenizer = Tokenizer.from_json(path.read_text())
    reference = PreTrainedTokenizerFast(tokenizer_file=str(path))
    for text in (*NASTY.values(), "Hello, world! It's 3.14.\n\n\tdef f(x):\n        return x\n"):
        ids = tokenizer.encode(text)
        assert ids == reference.encode(text, add_special_tokens=False)
        shown = "".join(stream(tokenizer, ids))
        assert shown == tokenizer.decode(ids)
        if shown != text:  # guppylm's small alphabet has no place for some characters
            continue
        joined = b"".join(tokenizer.token_bytes(token_id) for token_id in ids)
        assert joined == ((" " if name == "phi-3-mini" else "") + text).encode()  # SentencePiece's space before it


def test_every_token_of_a_real_vocabulary_has_the_bytes_the_library_decodes() -> None:
    path = REAL / "llama3.2" / "tokenizer.json"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    tokenizer = Tokenizer.from_json(path.read_text())
    for token_id in range(0, tokenizer.vocab_size, 7):
        assert tokenizer.token_text(token_id) == tokenizer.decode([token_id])


def test_a_damaged_real_file_is_refused() -> None:
    path = REAL / "llama2-broken" / "tokenizer.json"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    with pytest.raises(ValueError, match=r"\w"):
        Tokenizer.from_json(path.read_text())
    assert json.loads(path.read_text())  # it is JSON all the same: only the library can tell


# --- stop strings ---------------------------------------------------------------------------------------------------


def shown(chunks: Sequence[str], stops: Sequence[str]) -> tuple[str, bool]:
    """What a reader sees of a text that comes in these chunks."""
    holder = StopStrings()
    seen = ""
    for chunk in chunks:
        seen += holder.push(chunk, stops)
        if holder.hit:
            return seen, True
    return seen + holder.flush(), False


def expected(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Read a character at a time: the reply ends before the first stop string that is complete; the longest, if two."""
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False


letters = st.text(st.sampled_from("abc"), max_size=20)
some_stops = st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=4), max_size=3)


@given(text=letters, stops=some_stops, data=st.data())
def test_how_a_text_is_chunked_never_changes_what_is_shown(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    chunks = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert shown(chunks, stops) == expected(text, stops)


@pytest.mark.parametrize(
    ("chunks", "stops", "seen"),
    [
        (["Hello", " EN", "D and more"], ["END"], "Hello "),
        (["Hello", " EN", "TER"], ["END"], "Hello ENTER"),
        (["a\n", "\nUser", ":"], ["\n\nUser:"], "a"),
        (["aab"], ["ab"], "a"),
        (["a", "a", "b"], ["ab"], "a"),
        (["xEND"], ["ND", "END"], "x"),  # both complete at once: the longer one
        (["x", "E", "N", "D"], ["ND", "END"], "x"),
        (["END"], ["END"], ""),
        (["👩", "\u200d", "👧"], ["👩\u200d👧"], ""),
    ],
)
def test_stop_strings(chunks: list[str], stops: list[str], seen: str) -> None:
    assert shown(chunks, stops)[0] == seen


def test_only_what_may_become_a_stop_string_is_held_back() -> None:
    holder = StopStrings()
    assert holder.push("Hello EN", ["END"]) == "Hello "
    assert holder.push("TER", ["END"]) == "ENTER"
    assert holder.push("END"[:2], ["END"]) == ""
    assert holder.push("x", []) == "ENx"  # the stop strings were taken away meanwhile
    assert not holder.hit


def test_a_stop_string_may_name_what_is_never_shown() -> None:
    holder = StopStrings()
    stops = ["<|end|>\nUser", "<|eot|>"]
    assert holder.push("Hello", stops) == "Hello"
    assert holder.push("", stops, silent="<|end|>") == ""
    assert holder.push("\nUs", stops) == ""
    assert holder.push("ual", stops) == "\nUsual", "and the name is not shown even now"
    assert holder.push(" ", stops, silent="<|eot|>") == " "
    assert holder.hit


def test_what_is_never_shown_does_not_hide_a_stop_string_that_is() -> None:
    holder = StopStrings()
    assert holder.push("x E", ["END"], silent="<|mark|>") == "x "
    assert holder.push("ND.", ["END"]) == ""
    assert holder.hit
    holder = StopStrings()
    assert holder.push("x E", ["END"], silent="<|mark|>") == "x "
    assert holder.flush() == "E"
