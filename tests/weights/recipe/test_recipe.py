"""The recipe of the shipped models: the public sources, how texts are laid out, and that training trains."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from core.transformer import Transformer
from weights.recipe import plot, train
from weights.recipe.corpus import conversations, dataset
from weights.recipe.corpus.cleaning import cased, normalised, sentence, unwanted
from weights.recipe.corpus.sources import Document, conversation
from weights.recipe.models import MODELS, PLANS, SPECIALS, Plan
from weights.recipe.prepare import trained_tokenizer

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


def test_the_specials_and_the_roles_are_single_tokens(tokenizer: Tokenizer) -> None:
    for word in (*SPECIALS["chat"], "user", "assistant", "system"):
        assert len(tokenizer.encode(word).ids) == 1
    text = "Hello 1234 café 🙂\n\n  end"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_only_the_assistants_words_and_its_end_mark_are_learnt(tokenizer: Tokenizer) -> None:
    document = Document(source="x", turns=(("system", "Be kind."), ("user", "Hello!"), ("assistant", "Hi there.")))
    piece = dataset.encoded(document, tokenizer)
    whole = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n"
    whole += "<|im_start|>assistant\nHi there.<|im_end|>\n<|endoftext|>"
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
    run = train.Run("textbook", "language", 10_000, tmp_path, compiled=False)
    stream = train.batches(dataset.load(tmp_path / "textbook" / "language.npz"), {"tinystories": 1}, run.plan, False)
    losses = [run.step(next(stream)) for _ in range(60)]
    assert losses[-1] < losses[0] / 2
    run.save()
    again = train.Run("textbook", "language", 10_000, tmp_path, compiled=False)
    assert (again.steps, again.tokens) == (60, 60 * 2 * 32)
    batch = next(stream)
    assert again.step(batch) == pytest.approx(run.step(batch), abs=1e-6)
    for ours, theirs in zip(again.model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def small_run(folder: Path, tokens: int) -> train.Run:
    return train.Run("textbook", "language", tokens, folder, compiled=False)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with something to train on, and a plan of small steps."""
    (tmp_path / "textbook").mkdir()
    ids = np.random.default_rng(1).integers(5, 500, size=(200, 80)).astype(np.uint16)
    pieces = [dataset.Piece("tinystories", row, row > 0) for row in ids]
    dataset.save(tmp_path / "textbook" / "language.npz", pieces)
    monkeypatch.setitem(PLANS, ("textbook", "language"), Plan(batch=2, length=32, peak=3e-3))
    return tmp_path


def test_the_same_seed_trains_the_same_model(prepared: Path, tmp_path: Path) -> None:
    small_run(prepared, 1000).run()
    first = small_run(prepared, 1000).model.state_dict()
    (prepared / "textbook" / "language.pt").unlink()
    small_run(prepared, 1000).run()
    for name, weight in small_run(prepared, 1000).model.state_dict().items():
        assert torch.equal(weight, first[name]), name


def test_a_killed_run_ends_where_an_undisturbed_one_does(prepared: Path) -> None:
    whole = small_run(prepared, 2000)
    whole.run()
    (prepared / "textbook" / "language.pt").unlink()
    killed = small_run(prepared, 2000)
    pieces, _ = dataset.split(dataset.load(prepared / "textbook" / "language.npz"))
    stream = train.batches(pieces, {"tinystories": 1}, killed.plan, False)
    for _ in range(10):
        killed.step(next(stream))
    killed.save()
    resumed = small_run(prepared, 2000)
    resumed.run()
    assert resumed.steps == whole.steps
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_stage_that_is_over_is_left_as_it_is(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_run(prepared, 1000).run()
    log = (prepared / "textbook" / "language.log").read_text().splitlines()
    assert json.loads(log[-1])["tokens"] >= 1000
    assert json.loads(log[-1])["held_out"] == pytest.approx(math.log(2048), abs=1.0)
    before = (prepared / "textbook" / "language.pt").read_bytes()
    capsys.readouterr()
    small_run(prepared, 1000).run()
    assert "has had its" in capsys.readouterr().out
    assert (prepared / "textbook" / "language.pt").read_bytes() == before


def test_the_loss_becomes_the_same_picture_each_time(tmp_path: Path) -> None:
    lines = [{"tokens": n * 1000, "loss": 5 / n} | ({"held_out": 6 / n} if n % 10 == 0 else {}) for n in range(1, 400)]
    (tmp_path / "chat.log").write_text("\n".join(json.dumps(line) for line in lines))
    tokens, losses, held = plot.curve(tmp_path / "chat.log")
    assert 100 < len(tokens) == len(losses) <= 2 * plot.POINTS
    assert held[0] == (0.01, 0.6)
    for name in ("one.svg", "two.svg"):
        plot.draw(tmp_path, tmp_path / name)
    assert "chat stage" in (tmp_path / "one.svg").read_text()
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
