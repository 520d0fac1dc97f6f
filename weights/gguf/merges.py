"""Which neighbours are joined to one token, and which first: llama.cpp's rules as the list of merges of a BPE model.

Knows no metadata and no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from core.errors import BadCheckpoint, UnsupportedModel
from weights.untrusted.checked_json import show

_MAX_WORK = 150_000_000  # characters in all halves of all tokens; a vocabulary of 256,000 has about 20 million
Merges = list[tuple[str, str]]


def listed_merges(lines: Sequence[str], ids: Mapping[str, int]) -> Merges:
    """The merges that a file lists as "left right", each once, where it comes first.

    Raises:
        BadCheckpoint: a part or a result is no token.
    """
    merges: dict[tuple[str, str], None] = {}
    for line in lines:
        at = line.find(" ", 1)
        left, right = line[:at], line[at + 1 :]
        if at < 0 or left not in ids or right not in ids or left + right not in ids:
            raise BadCheckpoint(f"The merge {show(line)} is not of tokens of the vocabulary.", "Download it again.")
        merges.setdefault((left, right))
    return list(merges)


def check_scores(scores: Mapping[str, float]) -> None:
    """Complain of scores that order no merges, as far as those tell that several tokens share. Quick, for a listing.

    Raises:
        UnsupportedModel: as `merges_by_score`, which looks at all of them.
    """
    times = Counter(scores.values())
    merges_by_score(scores, of=[text for text, score in scores.items() if times[score] > 1])


def merges_by_score(scores: Mapping[str, float], *, of: Iterable[str] | None = None) -> Merges:
    """llama.cpp joins the two neighbours whose text together has the best score, of equals the leftmost.

    A list of merges says the same if no two results have the same score, and if every single character in a result is
    a token. Llama's runs of spaces do share one score: there leftmost means that the first of them grows until there is
    no longer token, which is what "longer first" says in a list.

    Args:
        of: the results whose merges are wanted, if not all.

    Raises:
        UnsupportedModel: it cannot be said.
    """
    results = list(scores if of is None else of)
    if sum(len(text) ** 2 for text in results) > _MAX_WORK:
        raise UnsupportedModel("The tokens of the vocabulary are too many, or too long.", "Choose another file.")
    ranked: list[tuple[float, int, int, str, str]] = []
    first: dict[float, str] = {}  # of each score
    for text in results:
        score = scores[text]
        for left, right in _halves(text, scores.keys()):
            if left not in scores or right not in scores:
                orphan = left if left not in scores else right
                raise _unordered(f"{show(text)} contains {show(orphan)}, which is no token of its own")
            if (other := first.setdefault(score, text)) != text and len({*other, *text}) > 1:
                raise _unordered(f"{show(text)} and {show(other)} have the same score")
            ranked.append((-score, -len(text), len(left), left, right))
    return [(left, right) for *_, left, right in sorted(ranked)]


def _halves(text: str, known: Set[str]) -> Iterator[tuple[str, str]]:
    """The pairs of neighbours that llama.cpp could join to this text: each a token, or a single character."""
    for at in range(1, len(text)):
        left = text[:at]
        if at == 1 or left in known:
            right = text[at:]
            if len(right) == 1 or right in known:
                yield left, right


def _unordered(why: str) -> UnsupportedModel:
    return UnsupportedModel(f"The scores of the vocabulary do not order its merges: {why}.", "Choose another file.")
