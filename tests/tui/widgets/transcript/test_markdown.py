"""Markdown as blocks: cut while it grows as it would be cut at once, and hostile text stays text."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tui.widgets.transcript.markdown import parse
from tui.widgets.transcript.markdown_stream import MarkdownStream
from tui.widgets.transcript.message import TranscriptMessage
from tui.widgets.transcript.rows import Row

_pieces = [
    *("#", "# ", "- ", "* ", "1. ", "2) ", "> ", "```", "~~~", "```py\n", "---", "===", "***", "|", "|-|", "| a |\n"),
    *(
        "\n",
        "\n\n",
        "\n\n\n",
        "  ",
        "    ",
        "\t",
        "text",
        "word ",
        "*em*",
        "**b",
        "`c`",
        "`",
        "[l](u)",
        "[r]: /u",
        "![i](u)",
    ),
    *(
        "<div>",
        "<b>",
        "&#13;",
        "&#27;",
        "&#x202e;",
        "<http://a/%1b%9b>",
        "\\",
        "中文",
        "\r\n",
        "\r",
        "\x1b[2J",
        "\u2028",
    ),
]
sources = st.lists(st.sampled_from(_pieces), max_size=30).map("".join)


def rows_of(source: str, width: int = 30) -> list[Row]:
    return [row for block in parse(source) for row in block.rows(width)]


def shown(source: str, width: int = 30) -> list[str]:
    return [row.plain for row in rows_of(source, width)]


def view(entry: TranscriptMessage, width: int) -> list[object]:
    return [(row.line.plain, row.line.spans, row.fill, row.joint, row.wrapped) for row in entry.rows(width)]


def chunks(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=400)
@given(sources, st.data())
def test_streamed_is_loaded_whatever_the_chunks(source: str, data: st.DataObject) -> None:
    streamed = TranscriptMessage("assistant", "")
    for chunk in chunks(data, source):
        streamed.append(chunk)
        if data.draw(st.booleans()):
            streamed.rows(data.draw(st.sampled_from([20, 30])))
    streamed.finish("done")
    loaded = TranscriptMessage("assistant", source)
    loaded.finish("done")
    assert view(streamed, 30) == view(loaded, 30)
    assert streamed.text == source


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("text", ["a\r\nb\r\n\r\nc", "a\rb\r\rc\r"])
def test_a_line_break_may_be_torn_in_two(role: Literal["user", "assistant"], text: str) -> None:
    for cut in range(len(text) + 1):
        streamed = TranscriptMessage(role, text[:cut])
        streamed.rows(30)
        streamed.append(text[cut:])
        streamed.finish("")
        loaded = TranscriptMessage(role, text)
        loaded.finish("")
        assert view(streamed, 30) == view(loaded, 30)


@settings(max_examples=400)
@given(sources.map(lambda source: source.replace("\r", "\n").replace("\u2028", "\n")), st.data())
@example("text\n#", None)
def test_what_is_closed_is_what_markdown_it_sees_in_the_whole(source: str, data: st.DataObject | None) -> None:
    """The oracle is markdown-it itself on the whole source: the same top-level blocks begin on the same lines."""
    blocks = MarkdownStream()
    for chunk in chunks(data, source) if data else source:
        blocks.append(chunk)
    whole = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["html_block", "reference"])
    starts = [token.map[0] for token in whole.parse(source) if token.level == 0 and token.nesting >= 0 and token.map]
    pieces = [*blocks.closed, blocks.open]
    skipped = len(source) - len("".join(pieces))  # blank lines before the first block
    assert source[skipped:] == "".join(pieces)
    assert not source[:skipped].strip(" \n\t")
    begun = [source[: skipped + len("".join(pieces[:count]))].count("\n") for count in range(len(pieces))]
    assert begun[1:] == starts[1 : len(begun)]
    if source.endswith("\n"):
        assert len(pieces) == max(len(starts), 1)  # only the last block is still open


@given(sources, st.integers(4, 60))
def test_no_control_character_comes_out_of_it(source: str, width: int) -> None:
    entry = TranscriptMessage("assistant", source)
    for row in entry.rows(width):
        assert not [
            c for c in row.plain if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= c <= "\u202e"
        ]


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ("# Title\ntext *a* **b** `c` ~~d~~", ["Title", "", "text a b c d"]),
        ("- a\n- b\n  - c\n", ["• a", "• b", "  ◦ c"]),
        ("- a\n\n- b", ["• a", "", "• b"]),
        ("9. a\n10. b", ["9. a", "10. b"]),
        ("> a\nb\n>\n> c", ["▌ a b", "▌ ", "▌ c"]),
        ("```py\nx = 1\n\n  y\n```", ["x = 1", "", "  y"]),
        ("    code\n", ["code"]),
        ("a  \nb", ["a", "b"]),
        ("| a | b |\n|---|---|\n| 1 | 22 |", ["a │ b", "──┼───", "1 │ 22"]),
        ("a\n\n---\nb", ["a", "", "─" * 30, "", "b"]),
        ("[text](http://x.org) ![alt](y)", ["text (http://x.org) alt"]),
        ("[bold]x[/bold] [/] [@click=a]", ["[bold]x[/bold] [/] [@click=a]"]),
        ("<b>x</b>", ["<b>x</b>"]),
        ("-", ["• "]),
        ("", []),
    ],
)
def test_what_it_looks_like(source: str, rows: list[str]) -> None:
    assert shown(source) == rows


def test_a_table_that_does_not_fit_wraps_its_cells() -> None:
    source = "| name | what it is |\n|---|---|\n| one | a rather long description |"
    assert shown(source, 20) == [
        "name │ what it is",
        "─────┼──────────────",
        "one  │ a rather long",
        "     │ description",
    ]


def test_a_table_with_no_room_for_columns_becomes_a_list() -> None:
    source = "| first | second | third |\n|---|---|---|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |"
    assert shown(source, 12) == ["first: 1", "second: 2", "third: 3", "", "first: 4", "second: 5", "third: 6"]


def test_code_in_a_known_language_is_coloured_and_the_text_stays() -> None:
    (row,) = rows_of("```python\nreturn 'x'  # y\n```")
    assert row.plain == "return 'x'  # y"
    assert len({span.style for span in row.line.spans}) > 2


def test_deep_nesting_keeps_half_of_the_width() -> None:
    for row in rows_of("> " * 15 + "a long enough text to be wrapped many times", 20):
        assert len(row.plain) <= 20


def test_a_huge_block_is_shown_as_it_is() -> None:
    assert shown("*a* " * 10_000, 100)[0].startswith("*a* *a*")


def test_a_soft_wrap_is_no_line_break_when_copied() -> None:
    rows = rows_of("- one two three\n", 9)
    assert [row.plain for row in rows] == ["• one two", "  three"]
    assert "".join(row.copied() + row.joint for row in rows) == "• one two three\n"
