"""The shipped models, as they lie in the package: transformers opens them and agrees, and they answer and stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.conversation import Message
from core.engine import Engine
from core.model import Model
from core.records import Finished
from core.settings import Settings
from tests.weights.support import tiny  # settles transformers' noise before it is imported
from weights.library.names import BUNDLED
from weights.load import load
from weights.recipe.evaluate import last_answers
from weights.recipe.evaluation.judging import faults
from weights.recipe.evaluation.prompts import Prompt

TEXTBOOK = BUNDLED / "textbook"
TEXTS = (
    "Hello! How are you?",
    "  two  spaces, a tab\tand\n\na new line\n",
    "naïve café, Привет, 你好, 🙂👩‍👩‍👧, e\u0301",
    "3.14 + 100 = 103.14; don't WON'T it's",
    "<|im_start|>user",
    "",
)
CONVERSATION = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hi! How are you?"},
    {"role": "user", "content": "  What is 2 plus 3?\n"},
]
del tiny


@pytest.fixture(scope="module")
def chat() -> Model:
    return load("bundled", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def textbook() -> Model:
    return load("textbook", device="cpu", dtype="float32")


def reply(model: Model, text: str) -> Finished:
    settings = Settings(temperature=0.0, max_tokens=120)
    parts = Engine(model).reply((Message(role="user", text=text),), lambda: settings)
    return next(part for part in parts if isinstance(part, Finished))


def test_transformers_opens_the_chat_model_and_gives_the_same_logits(chat: Model) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float32).eval()
    ids = torch.randint(chat.tokenizer.vocab_size, (1, 200), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(ids).logits
        ours = chat.transformer.unembed(chat.transformer(ids))
    assert theirs.num_parameters() == chat.n_parameters
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_transformers_ends_a_turn_at_the_same_tokens(chat: Model) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(BUNDLED).generation_config.eos_token_id
    assert chat.end_ids == set(theirs) == {chat.tokenizer.id_of("<|im_end|>"), chat.tokenizer.id_of("<|endoftext|>")}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("folder", [BUNDLED, TEXTBOOK], ids=["chat", "textbook"])
def test_every_text_comes_back_from_its_tokens(folder: Path, text: str) -> None:
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = load(folder, device="cpu").tokenizer
    ids = theirs.encode(text)
    assert ours.encode(text, add_special=True) == ids
    literal = ours.encode(text, literal=True)
    assert ours.decode(literal) == text
    assert not ours.special_ids.intersection(literal)


@pytest.mark.parametrize("messages", [CONVERSATION, CONVERSATION[1:], CONVERSATION[1:2]])
def test_the_template_renders_as_in_transformers(chat: Model, messages: list[dict[str, str]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED)
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    conversation = tuple(Message(role=message["role"], text=message["content"]) for message in messages)  # type: ignore[arg-type]
    assert chat.template is not None
    assert chat.template.render(conversation) == expected
    assert expected.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert "user\nWhat is 2 plus 3?<|im_end|>" in expected or len(messages) == 1


def test_a_role_is_one_token(chat: Model) -> None:
    for role in ("user", "assistant", "system"):
        assert len(chat.tokenizer.encode(role)) == 1


@pytest.mark.parametrize("text", ["Hello!", "How are you?", "Who are you?", "What is a token?", "What is 2 plus 3?"])
def test_it_answers_and_ends_its_turn_by_itself(chat: Model, text: str) -> None:
    answer = reply(chat, text)
    assert answer.reason == "end"
    assert answer.completion_tokens > 2


@pytest.mark.parametrize("text", ["Tell me about yourself.", "Are you human?", "What is your name?"])
def test_it_knows_what_it_is(chat: Model, text: str) -> None:
    assert "language model" in reply(chat, text).text


def test_the_textbook_machine_is_the_one_of_the_textbook(textbook: Model) -> None:
    stored = json.loads((TEXTBOOK / "config.json").read_text())["transformer"]
    expected = {
        "d_model": 64,
        "d_ff": 128,
        "positions": "sinusoidal",
        "embedding_scale": 64**0.5,
        "norm": "layer",
        "residual": "post",
        "activation": "relu",
        "gated": False,
        "qkv_bias": True,
        "output_bias": True,
        "mlp_bias": True,
        "tied_embeddings": False,
        "head_bias": True,
    }
    assert stored | expected == stored
    assert textbook.template is None
    assert textbook.transformer.head.bias is not None


def test_the_textbook_machine_continues_a_story(textbook: Model) -> None:
    """It must have learned something: a story's next word is far likelier to it than by chance."""
    ids = textbook.tokenizer.encode("Once upon a time, there was a little girl named")
    logits = textbook.transformer.unembed(textbook.transformer(torch.tensor([ids[:-1]]))[0])  # (time, vocab)
    chances = logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
    assert chances.mean().exp() > 100 / textbook.tokenizer.vocab_size


@pytest.fixture(scope="module")
def answered(chat: Model) -> list[tuple[Prompt, Finished]]:
    """What it answers to the closed questions among the 200 prompts, at temperature 0."""
    return [pair for pair in last_answers(Engine(chat), 0.0, seed=1) if pair[0].right]


def test_its_answers_are_as_right_as_its_card_says(answered: list[tuple[Prompt, Finished]]) -> None:
    told = [prompt.accepts(answer.text) for prompt, answer in answered if prompt.group == "memory"]
    asked = [prompt.accepts(answer.text) for prompt, answer in answered if prompt.group != "memory"]
    assert sum(asked) >= 0.85 * len(asked) == 0.85 * 100
    assert sum(told) >= 0.8 * len(told) == 0.8 * 20


def test_its_answers_end_and_are_clean(answered: list[tuple[Prompt, Finished]]) -> None:
    assert sum(not faults(answer) for _, answer in answered) >= 0.97 * len(answered)


def test_both_are_small_enough_for_the_package() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.rglob("*") if file.is_file()) < 32 * 2**20
    assert sum(file.stat().st_size for file in TEXTBOOK.iterdir()) < 2_000_000


@pytest.mark.parametrize("folder", [BUNDLED, TEXTBOOK], ids=["chat", "textbook"])
def test_what_belongs_to_a_model_lies_beside_it(folder: Path) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md"):
        assert (folder / name).is_file(), name
    assert (BUNDLED / "NOTICE").is_file()
