"""A name, a directory or a file becomes a model that is ready to speak. Knows no screen.

One way, forward: the files are located, what is in them is fitted into memory, and then the weights are read, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from core.backends.device import choose
from core.config import ModelConfig
from core.errors import BadCheckpoint, BadSetting
from core.model import Model
from core.text.chat_template import ChatTemplate
from core.text.tokenizer import Tokenizer
from weights.assemble import PlacedTensors, place_tensors, read_transformer
from weights.fit.available import AvailableMemory, available_memory
from weights.fit.chosen_quantization import ChosenQuantization, choose_quantization
from weights.fit.quantization import bits_as_stored, policy_of
from weights.fit.requirement import DTYPE_BITS, MemoryRequirement, context_that_fits, requirement_of
from weights.huggingface.generation_config import sampling
from weights.layout import Layout
from weights.library.names import find, title
from weights.load_options import LoadOptions
from weights.model_files import ModelFiles
from weights.open import open_files
from weights.text_side import end_ids, read_template

Progress = Callable[[float, str], None]  # told the part of the work that is done, 0 to 1, and what is being done


@dataclass(frozen=True, kw_only=True)
class LocatedModel:
    """A model whose files were opened, whose config and tokenizer were read, and which has a device to go to."""

    name: str
    files: ModelFiles
    layout: Layout
    config: ModelConfig
    tokenizer: Tokenizer
    device: torch.device
    dtype: torch.dtype
    available: AvailableMemory
    requirement: MemoryRequirement  # with nothing quantized

    @property
    def bits_as_stored(self) -> float:
        """Per weight, if quantized matrices are kept so."""
        return bits_as_stored(self.files.tensors, self.layout.ends, DTYPE_BITS[self.available.dtype])

    def quantized(self, quantize: str | None, *, draft: MemoryRequirement | None = None) -> ChosenQuantization:
        """How its weights would be held. For the argument and the error see `choose_quantization`.

        Args:
            draft: what a model beside it needs.
        """
        requirement = replace(self.requirement, draft=draft)
        return choose_quantization(quantize, requirement, self.available, bits_as_stored=self.bits_as_stored)


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A located model of which all is known that can be known before its weights are read: nothing is missing, and
    there is memory for it. It can be read once."""

    located: LocatedModel
    mode: str | None  # of its quantization
    context_length: int
    placed: PlacedTensors
    template: ChatTemplate | None


def load(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    context: int | None = None,
    quantize: str | None = None,
    on_progress: Progress | None = None,
) -> Model:
    """Open a model without a draft, for scripts and tests. For the arguments see `LoadOptions` and `locate`.

    Raises:
        LogitscopeError: of the kind that says what is wrong: ModelNotFound, BadCheckpoint, UnsupportedModel,
            BadTemplate, BadDevice, BadSetting, OutOfMemory.
    """
    options = LoadOptions(device=device, dtype=dtype, context=context, quantize=quantize)
    on_progress = on_progress or tell_nobody
    located = locate(source, options, on_progress)
    return read(fit(located, located.quantized(quantize), context=context), on_progress)


def locate(source: str | Path, options: LoadOptions, on_progress: Progress) -> LocatedModel:
    """Open the files of a model and read what is not weights.

    Args:
        source: a name in the library, a directory or a GGUF file, see `weights.library.names.find`.

    Raises:
        ModelNotFound: there is no such model.
        BadCheckpoint, UnsupportedModel: its files are damaged, contradict each other, or are of a kind not known here.
        BadDevice, BadSetting: the options do not fit this machine, or this model.
    """
    device, dtype = choose(options.device, options.dtype)
    files = open_files(find(source))
    name = title(files.path)
    on_progress(0.0, name)
    layout, config = files.read_config()
    _check_context(options.context, config, name)
    tokenizer = files.read_tokenizer()
    _check_vocabulary(tokenizer, config, name)
    return LocatedModel(
        name=name,
        files=files,
        layout=layout,
        config=config,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        available=available_memory(device, dtype),
        requirement=requirement_of(config, layout.count_parameters(files.tensors, config)),
    )


def fit(located: LocatedModel, chosen: ChosenQuantization, *, context: int | None) -> FittedModel:
    """Check all that can be wrong with a model, and choose its context from what there is memory for.

    Args:
        context: the tokens it shall have; None for as many as fit, up to what it was made for.

    Raises:
        BadTemplate: its chat template is wrong.
        BadCheckpoint, UnsupportedModel: its tensors are not those that its config describes.
        OutOfMemory: it does not fit.
    """
    template = read_template(located.files)
    placed = place_tensors(located.files.tensors, located.layout, located.config)
    return FittedModel(
        located=located,
        mode=chosen.mode,
        context_length=context_that_fits(chosen.requirement, located.available, asked=context, name=located.name),
        placed=placed,
        template=template,
    )


def read(fitted: FittedModel, on_progress: Progress) -> Model:
    """Read the weights of a model.

    Raises:
        BadCheckpoint: one of them cannot be read, or is not a number.
        OutOfMemory: there was less memory than was thought.
    """
    located = fitted.located
    transformer = read_transformer(
        fitted.placed,
        context_length=fitted.context_length,
        device=located.device,
        dtype=located.dtype,
        policy=policy_of(fitted.mode),
        on_progress=lambda fraction: on_progress(fraction, located.name),
    )
    return Model(
        name=located.name,
        transformer=transformer,
        tokenizer=located.tokenizer,
        template=fitted.template,
        end_ids=end_ids(located.files, located.tokenizer, fitted.template),
        sampling=sampling(located.files.generation_config),
        device=located.device,
        dtype=located.dtype,
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
