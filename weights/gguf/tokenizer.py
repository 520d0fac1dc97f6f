"""The tokenizer in a GGUF file's metadata, as one of the `tokenizers` library that cuts every text as llama.cpp does.

Knows no architecture and no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, processors

from core.errors import BadCheckpoint, UnsupportedModel
from core.text.tokenizer import Tokenizer
from weights.gguf.merges import listed_merges, merges_by_score
from weights.gguf.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from weights.turn_ends import IN_LLAMA_CPP
from weights.untrusted.checked_json import CheckedJson, show

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_AGAIN = "Download the file again, or another one of the same model."
_SPECIAL_IDS = {"bos": "bos_token_id", "eos": "eos_token_id", "unk": "unknown_token_id", "pad": "padding_token_id"}
_IDS_OF_PIECES = {"unknown_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # unless the file says otherwise
_END_IDS = ("eos_token_id", "eot_token_id", "eom_token_id")
_PREFIX = "tokenizer.ggml."
# Keys that are understood, or that llama.cpp does not cut texts by (merges beside scores among them).
_KNOWN = frozenset(
    (
        *("model", "pre", "tokens", "token_type", "scores", "merges", "add_space_prefix", "add_bos_token"),
        *("add_eos_token", "add_sep_token", "remove_extra_whitespaces", "precompiled_charsmap", "token_type_count"),
    )
)
_MAX_TOKENS = 1_000_000
_MAX_ADDED = 100_000  # tokens that are looked for in a text before it is cut


class Vocabulary:
    """Tokens and what the metadata says of them."""

    def __init__(self, metadata: CheckedJson) -> None:
        """
        Raises:
            UnsupportedModel: a kind of tokenizer not known here.
            BadCheckpoint: its lists are missing or of different lengths.
        """
        self._metadata = metadata
        self._kind = metadata.choice(f"{_PREFIX}model", {"llama": "pieces", "gpt2": "bytes"})
        self.tokens = [text or f"[EMPTY_{token_id}]" for token_id, text in enumerate(self._texts("tokens"))]
        self.types = self._numbers("token_type") or [_NORMAL] * len(self.tokens)
        self._scores = self._numbers("scores")
        self._check_lists()

    @cached_property
    def specials(self) -> dict[str, str]:
        """The special tokens that a template may name, such as bos_token."""
        ids = {f"{name}_token": self._id(key) for name, key in _SPECIAL_IDS.items()}
        return {name: self.tokens[token_id] for name, token_id in ids.items() if token_id is not None}

    @cached_property
    def end_ids(self) -> frozenset[int]:
        named = {token_id for key in _END_IDS if (token_id := self._id(key)) is not None}
        return frozenset(named | {token_id for token_id, text in enumerate(self.tokens) if text in IN_LLAMA_CPP})

    def check(self) -> None:
        """Complain now of what can be seen without building the tokenizer.

        Raises:
            UnsupportedModel, BadCheckpoint: as `tokenizer` does.
        """
        self._refuse_unknown_keys()
        if self._kind == "bytes":
            _ = self._pre_tokenizer

    def tokenizer(self) -> Tokenizer:
        """
        Raises:
            UnsupportedModel, BadCheckpoint: see the class, and `weights.gguf.merges`.
        """
        self.check()
        backend = self._of_bytes() if self._kind == "bytes" else self._of_pieces()
        added = list(self._added())
        if len(added) > _MAX_ADDED:
            raise UnsupportedModel(f"The vocabulary has {len(added):,} tokens of control.", _AGAIN)
        backend.add_tokens(added)
        return Tokenizer(backend)

    # --- byte-level BPE -----------------------------------------------------------------------------------------------

    def _of_bytes(self) -> tokenizers.Tokenizer:
        ids = {text: token_id for token_id, text in enumerate(self.tokens)}
        rules = self._pre_tokenizer
        model = models.BPE(ids, listed_merges(self._texts("merges"), ids), ignore_merges=rules.whole_words)
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = rules.build()
        backend.decoder = decoders.ByteLevel()
        self._add_marks(backend, bos=rules.add_bos)
        return backend

    @property
    def _pre_tokenizer(self) -> PreTokenizer:
        return self._metadata.choice(f"{_PREFIX}pre", PRE_TOKENIZERS, "default")

    # --- pieces with scores, as of SentencePiece ----------------------------------------------------------------------

    def _of_pieces(self) -> tokenizers.Tokenizer:
        ids = {text: token_id for token_id, text in enumerate(self.tokens)}
        missing = [byte for byte in range(256) if f"<0x{byte:02X}>" not in ids]
        if missing:
            raise _incomplete(f"<0x{missing[0]:02X}>")
        scores = self._scores or [0.0] * len(ids)
        joinable = {text: scores[token_id] for text, token_id in ids.items() if self._is_joinable(token_id)}
        backend = tokenizers.Tokenizer(models.BPE(ids, merges_by_score(joinable), byte_fallback=True))
        space_first = self._metadata.flag(f"{_PREFIX}add_space_prefix", True)
        marks = [normalizers.Prepend("▁")] if space_first else []
        backend.normalizer = normalizers.Sequence([*marks, normalizers.Replace(" ", "▁")])
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        backend.decoder = decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if space_first else [])])
        self._add_marks(backend, bos=True)
        return backend

    def _is_joinable(self, token_id: int) -> bool:
        """Whether neighbours can be joined to this token; those that are found in a text before it is cut cannot."""
        text, kind = self.tokens[token_id], self.types[token_id]
        if text in IN_LLAMA_CPP:
            return False
        return kind in (_NORMAL, _UNUSED) or (kind == _USER_DEFINED and "▁" in text)  # texts say a space, not ▁

    # --- what both have -----------------------------------------------------------------------------------------------

    def _added(self) -> Iterator[AddedToken]:
        """Tokens that are found in a text before it is cut: those of control, and those that a person defined."""
        strips = self._strips_after()
        for text, kind in zip(self.tokens, self.types, strict=True):
            special = kind in (_CONTROL, _UNKNOWN) or text in IN_LLAMA_CPP
            if special or kind == _USER_DEFINED:
                rstrip = strips and text not in ("<unk>", "<s>", "<|endoftext|>")
                yield AddedToken(text, special=special, normalized=False, rstrip=rstrip)

    def _strips_after(self) -> bool:
        """Whether white space after such a token is lost. No key says so; llama.cpp goes by the model's name."""
        name = self._metadata.word("general.name", "").lower()
        return "phi-3" in name or "phi3" in name

    def _add_marks(self, backend: tokenizers.Tokenizer, *, bos: bool) -> None:
        """What goes around a whole text."""
        begin = self._metadata.flag(f"{_PREFIX}add_bos_token", bos)
        end = self._metadata.flag(f"{_PREFIX}add_eos_token", False)
        around = {"bos_token_id": begin, "eos_token_id": end}
        ids = {key: self._id(key) for key, is_there in around.items() if is_there}
        for key, token_id in ids.items():
            if token_id is None:
                raise BadCheckpoint(f"Every text is to have a {key[:3]} token around it, and there is none.", _AGAIN)
        names = {key: self.tokens[token_id] for key, token_id in ids.items() if token_id is not None}
        backend.post_processor = processors.TemplateProcessing(
            single=[*([names["bos_token_id"]] if begin else []), "$A", *([names["eos_token_id"]] if end else [])],
            special_tokens=[(names[key], ids[key]) for key in names],
        )

    def _refuse_unknown_keys(self) -> None:
        for name in ("add_sep_token", "remove_extra_whitespaces", "precompiled_charsmap"):
            self._metadata.only(_PREFIX + name, (None, False, []))
        for key in sorted(self._metadata.unasked()):
            is_known = key.removeprefix(_PREFIX) in _KNOWN or key.endswith("_token_id")
            if key.startswith(_PREFIX) and not is_known:
                raise self._metadata.unsupported(key)

    def _check_lists(self) -> None:
        if not self.tokens:
            raise self._metadata.bad(f"{_PREFIX}tokens", "a list of texts")
        if len(self.tokens) > _MAX_TOKENS:
            raise UnsupportedModel(f"The vocabulary has {len(self.tokens):,} tokens.", "Choose another model.")
        for name, values in (("token_type", self.types), ("scores", self._scores)):
            if values and len(values) != len(self.tokens):
                raise BadCheckpoint(
                    f"The vocabulary has {len(self.tokens):,} tokens and {len(values):,} values of {name}.",
                    _AGAIN,
                )
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(token for token, following in pairwise(sorted(self.tokens)) if token == following)
            raise BadCheckpoint(f"The vocabulary has the token {show(twice)} twice.", _AGAIN)

    def _id(self, key: str) -> int | None:
        default = _IDS_OF_PIECES.get(key) if self._kind == "pieces" else None
        token_id = self._metadata.value(_PREFIX + key)
        token_id = default if token_id is None else token_id
        if token_id is not None and (type(token_id) is not int or not 0 <= token_id < len(self.tokens)):
            raise self._metadata.bad(_PREFIX + key, f"below {len(self.tokens)}, the number of tokens")
        return token_id

    def _texts(self, name: str) -> list[str]:
        return self._metadata.words(_PREFIX + name) or []

    def _numbers(self, name: str) -> Sequence[float]:
        numbers = self._metadata.value(_PREFIX + name)
        if numbers is not None and not (isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)):
            raise self._metadata.bad(_PREFIX + name, "a list of numbers")
        return numbers or []


def _incomplete(what: str) -> UnsupportedModel:
    return UnsupportedModel(f"The vocabulary has no token {what}, which some texts need.", "Choose another model.")
