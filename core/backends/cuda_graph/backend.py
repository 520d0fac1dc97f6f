"""A decoding step that is recorded once: a token in, its hidden state and logits out. Knows no sampling.

It is not believed unseen: whatever fails or differs from the ordinary pass is told, and the ordinary pass goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.backends.cuda_graph.capture import Recorder
from core.backends.cuda_graph.compiler import Compiler
from core.backends.cuda_graph.dispatcher import Like, Pass, Replays, as_it_is
from core.backends.cuda_graph.static_forward import Slots, bucket_of, read_one, unembed_one
from core.device import is_out_of_memory
from core.kv_cache import KVCache
from core.transformer import Transformer

MAX_STEP_TOKENS = 1  # tokens in one step


class CudaGraphBackend:
    """The same as `core.backends.native.NativeBackend`, for what `fixed.why_not` allows."""

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recorder: Recorder,
        compiler: Compiler | None = None,
    ) -> None:
        config = transformer.config
        self._transformer, self._recorder = transformer, recorder
        self._token = torch.zeros(1, 1, dtype=torch.long, device=device)
        self._position = torch.zeros(1, dtype=torch.long, device=device)
        self._hidden, self._expects = (torch.zeros(1, config.d_model, dtype=dtype, device=device) for _ in range(2))
        self._logits = torch.zeros(1, config.vocab_size, device=device)
        self._replays = Replays(recorder, compiler, dtype)
        self._slab: tuple[object, ...] = ()  # where the cache lies
        self._end = -1  # the length of the text after the last step

    @property
    def why_not(self) -> str | None:
        """Why the ordinary pass is used; None if it is not."""
        return self._replays.why_not

    @property
    def how(self) -> str:
        return "compiled CUDA graph" if self._replays.is_compiled else "CUDA graph"

    def try_out(self, cache: KVCache) -> None:
        """Do everything once with an empty cache, so that `why_not` is known before anybody waits for a token."""
        hidden = torch.zeros_like(self._hidden)
        try:
            self.forward([0], cache, hidden)
            self.logits(hidden)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise  # where memory is short, that is said when there is something to read
        cache.rewind(0)

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, *, length: int = 0) -> None:
        """Read a token after those cached, and add it to the cache.

        Args:
            ids: one, below the vocabulary's size.
            hidden: (1, d_model): where the hidden state after the last norm goes.
            length: of the whole text, if more of it follows; see `Transformer.forward`.

        Raises:
            ValueError: it does not fit, is no token of the model or not one, or what is cached was turned otherwise
                than a text of this length is.
        """
        vocab_size = self._transformer.config.vocab_size
        if len(ids) != MAX_STEP_TOKENS or not 0 <= ids[0] < vocab_size:
            raise ValueError(f"a step takes one token below {vocab_size}, not {list(ids)}")
        start = cache.length
        long = self._transformer.uses_long_rope(max(start + 1, length))
        cache.reserve(start + 1)
        cache.set_long_rope(long)
        self._token.fill_(ids[0])

        def ordinary() -> Tensor:
            found = self._transformer(self._token, cache, length=length)
            cache.rewind(start)
            return found[0]  # type: ignore[no-any-return]

        hidden.copy_(self._replays.do(self._pass(cache, long), ordinary))
        cache.advance(1)
        self._end = start + 1

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> NDArray[np.float32]:
        """(1, vocab) for a hidden state (1, d_model)."""
        self._expects.copy_(hidden)

        def arguments(alike: Like = as_it_is) -> tuple[Any, ...]:
            return self._transformer, alike(self._expects)

        wanted = Pass("unembed", unembed_one, arguments, self._logits)
        found = self._replays.do(wanted, lambda: self._transformer.unembed(self._expects))
        return self._recorder.fetch(found).copy()

    def decode(
        self, ids: Sequence[int], cache: KVCache, hidden: Tensor, at: int = 0, *, length: int = 0
    ) -> NDArray[np.float32]:
        """`forward`, then `logits`. The hidden state goes into row `at` of `hidden`."""
        row = hidden[at : at + 1]
        self.forward(ids, cache, row, length=length)
        return self.logits(row)

    def _pass(self, cache: KVCache, long: bool) -> Pass:
        """What is to be done for the token after those cached, with everything where it is looked for."""
        start = cache.length
        bucket = bucket_of(start + 1, cache.limit)
        cache.reserve(bucket)
        slab = (cache.keys.data_ptr(), cache.values.data_ptr(), cache.capacity)
        if slab != self._slab:
            self._replays.forget()
        if slab != self._slab or start != self._end:
            for one in (cache.keys, cache.values):  # what is looked at and left out must be a number all the same
                one[:, :, :, start:] = 0
        self._slab = slab
        self._position.fill_(start)

        def arguments(alike: Like = as_it_is) -> tuple[Any, ...]:
            slots = Slots.of(alike(cache.keys), alike(cache.values), bucket, alike(self._position))
            return self._transformer, alike(self._token), slots, long

        return Pass((bucket, cache.capacity, long), read_one, arguments, self._hidden)
