"""N-gram speculation: proposing what comes next from what has been said (Saxena 2023, "Prompt Lookup Decoding").

Where the last few tokens have occurred before, what followed them then is likely to follow again: in code that is
changed, a text that is summed up, a name that is repeated. A proposal costs nothing but its reading, several tokens of
which are read in little more time than one. It never changes what is chosen: see `Decoder.decode_one`. Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence

_SAME = 3  # tokens that have to agree before anything is proposed
_FEWEST, _FIRST = 1, 3  # tokens proposed after some that were wrong, and at the beginning


class PromptLookup:
    """Remembers where each three tokens were last seen in one growing sequence."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: tokens to propose at once.
        """
        self._most = most
        self._size = min(_FIRST, most)
        self._seen: dict[tuple[int, ...], int] = {}  # three tokens: the position after them
        self._known = 0  # positions before this one are in it

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """What followed the last three of these tokens before; empty if they are new.

        Args:
            ids: the whole sequence. It may have been cut, and have grown otherwise, since the last call.
            most: tokens there is room for.
        """
        end = len(ids)
        last = tuple(ids[-_SAME:])
        for after in range(max(_SAME, min(self._known, end)), end):  # what ends before the last token
            self._seen[tuple(ids[after - _SAME : after])] = after
        self._known = end
        at = self._seen.get(last, end)
        if end <= _SAME or at >= end or tuple(ids[at - _SAME : at]) != last:  # of a text that has been cut
            return []
        return list(ids[at : at + min(most, self._size)])

    def forget(self, length: int) -> None:
        """The sequence was cut to this length, so what comes next has to be looked at anew."""
        self._known = min(self._known, length)

    def record_acceptance(self, accepted: int, proposed: int) -> None:
        """Propose more after a proposal that was right from beginning to end, and less after one that was not."""
        self._size = min(self._most, 2 * self._size) if accepted == proposed else max(_FEWEST, accepted)

    def record_time(self, seconds: float, n_tokens: int) -> None:
        """It does not matter: looking up takes no time."""
