"""What was recorded, by what it is for; each recording is compared with the ordinary way before it is believed.

Knows no model: a pass is a function of tensors at fixed addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.backends.cuda_graph.capture import Capturer, Work
from core.backends.cuda_graph.compiler import Compiler, Function, reason

# By how much two ways of adding up the same numbers may differ, as a part of their length. In 16 bits, after dozens of
# layers, by a few percent; another token, position or mask makes them differ by as much as they are long.
_NEAR = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.1}


Like = Callable[[Tensor], Tensor]


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def stand_in(tensor: Tensor) -> Tensor:
    """A tensor elsewhere that a compiler takes for this one, to be written to meanwhile."""
    with torch.inference_mode(tensor.is_inference()):
        return torch.zeros_like(tensor)


class CapturablePass(NamedTuple):
    """Something to be done for every token."""

    key: Hashable  # which one it is; the same one may lie elsewhere after `clear`
    function: Function  # its last argument: whether it is compiled
    arguments: Callable[[Like], tuple[Any, ...]]  # all others, made of tensors that are like the real ones
    out: Tensor  # where the result goes


class GraphDispatcher:
    """Passes that have been recorded, as they are or, once there is such a one, compiled."""

    def __init__(self, capturer: Capturer, compiler: Compiler | None, dtype: torch.dtype) -> None:
        self.fallback_reason: str | None = None  # what went wrong; from then on everything is done in the ordinary way
        self._capturer, self._compiler = capturer, compiler
        self._near = _NEAR[dtype]
        self._captured: dict[Hashable, tuple[Work, bool]] = {}  # and whether it is compiled

    def clear(self) -> None:
        """Something has moved."""
        self._captured.clear()

    def run(self, task: CapturablePass, eager: Callable[[], Tensor]) -> Tensor:
        """What the pass gives. It is overwritten by the next one."""
        if self.fallback_reason is not None:
            return eager()
        compiled = self._compiled(task)
        work, fused = self._captured.get(task.key, (None, False))
        may_record = self._compiler is None or not self._compiler.busy  # which must not happen at the same time
        if may_record and (work is None or (compiled and not fused)):
            return self._first(task, compiled, eager)
        if work is None:
            return eager()
        work()
        return task.out

    def _compiled(self, task: CapturablePass) -> Function | None:
        if self._compiler is None:
            return None
        return self._compiler.ask(task.key, task.function, lambda: task.arguments(stand_in))

    def _first(self, task: CapturablePass, compiled: Function | None, eager: Callable[[], Tensor]) -> Tensor:
        """Record it and do it both ways. The ordinary one comes last, so that it is what stands in the cache."""
        function, fused = compiled or task.function, compiled is not None
        arguments = task.arguments(as_it_is)
        try:
            work = self._capturer.capture(lambda: _store(task.out, function(*arguments, fused)))
            work()
            replayed = task.out.clone()
        except Exception as error:  # whatever it is, the ordinary way is still there
            self._give_up(reason(error), fused)
            return eager()
        expected = eager()
        distance = _distance(replayed, expected)
        if distance > self._near:
            self._give_up(f"its numbers were {distance:.0%} from those of the ordinary pass", fused)
        else:
            self._captured[task.key] = work, fused
        return expected

    def _give_up(self, why: str, fused: bool) -> None:
        if fused and self._compiler is not None:  # what is recorded as it is stays
            self._compiler.give_up(why)
        else:
            self.fallback_reason = why

    @property
    def is_compiled(self) -> bool:
        """Whether everything that is recorded is."""
        return bool(self._captured) and all(fused for _, fused in self._captured.values())


def _store(out: Tensor, result: Tensor) -> None:
    out.copy_(result)


def _distance(replayed: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference, as a part of the expected; infinite where a number is none."""
    replayed, expected = replayed.float(), expected.float()
    ruled_out = torch.isneginf(replayed) & torch.isneginf(expected)  # tokens that a model never says
    replayed, expected = replayed.masked_fill(ruled_out, 0), expected.masked_fill(ruled_out, 0)
    distance = ((replayed - expected).norm() / expected.norm().clamp(min=1e-30)).item()
    return distance if distance == distance else float("inf")
