"""A name, a directory or a file becomes a model that is ready to speak. Knows no screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from core.backends.device import choose
from core.config import ModelConfig
from core.errors import BadCheckpoint, BadSetting
from core.model import Model
from core.text.tokenizer import Tokenizer
from weights import text_side as vocabulary
from weights.assemble import read_transformer
from weights.fit import quantization as quantisation
from weights.fit import requirement as memory
from weights.fit.available import AvailableMemory, room
from weights.fit.requirement import MemoryRequirement
from weights.huggingface.generation_config import sampling
from weights.layout import Layout
from weights.library import listing as shelf
from weights.model_files import ModelFiles
from weights.open import open_files

Progress = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A model whose files were looked at, before any weight is read."""

    name: str
    files: ModelFiles
    layout: Layout
    config: ModelConfig
    tokenizer: Tokenizer
    device: torch.device
    dtype: torch.dtype
    room: AvailableMemory
    need: MemoryRequirement
    mode: str | None = "none"  # of `quantisation.held`

    def held(self, quantize: str | None, *, draft: MemoryRequirement | None = None) -> Plan:
        """The same model with its weights held as is said.

        Args:
            quantize: one of `quantisation.MODES`; None for as they are stored, where the CPU can work with that.
            draft: what a model beside it needs.

        Raises:
            BadSetting: there is no such quantisation.
        """
        if quantize not in (None, *quantisation.MODES):
            choices = ", ".join(quantisation.MODES)
            raise BadSetting(f"There is no quantisation {quantize!r}.", f"The choices are {choices}.")
        need = replace(self.need, draft=draft)
        if quantize is None and not quantisation.keeps_stored_format(self.room.device, self.room.dtype):
            quantize = "none"
        if quantize == "auto":
            quantize = memory.first_that_fits(need, self.room)
        if quantize is None:
            need = replace(need, bits=self.bits_as_stored)
        elif quantize != "none":
            need = need.quantised(quantize)
        return replace(self, mode=quantize, need=need)

    @property
    def bits_as_stored(self) -> float:
        """Per weight, if quantised matrices are kept so."""
        return quantisation.bits_as_stored(self.files.tensors, self.layout.ends, memory.BITS[self.room.dtype])


def load(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    context: int | None = None,
    quantize: str | None = None,
    on_progress: Progress | None = None,
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
    tell = on_progress or tell_nobody
    planned = plan(source, device=device, dtype=dtype, context=context, on_progress=tell)
    return read(planned.held(quantize), context=context, on_progress=tell)


def plan(
    source: str | Path, *, device: str | None, dtype: str | None, context: int | None, on_progress: Progress
) -> Plan:
    """Look at a model, to be held as its number format says. For the arguments and errors see `load`."""
    place, number_format = choose(device, dtype)
    files = open_files(shelf.find(source))
    name = shelf.title(files.place)
    on_progress(0.0, name)
    layout, config = files.read_config()
    _check_context(context, config, name)
    tokenizer = files.read_tokenizer()
    _check_vocabulary(tokenizer, config, name)
    return Plan(
        name=name,
        files=files,
        layout=layout,
        config=config,
        tokenizer=tokenizer,
        device=place,
        dtype=number_format,
        room=room(place, number_format),
        need=memory.requirement_of(config, layout.count_parameters(files.tensors, config)),
    )


def read(planned: Plan, *, context: int | None, on_progress: Progress) -> Model:
    """Read what was planned. For the arguments and errors see `load`."""
    files, name = planned.files, planned.name
    template = vocabulary.read_template(files)
    fitting = planned.config.context_length

    def estimate() -> None:
        nonlocal fitting
        fitting = memory.context_that_fits(planned.need, planned.room, asked=context, name=name)

    transformer = read_transformer(
        files.tensors,
        planned.layout,
        planned.config,
        device=planned.device,
        dtype=planned.dtype,
        before_reading=estimate,
        held=quantisation.held(planned.mode),
        on_progress=lambda fraction: on_progress(fraction, name),
    )
    transformer.config = replace(transformer.config, context_length=fitting)
    return Model(
        name=name,
        transformer=transformer,
        tokenizer=planned.tokenizer,
        template=template,
        end_ids=vocabulary.end_ids(files, planned.tokenizer, template),
        sampling=sampling(files.generation_config),
        device=planned.device,
        dtype=planned.dtype,
    )


def tell_nobody(fraction: float, what: str) -> None:
    """Progress that nobody wants to know."""


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
