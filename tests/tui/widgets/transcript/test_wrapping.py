"""Rows hold the whole text, fit, and break where people would break it."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.widgets.transcript.wrapping import wrap

_pieces = ["a", "bc", " ", "  ", "\n", "中", "，", "「", "e\u0301", "👩\u200d👧", "❤\ufe0f", "é"]
_texts = st.lists(st.sampled_from(_pieces), max_size=60).map("".join)


def rows(text: str, width: int, *, fold: bool = False) -> list[str]:
    return [text[start:end] for start, end, _ in wrap(text, width, fold=fold)]


@given(_texts, st.integers(1, 12), st.booleans())
def test_rows_and_what_stands_between_them_are_the_text(text: str, width: int, fold: bool) -> None:
    assert "".join(text[start:end] + joint for start, end, joint in wrap(text, width, fold=fold)) == text


@given(_texts, st.integers(2, 12), st.booleans())
def test_rows_fit(text: str, width: int, fold: bool) -> None:
    for row in rows(text, width, fold=fold):
        assert cell_len(row if fold else row.rstrip(" ")) <= width


@given(_texts, st.integers(2, 12), st.booleans())
def test_lines_that_fit_are_not_broken(text: str, width: int, fold: bool) -> None:
    for line in text.split("\n"):
        if cell_len(line) <= width:
            assert rows(line, width, fold=fold) == [line]


def test_between_words() -> None:
    assert rows("the cat sat on the mat", 8) == ["the cat", "sat on", "the mat"]


def test_a_word_that_is_too_long_is_cut() -> None:
    assert rows("a incomprehensible", 6) == ["a", "incomp", "rehens", "ible"]


def test_code_is_cut_anywhere() -> None:
    assert rows("x = foo bar", 4, fold=True) == ["x = ", "foo ", "bar"]


def test_chinese_breaks_anywhere_but_not_before_a_full_stop() -> None:
    assert rows("中文字。中文", 6) == ["中文", "字。中", "文"]


def test_a_family_is_not_torn_apart() -> None:
    assert rows("👩\u200d👧" * 3, 4) == ["👩\u200d👧" * 2, "👩\u200d👧"]


def test_a_combining_mark_stays_with_its_letter() -> None:
    assert rows("e\u0301" * 5, 2) == ["e\u0301" * 2, "e\u0301" * 2, "e\u0301"]
