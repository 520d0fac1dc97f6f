"""Jinja for strangers' templates: immutable, and with a budget, so that none runs forever or fills the memory.

Jinja's sandbox keeps a template from reaching Python; it does not keep it from `{% for %}` in `{% for %}` or from
`'x' * 10 ** 9`. Here every turn of a loop, every call and filter and everything that is built is charged for, and
nothing may be built that is larger than any prompt. Knows no chat and no model.
"""

from __future__ import annotations

import functools
import re
import string
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import generate_lorem_ipsum

from core.text.sandbox_globals import SafeDict, SafeNamespace
from core.text.sandbox_metering import MeteringTransformer

_STEPS = 100_000  # turns of loops, calls, filters; a message takes some twenty
_SECONDS_PER_STEP = 4e-5  # several times what one takes: a wall for what is slow within a step, not for a long text
_CHARACTERS = 2_000_000  # of a text, or of all texts in a list; more than a prompt has
_ITEMS = 250_000  # of a list, counted through all that is in it
_PER_STEP = 128  # characters that cost as much as a step
_PER_ITEM = 16  # characters that cost as much as an item of a list
_LONGEST_SOURCE = 1_000_000
_WIDEST = 10_000  # what a text is padded to, indented by, or a number raised to
_WIDTH = re.compile(r"\d{5,}|\*")
_SLOW = frozenset(("pprint", "striptags", "urlize", "wordwrap"))  # filters whose time grows with the square of the text
_PADDING = frozenset(("center", "ljust", "rjust", "zfill", "expandtabs", "to_bytes"))


class TooMuch(TemplateRuntimeError):
    """A template does more than any prompt needs."""


class BudgetEnvironment(ImmutableSandboxedEnvironment):
    """What `transformers` gives a template is added by the caller; this limits it."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, extensions: list[type[Extension]]) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=extensions, finalize=self.made)
        self.refill()
        self.globals |= {"dict": SafeDict(), "namespace": SafeNamespace}
        self.globals["lipsum"] = self._limited("lipsum", generate_lorem_ipsum)

    def refill(self, text: int = 0, pairs: int = 0) -> None:
        """A new budget, for a run over so much text. What ends a run over an honest text are steps, not seconds, so
        that it is the same on every machine.

        Args:
            pairs: of messages: some templates look at all the others for each of them.
        """
        self._extra = text
        self._steps = self._left = _STEPS + 4 * text + pairs
        self._seconds = self._steps * _SECONDS_PER_STEP
        self._ends_at = time.thread_time() + self._seconds

    def limit_filters(self) -> None:
        """To be called once all filters are there."""
        self.filters = {name: self._limited(name, function) for name, function in self.filters.items()}

    # --- charging -----------------------------------------------------------------------------------------------------

    def tick(self, cost: int = 0) -> str:
        """One step more, and so many characters or items."""
        self._left -= 1 + cost // _PER_STEP
        if self._left < 0:
            raise TooMuch(f"it is not through after {self._steps:,} steps, more than a text of this length can need")
        if time.thread_time() > self._ends_at:
            raise TooMuch(f"it is not through after {self._seconds:.0f} seconds of work")
        return ""

    def made(self, value: Any) -> Any:
        """Charge for something that was built; it is handed on as it is."""
        if isinstance(value, str | bytes):
            self._check(len(value))
            self.tick(len(value))
        elif isinstance(value, list | tuple | dict | set | frozenset):
            self.tick(self._weigh(value))
        elif isinstance(value, int) and value.bit_length() > 10 * _WIDEST:
            raise TooMuch("it computes a number that is far too large")
        return value

    def _check(self, characters: int) -> None:
        if characters > _CHARACTERS + 10 * self._extra:
            raise TooMuch(f"it makes something of {characters:,} characters")

    def _weigh(self, value: Any) -> int:
        """Items and characters, one that is there twice counted twice: so long it takes to say or compare it all."""
        items, characters, waiting = 0, 0, [value]
        while waiting:
            value = waiting.pop()
            items += 1
            if isinstance(value, str | bytes):
                characters += len(value)
            elif isinstance(value, Mapping):
                waiting += (*value.keys(), *value.values())
            elif isinstance(value, list | tuple | set | frozenset):
                waiting += value
            if items + len(waiting) > _ITEMS + self._extra:
                raise TooMuch("it makes a list that is far too long")
        self._check(characters)
        return items * _PER_ITEM + characters

    def _length(self, value: Any) -> int:
        """About as many characters does it take to say this."""
        return len(value) if isinstance(value, str | bytes) else self._weigh(value)

    # --- where things are built ---------------------------------------------------------------------------------------

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > _LONGEST_SOURCE:
            raise TooMuch(f"it is {len(source):,} characters long")
        tree = MeteringTransformer().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        assert isinstance(tree, nodes.Template)
        return tree

    def joined(self, *values: Any) -> str:
        """What `~` does."""
        return self.concat([value if isinstance(value, str) else str(self.made(value)) for value in values])

    def concat(self, pieces: Iterable[str]) -> str:
        """What makes the output of a template, a macro and a block out of its pieces."""
        kept, length = [], 0
        for piece in pieces:
            kept.append(piece)
            length += len(piece)
            self._check(length + len(kept))
        self.tick(length)
        return "".join(kept)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.tick()
        if operator == "**" and isinstance(left, int):
            if isinstance(right, int) and abs(right) * left.bit_length() > _WIDEST:
                raise TooMuch(f"it raises a number to the power of {right}")
        elif operator == "*":
            self._check_product(left, right)
        elif operator == "%" and isinstance(left, str):
            self._check_format(left, right if isinstance(right, tuple) else (right,))
        return self.made(super().call_binop(context, operator, left, right))

    def _check_product(self, left: Any, right: Any) -> None:
        for value, count in ((left, right), (right, left)):
            if isinstance(value, str | bytes | list | tuple) and isinstance(count, int):
                self._check(len(value) * count)
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _WIDEST:
            raise TooMuch("it computes a number that is far too large")

    def call(self, context: Context, function: Any, /, *values: Any, **named: Any) -> Any:
        if getattr(function, "__self__", None) is self:  # what `MeteringTransformer` has put there
            return function(*values)
        self.tick()
        home, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(home, str | bytes | int):
            self._check_method(home, name, (*values, *named.values()))
            if name == "join" and isinstance(home, str) and len(values) == 1:
                values = (self._to_join(home, values[0]),)
        return self.made(super().call(context, function, *values, **named))

    def _check_method(self, home: Any, name: str, values: tuple[Any, ...]) -> None:
        if name in _PADDING:
            self._check_widths(values)
        if name == "expandtabs":
            self._check(len(home) * max((n for n in values if isinstance(n, int)), default=8))
        elif name == "replace" and len(values) > 1:
            self._check_replace(home, values[0], values[1])
        elif name == "translate" and values and isinstance(values[0], Mapping):
            longest = max((len(v) for v in values[0].values() if isinstance(v, str)), default=1)
            self._check(len(home) * longest)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def format_it(*values: Any, **named: Any) -> str:
            self._check_braces(value.__self__, (*values, *named.values()))
            return str(self.made(wrapped(*values, **named)))

        return format_it

    def _check_braces(self, text: str, values: tuple[Any, ...]) -> None:
        for _, field, spec, _ in string.Formatter().parse(text):
            self.tick()
            if field is not None and spec and ("{" in spec or _WIDTH.search(spec)):
                raise TooMuch(f"it formats a text with {spec[:40]!r}")
        self._check(text.count("{") * max((self._length(value) for value in values), default=0))

    def _check_format(self, text: str, values: tuple[Any, ...]) -> None:
        if "%" in text and _WIDTH.search(text):
            raise TooMuch(f"it formats a text with {text[:40]!r}")
        self._check(text.count("%") * max((self._length(value) for value in values), default=0))

    def _check_replace(self, text: Any, old: Any, new: Any) -> None:
        if not isinstance(text, bytes):
            text, old, new = str(text), str(old), str(new)
        self._check(len(text) + text.count(old) * len(new))

    def _check_widths(self, values: Iterable[Any]) -> None:
        for value in values:
            if (isinstance(value, int) and abs(value) > _WIDEST) or (isinstance(value, str) and len(value) > _WIDEST):
                raise TooMuch("it makes a text far too wide")

    def _to_join(self, between: Any, values: Iterable[Any]) -> list[Any]:
        joinable, length = [], 0
        for value in values:
            joinable.append(value)
            length += len(str(between)) + (len(value) if isinstance(value, str) else 1)
            self._check(length)
        return joinable

    def _limited(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that looks at what it is given before, and at what it has made after."""
        skipped = 1 if hasattr(function, "jinja_pass_arg") else 0  # the context, or something like it

        @functools.wraps(function)
        def limited(*given: Any, **named: Any) -> Any:
            self.tick()
            first = given[:skipped]
            values: tuple[Any, ...] = given[skipped:]
            if name in ("center", "indent", "batch", "slice", "round", "wordwrap", "lipsum", "tojson"):
                self._check_widths((*values[0 if name == "lipsum" else 1 :], *named.values()))
            if name in _SLOW and self._length(values[0]) > _WIDEST:
                raise TooMuch(f"it uses {name} on a text that is far too long")
            if name == "tojson" and sum(map(len, named.get("separators") or ())) > 20:
                raise TooMuch("it separates values by far too much")
            if name == "indent":
                self._check(str(values[0]).count("\n") * _width(*values[1:2], *named.values()))
            elif name == "format":
                self._check_format(str(values[0]), (*values[1:], *named.values()))
            elif name == "replace":
                if len(values) > 2:
                    self._check_replace(*values[:3])
            elif name == "join":
                values = (self._to_join(named.get("d", (*values[1:2], "")[0]), values[0]), *values[1:])
            elif name == "sum":
                values = (self._to_add(values[0]), *values[1:])
            return self.made(function(*first, *values, **named))

        return limited

    def _to_add(self, values: Iterable[Any]) -> list[Any]:
        """Lists are added up by copying all that is there each time."""
        addable, length = [], 0
        for value in values:
            addable.append(value)
            if isinstance(value, list | tuple):
                length += len(value)
                self.tick(length * _PER_ITEM)
        return addable


def _width(*values: Any) -> int:
    """By how much a text is indented, given a number of spaces or the very characters."""
    return max(
        (len(value) if isinstance(value, str) else value for value in values if isinstance(value, str | int)), default=4
    )
