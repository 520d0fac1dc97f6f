"""From the corpus to token ids: `python -m weights.recipe.prepare`. Knows nothing of training.

Writes to weights/recipe/runs/<model>/: tokenizer.json, and one .npz of documents per stage. A tokenizer that is
already there is kept, because what was trained with one is worth nothing with another.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from weights.recipe.corpus import conversations, dataset, sources
from weights.recipe.corpus.sources import Document
from weights.recipe.evaluation import prompts
from weights.recipe.models import MODELS, SPECIALS, TURN_START

HERE = Path(__file__).parent
OWN = 100_000  # conversations of our own
ROLES = ("user", "assistant", "system")
RUNS = HERE / "runs"
CORPUS = HERE.parents[2] / "shared" / "corpus"


def trained_tokenizer(texts: list[str], name: str) -> Tokenizer:
    """Byte-level BPE: starts from the 256 bytes and merges the most frequent pair, again and again."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MODELS[name].vocab_size,
        special_tokens=list(SPECIALS[name]),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return with_whole_words(tokenizer, ROLES) if TURN_START in SPECIALS[name] else tokenizer


def with_whole_words(tokenizer: Tokenizer, words: tuple[str, ...]) -> Tokenizer:
    """The same, with a token for each of these words; the rarest tokens give up their places.

    The roles of a conversation stand before every turn and in no text, so BPE alone would cut them up.
    """
    state = json.loads(tokenizer.to_str())
    vocab, merges = state["model"]["vocab"], state["model"]["merges"]
    needed: list[tuple[str, str]] = []
    for word in words:
        left, *rest = tokenizer.encode(word, add_special_tokens=False).tokens
        for right in rest:
            needed.append((left, right))
            left += right
    del merges[len(merges) - len(needed) :]  # the last merges are the rarest, and nothing is built from them
    by_id = sorted(vocab, key=vocab.__getitem__)
    for gone, (left, right) in zip(by_id[len(by_id) - len(needed) :], needed, strict=True):
        vocab[left + right] = vocab.pop(gone)
        merges.append([left, right])
    return Tokenizer.from_str(json.dumps(state))


def tokenizer_for(folder: Path, documents: list[Document]) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.exists():
        texts = [document.text or "\n".join(text for _, text in document.turns) for document in documents]
        trained_tokenizer(texts, folder.name).save(str(path))
    return Tokenizer.from_file(str(path))


def gives_away(document: Document) -> bool:
    """Whether a person types one of the prompts in it, by which the model will be judged."""
    return any(role == "user" and prompts.plain(text) in prompts.kept_out() for role, text in document.turns)


def write(folder: Path, stage: str, documents: list[Document], tokenizer: Tokenizer) -> None:
    pieces = [dataset.encoded(document, tokenizer) for document in documents]
    dataset.save(folder / f"{stage}.npz", pieces)
    count: Counter[str] = Counter()
    for piece in pieces:
        count[piece.source] += len(piece.ids)
    print(f"{folder.name} {stage}: {sum(count.values()):,} tokens")
    for source, tokens in count.most_common():
        print(f"  {source:24} {tokens:>10,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--runs", type=Path, default=RUNS)
    asked = parser.parse_args()
    for name in MODELS:
        (asked.runs / name).mkdir(parents=True, exist_ok=True)
    public = [found for found in sources.documents(asked.corpus) if not gives_away(found)]
    own = [made for made in conversations.documents(OWN) if not gives_away(made)]

    folder = asked.runs / "chat"
    tokenizer = tokenizer_for(folder, [*public, *own])
    write(folder, "language", public, tokenizer)
    write(folder, "chat", [*(document for document in public if document.turns), *own], tokenizer)

    folder = asked.runs / "textbook"
    stories = [document for document in public if document.source == "tinystories"]
    write(folder, "language", stories, tokenizer_for(folder, stories))


if __name__ == "__main__":
    main()
