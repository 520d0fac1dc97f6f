"""Stored tensors become a transformer: located, checked, then read one at a time. Names no family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from core.config import ModelConfig
from core.errors import BadCheckpoint, OutOfMemory, UnsupportedModel
from core.transformer import Transformer
from weights.family import Layout, Source
from weights.keys import show
from weights.model_files import StoredTensor

_CHUNK = 1_000_000  # values of a stored tensor in memory beside what is done
Progress = Callable[[float], None]  # how much of the work is done, 0 to 1


def read_transformer(
    tensors: Mapping[str, StoredTensor],
    family: Layout,
    config: ModelConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    on_progress: Progress,
) -> Transformer:
    """The transformer with its weights.

    No weight is made up first and replaced later, and at most a few megabytes are in memory twice.

    Raises:
        BadCheckpoint: a tensor is missing, has another shape than the config implies, or cannot be read.
        UnsupportedModel: tensors are left over, so the model is not what its config says.
        OutOfMemory: it does not fit.
    """
    stored = _without_ballast(tensors, family)
    config = _tied_as_stored(stored, family, config)
    _check_size(stored, config)
    with _WithoutWeights():
        transformer = Transformer(config)
    sources = _locate(transformer, stored, family)
    _refuse_left_over(stored, family, sources)
    try:
        weights = _read_all(sources, stored, device, dtype, on_progress)
        if transformer.config.tied_embeddings:
            weights["head.weight"] = weights["embedding.weight"]
        transformer.load_state_dict(weights, assign=True)
        return transformer.to(device).requires_grad_(False).eval()
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise  # an allocator that fails has no error of its own on the CPU, only this word
        size = sum(parameter.numel() for parameter in transformer.parameters()) * dtype.itemsize / 1e9
        raise OutOfMemory(
            f"The model needs {size:,.1f} GB, which {device} does not have free.",
            "Choose a smaller model, another --device, or --dtype bfloat16.",
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


def _without_ballast(tensors: Mapping[str, StoredTensor], family: Layout) -> dict[str, StoredTensor]:
    """What was learned, under the names with the family's prefix."""
    learned = {name: stored for name, stored in tensors.items() if not family.is_ballast(name)}
    if any(name.startswith(family.prefix) for name in learned):
        return learned
    return {name if name == family.head else family.prefix + name: stored for name, stored in learned.items()}


def _tied_as_stored(stored: dict[str, StoredTensor], family: Layout, config: ModelConfig) -> ModelConfig:
    """Where one matrix is said to embed and unembed, look at what is stored: one of the two, or two that differ.

    What transformers 5 does: a single one serves as both; two that differ are both used.
    """
    if not config.tied_embeddings or family.head not in stored:
        return config
    embedding = family.names.get("embedding", "embedding") + ".weight"
    head = stored.pop(family.head)
    if embedding not in stored:
        stored[embedding] = head
        return config
    if head.shape == stored[embedding].shape and torch.equal(head.read(), stored[embedding].read()):
        return config
    stored[family.head] = head
    return replace(config, tied_embeddings=False)


def _check_size(stored: Mapping[str, StoredTensor], config: ModelConfig) -> None:
    """Refuse a config whose matrices are of quite another size, before any of them is made."""
    layer = config.d_model * (config.n_heads * config.d_head + config.d_ff)  # two of its matrices
    wanted = config.d_model * config.vocab_size + config.n_layers * layer
    held = sum(one.n_values for one in stored.values())
    if wanted > 100 * held:
        raise BadCheckpoint(
            f"The config describes a model of {wanted:.1e} parameters or more, and the files hold {held:.1e}.",
            "The config and the weights are of different models.",
        )


def _locate(transformer: Transformer, stored: Mapping[str, StoredTensor], family: Layout) -> dict[str, Source]:
    """Where each of our tensors lies; every one must be there, in the right shape, and be made of floats."""
    parameters = dict(transformer.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    sources = {name: family.locate(name, shapes) for name in shapes}
    missing = sorted({source.name for source in sources.values()} - set(stored))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadCheckpoint(f"The tensor {missing[0]}{more} is missing.", "Copy or download the checkpoint again.")
    for source in sources.values():
        found = stored[source.name]
        if found.shape != source.shape:
            raise BadCheckpoint(
                f"The tensor {source.name} has the shape {found.shape}, but the config implies {source.shape}.",
                "The config and the weights are of different models.",
            )
        if not found.is_float:
            raise UnsupportedModel(
                f"The tensor {source.name} is stored as {show(found.dtype)}, which is not a floating-point format.",
                "Choose a checkpoint that is not quantised.",
            )
    return sources


def _refuse_left_over(stored: Mapping[str, StoredTensor], family: Layout, sources: Mapping[str, Source]) -> None:
    left_over = sorted(set(stored) - {source.name for source in sources.values()})
    if left_over:
        more = f" and {len(left_over) - 1} more" if len(left_over) > 1 else ""
        raise UnsupportedModel(
            f"The tensor {show(left_over[0])}{more} has no place in the model that the config describes.",
            "It would be ignored, and the answers would be wrong.",
        )


def _read_all(
    sources: Mapping[str, Source],
    stored: Mapping[str, StoredTensor],
    device: torch.device,
    dtype: torch.dtype,
    tell: Progress,
) -> dict[str, nn.Parameter]:
    total = sum(stored[source.name].n_values for source in sources.values())
    done = 0
    weights: dict[str, nn.Parameter] = {}
    for name, source in sources.items():
        weights[name] = nn.Parameter(_read(source, stored[source.name], device, dtype), requires_grad=False)
        done += stored[source.name].n_values
        tell(done / total)
    return weights


def _read(source: Source, stored: StoredTensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """One of our tensors, in memory of its own, copied a few rows of the stored one at a time."""
    n_rows = source.rows.stop - source.rows.start
    shape = (n_rows, *source.shape[:-1]) if source.transposed else (n_rows, *source.shape[1:])
    found = torch.empty(shape, device=device, dtype=torch.float32 if source.plus_one else dtype)
    target, origin = (found.T, 0) if source.transposed else (found, source.rows.start)
    step = max(1, _CHUNK * len(target) // max(1, found.numel()))
    for first in range(0, len(target), step):
        rows = slice(origin + first, origin + min(first + step, len(target)))
        target[first : first + step].copy_(stored.read(rows, source.rows if source.transposed else None))
    return found.add_(1) if source.plus_one else found  # exact: these norms compute in float32 anyway
