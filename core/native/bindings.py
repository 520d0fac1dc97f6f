"""The C library, found, loaded and checked, and its structures as ctypes sees them: see csrc/api.h for what they mean.

Must not know a model, nor import torch.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

INTERFACE = 4  # see csrc/api.h
MAX_STEP_TOKENS = 8  # of one call that decodes
MAX_PREFILL_TOKENS = 512  # of one call that prefills
PANEL = 16  # tokens
F32, BF16, INT8, INT4 = range(4)
NO_NORM, RMS_NORM, LAYER_NORM = range(3)
NO_ACTIVATION, SILU, GELU, GELU_TANH, RELU = range(5)
EMBED, LINEAR, NORM, ROPE_STORE_KV, ATTEND, LOAD_HIDDEN, ROUTE, EXPERTS_UP, EXPERTS_DOWN = range(9)


class Matrix(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("format", "rows", "columns")),
        *((name, c_void_p) for name in ("weights", "scales", "bias")),
    ]


class Norm(Structure):
    _fields_ = [("kind", c_int32), ("eps", c_float), ("weight", c_void_p), ("bias", c_void_p)]


class Buffer(Structure):
    _fields_ = [("data", c_void_p), ("stride", c_int32), ("vnni", c_int32)]


class Heads(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("layer", "n_heads", "n_kv_heads", "d_head", "rope_table", "rope_width")),
        *((name, c_int32) for name in ("window", "norm_per_head")),
        *((name, c_float) for name in ("scale", "softcap")),
        *((name, Norm) for name in ("query_norm", "key_norm")),
    ]


class Experts(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("n_experts", "n_used", "renormalize")),
        ("matrices", c_void_p),
        ("routing", Buffer),
    ]


class Operation(Structure):
    _fields_ = [
        ("kind", c_int32),
        *((name, Buffer) for name in ("input", "output")),
        ("norm", Norm),
        *((name, c_int32) for name in ("width", "n_matrices")),
        ("matrices", Matrix * 3),
        *((name, c_int32) for name in ("activation", "gated", "add", "store_hidden")),
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


def load_error() -> str:
    """Why there is no library; empty if there is one."""
    return _opened()[1]


@functools.cache
def _opened() -> tuple[ctypes.CDLL | None, str]:
    reason = "it was not built when the program was installed, for want of a C compiler that knows how"
    for path in filter(Path.exists, _built(Path(__file__).parent)):
        try:
            native = ctypes.CDLL(str(path))
            if native.logitscope_interface() != INTERFACE:
                raise AttributeError
            _declare(native)
        except OSError as error:
            reason = f"it cannot be loaded ({error})"
        except AttributeError:
            reason = "it was built from other sources; install the program again"
        else:
            native.logitscope_select_kernels(None)
            return native, ""
    return None, reason


def _built(folder: Path) -> Iterable[Path]:
    return (folder / f"_native{suffix}" for suffix in EXTENSION_SUFFIXES)


def _declare(native: ctypes.CDLL) -> None:
    """Say what the functions take and give. Pointers to structures are passed with `byref`."""
    workspace = c_void_p
    functions: dict[str, tuple[list[Any], Any]] = {
        "create_workspace": ([c_int32, c_int32, c_int32], workspace),
        "free_workspace": ([workspace], None),
        "decode": ([workspace, POINTER(Operation), c_int32, POINTER(Run)], None),
        "can_prefill": ([], c_int32),
        "prefill": ([workspace, POINTER(Operation), c_int32, POINTER(Run)], c_int32),
        "dequantize": ([workspace, POINTER(Matrix), c_int32, c_int32, c_int32, c_void_p], None),
        "quantize": ([workspace, POINTER(Matrix), c_int32, c_int32, c_void_p], None),
        "bandwidth_pass": ([workspace, c_void_p, c_int64], None),
        "kernels_name": ([], c_char_p),
        "select_kernels": ([c_char_p], c_int32),
    }
    for name, (argument_types, result_type) in functions.items():
        function = getattr(native, f"logitscope_{name}")
        function.argtypes, function.restype = argument_types, result_type
