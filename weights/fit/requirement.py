"""How much memory a model will need, and what to do where there is not that much. Must not know files or torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from core.config import ModelConfig
from core.errors import OutOfMemory
from weights.fit import quantization as quantisation
from weights.fit.available import AvailableMemory

BITS = {"float32": 32, "bfloat16": 16, "float16": 16}  # of a number, in the formats weights and caches are held in
SMALLEST_USEFUL = 2_048  # tokens of context: with fewer, a model that was made for more is not worth opening
_STEP = 1_024  # contexts that are worked out here are multiples of this
_RESERVE = 0.9  # of what is left beside the weights, a context that nobody chose may take this part


@dataclass(frozen=True, kw_only=True)
class MemoryRequirement:
    """What memory depends on."""

    n_parameters: int
    cache_values: int  # numbers the KV cache holds per token
    context: int  # tokens, the most the model was made for
    bits: float | None = None  # of a weight; None: those of the number format that the arithmetic is done in
    n_ends: int = field(default=0, compare=False)  # parameters of the embedding and the unembedding
    draft: MemoryRequirement | None = None  # of a model beside it that reads the same text

    def weights(self, dtype: str) -> int:
        """Bytes of the weights, the draft's among them."""
        own = int(self.n_parameters * (self.bits or BITS[dtype]) / 8)
        return own if self.draft is None else own + self.draft.weights(dtype)

    def quantised(self, kind: str) -> MemoryRequirement:
        """Of the same model with its matrices in 8 or 4 bits."""
        return replace(self, bits=quantisation.average_bits(kind, self.n_parameters, self.n_ends))

    def total(self, dtype: str, context: int) -> int:
        """Bytes of the weights and a full KV cache."""
        return self.weights(dtype) + self._values(context) * BITS[dtype] // 8

    def largest_context(self, dtype: str, free: int, part: float = 1.0) -> int:
        """The tokens of context for which `part` of what is left beside the weights is enough; 0 if none."""
        left = part * (free - self.weights(dtype))
        if self._values(self.context) * BITS[dtype] // 8 <= left:
            return self.context
        of_both = self.cache_values + (0 if self.draft is None else self.draft.cache_values)
        tokens = int(max(0.0, left) // max(1, of_both * BITS[dtype] // 8))  # the draft's may be full sooner
        return tokens // _STEP * _STEP

    def _values(self, context: int) -> int:
        """Numbers in the caches of so many tokens."""
        own = self.cache_values * context
        return own if self.draft is None else own + self.draft._values(min(context, self.draft.context))

    @property
    def least_context(self) -> int:
        return min(self.context, SMALLEST_USEFUL)


def requirement_of(config: ModelConfig, n_parameters: int, bits: float | None = None) -> MemoryRequirement:
    """Of a transformer. The cache holds a key and a value per layer and key head, windowed or not (`KVCache`)."""
    cache_values = 2 * config.n_layers * config.n_kv_heads * config.d_head
    return MemoryRequirement(
        n_parameters=n_parameters,
        cache_values=cache_values,
        context=config.context_length,
        bits=bits,
        n_ends=min(n_parameters, config.vocab_size * config.d_model * (1 if config.tied_embeddings else 2)),
    )


def context_that_fits(need: MemoryRequirement, room: AvailableMemory, *, asked: int | None, name: str) -> int:
    """The context to open a model with: what was asked for, else as much of what it was made for as there is room for.

    Raises:
        OutOfMemory: it does not fit, with the context asked for or with any that is useful.
    """
    if room.free is None:
        return asked or need.context
    if asked is None:
        fitting = need.largest_context(room.dtype, room.free, _RESERVE)
        if fitting >= need.least_context:
            return fitting
    wanted = asked or need.least_context
    missing = need.total(room.dtype, wanted) - room.free
    if missing <= 0:
        return wanted
    raise OutOfMemory(
        f"{name} needs {gigabytes(need.total(room.dtype, wanted))} in {room.dtype} with a context of {wanted:,} "
        f"tokens, {gigabytes(missing)} more than {room.device} has free.",
        what_would_fit(need, room, wanted),
    )


def first_that_fits(need: MemoryRequirement, room: AvailableMemory) -> str:
    """The first of "none", "int8" and "int4" with which a useful context fits; the last one if none does."""
    ways = {"none": need} | {kind: need.quantised(kind) for kind in quantisation.BITS}
    for kind, smaller in ways.items():
        if room.free is None or smaller.total(room.dtype, need.least_context) <= room.free:
            return kind
    return "int4"


def what_would_fit(need: MemoryRequirement, room: AvailableMemory, wanted: int) -> str:
    """A hint for a model that does not fit: a smaller context, another number format, or how far it is from fitting."""
    free = room.free or 0
    ways = []
    fitting = need.largest_context(room.dtype, free)
    if fitting >= min(need.least_context, wanted):
        ways.append(f"with --context {min(fitting, wanted)}")
    if BITS[room.dtype] > 16:
        fitting = need.largest_context("bfloat16", free)
        if fitting >= wanted:
            ways.append("with --dtype bfloat16")
        elif fitting >= need.least_context:
            ways.append(f"with --dtype bfloat16 --context {fitting}")
    ways += [f"with --quantize {kind}" for kind in _quantised(need, room, wanted)]
    if need.draft is not None and replace(need, draft=None).total(room.dtype, wanted) <= free:
        ways.append("without --draft")
    if ways:
        return f"It would fit {' or '.join(ways)}."
    return "Not even in 4 bits a weight would it fit. Close other programs, or choose a smaller model."


def _quantised(need: MemoryRequirement, room: AvailableMemory, wanted: int) -> list[str]:
    """The first quantisation with which that context would fit, if there is one and it is not in use already."""
    for kind in quantisation.BITS:
        smaller = need.quantised(kind)
        fits = smaller.total(room.dtype, wanted) <= (room.free or 0)
        if fits and smaller.weights(room.dtype) < need.weights(room.dtype):
            return [kind]
    return []


def gigabytes(n_bytes: int) -> str:
    """For a sentence: GB, or MB for what is small."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 100_000_000 else f"{n_bytes / 1e6:,.1f} MB"
