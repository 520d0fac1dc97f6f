"""The C library: found, loaded and checked, its structures as ctypes sees them. See api.h for what they mean."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

INTERFACE = 3  # see api.h
MAX_STEP_TOKENS = 8  # in one step
MAX_PREFILL_TOKENS = 512  # read at once at most
PANEL = 16  # tokens
F32, BF16, INT8, INT4 = range(4)
NO_NORM, RMS_NORM, LAYER_NORM = range(3)
NO_ACTIVATION, SILU, GELU, GELU_TANH, RELU = range(5)
EMBED, LINEAR, NORM, HEADS, ATTEND, RECALL, ROUTE, EXPERTS_IN, EXPERTS_OUT = range(9)


class Matrix(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("format", "rows", "columns")),
        *((name, c_void_p) for name in ("weights", "scales", "bias")),
    ]


class Norm(Structure):
    _fields_ = [("kind", c_int32), ("eps", c_float), ("weight", c_void_p), ("bias", c_void_p)]


class Rows(Structure):
    _fields_ = [("at", c_void_p), ("stride", c_int32), ("pairs", c_int32)]


class Heads(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("layer", "n_heads", "n_kv_heads", "d_head", "turns", "rotary_width")),
        *((name, c_int32) for name in ("window", "norm_per_head")),
        *((name, c_float) for name in ("scale", "softcap")),
        *((name, Norm) for name in ("query_norm", "key_norm")),
    ]


class Experts(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("n_experts", "n_used", "renormalised")),
        ("matrices", c_void_p),
        ("choice", Rows),
    ]


class Operation(Structure):
    _fields_ = [
        ("kind", c_int32),
        *((name, Rows) for name in ("input", "output")),
        ("norm", Norm),
        *((name, c_int32) for name in ("width", "n_matrices")),
        ("matrices", Matrix * 3),
        *((name, c_int32) for name in ("activation", "gated", "add", "keep")),
        *((name, c_float) for name in ("scale", "softcap")),
        ("heads", Heads),
        ("experts", Experts),
    ]


class Run(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("n_tokens", "start", "format")),
        *((name, c_void_p) for name in ("tokens", "keys", "values")),
        ("capacity", c_int64),
        *((name, c_void_p * 2) for name in ("cos", "sin")),
        *((name, c_void_p) for name in ("hidden", "logits")),
    ]
    kept: Any  # what `tokens`, `cos` and `sin` point at, for as long as this lives


def library() -> ctypes.CDLL | None:
    """The library, if it is there."""
    return _opened()[0]


def why_absent() -> str:
    """Why there is no library; empty if there is one."""
    return _opened()[1]


@functools.cache
def _opened() -> tuple[ctypes.CDLL | None, str]:
    why = "it was not built when the program was installed, for want of a C compiler that knows how"
    for path in filter(Path.exists, _built(Path(__file__).parent)):
        try:
            found = ctypes.CDLL(str(path))
            if found.logitscope_interface() != INTERFACE:
                raise AttributeError
            _declare(found)
        except OSError as error:
            why = f"it cannot be loaded ({error})"
        except AttributeError:
            why = "it was built from other sources; install the program again"
        else:
            found.logitscope_use(None)
            return found, ""
    return None, why


def _built(folder: Path) -> Iterable[Path]:
    return (folder / f"_native{suffix}" for suffix in EXTENSION_SUFFIXES)


def _declare(found: ctypes.CDLL) -> None:
    """Say what the functions take and give. Pointers to structures are passed with `byref`."""
    found.logitscope_pool.argtypes, found.logitscope_pool.restype = [c_int32, c_int32, c_int32], c_void_p
    found.logitscope_free.argtypes, found.logitscope_free.restype = [c_void_p], None
    found.logitscope_run.argtypes = [c_void_p, POINTER(Operation), c_int32, POINTER(Run)]
    found.logitscope_run.restype = None
    found.logitscope_unpack.argtypes = [c_void_p, POINTER(Matrix), *([c_int32] * 3), c_void_p]
    found.logitscope_unpack.restype = None
    found.logitscope_pack.argtypes = [c_void_p, POINTER(Matrix), c_int32, c_int32, c_void_p]
    found.logitscope_pack.restype = None
    found.logitscope_can_prefill.argtypes, found.logitscope_can_prefill.restype = [], c_int32
    found.logitscope_prefill.argtypes = [c_void_p, POINTER(Operation), c_int32, POINTER(Run)]
    found.logitscope_prefill.restype = c_int32
    found.logitscope_add_up.argtypes, found.logitscope_add_up.restype = [c_void_p, c_void_p, c_int64], None
    found.logitscope_target.argtypes, found.logitscope_target.restype = [], c_char_p
    found.logitscope_use.argtypes, found.logitscope_use.restype = [c_char_p], c_int32
