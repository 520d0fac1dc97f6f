"""llama.cpp as an oracle, through llama-cpp-python (the extra `llama`). Import it by `pytest.importorskip`."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch
from torch import Tensor

_defaults = llama_cpp.llama_model_default_params


def _portable() -> Any:
    """Without repacking weights for this very processor: that differs from machine to machine, and crashes on some."""
    options = _defaults()
    options.use_extra_bufts = False
    return options


class Oracle:
    """One file, opened by llama.cpp; on one thread, keys and values in float32."""

    def __init__(self, path: Path, *, vocabulary_only: bool = False) -> None:
        llama_cpp.llama_cpp.llama_model_default_params = llama_cpp.llama_model_default_params = _portable
        try:
            self.llama = llama_cpp.Llama(
                str(path),
                vocab_only=vocabulary_only,
                n_ctx=256,
                n_batch=256,
                n_ubatch=256,
                n_threads=1,
                logits_all=True,
                type_k=llama_cpp.GGML_TYPE_F32,
                type_v=llama_cpp.GGML_TYPE_F32,
                verbose=False,
            )
        finally:
            llama_cpp.llama_cpp.llama_model_default_params = llama_cpp.llama_model_default_params = _defaults

    def logits(self, ids: list[int]) -> Tensor:
        """(time, vocab)"""
        self.llama.reset()
        self.llama.eval(ids)
        return torch.tensor(np.array(self.llama.scores[: len(ids)]))

    def greedy(self, ids: list[int], n: int) -> list[int]:
        self.llama.reset()
        self.llama.eval(ids)
        found: list[int] = []
        for _ in range(n):
            found.append(int(np.argmax(self.llama.scores[self.llama.n_tokens - 1])))
            self.llama.eval(found[-1:])
        return found

    def encode(self, text: str, *, add_special: bool = False, literal: bool = False) -> list[int]:
        found: list[int] = self.llama.tokenize(text.encode(), add_bos=add_special, special=not literal)
        return found

    @property
    def end_ids(self) -> set[int]:
        vocabulary = llama_cpp.llama_model_get_vocab(self.llama.model)
        return {n for n in range(self.llama.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocabulary, n)}


def dequantized(path: Path, target: Path) -> Path:
    """The same model with every tensor in float32, by ggml's own hand."""
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = 0  # LLAMA_FTYPE_ALL_F32
    options.allow_requantize = True
    options.nthread = 1
    llama_cpp.llama_log_set(_silent, ctypes.c_void_p())
    assert llama_cpp.llama_model_quantize(str(path).encode(), str(target).encode(), options) == 0
    return target


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: object) -> None:
    pass
