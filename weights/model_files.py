"""What every kind of model on disk offers its reader, a directory and a single file alike. Knows no format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.config import ModelConfig
from core.errors import UnsupportedModel
from core.text.tokenizer import Tokenizer
from weights.layout import Index, Layout
from weights.untrusted.checked_json import CheckedJson, show

if TYPE_CHECKING:
    from torch import Tensor


class StoredTensor(Protocol):
    """A tensor in a file, not read yet."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> str:
        """In the words of its format."""
        ...

    @property
    def n_values(self) -> int: ...

    @property
    def is_float(self) -> bool:
        """Whether it can be read as floating-point numbers."""
        ...

    def read(self, part: Index = ...) -> Tensor:
        """A part of it, by its leading axes.

        Raises:
            BadCheckpoint: it cannot be read.
        """
        ...


class ModelFiles(Protocol):
    """A model on disk. Opening it reads next to nothing; everything else waits until asked for.

    What is asked for may be damaged, contradictory or not understood: a LogitscopeError says which.
    """

    @property
    def path(self) -> Path:
        """The directory, or the file."""
        ...

    @property
    def kind(self) -> str | None:
        """What the files call their family, known here or not."""
        ...

    @property
    def n_bytes(self) -> int:
        """Of all weight files together."""
        ...

    @property
    def quantization(self) -> str | None:
        """The number format of the whole, such as Q4_K_M, where the files have a name for it."""
        ...

    def read_config(self) -> tuple[Layout, ModelConfig]:
        """How its tensors are called, and the transformer they make."""
        ...

    @property
    def stated_context(self) -> int | None:
        """The context that a file tells of, if its family is one that says so in the usual way."""
        ...

    @property
    def stored(self) -> Mapping[str, StoredTensor]:
        """Every tensor as it lies in the files, whatever the model is."""
        ...

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """Every tensor as the family reads it."""
        ...

    def check_tokenizer(self) -> None:
        """Complain now if it is plain to see that there is no tokenizer, or none that is known here."""
        ...

    def read_tokenizer(self) -> Tokenizer: ...

    @property
    def template(self) -> str | None:
        """The chat template's source; None for a model that only continues text."""
        ...

    @property
    def specials(self) -> Mapping[str, str]:
        """The special tokens that a template may name: bos_token, eos_token ..."""
        ...

    @property
    def end_ids(self) -> frozenset[int]:
        """The ids that the files say end a text."""
        ...

    @property
    def end_tokens(self) -> frozenset[str]:
        """The texts of the tokens that the files say end a text, a turn or a message."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files say and cannot mean, and what is done about it, each in a sentence."""
        ...

    @property
    def generation_config(self) -> CheckedJson:
        """How its makers sample from it, in the words of generation_config.json."""
        ...


def check_format(stored: StoredTensor) -> None:
    """
    Raises:
        UnsupportedModel: its numbers are in a format that is not known here.
    """
    if not stored.is_float:
        raise UnsupportedModel(
            f"The tensor {show(stored.name)} is stored as {show(stored.dtype)}, which cannot be read here.",
            "Choose a checkpoint that is not quantised, or a GGUF file in another format, such as Q4_K_M or Q8_0.",
        )
