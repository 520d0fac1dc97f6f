"""Where a reply ends, as the chat template shows it."""

from __future__ import annotations

import pytest

from core.text.chat_template import ChatTemplate
from core.text.tokenizer import Tokenizer
from tests.support.tiny import END, tiny_backend
from weights.text_side import _closing_id

TEXTS = "{% for m in messages %}{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}"
PARTS = "{% for m in messages %}{{ m.role }}:{% for p in m.content %}{{ p.text }}{% endfor %}<|im_end|>{% endfor %}"


@pytest.mark.parametrize("source", [TEXTS, PARTS], ids=["texts", "parts"])
def test_the_token_after_an_answer_is_found_also_where_content_comes_in_parts(source: str) -> None:
    tokenizer = Tokenizer(tiny_backend())
    assert _closing_id(ChatTemplate(source, {}), tokenizer) == tokenizer.id_of(END)
