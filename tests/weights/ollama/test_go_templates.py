"""Ollama's templates of known families against the texts that Ollama itself makes with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.conversation import Conversation, Message
from core.text.chat_template import ChatTemplate
from weights.ollama.go_templates import jinja_of, with_system

CASES = json.loads((Path(__file__).parent / "templates" / "go_templates.json").read_text())
KNOWN = sorted(name for name, case in CASES.items() if len(case) > 1)
SAID = {
    "system": ["You are a helpful assistant."],
    "user": ["Hello, how are you?", "I'd like to show off how chat templating works!"],
    "assistant": ["I'm doing great. How can I help you today?"],
}
# What Ollama's own text has beside the marks of the family: a system block with nothing in it; the end of the file.
QUIRKS = {
    "llama2-chat": ("<<SYS>><</SYS>>\n\n", ""),
    "gemma3-instruct": ("<start_of_turn>model\n\n", "<start_of_turn>model\n"),
}


def conversation(roles: str) -> Conversation:
    said = {role: iter(texts) for role, texts in SAID.items()}
    return tuple(Message(role=role, text=next(said[role])) for role in roles.split("-"))  # type: ignore[arg-type]


@pytest.mark.parametrize("roles", ["user", "user-assistant-user", "system-user-assistant-user"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_known_family_says_what_ollama_says(name: str, roles: str) -> None:
    source = jinja_of(CASES[name]["program"])
    assert source is not None
    quirk, meant = QUIRKS.get(name, ("", ""))
    expected = CASES[name][roles]
    assert ChatTemplate(source, {}).render(conversation(roles)) == (
        expected.replace(quirk, meant) if quirk else expected
    )


@pytest.mark.parametrize("name", sorted(set(CASES) - set(KNOWN)))
def test_a_family_that_is_not_known_is_taken_for_none(name: str) -> None:
    assert jinja_of(CASES[name]["program"]) is None


@pytest.mark.parametrize("program", ["", "{{ .Prompt }}", "<|user|>{{ .Prompt }}", "<|start|>system<|message|>"])
def test_what_has_no_marks_of_a_family_is_taken_for_none(program: str) -> None:
    assert jinja_of(program) is None


def test_the_reply_is_asked_for_only_where_it_is_to_come() -> None:
    source = jinja_of(CASES["chatml"]["program"]) or ""
    text = ChatTemplate(source, {}).render(conversation("user"), add_generation_prompt=False)
    assert text == "<|im_start|>user\nHello, how are you?<|im_end|>\n"


def test_a_system_message_of_its_own_is_used_where_there_is_none() -> None:
    own = 'Say "mrrp" \\ 🙂 {{ 1 + 1 }} {% raw %}'
    template = ChatTemplate(with_system(jinja_of(CASES["chatml"]["program"]) or "", own), {})
    begun = f"<|im_start|>system\n{own}<|im_end|>\n"
    assert template.render(conversation("user")) == begun + CASES["chatml"]["user"]
    for roles in ("system-user-assistant-user",):
        assert template.render(conversation(roles)) == CASES["chatml"][roles]
    emptied = (Message(role="system", text=""), *conversation("user"))
    assert own not in template.render(emptied)
