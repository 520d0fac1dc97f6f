"""A name, a directory or a file becomes a model that is ready to speak. Knows no screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.config import ModelConfig
from core.device import choose
from core.errors import BadCheckpoint, BadSetting
from core.model import Model
from core.tokenizer import Tokenizer
from weights import memory, quantisation, shelf, vocabulary
from weights.family import Layout
from weights.generation import sampling
from weights.memory import Need
from weights.model_files import ModelFiles
from weights.opening import open_files
from weights.room import Room, room
from weights.tensors import read_transformer


def load(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    context: int | None = None,
    quantize: str | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> Model:
    """Open a model.

    Args:
        source: a name on the shelf, a directory or a GGUF file, see `shelf.find`.
        device: such as "cuda"; None for the best there is.
        dtype: such as "bfloat16"; None for what the device is good at.
        context: the most tokens it shall have in mind; None for what it was made for, or for
            as much of it as there is memory for.
        quantize: one of `quantisation.MODES`; None for as they are stored, where the CPU can work with that.
        on_progress: told the part of the work that is done, 0 to 1, and what is being done.

    Raises:
        LogitscopeError: of the kind that says what is wrong: ModelNotFound, BadCheckpoint, UnsupportedModel,
            BadTemplate, BadDevice, BadSetting, OutOfMemory.
    """
    tell = on_progress or _tell_nobody
    place, number_format = choose(device, dtype)
    files = open_files(shelf.find(source))
    name = shelf.title(files.place)
    tell(0.0, name)
    layout, config = files.read_config()
    _check_context(context, config, name)
    tokenizer = files.read_tokenizer()
    _check_vocabulary(tokenizer, config, name)
    template = vocabulary.read_template(files)
    there = room(place, number_format)
    need = memory.need_of(config, layout.count_parameters(files.tensors, config))
    mode, need = _how_held(quantize, files, layout, need, there)
    fitting = config.context_length

    def estimate() -> None:
        nonlocal fitting
        fitting = memory.context_that_fits(need, there, asked=context, name=name)

    transformer = read_transformer(
        files.tensors,
        layout,
        config,
        device=place,
        dtype=number_format,
        before_reading=estimate,
        held=quantisation.held(mode),
        on_progress=lambda fraction: tell(fraction, name),
    )
    transformer.config = replace(transformer.config, context_length=fitting)
    return Model(
        name=name,
        transformer=transformer,
        tokenizer=tokenizer,
        template=template,
        end_ids=vocabulary.end_ids(files, tokenizer, template),
        sampling=sampling(files.generation_config),
        device=place,
        dtype=number_format,
    )


def _how_held(
    quantize: str | None, files: ModelFiles, layout: Layout, need: Need, there: Room
) -> tuple[str | None, Need]:
    """The mode of `quantisation.held`, and what the model will need with it."""
    if quantize not in (None, *quantisation.MODES):
        raise BadSetting(f"There is no quantisation {quantize!r}.", f"The choices are {', '.join(quantisation.MODES)}.")
    if quantize is None:
        if not quantisation.is_kept(there.device, there.dtype):
            return "none", need
        bits = quantisation.bits_as_stored(files.tensors, layout.ends, memory.BITS[there.dtype])
        return None, replace(need, bits=bits)
    if quantize == "auto":
        quantize = memory.first_that_fits(need, there)
    return quantize, need if quantize == "none" else need.quantised(quantize)


def _tell_nobody(fraction: float, what: str) -> None:
    pass


def _check_context(context: int | None, config: ModelConfig, name: str) -> None:
    if context is not None and not 1 <= context <= config.context_length:
        raise BadSetting(
            f"A context of {context} tokens is not possible: {name} was made for 1 to {config.context_length}.",
            "Leave --context out to use all of it.",
        )


def _check_vocabulary(tokenizer: Tokenizer, config: ModelConfig, name: str) -> None:
    """Tokens added to a vocabulary may lie beyond the embedding, unused; tokens of ordinary text may not."""
    if tokenizer.ordinary_size > config.vocab_size:
        raise BadCheckpoint(
            f"The tokenizer of {name} has {tokenizer.ordinary_size} tokens, the embedding {config.vocab_size} rows.",
            "Its tokenizer and its weights are of different models.",
        )
