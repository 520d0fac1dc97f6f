"""Which of a model's matrices are held in 8 or 4 bits. Knows no file format beyond its names, and no torch.

The embedding and the unembedding are never held in less than 8 bits: they are the first and the last to be rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from core.native.bindings import library
from core.quantization.formats import BITS, GROUP, Kind

MODES = ("none", "int8", "int4", "auto")  # auto: the first of the others that fits; not to say one: as they are stored
_ENDS = ("embedding.weight", "head.weight")
_MATRICES = ("query", "key", "value", "output", "gate", "up", "down")

# Of our name, our shape and the format a matrix is stored in, the one it is held in; None: the model's number format.
QuantizationPolicy = Callable[[str, tuple[int, ...], str], Kind | None]


class StoredMatrix(Protocol):
    """A stored tensor, as far as its size goes."""

    @property
    def dtype(self) -> str: ...

    @property
    def n_values(self) -> int: ...


def policy_of(mode: str | None) -> QuantizationPolicy:
    """What a mode but "auto" means for each matrix; None: it stays as it is stored."""

    def choose(name: str, shape: tuple[int, ...], stored: str) -> Kind | None:
        if len(shape) != 2 or shape[1] % GROUP or not _is_matrix(name):
            return None
        kind = _as_stored(stored) if mode is None else mode
        if kind == "int4":
            return "int8" if name in _ENDS else "int4"
        return "int8" if kind == "int8" else None

    return choose


def keeps_stored_format(device: str, dtype: str) -> bool:
    """Whether quantized files stay so where nobody says otherwise: torch alone is faster with what is not quantized."""
    return device == "cpu" and dtype != "float16" and library() is not None


def average_bits(kind: str, n_parameters: int, n_ends: int) -> float:
    """Per weight, of a model with so many of its parameters in the embedding and the unembedding."""
    ends = BITS["int8"]
    return ends if kind == "int8" else (n_ends * ends + (n_parameters - n_ends) * BITS[kind]) / n_parameters


def bits_as_stored(tensors: Mapping[str, StoredMatrix], ends: Collection[str], bits: int) -> float:
    """Per weight, of a whole model whose quantized matrices are kept so and whose others take `bits`.

    Args:
        ends: the embedding and the unembedding, by the names they are stored under.
    """
    n_bits = n_values = 0.0
    for name, stored in tensors.items():
        kept = _as_stored(stored.dtype)
        if kept and name in ends:
            kept = "int8"
        n_bits += stored.n_values * (BITS[kept] if kept else bits)
        n_values += stored.n_values
    return n_bits / n_values if n_values else bits


def _is_matrix(name: str) -> bool:
    return name in _ENDS or (name.endswith(".weight") and name.split(".")[-2] in _MATRICES)


def _as_stored(dtype: str) -> Kind | None:
    """The nearest format that loses nothing, or next to nothing: Q4_0 is ours in 4 bits, Q8_0 ours in 8."""
    if dtype == "Q4_0":
        return "int4"
    return "int8" if dtype.startswith(("Q", "IQ", "TQ")) else None
