"""Markdown into blocks of styled text. Must not know the width, the screen or how the text arrives.

The source is hostile: it holds no HTML, no link that can be followed and no markup of the terminal's or Textual's own,
and what its entities turn into is made visible too. Styles name colours of the theme, so a new theme needs no parsing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from textual.content import Content, Span

from tui.sanitize import visible
from tui.widgets.transcript.rows import EMPTY, Block, Lead, Paragraph, Rule, Table

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LONGEST = 20_000  # characters of one block that are still worth understanding
_CODE = "$text-accent on $surface"
_FENCE = "on $surface"
_DIM = "$foreground 60%"
_STYLES = {"strong": "bold", "em": "italic", "s": "strike", "link": "underline"}
_HEADINGS = {"h1": "bold underline $text-primary", "h2": "bold $text-primary"}
_BULLETS = "•◦▪"


@cache
def parser(*, inline: bool = True) -> MarkdownIt:
    """CommonMark with tables and strikethrough, without what reaches beyond a block (reference definitions), what is
    not shown as it stands (HTML) and what decodes percent signs into control characters (autolinks)."""
    from markdown_it import MarkdownIt  # a tenth of a second: not before there is Markdown to show

    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.disable(["html_block", "html_inline", "reference", "autolink"])
    return markdown if inline else markdown.disable("inline")


def parse(source: str) -> list[Block]:
    """The blocks of a piece of Markdown that holds no control characters, with a blank row between any two."""
    if len(source) > _LONGEST:
        return [Paragraph(Content(source.rstrip("\n").expandtabs(4)))]
    writer = _Writer()
    writer.write(parser().parse(source))
    return writer.blocks


class _Writer:
    """Walks the tokens, keeping what stands before each row of the nested block it is in."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._leads: list[Lead] = []
        self._lists: list[_List] = []
        self._opened = True  # nothing has been written yet where we are: no blank row before the first

    def write(self, tokens: Sequence[Token]) -> None:
        at = 0
        while at < len(tokens):
            token = tokens[at]
            match token.type:
                case "paragraph_open":
                    self._paragraph(_inline(tokens[at + 1]), tight=token.hidden)
                    at += 2
                case "heading_open":
                    style = _HEADINGS.get(token.tag, "bold")
                    self._paragraph(_inline(tokens[at + 1]).stylize_before(style))
                    at += 2
                case "fence" | "code_block":
                    self._code(token)
                case "hr":
                    self._gap()
                    self._block(Rule(self._lead(), _DIM))
                case "table_open":
                    at = self._table(tokens, at)
                case "bullet_list_open" | "ordered_list_open":
                    self._lists.append(_List(token, loose=_is_loose(tokens, at), depth=len(self._lists)))
                case "list_item_open":
                    self._item()
                case "blockquote_open":
                    self._gap()
                    bar = Content.styled("▌ ", _DIM)
                    self._leads.append(Lead(bar, bar))
                    self._opened = True
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "list_item_close" | "blockquote_close":
                    self._close()
            at += 1

    def _paragraph(self, content: Content, *, tight: bool = False) -> None:
        if not tight:
            self._gap()
        self._block(Paragraph(content, self._lead()))

    def _code(self, token: Token) -> None:
        self._gap()
        for line in _highlighted(token.content.removesuffix("\n"), token.info):
            self._block(Paragraph(line, self._lead(), fold=True, fill=_FENCE))

    def _table(self, tokens: Sequence[Token], at: int) -> int:
        self._gap()
        rows: list[list[Content]] = []
        while tokens[at].type != "table_close":
            if tokens[at].type == "tr_open":
                rows.append([])
            elif tokens[at].type == "inline":
                rows[-1].append(_inline(tokens[at]))
            at += 1
        header, *body = rows
        self._block(Table(self._lead(), [cell.stylize_before("bold") for cell in header], body, _DIM))
        return at

    def _item(self) -> None:
        current = self._lists[-1]
        if current.loose if current.number else len(self._lists) == 1:
            self._gap()
        marker = Content.styled(current.next_marker(), _DIM)
        self._leads.append(Lead(marker, Content(" " * marker.cell_length)))
        self._opened = True

    def _close(self) -> None:
        """An item or a quotation ends; one without any text still shows its mark."""
        if self._opened:
            self._block(Paragraph(EMPTY, self._lead()))
        self._leads.pop()

    def _lead(self) -> Lead:
        lead = Lead(_together(lead.first for lead in self._leads), _together(lead.rest for lead in self._leads))
        self._leads = [Lead(lead.rest, lead.rest) for lead in self._leads]
        return lead

    def _gap(self) -> None:
        """A blank row, unless nothing stands above it."""
        if not self._opened:
            rest = _together(lead.rest for lead in self._leads)
            self.blocks.append(Paragraph(EMPTY, Lead(rest, rest)))

    def _block(self, block: Block) -> None:
        self.blocks.append(block)
        self._opened = False


class _List:
    """A list that is being written."""

    def __init__(self, token: Token, *, loose: bool, depth: int) -> None:
        self.loose = loose
        self.number = 0  # of items begun
        self._start = int(token.attrGet("start") or 1) if token.type == "ordered_list_open" else None
        self._bullet = _BULLETS[depth % len(_BULLETS)]

    def next_marker(self) -> str:
        self.number += 1
        return f"{self._bullet} " if self._start is None else f"{self._start + self.number - 1}. "


def _together(contents: Iterable[Content]) -> Content:
    return EMPTY.join(contents)


def _is_loose(tokens: Sequence[Token], at: int) -> bool:
    """Whether a paragraph stands directly in an item of the list that opens here, with space around it."""
    level = tokens[at].level
    for token in tokens[at + 1 :]:
        if token.level == level:
            return False
        if token.level == level + 2 and token.type == "paragraph_open" and not token.hidden:
            return True
    return False


def _inline(token: Token) -> Content:
    """The text of a paragraph, a heading or a cell."""
    text, spans, opened = "", list[Span](), list[tuple[int, str]]()
    for child in token.children or ():
        kind = child.type
        if kind.endswith("_open"):
            opened.append((len(text), str(child.attrGet("href") or "")))
        elif kind.endswith("_close"):
            start, target = opened.pop()
            spans.append(Span(start, len(text), _STYLES.get(kind.removesuffix("_close"), "")))
            if target and visible(target) != text[start:]:
                start, text = len(text), f"{text} ({visible(target)})"
                spans.append(Span(start, len(text), _DIM))
        elif kind == "code_inline":
            start, text = len(text), text + visible(child.content)
            spans.append(Span(start, len(text), _CODE))
        elif kind == "softbreak":
            text += " "
        elif kind == "hardbreak":
            text += "\n"
        else:
            text += visible(child.content)
    return Content(text.expandtabs(4) if "\t" in text else text, spans)


def _highlighted(code: str, info: str) -> list[Content]:
    """The lines of a code block, coloured where the language is known."""
    code = visible(code).expandtabs(4)
    language = info.split(maxsplit=1)[0] if info.strip() else ""
    if not language or len(code) > _LONGEST:
        return [Content(line) for line in code.split("\n")]
    from textual.highlight import highlight  # brings Pygments, not before there is code

    coloured = highlight(code, language=language)
    return (
        list(coloured.split("\n", allow_blank=True))
        if len(code) == len(coloured)
        else [*map(Content, code.split("\n"))]
    )
