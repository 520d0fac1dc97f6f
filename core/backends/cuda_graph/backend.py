"""A decoding step that is captured once: a token in, its hidden state and logits out. Knows no sampling.

It is not believed unseen: whatever fails or differs from the eager pass is told, and the eager pass goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.backends.cuda_graph.capture import Capturer
from core.backends.cuda_graph.compiler import Compiler
from core.backends.cuda_graph.dispatcher import CapturablePass, GraphDispatcher, Like, as_it_is
from core.backends.cuda_graph.static_forward import Slots, bucket_of, forward_one, unembed_one
from core.backends.device import is_out_of_memory
from core.backends.eager import EagerBackend
from core.kv_cache import KVCache
from core.transformer import Transformer


class CudaGraphBackend:
    """One token a step, by replaying a captured graph; what is longer is read in torch. See `unsupported_reason`."""

    max_step_tokens = 1

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        capturer: Capturer,
        compiler: Compiler | None = None,
    ) -> None:
        """
        Args:
            compiler: fuses what is captured, in the background.
        """
        config = transformer.config
        self.transformer, self.device, self.dtype = transformer, device, dtype
        self._eager = EagerBackend(transformer, device=device, dtype=dtype)
        self.max_prefill_tokens = self._eager.max_prefill_tokens
        self._capturer = capturer
        self._token = torch.zeros(1, 1, dtype=torch.long, device=device)
        self._position = torch.zeros(1, dtype=torch.long, device=device)
        self._hidden, self._to_unembed = (torch.zeros(1, config.d_model, dtype=dtype, device=device) for _ in range(2))
        self._logits = torch.zeros(1, config.vocab_size, device=device)
        self._graphs = GraphDispatcher(capturer, compiler, dtype)
        self._slab: tuple[object, ...] = ()  # where the cache lies
        self._end = -1  # the length of the text after the last step

    @property
    def fallback_reason(self) -> str | None:
        return self._graphs.fallback_reason

    @property
    def name(self) -> str:
        if self.fallback_reason is not None:
            return self._eager.name
        return "compiled CUDA graph" if self._graphs.is_compiled else "CUDA graph"

    def warm_up(self, cache: KVCache) -> None:
        """Do everything once with an empty cache, so that `fallback_reason` is known before anybody waits."""
        hidden = torch.zeros_like(self._hidden)
        try:
            self.forward([0], cache, hidden)
            self.logits(hidden)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise  # where memory is short, that is said when there is something to read
        cache.rewind(0)

    def prefill(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        if len(ids) == 1:
            self.forward(ids, cache, hidden)
        else:
            self._eager.prefill(ids, cache, hidden)

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        """Read a token after those cached, and add it to the cache.

        Args:
            ids: one, below the vocabulary's size.
            hidden: (1, d_model): where the hidden state after the last norm goes.

        Raises:
            ValueError: it does not fit, is no token of the model or not one, or what is cached has another rope than a
                text of this length.
        """
        vocab_size = self.transformer.config.vocab_size
        if len(ids) != 1 or not 0 <= ids[0] < vocab_size:
            raise ValueError(f"a step takes one token below {vocab_size}, not {list(ids)}")
        start = cache.length
        cache.begin_pass(1)
        self._token.fill_(ids[0])

        def eager() -> Tensor:
            output = self.transformer(self._token, cache)
            cache.rewind(start)
            return output[0]  # type: ignore[no-any-return]

        hidden.copy_(self._graphs.run(self._pass(cache), eager))
        cache.advance(1)
        self._end = start + 1

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> NDArray[np.float32]:
        """(1, vocab) for a hidden state (1, d_model)."""
        self._to_unembed.copy_(hidden)

        def arguments(alike: Like = as_it_is) -> tuple[Any, ...]:
            return self.transformer, alike(self._to_unembed)

        task = CapturablePass("unembed", unembed_one, arguments, self._logits)
        output = self._graphs.run(task, lambda: self.transformer.unembed(self._to_unembed))
        return self._capturer.fetch(output).copy()

    def decode(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, at: int = 0) -> NDArray[np.float32]:
        row = hidden[at : at + 1]
        self.forward(ids, cache, row)
        return self.logits(row)

    def _pass(self, cache: KVCache) -> CapturablePass:
        """What is to be done for the token after those cached, with everything where it is looked for."""
        start = cache.length
        bucket, long = bucket_of(start + 1, cache.limit), cache.long
        cache.reserve(bucket)
        slab = (cache.keys.data_ptr(), cache.values.data_ptr(), cache.capacity)
        if slab != self._slab:
            self._graphs.clear()
        if slab != self._slab or start != self._end:
            for tensor in (cache.keys, cache.values):  # what is looked at and left out must be a number all the same
                tensor[:, :, :, start:] = 0
        self._slab = slab
        self._position.fill_(start)

        def arguments(alike: Like = as_it_is) -> tuple[Any, ...]:
            slots = Slots.of(alike(cache.keys), alike(cache.values), bucket, alike(self._position))
            return self.transformer, alike(self._token), slots, long

        return CapturablePass((bucket, cache.capacity, long), forward_one, arguments, self._hidden)
