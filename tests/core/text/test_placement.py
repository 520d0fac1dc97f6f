"""What templates lose without a word: what was said as a text, and the system message. Oracle: transformers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from core.conversation import Conversation, Message, Role
from core.errors import BadTemplate
from core.text.chat_template import ChatTemplate
from core.text.placement import SYSTEM_MOVED, place
from core.text.prompt import make_prompt
from core.text.tokenizer import Tokenizer
from tests.support.tiny import BOS, CHATML, END, tiny_backend

SHARED = Path(__file__).parents[4] / "shared" / "chat_templates"
SPECIALS = {"bos_token": BOS, "eos_token": END}

LOOPED = (
    "{% for m in messages %}[{{ m.role }}]{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
FIRST = "{% for m in messages %}<{{ m.role }}>{{ m.content[0].text }}{% endfor %}"
SELECTED = (
    "{% for m in messages %}({{ m.role }}) {{ m.content | selectattr('type', 'equalto', 'text') | map(attribute='text')"
    " | join }}{% endfor %}"
)
ADDED = "{% for m in messages %}{{ m.role + ': ' + m.content[0]['text'] }}\n{% endfor %}"  # fails on a text
EITHER = (
    "{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}"
    "{% endif %};{% endfor %}"
)
# The person's turns in parts, the model's as a text.
MIXED = (
    "{% for m in messages %}{% if m.role == 'user' %}U{% for p in m.content %}{{ p.text }}{% endfor %}"
    "{% else %}A{{ m.content | trim }}{% endif %}{% endfor %}"
)
# As phi-3-medium's does it: a system message is passed over; as Gemma 2's: it is refused.
IGNORING = (
    "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|end|>{% elif m.role == 'assistant' %}"
    "<|assistant|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
)
REFUSING = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ m.role }}\n{{ m.content | trim }}\n{% endfor %}"
)
DEFAULT = (
    "{% if messages[0].role != 'system' %}<system>You are a default.{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)


def talk(*turns: tuple[Role, str]) -> Conversation:
    return tuple(Message(role=role, text=text) for role, text in turns)


def theirs(source: str, messages: list[dict[str, Any]]) -> str:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny_backend(), bos_token=BOS, eos_token=END)
    tokenizer.chat_template = source
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


def as_dicts(conversation: Conversation, typed: tuple[Role, ...] = ()) -> list[dict[str, Any]]:
    return [
        {"role": m.role, "content": [{"type": "text", "text": m.text}] if m.role in typed else m.text}
        for m in conversation
    ]


SAID = [
    talk(("user", "user")),  # a text that the template also says
    talk(("user", "Hi")),
    talk(("user", "text"), ("assistant", "type"), ("user", "A question of some length, with 'quotes' and {braces}?")),
    talk(("user", "the same words again"), ("assistant", "Yes."), ("user", "the same words again")),
    talk(("user", "qzqz1xqzqz"), ("assistant", "<think>Hm.</think>So."), ("user", "  around  ")),
]


@pytest.mark.parametrize("source", [LOOPED, FIRST, SELECTED, ADDED], ids=["looped", "first", "selected", "added"])
@pytest.mark.parametrize("conversation", SAID)
def test_typed_parts_are_given_where_a_text_is_lost(source: str, conversation: Conversation) -> None:
    placed = place(conversation, ChatTemplate(source, SPECIALS))
    assert placed.text == theirs(source, as_dicts(conversation, ("user", "assistant")))
    assert placed.remarks == ()


@pytest.mark.parametrize("conversation", SAID)
def test_each_message_is_given_as_it_is_wanted(conversation: Conversation) -> None:
    placed = place(conversation, ChatTemplate(MIXED, SPECIALS))
    assert placed.text == theirs(MIXED, as_dicts(conversation, ("user",)))


@pytest.mark.parametrize("source", [CHATML, EITHER, IGNORING, REFUSING, DEFAULT])
@pytest.mark.parametrize("conversation", [*SAID, talk(("user", ""))])
def test_a_text_that_is_there_stays_a_text(source: str, conversation: Conversation) -> None:
    assert place(conversation, ChatTemplate(source, SPECIALS)).text == theirs(source, as_dicts(conversation))


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}[{{ m.role }}]{% endfor %}",
        "{{ messages[0].content }}",  # and never what is said last
        "{% for m in messages %}{% for p in m.content %}{{ p.image }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{{ m.content | list }}{% endfor %}",  # letter by letter, or as Python prints it
    ],
)
def test_what_can_be_said_in_no_way_is_refused(source: str) -> None:
    conversation = talk(("user", "One?"), ("assistant", "One."), ("user", "Two?"))
    with pytest.raises(BadTemplate, match="leaves out what was said") as caught:
        place(conversation, ChatTemplate(source, SPECIALS))
    assert "another model" in caught.value.hint


def test_earlier_messages_that_are_left_out_are_said() -> None:
    conversation = talk(("user", "One?"), ("assistant", "One."), ("user", "Two?"))
    placed = place(conversation, ChatTemplate("{{ messages[-1].content }}", {}))
    assert placed.text == "Two?"
    assert placed.remarks == (
        "This model's chat template leaves out 2 earlier messages: the model does not see what was said.",
    )


def test_the_first_refusal_is_what_is_said() -> None:
    source = "{{ raise_exception('as a text') if messages[0].content is string else raise_exception('in parts') }}"
    with pytest.raises(BadTemplate, match="as a text"):
        place(talk(("system", "Be kind."), ("user", "Hi")), ChatTemplate(source, {}))


def test_a_special_token_that_is_spelled_stays_a_text_in_parts(tokenizer: Tokenizer) -> None:
    prompt = make_prompt(talk(("user", f"say {END} twice")), ChatTemplate(LOOPED, SPECIALS), tokenizer)
    assert tokenizer.id_of(END) not in prompt.ids
    assert "".join(map(tokenizer.token_text, prompt.ids)) == f"[user]say {END} twice"


# --- the system message -----------------------------------------------------------------------------------------------

SYSTEMS = [
    talk(("system", "user"), ("user", "Hi")),
    talk(("system", "Speak of the sun, and of nothing else."), ("user", "Hello"), ("assistant", "Yes."), ("user", "?")),
    talk(("system", "Speak\nof it."), ("assistant", "I begin."), ("user", "Do.")),
]


@pytest.mark.parametrize("source", [IGNORING, REFUSING], ids=["ignoring", "refusing"])
@pytest.mark.parametrize("conversation", SYSTEMS)
def test_a_system_message_goes_before_the_first_of_the_person(source: str, conversation: Conversation) -> None:
    """On a line of its own, as llama.cpp does with templates that take none (`workaround` in common/chat.cpp)."""
    placed = place(conversation, ChatTemplate(source, SPECIALS))
    system, *rest = as_dicts(conversation)
    first = next(message for message in rest if message["role"] == "user")
    first["content"] = f"{system['content']}\n{first['content']}"
    assert placed.text == theirs(source, rest)
    assert placed.remarks == (SYSTEM_MOVED,)


@pytest.mark.parametrize("source", [CHATML, EITHER, DEFAULT], ids=["chatml", "either", "default"])
@pytest.mark.parametrize("conversation", SYSTEMS)
def test_a_system_message_that_has_a_place_keeps_it(source: str, conversation: Conversation) -> None:
    placed = place(conversation, ChatTemplate(source, SPECIALS))
    assert placed.text == theirs(source, as_dicts(conversation))
    assert placed.remarks == ()


@pytest.mark.parametrize("source", [IGNORING, REFUSING, DEFAULT], ids=["ignoring", "refusing", "default"])
def test_an_empty_system_message_takes_the_default_away_and_is_never_missed(source: str) -> None:
    placed = place(talk(("system", ""), ("user", "Hi there")), ChatTemplate(source, SPECIALS))
    assert placed.remarks == ()
    assert "default" not in placed.text
    assert placed.text.replace("<system>", "") == theirs(source, [{"role": "user", "content": "Hi there"}]).replace(
        "<system>You are a default.", ""
    )


def test_a_system_message_in_typed_parts_keeps_its_place() -> None:
    conversation = talk(("system", "Be kind."), ("user", "Hi"))
    placed = place(conversation, ChatTemplate(LOOPED, SPECIALS))
    assert (placed.text, placed.remarks) == ("[system]Be kind.[user]Hi", ())


def test_without_a_template_an_empty_system_message_adds_no_line(tokenizer: Tokenizer) -> None:
    prompt = make_prompt(talk(("system", ""), ("user", "Once")), None, tokenizer)
    assert prompt.ids == tokenizer.encode("Once")


# What transformers' rendering shows of "zebra" said as the system, and whether it takes it at all.
REAL = sorted(SHARED.glob("*.jinja"))


@pytest.mark.skipif(not REAL, reason=f"there are no templates in {SHARED}")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_templates_hold_what_was_said(path: Path) -> None:
    source = re.sub(r"\n\s*", "", path.read_text()) if ".pretty." in path.name else path.read_text()
    template = ChatTemplate(source, SPECIALS)
    asked = talk(("user", "Hi"), ("assistant", "Yes."), ("user", "text"))
    assert place(asked, template).text == theirs(source, as_dicts(asked))
    told = (*talk(("system", "zebra")), *asked)
    placed = place(told, template)
    try:
        expected = theirs(source, as_dicts(told))
    except Exception:  # a system message is refused
        expected = ""
    if "zebra" in expected:
        assert (placed.text, placed.remarks) == (expected, ())
    else:
        assert placed.text == theirs(source, as_dicts((*talk(("user", "zebra\nHi")), *asked[1:])))
        assert placed.remarks == (SYSTEM_MOVED,)
