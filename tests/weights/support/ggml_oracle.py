"""ggml's own number formats and llama.cpp's own templates, called in the library inside the wheel `xllamacpp`.

Only functions of plain numbers and pointers are called, so that no struct has to be known. Import it by
`pytest.importorskip`. Knows nothing of ours.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import xllamacpp
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

_library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
_TO_FLOAT = {Kind.F16: "ggml_fp16_to_fp32_row", Kind.BF16: "ggml_bf16_to_fp32_row"}


def dequantized(stored: NDArray[Any], kind: Kind, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A tensor in float32, by ggml's own hand."""
    if kind is Kind.F32:
        return np.asarray(stored, np.float32).reshape(shape)
    name = _TO_FLOAT.get(kind, f"dequantize_row_{kind.name.lower().replace('_k', '_K')}")
    into = np.empty(shape, np.float32)
    convert = _library[name]
    convert.restype, convert.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    data = np.ascontiguousarray(stored)
    convert(data.ctypes.data, into.ctypes.data, into.size)
    return into


def quantized(values: NDArray[np.float32], kind: Kind) -> NDArray[np.uint8]:
    """The bytes of a matrix, by ggml's own quantizer: (rows, bytes of a row)."""
    rows, width = values.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    into = np.empty((rows, width // block * size), np.uint8)
    convert = _library.ggml_quantize_chunk
    convert.restype = ctypes.c_size_t
    convert.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    data = np.ascontiguousarray(values, np.float32)
    assert convert(int(kind), data.ctypes.data, into.ctypes.data, 0, rows, width, None) == into.nbytes
    return into


def dequantized_file(path: Path, target: Path) -> Path:
    """The same model with every tensor in float32."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        writer.add_tensor(tensor.name, dequantized(tensor.data, tensor.tensor_type, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


class _Message(ctypes.Structure):
    _fields_ = (("role", ctypes.c_char_p), ("content", ctypes.c_char_p))


def rendered(template: str, messages: list[tuple[str, str]]) -> str:
    """By the code of llama.cpp that knows a template when it sees it, and reads no Jinja."""
    chat = (_Message * len(messages))(*(_Message(role.encode(), text.encode()) for role, text in messages))
    room = ctypes.create_string_buffer(4096 + 4 * sum(len(text) for _, text in messages))
    apply = _library.llama_chat_apply_template
    apply.restype = ctypes.c_int32
    apply.argtypes = [
        *(ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t),
        *(ctypes.c_bool, ctypes.c_char_p, ctypes.c_int32),
    ]
    size: int = apply(template.encode(), chat, len(messages), True, room, len(room))
    return room.raw[:size].decode()
