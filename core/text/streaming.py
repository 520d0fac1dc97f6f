"""Tokens become text as they come, never half a character and nothing behind a stop string. Knows no model."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from core.text.tokenizer import Tokenizer


class TextStream:
    """Turns tokens into text as they come; bytes of an unfinished character wait for the rest of it."""

    def __init__(self, tokenizer: Tokenizer, *, continues: bool = False) -> None:
        """
        Args:
            continues: the tokens go on from a text, so a space at their beginning belongs to what is read.
        """
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = tokenizer.strips_first_space and not continues

    def push(self, token_id: int) -> str:
        """What became readable with this token. Special tokens add nothing, but for the tags of a thought."""
        if token_id in self._tokenizer.silent_ids:
            return ""
        return self._without_first_space(self._decoder.decode(self._tokenizer.token_bytes(token_id)))

    def flush(self) -> str:
        """What is left at the end: � for a character that never got its last byte."""
        return self._without_first_space(self._decoder.decode(b"", final=True))

    def _without_first_space(self, text: str) -> str:
        if not text or not self._at_start:
            return text
        self._at_start = False
        return text.removeprefix(" ")


class StopStrings:
    """Holds back text that may turn out to be the beginning of a stop string."""

    def __init__(self) -> None:
        self._held = ""
        self._silent: list[bool] = []  # of each character held, whether it is only looked at
        self.hit = False

    def push(self, text: str, stops: Iterable[str], *, silent: str = "") -> str:
        """What may be shown by now; sets `hit` when a stop string has been completed, and nothing after it is.

        The one completed first counts, of two the longer, so that it never matters how the text was cut up.

        Args:
            silent: what comes after the text and is never shown, such as the name of a special token: a stop string
                may name it all the same.
        """
        self._held += text + silent
        self._silent += [False] * len(text) + [True] * len(silent)
        seen = [n for n, silent in enumerate(self._silent) if not silent]
        shown = "".join(self._held[n] for n in seen)
        stops = tuple(stops)
        hits = [(at + len(stop), at) for stop in stops if (at := self._held.find(stop)) >= 0]
        hits += [(seen[at + len(stop) - 1] + 1, seen[at]) for stop in stops if (at := shown.find(stop)) >= 0]
        if hits:
            self.hit = True
            shown = self._take(min(hits)[1])
            self._held, self._silent = "", []
            return shown
        begun = [len(self._held) - _overlap(self._held, stop) for stop in stops]
        begun += [seen[len(shown) - n] for stop in stops if (n := _overlap(shown, stop))]
        return self._take(min(begun, default=len(self._held)))

    def flush(self) -> str:
        return self._take(len(self._held))

    def _take(self, count: int) -> str:
        """The first so many characters that were held, those left out that are never shown."""
        taken = "".join(c for c, silent in zip(self._held[:count], self._silent, strict=False) if not silent)
        self._held, self._silent = self._held[count:], self._silent[count:]
        return taken


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
