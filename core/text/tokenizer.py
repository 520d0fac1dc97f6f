"""Text to token ids and back, and the bytes of every token. Knows no file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import tokenizers
from tokenizers import models, pre_tokenizers

from core.errors import BadCheckpoint
from core.text.thinking import CLOSE, OPEN

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_LONGEST_REASON = 200  # characters
_SPACE_MARK = "\u2581"  # ▁, how SentencePiece writes a space


def _byte_alphabet() -> dict[str, int]:
    """The printable stand-in of every byte in a byte-level vocabulary (GPT-2's table): character -> byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in table.values())
    return table | {chr(256 + n): byte for n, byte in enumerate(others)}


BYTE_ALPHABET = _byte_alphabet()
assert set(BYTE_ALPHABET) == set(pre_tokenizers.ByteLevel.alphabet())


class Tokenizer:
    """A `tokenizers.Tokenizer` that also knows the bytes of each of its tokens."""

    def __init__(self, backend: tokenizers.Tokenizer, *, begin_id: int | None = None) -> None:
        """
        Args:
            begin_id: the token that every prompt begins with, whether or not its chat template writes it.
        """
        self._backend = backend
        self._begin_id = begin_id
        added = backend.get_added_tokens_decoder()
        self._added = {token_id: token.content for token_id, token in added.items()}
        self.special_ids = frozenset(token_id for token_id, token in added.items() if token.special)
        # A thought's tags add nothing either where they are special, but whoever reads the text needs to see them.
        self.silent_ids = frozenset(
            token_id for token_id in self.special_ids if self._added[token_id] not in (OPEN, CLOSE)
        )
        self._special_texts = tuple(self._added[token_id] for token_id in self.special_ids)
        # Whether a whole text loses one leading space, which SentencePiece had put there.
        self._kinds, self.strips_first_space = _decoder_kinds(backend)
        self._bytes: dict[int, bytes] = {}
        self._texts: dict[int, str] = {}

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """From the contents of a tokenizer.json.

        Raises:
            ValueError: it is not one that the `tokenizers` library reads, or cuts texts into letters alone.
        """
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        except BaseException as error:
            _reason(error)  # raises what is not the library's own
            raise ValueError("the tokenizers library cannot read it") from error
        if _lacks_merges(text, backend):
            raise ValueError("it has tokens of several letters and no merges, so no text would become them")
        backend.no_truncation()  # a file may still ask for the lengths it was trained with
        backend.no_padding()
        return cls(backend)

    @property
    def vocab_size(self) -> int:
        return self._backend.get_vocab_size(with_added_tokens=True)

    @property
    def end(self) -> int:
        """The first id behind all tokens; there may be ids below it that are none."""
        return 1 + max(self._backend.get_vocab(with_added_tokens=True).values(), default=-1)

    @property
    def ordinary_size(self) -> int:
        """The size of the vocabulary that text is cut into, without what was added to it later."""
        return self._backend.get_vocab_size(with_added_tokens=False)

    def encode(self, text: str, *, add_special: bool = False, literal: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            add_special: add what the tokenizer puts around a text of its own accord, such as a beginning mark; where
                the text has it already, once is enough.
            literal: read "<|im_end|>" and its like as the characters they are, not as the special token.

        Raises:
            BadCheckpoint: it lacks what this text needs, such as a token for what is unknown.
        """
        clean = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no bytes
        self._backend.encode_special_tokens = literal
        try:
            return _once(self._backend.encode(clean, add_special_tokens=add_special))
        except BaseException as error:
            raise BadCheckpoint(
                f"The model's tokenizer cannot cut this text into tokens: {_reason(error)}.",
                "Copy or download its tokenizer.json again, or choose another model.",
            ) from error

    def begun(self, ids: list[int]) -> list[int]:
        """A prompt with the token that every one begins with, if this tokenizer has one."""
        return ids if self._begin_id is None or ids[:1] == [self._begin_id] else [self._begin_id, *ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, special ones left out."""
        return self._backend.decode(list(ids), skip_special_tokens=True)

    def id_of(self, token: str) -> int | None:
        return self._backend.token_to_id(token)

    def piece(self, token_id: int) -> str:
        """The token as the vocabulary spells it, such as `Ġthe` or `▁the`; empty for an id beyond the vocabulary."""
        return self._backend.id_to_token(token_id) or ""

    def is_added(self, token_id: int) -> bool:
        """Whether it was added to the vocabulary that text is cut into, such as a mark of the template."""
        return token_id in self._added

    def has_special(self, text: str) -> bool:
        """Whether some part of the text would be read as a special token."""
        return any(special in text for special in self._special_texts)

    def token_bytes(self, token_id: int) -> bytes:
        """What a token adds to the text, in bytes; for a special token, its name. Empty for an unknown id."""
        known = self._bytes.get(token_id)
        if known is None:
            known = self._bytes[token_id] = self._find_bytes(token_id)
        return known

    def token_text(self, token_id: int) -> str:
        """A token's bytes as text, with � for half characters."""
        known = self._texts.get(token_id)
        if known is None:
            known = self._texts[token_id] = self.token_bytes(token_id).decode("utf-8", "replace")
        return known

    def _find_bytes(self, token_id: int) -> bytes:
        if token_id in self._added:
            return self._added[token_id].encode()
        piece = self.piece(token_id)
        if "ByteLevel" in self._kinds:
            spelled = BYTE_ALPHABET.keys() >= set(piece)  # some vocabularies hold tokens in plain letters, too
            return bytes(BYTE_ALPHABET[character] for character in piece) if spelled else piece.encode()
        if "ByteFallback" in self._kinds and (match := _BYTE_TOKEN.fullmatch(piece)):
            return bytes([int(match[1], 16)])
        if "BPEDecoder" in self._kinds:
            return piece.replace("</w>", " ").encode()
        if "WordPiece" in self._kinds:
            return (piece[2:] if piece.startswith("##") else " " + piece).encode()
        return piece.replace(_SPACE_MARK, " ").encode()


_NO_MERGES = re.compile(r'"merges"\s*:\s*\[\s*\]')


def _lacks_merges(text: str, backend: tokenizers.Tokenizer) -> bool:
    """Whether it is a byte-pair tokenizer whose joined tokens nothing joins. Its library opens such a file."""
    if not isinstance(backend.model, models.BPE) or _NO_MERGES.search(text) is None or backend.model.ignore_merges:
        return False
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    joined = (token for token in backend.get_vocab(with_added_tokens=False) if token not in added and len(token) > 1)
    return any(_BYTE_TOKEN.fullmatch(token) is None for token in joined)


def _once(encoding: tokenizers.Encoding) -> list[int]:
    """Its ids, without a mark that was added before or behind the same mark in the text."""
    ids, added = encoding.ids, encoding.special_tokens_mask
    begin = 1 if len(ids) > 1 and ids[0] == ids[1] and added[:2] == [1, 0] else 0
    end = 1 if len(ids) > 1 + begin and ids[-1] == ids[-2] and added[-2:] == [0, 1] else 0
    return ids[begin : len(ids) - end]


def _reason(error: BaseException) -> str:
    """Why the `tokenizers` library failed, which raises bare Exception, and what is no Exception where it panics.

    Raises:
        BaseException: the error itself, if it is not the library's.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    text = " ".join(str(error).split())
    return text[:_LONGEST_REASON].rstrip(".")


def _decoder_kinds(backend: tokenizers.Tokenizer) -> tuple[frozenset[str], bool]:
    """The names of the decoder's parts, and whether they drop a whole text's first space."""
    if backend.decoder is None:
        return frozenset(), False
    decoder = json.loads(backend.decoder.__getstate__())
    parts = decoder.get("decoders", [decoder])
    strips = any(
        (part["type"] == "Strip" and part.get("content") == " " and part.get("start", 0) > 0)
        or (part["type"] == "Metaspace" and part.get("prepend_scheme", "always") != "never")
        or part["type"] == "WordPiece"
        for part in parts
    )
    return frozenset(part["type"] for part in parts), strips
