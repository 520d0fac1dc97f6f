"""Broken tokenizers: cut, flipped, each of their parts missing or of another kind, vocabularies that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.weights.support.damage import Damage, Good, paths_in, with_key, write, write_json

_FILE = "tokenizer.json"
_VALUES: tuple[Any, ...] = (..., None, 7, "x", [], {}, 2**32, -1, True)


def damages(good: Good) -> Iterator[Damage]:
    content = good.read(f"directory/{_FILE}")
    for size in good.places(len(content.rstrip()), 50):
        yield Damage(
            kind="cut", name=f"{_FILE} at {size}", model="directory", change=write(_FILE, content[:size]), says=_FILE
        )
    for _ in range(80):
        damaged = bytearray(content)
        at = good.dice.randrange(len(content))
        damaged[at] ^= good.dice.choice((1, 16, 128, 255))
        yield Damage(
            kind="flipped", name=f"{_FILE} at {at}", model="directory", change=write(_FILE, damaged), may_open=True
        )
    for name, table in _broken(json.loads(content)):
        yield Damage(
            kind="broken tokenizers", name=name, model="directory", change=write_json(_FILE, table), may_open=True
        )


def _broken(good: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for path in paths_in(good, depth=2):
        for value in _VALUES:
            yield f"{path} = {value!r}", with_key(good, path, value)
    vocab = good["model"]["vocab"]
    bpe = good["model"]
    yield "other models", {}
    for name, model in {
        "no words": {"type": "WordLevel", "vocab": {}, "unk_token": "?"},
        "words without an unknown one": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"},
        "word pieces without an unknown one": {
            "type": "WordPiece", "vocab": {"a": 0}, "unk_token": "?", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 9,
        },
        "unigram without an unknown one": {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]]},
        "unigram with an unknown one beyond": {"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]},
        "unigram of nothing": {"type": "Unigram", "unk_id": 0, "vocab": []},
        "unigram that is no number": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 1e999], ["", -1e999]]},
        "two words with one id": bpe | {"vocab": vocab | {"twice": 5}},
        "ids with gaps": bpe | {"vocab": {word: n * 7_000_000 for word, n in vocab.items()}},
        "an id of four billion": bpe | {"vocab": vocab | {"far": 2**32 - 1}},
        "an id beyond": bpe | {"vocab": vocab | {"far": 2**32}},
        "merges of nothing": bpe | {"merges": [["", ""]]},
        "merges of strangers": bpe | {"merges": ["qq zz"]},
        "a million merges": bpe | {"merges": ["t h"] * 1_000_000},
        "a vocabulary of a million": bpe | {"vocab": vocab | {f"w{n}": n + 1000 for n in range(1_000_000)}},
        "a word of a megabyte": bpe | {"vocab": vocab | {"w" * 1_000_000: 299}},
        "an unknown one that is not there": bpe | {"unk_token": "nowhere", "vocab": {"a": 0}, "merges": []},
        "no bytes": bpe | {"vocab": {"a": 0}, "merges": []},
        "dropout": bpe | {"dropout": 2.0},
    }.items():  # fmt: skip
        yield name, good | {"model": model}
    for name, cut in {
        "a pattern that goes back and forth": "(a+)+$|(.*)*b",
        "a pattern that is none": "(((",
        "a pattern of nothing": "",
        "a pattern of ten thousand brackets": "(" * 10_000 + "a" + ")" * 10_000,
        "a pattern that repeats": "((a{1,999}){1,999}){1,999}",
    }.items():
        split = {"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False}
        yield name, good | {"pre_tokenizer": split}
        yield (
            f"{name}, to replace",
            good | {"normalizer": {"type": "Replace", "pattern": {"Regex": cut}, "content": "x" * 1000}},
        )
    for name, part in {
        "a processor with a stranger": {"post_processor": {
            "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [],
            "special_tokens": {},
        }},
        "a processor with an id beyond": {"post_processor": {
            "type": "BertProcessing", "sep": ["x", 4_000_000_000], "cls": ["y", 4_000_000_000],
        }},
        "a decoder that is none": {"decoder": {"type": "Strange"}},
        "no decoder": {"decoder": None},
        "a decoder in a decoder": {"decoder": {"type": "Sequence", "decoders": [{"type": "Sequence", "decoders": []}]}},
        "a normalizer of bytes that are none": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        "cut at a length of 0": {"truncation": {
            "direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 5,
        }},
        "filled to the moon": {"padding": {
            "strategy": {"Fixed": 10**12}, "direction": "Left", "pad_to_multiple_of": 0, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "x",
        }},
        "added tokens of nothing": {"added_tokens": [{**good["added_tokens"][0], "content": ""}]},
        "an added token far away": {"added_tokens": [{**good["added_tokens"][0], "id": 2**32 - 1, "content": "Hi"}]},
        "an added token in another's place": {"added_tokens": [{**good["added_tokens"][0], "id": 9, "content": "Hi"}]},
    }.items():  # fmt: skip
        yield name, good | part
