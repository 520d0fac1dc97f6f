"""Whether a GGUF file that is still on its way can be opened, as far as its header tells. Knows no network."""

from __future__ import annotations

from pathlib import Path

from core.errors import UnsupportedModel
from weights.gguf.config import describe
from weights.gguf.header import MAGIC, Header, HeaderStillComing, read_header
from weights.gguf.tensor import READABLE
from weights.gguf.tokenizer import Vocabulary
from weights.untrusted.checked_json import CheckedJson, show


def check_beginning(path: Path, name: str, size: int) -> bool:
    """Refuse what would be refused when it is opened. Returns whether enough of it was here to tell.

    Args:
        name: of the file when it is whole, for messages.
        size: of the whole file in bytes.

    Raises:
        UnsupportedModel, BadCheckpoint: as opening it does.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return True  # not a header to judge: whoever opens it will tell
    try:
        header = read_header(path, size=size)
    except HeaderStillComing:
        return False
    metadata = CheckedJson(header.metadata, where=name)
    metadata.only("general.type", (None, "model"))
    if metadata.count("split.count", 1, least=0) <= 1:
        _check_tensors(header)
    Vocabulary(metadata).tokenizer()
    return True


def _check_tensors(header: Header) -> None:
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    description = describe(header.metadata, shapes, lambda name: (1.0,) * shapes[name][-1])  # the values come later
    for tensor in header.tensors:
        if tensor.kind not in READABLE and not description.layout.is_ignored(tensor.name):
            raise UnsupportedModel(
                f"The tensor {show(tensor.name)} is stored as {tensor.kind.name}, which cannot be read here.",
                "Choose a file in another format, such as Q4_K_M or Q8_0.",
            )
