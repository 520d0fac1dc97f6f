"""The recipe of the shipped models: what is learnt from, how it is laid out, and that training trains."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from core.transformer import Transformer
from weights.recipe import conversations, dataset, exchanges, memory, train
from weights.recipe.cleaning import cased, normalised, sentence, unwanted
from weights.recipe.models import MODELS, PLANS, SPECIALS, Plan
from weights.recipe.prepare import trained_tokenizer
from weights.recipe.sources import Document, conversation

OWN = conversations.documents(count=400)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return trained_tokenizer([text for document in OWN for _, text in document.turns], "chat")


def test_quotes_spaces_and_wrongly_read_bytes_are_repaired() -> None:
    wrongly_read = "“Don’t”".encode().decode("cp1252", "ignore")
    assert normalised("“Don’t”\u00a0go \u2026") == '"Don\'t" go ...'
    assert normalised(wrongly_read).startswith("\"Don't")


def test_casing_is_repaired_only_where_there_is_none() -> None:
    assert cased("i am here. are you? i'm not") == "I am here. Are you? I'm not"
    assert cased("IBM and i agree. yes") == "IBM and I agree. yes"
    assert sentence("how are you") == "How are you?"
    assert sentence("i am fine") == "I am fine."


@pytest.mark.parametrize(
    "text",
    [
        "Hi [name]!",
        "I'm [user 1 name].",
        "I'm User 2.",
        "I am ChatGPT.",
        "Trained by LMSYS.",
        "oh shit",
        "see http://x.org",
    ],
)
def test_what_must_not_be_learnt_is_found(text: str) -> None:
    assert unwanted(text)


@pytest.mark.parametrize("text", ["Hello there!", "I like grass.", "A class passes.", "She said hello."])
def test_what_is_harmless_stays(text: str) -> None:
    assert not unwanted(text)


def test_a_conversation_ends_before_its_first_bad_turn_and_with_an_answer() -> None:
    said = ["hi", "hello", "how are you", "fine", "damn"]
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    found = conversation("x", messages, longest=10)
    assert found is not None
    assert [text for _, text in found.turns] == ["Hi.", "Hello.", "How are you?", "Fine."]
    assert conversation("x", messages[4:], longest=10) is None


def test_our_own_exchanges_are_clean_and_go_to_and_fro() -> None:
    for group, found in conversations.read(conversations.TEXT).items():
        for exchange in found:
            roles = [role for role, _ in exchange]
            assert roles == ["user", "assistant"] * (len(roles) // 2), (group, exchange)
            for role, wordings in exchange:
                assert all(text and text == text.strip() for text in wordings), (group, wordings)
                if role == "assistant":
                    for text in wordings:
                        assert text[0].isupper(), (group, text)
                        assert text[-1] in ".!?", (group, text)
                        assert not unwanted(text), (group, text)


def test_a_reply_of_ours_is_never_composed_of_parts() -> None:
    written = {
        text
        for found in conversations.read(conversations.TEXT).values()
        for exchange in found
        for role, wordings in exchange
        for text in wordings
        if role == "assistant"
    }
    said = [text for document in OWN for role, text in document.turns if role == "assistant"]
    assert sum(text in written for text in said) > len(said) / 2
    assert len(written) > 500


def test_sums_are_right() -> None:
    dice = random.Random(1)
    for _ in range(200):
        for make, sign in ((exchanges.addition, 1), (exchanges.subtraction, -1)):
            (_, _), (_, [answer]) = make(dice)
            a, _, b, _, c = answer.rstrip(".").split()
            assert int(a) + sign * int(b) == int(c)


def test_what_was_told_is_what_is_asked_for() -> None:
    dice = random.Random(2)
    for _ in range(50):
        told, asked = memory.name_told(dice)
        name = asked[1][1][0].removeprefix("Your name is ").rstrip(".")
        assert all(name in wording for wording in told[0][1])


def test_the_specials_and_the_roles_are_single_tokens(tokenizer: Tokenizer) -> None:
    for word in (*SPECIALS["chat"], "user", "assistant", "system"):
        assert len(tokenizer.encode(word).ids) == 1
    text = "Hello 1234 café 🙂\n\n  end"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_only_the_assistants_words_and_its_end_mark_are_learnt(tokenizer: Tokenizer) -> None:
    document = Document(source="x", turns=(("system", "Be kind."), ("user", "Hello!"), ("assistant", "Hi there.")))
    piece = dataset.encoded(document, tokenizer)
    whole = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n"
    whole += "<|im_start|>assistant\nHi there.<|im_end|>\n"
    assert piece.ids.tolist() == tokenizer.encode(whole).ids
    learnt = tokenizer.decode(piece.ids[piece.learn].tolist(), skip_special_tokens=False)
    assert learnt == "Hi there.<|im_end|>"


def test_documents_come_back_from_disk(tokenizer: Tokenizer, tmp_path: Path) -> None:
    pieces = [dataset.encoded(document, tokenizer) for document in OWN[:20]]
    dataset.save(tmp_path / "x.npz", pieces)
    for kept, piece in zip(dataset.load(tmp_path / "x.npz"), pieces, strict=True):
        assert kept.source == piece.source
        np.testing.assert_array_equal(kept.ids, piece.ids)
        np.testing.assert_array_equal(kept.learn, piece.learn)


def piece_of(length: int, number: int) -> dataset.Piece:
    return dataset.Piece("x", np.full(length, number, dtype=np.uint16), np.ones(length, dtype=bool))


def test_nothing_is_both_trained_on_and_held_out() -> None:
    pieces = [piece_of(3, number) for number in range(1, 301)]
    kept, held = dataset.split(pieces)
    assert len(held) == 300 // dataset.HELD_OUT
    assert sorted(int(piece.ids[0]) for piece in (*kept, *held)) == list(range(1, 301))
    assert dataset.split(pieces)[1] == held


def test_whole_conversations_begin_in_one_row_and_none_is_lost() -> None:
    dice = random.Random(3)
    pieces = [piece_of(dice.randint(1, 40), number) for number in range(1, 200)]
    rows = list(dataset.rows(pieces, length=49, whole=True))
    assert all(len(ids) == len(learn) == 50 for ids, learn in rows)
    found = np.concatenate([ids[learn] for ids, learn in rows])
    numbers, counts = np.unique(found, return_counts=True)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {int(p.ids[0]): len(p.ids) for p in pieces}
    for number in numbers:
        assert sum(number in ids for ids, _ in rows) == 1


def test_targets_are_the_next_tokens() -> None:
    ids = np.arange(10, dtype=np.uint16)
    tokens, targets, learn = train.batch_of([(ids, ids > 4)])
    assert targets.tolist() == (tokens + 1).tolist()
    assert targets[learn].tolist() == [5, 6, 7, 8, 9]


def test_the_learning_rate_rises_and_then_falls_along_a_cosine() -> None:
    plan = Plan(batch=1, length=1, peak=1.0, warmup=0.1)
    assert train.learning_rate(0.05, plan) == pytest.approx(0.5)
    assert train.learning_rate(0.1, plan) == pytest.approx(1.0)
    assert train.learning_rate(0.55, plan) == pytest.approx(0.05 + 0.95 * 0.5)
    assert train.learning_rate(1.0, plan) == pytest.approx(0.05)


def test_an_untrained_model_is_about_as_unsure_as_chance() -> None:
    """Its loss is near the logarithm of the vocabulary, so training does not begin by unlearning."""
    for name, config in MODELS.items():
        model = Transformer(config)
        train.initialise(model)
        tokens = torch.randint(config.vocab_size, (2, 32), generator=torch.Generator().manual_seed(4))
        loss = train.loss_of(model, model, (tokens, tokens.roll(1, 1), torch.ones_like(tokens, dtype=torch.bool)))
        assert loss.item() == pytest.approx(math.log(config.vocab_size), abs=0.8), name


def test_training_learns_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "textbook").mkdir()
    pattern = np.tile(np.arange(5, 25, dtype=np.uint16), 60)
    dataset.save(tmp_path / "textbook" / "language.npz", [dataset.Piece("tinystories", pattern, pattern > 0)] * 100)
    monkeypatch.setitem(PLANS, ("textbook", "language"), Plan(batch=2, length=32, peak=3e-3))
    run = train.Run("textbook", "language", 1.0, tmp_path, compiled=False)
    stream = train.batches(dataset.load(tmp_path / "textbook" / "language.npz"), {"tinystories": 1}, run.plan, False)
    run.elapsed = 10.0
    losses = [run.step(next(stream)) for _ in range(40)]
    assert losses[-1] < losses[0] / 2
    run.save()
    again = train.Run("textbook", "language", 1.0, tmp_path, compiled=False)
    assert (again.steps, again.tokens, again.elapsed) == (40, 40 * 2 * 32, 10.0)
    batch = next(stream)
    assert again.step(batch) == pytest.approx(run.step(batch), abs=1e-6)
    for ours, theirs in zip(again.model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_stage_that_is_over_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "textbook").mkdir()
    run = train.Run("textbook", "language", 1.0, tmp_path, compiled=False)
    run.elapsed = 60.0
    run.save()
    before = run.path.read_bytes()
    train.Run("textbook", "language", 1.0, tmp_path, compiled=False).run()
    assert "has had its 1 minutes" in capsys.readouterr().out
    assert run.path.read_bytes() == before
