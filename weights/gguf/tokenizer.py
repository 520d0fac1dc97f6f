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
from core.text.tokenizer import BYTE_ALPHABET, Tokenizer
from weights.gguf.merges import Merges, check_scores, listed_merges, merges_by_score
from weights.gguf.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from weights.turn_ends import ends_turn
from weights.untrusted.checked_json import CheckedJson, show

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_AGAIN = "Download the file again, or another one of the same model."
_SPECIAL_IDS = {"bos": "bos_token_id", "eos": "eos_token_id", "unk": "unknown_token_id", "pad": "padding_token_id"}
_IDS_OF_PIECES = {"unknown_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # unless the file says otherwise
_END_IDS = ("eos_token_id", "eot_token_id", "eom_token_id")
_END_LISTS = ("eos_token_ids", "eot_token_ids", "eom_token_ids")  # as Ollama's converter writes
_PREFIX = "tokenizer.ggml."
# Keys that are understood, or that neither llama.cpp nor transformers cuts texts by (merges beside scores among them).
_KNOWN = frozenset(
    (
        *("model", "pre", "tokens", "token_type", "scores", "merges", "add_space_prefix", "add_bos_token"),
        *("add_eos_token", "token_type_count", "add_unknown_token", "add_padding_token", "add_mask_token"),
    )
)
_NEUTRAL: tuple[object, ...] = (
    None,
    False,
    0,
    "",
    [],
)  # a flag that is off, a list of nothing: whatever it is for, it does nothing
_MAX_TOKENS = 1_000_000
_NO_TOKEN = "<no unknown token>"  # the library complains of it when a text needs it, not before
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
        listed = {token_id for key in _END_LISTS for token_id in self._metadata.ids(_PREFIX + key)}
        listed = {token_id for token_id in listed if not self._is_out_of_range(token_id)}
        kinds = enumerate(zip(self.tokens, self.types, strict=True))
        return frozenset(named | listed | {token_id for token_id, (text, kind) in kinds if ends_turn(text, kind)})

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the metadata says and cannot mean, and what is done about it, each in a sentence."""
        keys = (key for key in sorted(self._metadata.names()) if key.startswith(_PREFIX) and key.endswith("_token_id"))
        wrong = [key for key in keys if self._is_out_of_range(self._metadata.value(key))]
        size = len(self.tokens)
        return tuple(
            f"{key} is {show(self._metadata.value(key))}, and there are {size:,} tokens: passed over." for key in wrong
        )

    def check(self) -> None:
        """Complain now of what can be seen without building the tokenizer.

        Raises:
            UnsupportedModel, BadCheckpoint: as `tokenizer` does.
        """
        self._refuse_unknown_keys()
        self._check_ends()
        _ = self._marks
        if self._kind == "bytes":
            _ = self._pre_tokenizer
            _ = self._listed_merges
        else:
            check_scores(self._joinable)

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
        return Tokenizer(backend, begin_id=self._marks.get("bos_token_id"))

    # --- byte-level BPE -----------------------------------------------------------------------------------------------

    def _of_bytes(self) -> tokenizers.Tokenizer:
        rules = self._pre_tokenizer
        model = models.BPE(self._token_ids, self._listed_merges, ignore_merges=rules.whole_words)
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = rules.build(without=self._missing_bytes(rules))
        backend.decoder = decoders.ByteLevel()
        self._add_marks(backend)
        return backend

    @cached_property
    def _listed_merges(self) -> Merges:
        merges = listed_merges(self._texts("merges"), self._token_ids)
        if not merges and (joined := next(filter(self._needs_merges, range(len(self.tokens))), None)) is not None:
            raise BadCheckpoint(
                f"The metadata has no {_PREFIX}merges, and without them no text becomes tokens such as "
                f"{show(self.tokens[joined])}.",
                _AGAIN,
            )
        return merges

    def _needs_merges(self, token_id: int) -> bool:
        text = self.tokens[token_id]
        return self.types[token_id] == _NORMAL and len(text) > 1 and BYTE_ALPHABET.keys() >= set(text)

    def _missing_bytes(self, rules: PreTokenizer) -> str:
        """The stand-ins of the bytes without a token, which many vocabularies lack. llama.cpp leaves them out of a
        text and joins nothing across the gap."""
        known = set("".join(self.tokens)) if rules.whole_words else self._token_ids.keys()
        return "".join(character for character in BYTE_ALPHABET if character not in known)

    @property
    def _pre_tokenizer(self) -> PreTokenizer:
        return self._metadata.choice(f"{_PREFIX}pre", PRE_TOKENIZERS, "default")

    # --- pieces with scores, as of SentencePiece ----------------------------------------------------------------------

    def _of_pieces(self) -> tokenizers.Tokenizer:
        """A byte without a token becomes the unknown one, as in SentencePiece; llama.cpp does not cut such a text at
        all, and neither is it cut here where there is no unknown token."""
        unknown = self._id("unknown_token_id")
        name = _NO_TOKEN if unknown is None or self.types[unknown] != _UNKNOWN else self.tokens[unknown]
        model = models.BPE(self._token_ids, self._scored_merges, byte_fallback=True, unk_token=name, fuse_unk=True)
        backend = tokenizers.Tokenizer(model)
        space_first = self._metadata.flag(f"{_PREFIX}add_space_prefix", True)
        marks = [normalizers.Prepend("▁")] if space_first else []
        backend.normalizer = normalizers.Sequence([*marks, normalizers.Replace(" ", "▁")])
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        backend.decoder = decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if space_first else [])])
        self._add_marks(backend)
        return backend

    @cached_property
    def _scored_merges(self) -> Merges:
        return merges_by_score(self._joinable)

    @cached_property
    def _joinable(self) -> dict[str, float]:
        """The tokens that neighbours can be joined to, and how good each is."""
        if not self._scores and any(len(text) > 1 and self._is_joinable(n) for text, n in self._token_ids.items()):
            raise BadCheckpoint(f"The metadata has no {_PREFIX}scores, which order what is joined.", _AGAIN)
        scores = self._scores or [0.0] * len(self.tokens)
        return {text: scores[token_id] for text, token_id in self._token_ids.items() if self._is_joinable(token_id)}

    def _is_joinable(self, token_id: int) -> bool:
        """Whether neighbours can be joined to this token; those that are found in a text before it is cut cannot."""
        text, kind = self.tokens[token_id], self.types[token_id]
        if ends_turn(text, kind):
            return False
        return kind in (_NORMAL, _UNUSED) or (kind == _USER_DEFINED and "▁" in text)  # texts say a space, not ▁

    # --- what both have -----------------------------------------------------------------------------------------------

    def _added(self) -> Iterator[AddedToken]:
        """Tokens that are found in a text before it is cut: those of control, and those that a person defined."""
        strips = self._strips_after()
        for text, kind in zip(self.tokens, self.types, strict=True):
            special = kind in (_CONTROL, _UNKNOWN) or ends_turn(text, kind)
            if special or kind == _USER_DEFINED:
                rstrip = strips and text not in ("<unk>", "<s>", "<|endoftext|>")
                yield AddedToken(text, special=special, normalized=False, rstrip=rstrip)

    def _strips_after(self) -> bool:
        """Whether white space after such a token is lost. No key says so; llama.cpp goes by the model's name."""
        name = self._metadata.word("general.name", "").lower()
        return "phi-3" in name or "phi3" in name

    @cached_property
    def _marks(self) -> dict[str, int]:
        """The keys of what goes around a whole text, and the ids."""
        begins = self._kind == "pieces" or self._pre_tokenizer.add_bos
        begin = self._metadata.flag(f"{_PREFIX}add_bos_token", begins)
        end = self._metadata.flag(f"{_PREFIX}add_eos_token", False)
        ids = {key: self._id(key) for key, is_there in (("bos_token_id", begin), ("eos_token_id", end)) if is_there}
        for key, token_id in ids.items():
            if token_id is None:
                value = self._metadata.value(_PREFIX + key)
                named = "there is none" if value is None else f"{_PREFIX}{key} {show(value)} is no token"
                raise BadCheckpoint(f"Every text is to have a {key[:3]} token around it, and {named}.", _AGAIN)
        return {key: token_id for key, token_id in ids.items() if token_id is not None}

    def _add_marks(self, backend: tokenizers.Tokenizer) -> None:
        """What goes around a whole text."""
        names = {key: self.tokens[token_id] for key, token_id in self._marks.items()}
        begin, end = ([names[key]] if key in names else [] for key in ("bos_token_id", "eos_token_id"))
        backend.post_processor = processors.TemplateProcessing(
            single=[*begin, "$A", *end],
            special_tokens=[(names[key], token_id) for key, token_id in self._marks.items()],
        )

    def _refuse_unknown_keys(self) -> None:
        for key in sorted(self._metadata.names()):
            name = key.removeprefix(_PREFIX)
            is_known = name in _KNOWN or name in _END_LISTS or name.endswith("_token_id")
            if key.startswith(_PREFIX) and not is_known and self._metadata.value(key) not in _NEUTRAL:
                raise self._metadata.unsupported(key)

    def _check_ends(self) -> None:
        """An id that is no token is passed over, as in llama.cpp; but some end must be left, or no reply has one."""
        has_ends = bool(self.end_ids)
        for key in _END_IDS:
            value = self._metadata.value(_PREFIX + key)
            if self._is_out_of_range(value) and not has_ends:
                raise BadCheckpoint(
                    f"{_PREFIX}{key} is {show(value)}, and there are {len(self.tokens):,} tokens: no reply would end.",
                    _AGAIN,
                )

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
        """One that is out of range counts as absent."""
        default = _IDS_OF_PIECES.get(key) if self._kind == "pieces" else None
        token_id = self._metadata.value(_PREFIX + key)
        if token_id is None or self._is_out_of_range(token_id):
            return default if default is not None and default < len(self.tokens) else None
        if type(token_id) is not int:
            raise self._metadata.bad(_PREFIX + key, f"below {len(self.tokens)}, the number of tokens")
        return token_id

    def _is_out_of_range(self, value: object) -> bool:
        return type(value) is int and not 0 <= value < len(self.tokens)

    @cached_property
    def _token_ids(self) -> dict[str, int]:
        return {text: token_id for token_id, text in enumerate(self.tokens)}

    def _texts(self, name: str) -> list[str]:
        return self._metadata.words(_PREFIX + name) or []

    def _numbers(self, name: str) -> Sequence[float]:
        numbers = self._metadata.value(_PREFIX + name)
        if numbers is not None and not (isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)):
            raise self._metadata.bad(_PREFIX + name, "a list of numbers")
        return numbers or []
