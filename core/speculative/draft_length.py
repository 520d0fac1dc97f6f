"""How many tokens a draft model is to propose, from what its proposals have cost and brought so far.

With n tokens guessed, a step yields 1 + a + a² + … + aⁿ tokens, where a is the chance that one more of them is right
(Leviathan and others 2023, "Fast Inference from Transformers via Speculative Decoding"); what that costs is measured
while it runs. Where no n is faster than no guess, it rests, and is tried again when a small share of the model's own
time has paid for the trial. Knows no model and no clock.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

_BELIEVED, _RECENT = 3, 9  # measurements of a time: so many until it is believed, so many of the newest
_STALE = 64  # steps with guesses, after which one without is to be measured anew
_SLOPE = 0.1  # of a step, that every further token costs, until it is known
_WORTH = 1.03  # gain from which it is worth the trouble
_MEMORY = 0.97  # of what was counted, at each guess
_ENOUGH = 16  # tokens judged since the last rest, after which a draft has proved itself
_TRIAL = 4  # tokens of the draft that a trial takes, about
_SHARE, _LEAST_SHARE = 1 / 4, 1 / 128  # of the model's time, for trials and for reading what the model has read


class DraftLength:
    """Measured times and counted guesses of one draft and the model it drafts for."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: tokens to guess at once.
        """
        self._most = most
        self._steps: dict[int, deque[float]] = {}  # seconds of steps of the model, by their tokens
        self._passes: deque[float] = deque(maxlen=_RECENT)  # seconds of a token of the draft
        self._reading = 0.0  # seconds of a token that the draft reads after the model
        self._with_guesses = 0  # steps since the last one without
        self._share, self._budget = _SHARE, 0.0  # seconds it may lose
        self._rests_for = 0.0  # seconds of budget, until the next trial
        self._drafted = self._sure = 0.0  # tokens of the draft, and those that it was sure of
        self._judged = self._right = 0.0  # tokens of guesses up to the first wrong one, and those that were right
        self._start_over()

    def size(self) -> int:
        """Tokens to guess for the next step; 0 if the model is faster without."""
        if self._rests_for:
            if self._budget < self._rests_for:
                return 0
            self._start_over()
        if self._known(1) is None or self._with_guesses >= _STALE:
            return 0
        if len(self._passes) < _BELIEVED:
            return min(1, self._most)
        best = max(range(1, self._most + 1), key=self.gain)
        if self.gain(best) < _WORTH:
            self._rests_for, self._budget = _TRIAL * median(self._passes), 0.0
            self._share = max(_LEAST_SHARE, self._share / 4)
            return 0
        if self._judged > _ENOUGH:
            self._share = _SHARE
        return best

    def may_read(self, n_tokens: int) -> bool:
        """Whether the draft may read so many tokens, to be where the model is."""
        return self._reading * n_tokens <= self._budget

    def gain(self, size: int) -> float:
        """How many times as fast it would be with so many tokens guessed, once both models have been measured."""
        sure = self._sure / self._drafted  # the chance that the draft goes on after one token
        right = sure * self._right / self._judged
        tokens = math.fsum(right**n for n in range(size + 1))
        drafted = math.fsum(sure**n for n in range(size))
        read = 1 + math.fsum(sure**n for n in range(1, size + 1))
        return tokens * self._step(1) / (drafted * median(self._passes) + self._step(read))

    def record_time(self, seconds: float, n_tokens: int) -> None:
        """The model was busy so long, with a step of so many tokens; 0 if it was reading a prompt."""
        self._budget += self._share * seconds
        if n_tokens:
            self._steps.setdefault(n_tokens, deque(maxlen=_RECENT)).append(seconds)
            self._with_guesses = 0 if n_tokens == 1 else self._with_guesses + 1

    def record_draft_time(self, seconds: float) -> None:
        """A token of the draft took so long."""
        self._passes.append(seconds)

    def record_catch_up(self, seconds: float, n_tokens: int) -> None:
        """The draft has read what the model has read before."""
        self._budget -= seconds
        self._reading = seconds / n_tokens

    def record_confidence(self, drafted: int, sure: int) -> None:
        """The draft has come up with tokens, and was sure of so many of them."""
        self._drafted = self._drafted * _MEMORY + drafted
        self._sure = self._sure * _MEMORY + sure

    def record_acceptance(self, accepted: int, proposed: int) -> None:
        """So many proposed tokens were chosen; those after the first that was not say nothing."""
        self._judged = self._judged * _MEMORY + min(accepted + 1, proposed)
        self._right = self._right * _MEMORY + accepted

    def _start_over(self) -> None:
        """Forget what may have changed since, and hope: as if 2 tokens had been guessed and 1.4 been right."""
        self._rests_for = 0.0
        self._drafted, self._sure, self._judged, self._right = 2.0, 2.0, 2.0, 1.4
        self._passes.clear()
        self._steps = {n: times for n, times in self._steps.items() if n == 1}

    def _known(self, n_tokens: int) -> float | None:
        times = self._steps.get(n_tokens, ())
        return median(times) if len(times) >= _BELIEVED else None

    def _step(self, n_tokens: float) -> float:
        """Seconds of a step: measured, or on the line between or behind what was measured."""
        known = {n: seconds for n in sorted(self._steps) if (seconds := self._known(n)) is not None}
        below = max(n for n in known if n <= n_tokens)
        above = min((n for n in known if n > n_tokens), default=None)
        if above is not None:
            slope = (known[above] - known[below]) / (above - below)
        else:
            slope = (known[below] - known[1]) / (below - 1) if below > 1 else _SLOPE * known[1]
        return known[below] + slope * (n_tokens - below)
