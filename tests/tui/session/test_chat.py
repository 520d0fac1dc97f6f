from __future__ import annotations

from core.conversation import Message
from core.settings import Settings
from tests.tui.support.scripted import finished, record
from tui.session.chat import Chat


def test_a_reply_joins_the_conversation_with_its_ids() -> None:
    chat = Chat()
    request = chat.ask("Hi", Settings())
    assert request.conversation == (Message(role="user", text="Hi"),)
    assert chat.running
    assert chat.finish(finished("Hello.")) == "Hello."
    assert not chat.running
    assert chat.conversation[-1] == Message(role="assistant", text="Hello.", ids=(100, 100, 100))


def test_what_a_dying_engine_had_written_is_kept() -> None:
    chat = Chat()
    chat.ask("Hi", Settings())
    for text in ("Hel", "lo"):
        chat.write(record(5, text))
    assert chat.break_off() == "Hello"
    assert chat.conversation[-1] == Message(role="assistant", text="Hello", ids=(100, 100))


def test_the_end_of_turn_token_is_no_part_of_the_reply() -> None:
    chat = Chat()
    chat.ask("Hi", Settings())
    chat.write(record(5, "Yes"))
    chat.write(record(6, "", ends=True))
    chat.break_off()
    assert chat.conversation[-1].ids == (100,)


def test_a_message_without_an_answer_can_be_taken_back() -> None:
    chat = Chat()
    chat.ask("one", Settings())
    chat.finish(finished("1"))
    chat.ask("two", Settings())
    assert chat.break_off() == ""
    assert chat.unasked() == "two"
    assert [message.text for message in chat.conversation] == ["one", "1"]
    assert not chat.running


def test_again_answers_the_last_message_once_more() -> None:
    chat = Chat()
    assert chat.again(Settings()) is None
    first = chat.ask("one", Settings())
    assert chat.again(Settings()) is None, "not while a reply is being written"
    chat.finish(finished("1"))
    request = chat.again(Settings(temperature=2))
    assert request is not None
    assert request.conversation == first.conversation
    assert request.number > first.number
    assert request.settings.temperature == 2


def test_clear_makes_a_reply_under_way_foreign() -> None:
    chat = Chat()
    request = chat.ask("one", Settings())
    chat.clear()
    assert chat.number != request.number
    assert chat.conversation == ()
    assert not chat.running
