"""Stored tensors become a transformer: located, checked, then read one at a time. Names no family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from core.backends.device import is_out_of_memory
from core.config import ModelConfig
from core.errors import BadCheckpoint, OutOfMemory, UnsupportedModel
from core.native.arena import Arena
from core.quantization.formats import Kind
from core.quantization.layers import install
from core.quantization.packed import ROWS, Packed
from core.quantization.packing import write_rows
from core.transformer import Transformer
from weights.fit.quantization import QuantizationPolicy
from weights.layout import Index, Layout, Source
from weights.model_files import StoredTensor, check_format
from weights.untrusted.checked_json import show

_CHUNK = 1_000_000  # values of a stored tensor in memory beside what is done
_MODULE = 1_000  # values that take as much memory as a module without its own
Progress = Callable[[float], None]  # how much of the work is done, 0 to 1


@dataclass(frozen=True, kw_only=True)
class PlacedTensors:
    """Where each parameter of a transformer lies in the files; all are there, in the right shape, and none is read."""

    transformer: Transformer  # its matrices have no memory yet
    sources: Mapping[str, Source]  # by the names of its parameters
    stored: Mapping[str, StoredTensor]


def place_tensors(tensors: Mapping[str, StoredTensor], layout: Layout, config: ModelConfig) -> PlacedTensors:
    """Find a tensor for every parameter of the transformer that a config describes, and see that none is left over.

    Raises:
        BadCheckpoint: a tensor is missing, or has another shape than the config implies.
        UnsupportedModel: tensors are left over, so the model is not what its config says; or a format is not known.
    """
    layout = layout.as_stored(tensors)
    stored = _without_ignored(tensors, layout)
    config = _tied_as_stored(stored, layout, config)
    _check_size(stored, config, layout.described_by)
    with _WithoutWeights():
        transformer = Transformer(config)
    sources = _locate(transformer, stored, layout)
    _refuse_left_over(stored, sources)
    return PlacedTensors(transformer=transformer, sources=sources, stored=stored)


def read_transformer(
    placed: PlacedTensors,
    *,
    context_length: int,
    device: torch.device,
    dtype: torch.dtype,
    policy: QuantizationPolicy,
    on_progress: Progress,
) -> Transformer:
    """The placed transformer with its weights. Can be had once.

    No weight is made up first and replaced later, and at most a few megabytes are in memory twice (of a matrix
    that is stored transposed and held quantized, all of it).

    Args:
        context_length: the tokens it shall read at most; a learned table of positions stays as long as it is stored.
        policy: which matrices are quantized as they are read.

    Raises:
        BadCheckpoint: a tensor cannot be read.
        OutOfMemory: it does not fit.
    """
    transformer = placed.transformer
    transformer.config = replace(transformer.config, context_length=context_length)
    try:
        weights, packed = _read_all(placed, device, dtype, policy, on_progress)
        if transformer.config.tied_embeddings:
            ends = weights if "embedding.weight" in weights else packed
            ends["head.weight"] = ends["embedding.weight"]
        install(transformer, packed, dtype)
        transformer.load_state_dict(weights, assign=True)
        return transformer.to(device).requires_grad_(False).eval()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        n_parameters = sum(parameter.numel() for parameter in transformer.parameters())
        raise OutOfMemory(
            f"{device} does not have the memory free for a model of {n_parameters / 1e6:,.0f} million parameters.",
            "Choose a smaller model, another --device, --dtype bfloat16 or --quantize int4.",
        ) from error


class _WithoutWeights(TorchFunctionMode):
    """A module made here computes its tables for real, but its matrices have no memory and no numbers are drawn.

    Not `torch.device("meta")`: arithmetic there, even for a small table, takes seconds to load torch's compiler.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if getattr(func, "__module__", "") == init.__name__:
            return kwargs["tensor"]
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _without_ignored(tensors: Mapping[str, StoredTensor], layout: Layout) -> dict[str, StoredTensor]:
    """What was learned, under the names with the family's prefix."""
    learned = {name: stored for name, stored in tensors.items() if not layout.is_ignored(name)}
    if any(name.startswith(layout.prefix) for name in learned):
        return learned
    return {name if name == layout.head else layout.prefix + name: stored for name, stored in learned.items()}


def _tied_as_stored(stored: dict[str, StoredTensor], layout: Layout, config: ModelConfig) -> ModelConfig:
    """Where one matrix is said to embed and unembed, look at what is stored: one of the two, or two that differ.

    What transformers 5 does: a single one serves as both; two that differ are both used.
    """
    if not config.tied_embeddings or layout.head not in stored:
        return config
    embedding = layout.names.get("embedding", "embedding") + ".weight"
    head = stored.pop(layout.head)
    if embedding not in stored:
        stored[embedding] = head
        return config
    if head.shape == stored[embedding].shape and torch.equal(head.read(), stored[embedding].read()):
        return config
    stored[layout.head] = head
    return replace(config, tied_embeddings=False)


def _check_size(stored: Mapping[str, StoredTensor], config: ModelConfig, described_by: str) -> None:
    """Refuse a config whose matrices are of quite another size, before any of them is made."""
    layer = config.d_model * (config.n_heads * config.d_head + config.d_ff)  # two of its matrices
    expert = max(config.d_model * config.d_expert, _MODULE)
    table = 0 if config.positions == "rope" else config.context_length
    n_described = config.d_model * (config.vocab_size + table) + config.n_layers * layer
    n_described += len(config.expert_layers) * config.n_experts * expert
    n_stored = sum(tensor.n_values for tensor in stored.values())
    if n_described > 100 * n_stored:
        raise BadCheckpoint(
            f"{described_by} describes a model of {n_described:.1e} parameters or more, and the files hold "
            f"{n_stored:.1e}.",
            "The config and the weights are of different models.",
        )


def _locate(transformer: Transformer, stored: Mapping[str, StoredTensor], layout: Layout) -> dict[str, Source]:
    """Where each of our tensors lies; every one must be there, in the right shape, and be made of floats."""
    parameters = dict(transformer.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    sources = {name: layout.locate(name, shapes, transformer.config) for name in shapes}
    pieces = {piece.name: piece for source in sources.values() for piece in source.pieces}
    missing = sorted(set(pieces) - set(stored))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadCheckpoint(f"The tensor {missing[0]}{more} is missing.", "Copy or download the checkpoint again.")
    for piece in pieces.values():
        tensor = stored[piece.name]
        if tensor.shape != piece.shape:
            raise BadCheckpoint(
                f"The tensor {piece.name} has the shape {tensor.shape}, but the config implies {piece.shape}.",
                "The config and the weights are of different models.",
            )
        check_format(tensor)
    return sources


def _refuse_left_over(stored: Mapping[str, StoredTensor], sources: Mapping[str, Source]) -> None:
    left_over = sorted(set(stored) - {piece.name for source in sources.values() for piece in source.pieces})
    if left_over:
        more = f" and {len(left_over) - 1} more" if len(left_over) > 1 else ""
        raise UnsupportedModel(
            f"The tensor {show(left_over[0])}{more} has no place in the model that the config describes.",
            "It would be ignored, and the answers would be wrong.",
        )


def _read_all(
    placed: PlacedTensors, device: torch.device, dtype: torch.dtype, policy: QuantizationPolicy, tell: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters by name, and quantized matrices by the name of the parameter each stands for."""
    stored, sources = placed.stored, placed.sources
    shapes = {name: parameter.shape for name, parameter in placed.transformer.named_parameters()}
    kinds: dict[str, Kind | None] = {
        name: policy(name, tuple(shapes[name]), stored[source.pieces[0].name].dtype) for name, source in sources.items()
    }
    arena = Arena(sum(_size(shapes[name], kind, sources[name], dtype) for name, kind in kinds.items()), device)
    total = sum(shapes[name].numel() for name in sources)
    done = 0
    weights: dict[str, nn.Parameter] = {}
    packed: dict[str, Packed] = {}
    for name, source in sources.items():
        kind = kinds[name]
        if kind is None:
            weights[name] = nn.Parameter(_read(source, shapes[name], stored, arena, dtype), requires_grad=False)
        else:
            packed[name] = _read_packed(source, shapes[name], stored, arena, kind)
        done += shapes[name].numel()
        tell(done / total)
    return weights, packed


def _size(shape: torch.Size, kind: Kind | None, source: Source, dtype: torch.dtype) -> int:
    """The bytes that one of our tensors takes of an arena."""
    if kind is not None:
        rows, columns = shape
        return Packed.size(rows, columns, kind)
    return Arena.size_of(shape.numel() * _format(source, dtype).itemsize)


def _format(source: Source, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if source.plus_one else dtype  # exact: these norms compute in float32 anyway


def _read(
    source: Source, shape: torch.Size, stored: Mapping[str, StoredTensor], arena: Arena, dtype: torch.dtype
) -> Tensor:
    """One of our tensors."""
    weight = arena.take(shape, _format(source, dtype))
    for piece in source.pieces:
        target = weight[piece.ours]
        _copy(stored[piece.name], piece.stored, target.T if source.transposed else target)
    return weight.add_(1) if source.plus_one else weight


def _read_packed(
    source: Source, shape: torch.Size, stored: Mapping[str, StoredTensor], arena: Arena, kind: Kind
) -> Packed:
    """One of our matrices, quantized from the numbers that are stored, whatever their format."""
    rows, columns = shape
    packed = Packed.empty(rows, columns, kind, arena)
    piece = source.pieces[0]
    if len(source.pieces) == 1 and not source.transposed:
        for first, values in _rows(stored[piece.name], piece.stored, rows, columns, whole=ROWS):
            write_rows(packed, first, values)
    else:
        whole = Arena(shape.numel() * torch.float32.itemsize, torch.device("cpu"))
        write_rows(packed, 0, _read(source, shape, stored, whole, torch.float32))
    return packed


def _copy(stored: StoredTensor, part: Index, target: Tensor) -> None:
    """Fill the target with a part of a stored tensor."""
    for first, rows in _rows(stored, part, len(target), target.numel() // max(1, len(target))):
        target[first : first + len(rows)].copy_(rows)


def _rows(stored: StoredTensor, part: Index, count: int, width: int, *, whole: int = 1) -> Iterator[tuple[int, Tensor]]:
    """A part of a stored tensor with `count` rows, a few at a time, in multiples of `whole`, and where they begin."""
    axis = next(n for n, index in enumerate(part) if isinstance(index, slice))  # of the stored tensor: that of our rows
    start: int = part[axis].start  # type: ignore[union-attr]
    step = max(1, _CHUNK // max(1, width) // whole) * whole
    for first in range(0, count, step):
        rows = slice(start + first, start + min(first + step, count))
        yield first, stored.read((*part[:axis], rows, *part[axis + 1 :]))
