"""A JSON object from a stranger's file: typed look-ups, and a record of what was looked up. Knows no family."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from reprlib import Repr
from typing import TypeVar

from core.errors import BadCheckpoint, UnsupportedModel
from weights.untrusted.hints import COPY_AGAIN
from weights.untrusted.text_file import USUAL, read_text

T = TypeVar("T")

MAX_COUNT = 10**12  # of anything that is counted; a machine has not that much of it, and arithmetic beyond overflows

_ANOTHER = "Choose another model: `logitscope models` lists what can be opened here."
_short = Repr()
_short.maxstring = _short.maxother = 60


def show(value: object) -> str:
    """A value from a file, short and without control characters, for a message."""
    return _short.repr(value)


def read_json(path: Path, *, most: int = USUAL) -> dict[str, object]:
    """The JSON object in a file of at most so many bytes.

    Raises:
        BadCheckpoint: it cannot be read, or is not one.
    """
    text = read_text(path, most=most)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{path} is damaged: it is not JSON.", COPY_AGAIN) from error
    if not isinstance(value, dict):
        raise BadCheckpoint(f"{path} is damaged: it does not hold a JSON object.", COPY_AGAIN)
    return value


class CheckedJson:
    """Typed look-ups. A key that is missing or null means its default; a value of the wrong kind is an error."""

    def __init__(self, values: Mapping[str, object], *, where: str = "config.json") -> None:
        self._values = values
        self._asked: set[str] = set()
        self.where = where

    def defaulting(self, defaults: Mapping[str, object]) -> CheckedJson:
        """The same, with these values for keys that are not there. A key that is there and null stays null."""
        return CheckedJson({**defaults, **self._values}, where=self.where)

    def value(self, name: str) -> object:
        """Whatever it is; None if it is missing."""
        self._asked.add(name)
        return self._values.get(name)

    def renamed(self, new_names: Mapping[str, str]) -> CheckedJson:
        """The same object with some keys called as they are today."""
        values = {new_names.get(name, name): value for name, value in self._values.items()}
        return CheckedJson(values, where=self.where)

    def count(self, name: str, default: int | None = None, *, least: int = 1, most: int = MAX_COUNT) -> int:
        """A whole number of at least `least` and at most `most`."""
        value = self._or(name, default)
        if type(value) is not int or not least <= value <= most:
            too_many = type(value) is int and value > most
            raise self.bad(name, f"a whole number of at least {least}" + (f" and at most {most:,}" if too_many else ""))
        return value

    def stated_count(self, name: str) -> int | None:
        """What is there, if that is a number of anything; never an error."""
        value = self._values.get(name)
        return value if type(value) is int and 1 <= value <= MAX_COUNT else None

    def maybe_count(self, name: str) -> int | None:
        return None if self.value(name) is None else self.count(name)

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = self._or(name, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:  # type: ignore[operator]
            raise self.bad(name, "a number above 0")
        return value  # type: ignore[return-value]

    def maybe_number(self, name: str) -> float | None:
        return None if self.value(name) is None else self.number(name)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._or(name, default)
        if not isinstance(value, bool):
            raise self.bad(name, "true or false")
        return value

    def word(self, name: str, default: str | None = None) -> str:
        value = self._or(name, default)
        if not isinstance(value, str):
            raise self.bad(name, "a text")
        return value

    def words(self, name: str) -> list[str] | None:
        value = self.value(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
            raise self.bad(name, "a list of texts")
        return value

    def counts(self, name: str) -> list[int] | None:
        """A list of whole numbers of at least 0."""
        value = self.value(name)
        if value is not None and not (isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)):
            raise self.bad(name, "a list of whole numbers")
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers above 0."""
        value = self.value(name)
        if not isinstance(value, list) or not all(type(n) in (int, float) and 0 < n < math.inf for n in value):
            raise self.bad(name, "a list of numbers above 0")
        return tuple(value)

    def ids(self, name: str) -> list[int]:
        """Token ids: a number, a list of them, or none. Some files say -1 or 4294967295 for none: whoever uses an id
        knows how many tokens there are."""
        value = self.value(name)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        ids = [token_id for token_id in listed if type(token_id) is int]
        if len(ids) < len(listed):
            raise self.bad(name, "a token id or a list of them")
        return ids

    def texts_ending_with(self, ending: str) -> dict[str, str]:
        """Texts under keys with this ending; a text may also lie one level deeper, as `content`."""
        values = {name: value for name, value in self._values.items() if name.endswith(ending)}
        plain = {name: v.get("content") if isinstance(v, dict) else v for name, v in values.items()}
        return {name: text for name, text in plain.items() if isinstance(text, str)}

    def table(self, name: str) -> CheckedJson | None:
        """The object under this key; None if there is none, or an empty one."""
        value = self.value(name)
        if value is not None and not isinstance(value, dict):
            raise self.bad(name, "an object")
        return CheckedJson(value, where=f"{name} in {self.where}") if value else None

    def choice(self, name: str, choices: Mapping[str, T], default: str | None = None) -> T:
        """What the word under this key stands for.

        Raises:
            UnsupportedModel: it stands for nothing we know.
        """
        word = self.word(name, default)
        if word not in choices:
            raise self.unsupported(name)
        return choices[word]

    def only(self, name: str, allowed: Collection[object] = (None, False)) -> None:
        """Refuse any value but these.

        Raises:
            UnsupportedModel: it is another.
        """
        if self.value(name) not in allowed:
            raise self.unsupported(name)

    def names(self) -> set[str]:
        """Keys that hold something."""
        return {name for name, value in self._values.items() if value is not None}

    def unasked(self) -> set[str]:
        """Keys that hold something and that nobody has asked for."""
        return self.names() - self._asked

    def bad(self, name: str, expected: str) -> BadCheckpoint:
        if self._values.get(name) is None:
            return BadCheckpoint(f"{self.where} has no {name}.", f"It should be {expected}.")
        return BadCheckpoint(f"{self.where} has {show(self._values[name])} as {name}.", f"It should be {expected}.")

    def unsupported(self, name: str) -> UnsupportedModel:
        value = show(self._values.get(name))
        name = name if name.isprintable() else show(name)
        return UnsupportedModel(
            f"{self.where} has {name} {value}, which would change the result in a way not known here.", _ANOTHER
        )

    def _or(self, name: str, default: object) -> object:
        value = self.value(name)
        return default if value is None else value
