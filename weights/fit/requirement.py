"""How much memory a model will need, and what to do where there is not that much. Must not know files or torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from core.config import ModelConfig
from core.errors import OutOfMemory
from core.quantization.formats import BITS
from weights.fit.available import AvailableMemory
from weights.fit.quantization import average_bits

DTYPE_BITS = {"float32": 32, "bfloat16": 16, "float16": 16}  # of a number, in weights and caches
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
        own = int(self.n_parameters * (self.bits or DTYPE_BITS[dtype]) / 8)
        return own if self.draft is None else own + self.draft.weights(dtype)

    def quantized(self, kind: str) -> MemoryRequirement:
        """Of the same model with its matrices in 8 or 4 bits."""
        return replace(self, bits=average_bits(kind, self.n_parameters, self.n_ends))

    def total(self, dtype: str, context: int) -> int:
        """Bytes of the weights and a full KV cache."""
        return self.weights(dtype) + self._values(context) * DTYPE_BITS[dtype] // 8

    def largest_context(self, dtype: str, free: int, part: float = 1.0) -> int:
        """The tokens of context for which `part` of what is left beside the weights is enough; 0 if none."""
        left = part * (free - self.weights(dtype))
        if self._values(self.context) * DTYPE_BITS[dtype] // 8 <= left:
            return self.context
        of_both = self.cache_values + (0 if self.draft is None else self.draft.cache_values)
        tokens = int(max(0.0, left) // max(1, of_both * DTYPE_BITS[dtype] // 8))  # the draft's may be full sooner
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


def context_that_fits(
    requirement: MemoryRequirement, available: AvailableMemory, *, asked: int | None, name: str
) -> int:
    """The context to open a model with: what was asked for, else as much of what it was made for as fits.

    Raises:
        OutOfMemory: it does not fit, with the context asked for or with any that is useful.
    """
    if available.free is None:
        return asked or requirement.context
    if asked is None:
        fitting = requirement.largest_context(available.dtype, available.free, _RESERVE)
        if fitting >= requirement.least_context:
            return fitting
    context = asked or requirement.least_context
    missing = requirement.total(available.dtype, context) - available.free
    if missing <= 0:
        return context
    raise OutOfMemory(
        f"{name} needs {gigabytes(requirement.total(available.dtype, context))} in {available.dtype} with a context of "
        f"{context:,} tokens, {gigabytes(missing)} more than {available.device} has free.",
        what_would_fit(requirement, available, context),
    )


def first_that_fits(requirement: MemoryRequirement, available: AvailableMemory) -> str:
    """The first of "none", "int8" and "int4" with which a useful context fits; the last one if none does."""
    ways = {"none": requirement} | {kind: requirement.quantized(kind) for kind in BITS}
    for kind, smaller in ways.items():
        if available.free is None or smaller.total(available.dtype, requirement.least_context) <= available.free:
            return kind
    return "int4"


def what_would_fit(requirement: MemoryRequirement, available: AvailableMemory, context: int) -> str:
    """A hint for a model that does not fit: a smaller context, another number format, or how far it is from fitting."""
    free = available.free or 0
    ways = []
    fitting = requirement.largest_context(available.dtype, free)
    if fitting >= min(requirement.least_context, context):
        ways.append(f"with --context {min(fitting, context)}")
    if DTYPE_BITS[available.dtype] > 16:
        fitting = requirement.largest_context("bfloat16", free)
        if fitting >= context:
            ways.append("with --dtype bfloat16")
        elif fitting >= requirement.least_context:
            ways.append(f"with --dtype bfloat16 --context {fitting}")
    ways += [f"with --quantize {kind}" for kind in _fitting_quantizations(requirement, available, context)]
    if requirement.draft is not None and replace(requirement, draft=None).total(available.dtype, context) <= free:
        ways.append("without --draft")
    if ways:
        return f"It would fit {' or '.join(ways)}."
    return "Not even in 4 bits a weight would it fit. Close other programs, or choose a smaller model."


def _fitting_quantizations(requirement: MemoryRequirement, available: AvailableMemory, context: int) -> list[str]:
    """The first quantization with which that context would fit, if there is one and it is not in use already."""
    for kind in BITS:
        smaller = requirement.quantized(kind)
        fits = smaller.total(available.dtype, context) <= (available.free or 0)
        if fits and smaller.weights(available.dtype) < requirement.weights(available.dtype):
            return [kind]
    return []


def gigabytes(n_bytes: int) -> str:
    """For a sentence: GB, or MB for what is small."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 100_000_000 else f"{n_bytes / 1e6:,.1f} MB"
