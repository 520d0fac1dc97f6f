"""Which tokenizers speak in the same tokens, with tokenizers of the `tokenizers` library."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken

from core.errors import BadDraft
from core.speculative.vocab_check import check_same
from core.text.tokenizer import Tokenizer
from tests.support.tiny import tiny_backend


def changed(*added: str | AddedToken, swapped: tuple[str, str] | None = None) -> Tokenizer:
    """The tiny tokenizer with some tokens more, ordinary or special, and two that have changed places."""
    whole = json.loads(tiny_backend().to_str())
    vocab: dict[str, int] = whole["model"]["vocab"]
    if swapped is not None:
        one, other = swapped
        vocab[one], vocab[other] = vocab[other], vocab[one]
    for text in added:
        if isinstance(text, str):
            vocab[text] = len(vocab)
    tokenizer = Tokenizer.from_json(json.dumps(whole))
    tokenizer._backend.add_tokens([one for one in added if isinstance(one, AddedToken)])
    return Tokenizer(tokenizer._backend)


@pytest.mark.parametrize(
    "added", [(), ("[PAD360]", "[PAD361]"), (AddedToken("<|tool|>", special=True),), (AddedToken("<think>"),)]
)
def test_more_that_no_ordinary_text_is_cut_into_does_not_matter(added: tuple[str, ...]) -> None:
    check_same("big", changed(), "small", changed(*added))
    check_same("big", changed(*added), "small", changed())


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (changed(), changed("word"), "token 360 is 'word' in the one and none in the other"),
        (changed("word"), changed(), "token 360 is none in the one and 'word' in the other"),
        (changed("one"), changed("two"), "token 360 is 'two' in the one and 'one' in the other"),
        (
            changed(AddedToken("<a>")),
            changed(AddedToken("<b>")),
            "360 is '<b>' in the one and '<a>' in the other",
        ),
        (changed(), changed(swapped=("a", "b")), "is 'b' in the one and 'a' in the other"),
    ],
)
def test_the_first_token_on_which_they_differ_is_named(ours: Tokenizer, theirs: Tokenizer, said: str) -> None:
    with pytest.raises(BadDraft, match=r"^small cannot draft for big: token ") as caught:
        check_same("big", ours, "small", theirs)
    assert said in caught.value.message
