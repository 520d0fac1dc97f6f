"""What is measured: one model each, opened by us, by llama.cpp or by transformers, all asked for the same few things.

Must not know how often it is asked, nor what the others do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tests.bench import gguf_files

Logits = NDArray[np.float32]


class Subject(Protocol):
    """One text, the tokens of which are read, and forgotten again from the end."""

    vocab_size: int

    def read(self, ids: Sequence[int]) -> Logits:
        """Read tokens after those already there; the logits (vocab,) after the last."""

    def write(self, token_id: int) -> Logits:
        """The same for one token, in the way an answer is written."""

    def rewind(self, length: int) -> None:
        """Forget every token from position `length` on."""

    def take_up(self, ids: Sequence[int], known: int) -> Logits:
        """Read a whole text of which the first `known` tokens were read before."""

    def settle(self) -> bool:
        """Wait for what is done in the background; whether there was anything, and so may be more after a token."""


class Peer:
    """What those whose programs compare texts themselves have in common: here they are told."""

    def read(self, ids: Sequence[int]) -> Logits:
        raise NotImplementedError

    def write(self, token_id: int) -> Logits:
        return self.read([token_id])

    def rewind(self, length: int) -> None:
        raise NotImplementedError

    def take_up(self, ids: Sequence[int], known: int) -> Logits:
        self.rewind(known)
        return self.read(ids[known:])

    def settle(self) -> bool:
        return False


class Ours:
    """Logitscope: what the engine uses, under the engine."""

    def __init__(self, folder: Path, *, precision: str, context: int, device: str, compiled: bool) -> None:
        from core.backends.cuda_graph.compiler import Compiler
        from core.engine import decoder_for
        from weights.load import load

        options: dict[str, Any] = {} if precision == "bf16" else {"quantize": precision}
        model = load(folder, device=device, dtype="bfloat16", context=context, **options)
        self.vocab_size = model.transformer.config.vocab_size
        self._compiler = Compiler() if compiled else None
        self._decoder = decoder_for(model, compiler=self._compiler)
        if device != "cpu" and self._decoder.backend.fallback_reason is not None:
            raise RuntimeError(f"it decodes in plain torch: {self._decoder.backend.fallback_reason}")

    def read(self, ids: Sequence[int]) -> Logits:
        for _ in self._decoder.prefill(ids):
            pass
        return self._decoder.logits(len(self._decoder.ids) - 1)

    def write(self, token_id: int) -> Logits:
        return self._decoder.decode_one(token_id)

    def rewind(self, length: int) -> None:
        self._decoder.rewind(length)

    def take_up(self, ids: Sequence[int], known: int) -> Logits:
        return self.read(ids[self._decoder.keep_common(ids) :])  # it finds out itself

    def settle(self) -> bool:
        if self._compiler is None:
            return False
        waited = self._compiler.wait()
        if self._compiler.fallback_reason is not None:
            raise RuntimeError(f"it is not compiled: {self._compiler.fallback_reason}")
        return waited


class LlamaCpp(Peer):
    """llama.cpp, called without the Python layer above it; logits stay where it keeps them."""

    def __init__(
        self, path: Path, *, context: int, threads: int, device: str, repack: bool, flash: bool, batch: int
    ) -> None:
        """
        Args:
            repack: weights are laid out anew for this processor, which crashes for some formats on some.
            flash: attention in one fused step.
            batch: the most tokens it reads at once.
        """
        import llama_cpp

        gguf_files.silence()
        self._lib: Any = llama_cpp
        opening = llama_cpp.llama_model_default_params()
        opening.use_extra_bufts = repack
        opening.n_gpu_layers = 0 if device == "cpu" else 999
        if device != "cpu" and not llama_cpp.llama_supports_gpu_offload():
            raise RuntimeError("this llama.cpp was built without a GPU")
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), opening)
        running = llama_cpp.llama_context_default_params()
        running.n_ctx = context
        running.n_batch = running.n_ubatch = self._batch = batch
        running.n_threads = running.n_threads_batch = threads
        on, off = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED, llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        running.flash_attn_type = on if flash else off
        self._context = llama_cpp.llama_init_from_model(self._model, running)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def read(self, ids: Sequence[int]) -> Logits:
        for first in range(0, len(ids), self._batch):
            some = ids[first : first + self._batch]
            tokens = (self._lib.llama_token * len(some))(*some)  # the batch points to it, so it is kept until read
            if self._lib.llama_decode(self._context, self._lib.llama_batch_get_one(tokens, len(some))) != 0:
                raise RuntimeError(f"llama.cpp could not read {len(some)} tokens")
        return self._logits()

    def rewind(self, length: int) -> None:
        self._lib.llama_memory_seq_rm(self._memory, 0, length, -1)

    def _logits(self) -> Logits:
        found = self._lib.llama_get_logits_ith(self._context, -1)  # waits until they are computed
        return np.ctypeslib.as_array(ctypes.cast(found, ctypes.POINTER(ctypes.c_float)), (self.vocab_size,))


class Transformers(Peer):
    """transformers' model with its default cache, in a loop as `generate` has, without what generate adds to it."""

    def __init__(self, folder: Path, *, device: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, DynamicCache

        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._model = model.eval().to(device)
        self._cache: Any = DynamicCache(config=self._model.config)
        self._torch, self._device = torch, device
        self.vocab_size = self._model.config.vocab_size

    def read(self, ids: Sequence[int]) -> Logits:
        return self._call(self._model, ids)

    def _call(self, model: Any, ids: Sequence[int]) -> Logits:
        with self._torch.inference_mode():
            tokens = self._torch.tensor([ids], device=self._device)
            out = model(tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
            found: Logits = out.logits[0, -1].float().cpu().numpy()
        return found

    def rewind(self, length: int) -> None:
        surplus = self._cache.get_seq_length() - length
        if surplus:
            self._cache.crop(-surplus)


class StaticTransformers(Transformers):
    """transformers' model with its static cache, and tokens written by what its `generate` compiles for that cache."""

    def __init__(self, folder: Path, *, device: str, context: int) -> None:
        super().__init__(folder, device=device)
        from transformers import StaticCache

        self._cache = StaticCache(config=self._model.config, max_cache_len=context)

    def write(self, token_id: int) -> Logits:
        return self._call(self._model.get_compiled_call(None), [token_id])

    def rewind(self, length: int) -> None:
        for layer in self._cache.layers:
            if layer.is_initialized:
                layer.cumulative_length.fill_(length)
