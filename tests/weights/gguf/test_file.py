"""Whatever is wrong with a GGUF file is one sentence, soon, and no claim in it is believed."""

from __future__ import annotations

import contextlib
import random
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from core.errors import BadCheckpoint, LogitscopeError, OutOfMemory, UnsupportedModel
from tests.weights.support import tiny, tiny_gguf
from tests.weights.support.gguf_bytes import HOSTILE, whole
from weights.fit import quantization
from weights.fit.available import AvailableMemory
from weights.gguf.file import GgufFile
from weights.gguf.header import read_header
from weights.gguf.tensor import GgufTensor
from weights.library.entry import ModelEntry
from weights.library.listing import listing
from weights.library.names import find
from weights.load import load
from weights.open import open_files

Kind = gguf.GGMLQuantizationType


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path, _ = tiny_gguf.write("llama", tmp_path_factory.mktemp("gguf") / "model.gguf")
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, good: bytes) -> Path:
    (tmp_path / "model.gguf").write_bytes(good)
    return tmp_path / "model.gguf"


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """A claim that is believed runs into this, and not into the machine's memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(path: Path, kind: type[LogitscopeError], *said: str) -> None:
    with pytest.raises(kind) as caught:
        load(path, device="cpu")
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.hint


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_lies(case: str, tmp_path: Path) -> None:
    content, kind, said = HOSTILE[case]
    (tmp_path / "model.gguf").write_bytes(content)
    refused(tmp_path / "model.gguf", kind, said)


def test_cut_anywhere(path: Path, good: bytes) -> None:
    for size in [*range(60), *random.Random(0).sample(range(60, len(good)), 60), len(good) - 1]:
        path.write_bytes(good[:size])
        refused(path, BadCheckpoint, str(path))


def test_bytes_changed_anywhere_in_the_header(path: Path, good: bytes) -> None:
    """Either it opens all the same, such as with another name, or it is one sentence."""
    rng = random.Random(0)
    end = good.index(b"token_embd") + 2000
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(4, end)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        path.write_bytes(damaged)
        with contextlib.suppress(LogitscopeError):
            files = open_files(path)
            files.read_config()
            files.read_tokenizer()


def rewrite(path: Path, change: Callable[[GGUFWriter], object]) -> None:
    tiny_gguf.write("llama", path, change=change)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_count", 2**32 - 1),
        ("block_count", 2),
        ("block_count", 4),
        ("attention.head_count", 2**31),
        ("attention.head_count", 8),
        ("attention.head_count_kv", 3),
        ("attention.key_length", 2**31),
        ("attention.key_length", 7),
        ("embedding_length", 2**32 - 1),
        ("embedding_length", 64),
        ("feed_forward_length", 2**32 - 1),
        ("feed_forward_length", 47),
        ("rope.dimension_count", 2**31),
        ("context_length", 0),
    ],
)
def test_sizes_that_the_weights_do_not_have(key: str, value: int, path: Path) -> None:
    def change(writer: GGUFWriter) -> None:
        writer.kv_data[0].pop(f"llama.{key}", None)
        if key in ("attention.head_count", "embedding_length"):  # the size of a head follows from them
            writer.kv_data[0].pop("llama.attention.key_length")
            writer.kv_data[0].pop("llama.attention.value_length")
            writer.kv_data[0].pop("llama.rope.dimension_count")
        if key == "attention.key_length":
            writer.kv_data[0]["llama.attention.value_length"].value = value
        writer.add_uint32(f"llama.{key}", value)

    rewrite(path, change)
    refused(path, LogitscopeError)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_numbers_that_are_none(value: float, path: Path) -> None:
    def change(writer: GGUFWriter) -> None:
        writer.kv_data[0].pop("llama.rope.freq_base")
        writer.add_float32("llama.rope.freq_base", value)

    rewrite(path, change)
    refused(path, BadCheckpoint, "rope.freq_base")


@pytest.mark.parametrize("kind", sorted(tiny_gguf.SCALES), ids=lambda kind: kind.name)
def test_a_scale_that_is_no_number(
    kind: gguf.GGMLQuantizationType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def block(shape: tuple[int, ...], kind: Kind) -> tiny_gguf.Array:
        blocks = tiny_gguf.random_blocks(shape, kind)
        at = next(iter(tiny_gguf.SCALES[kind]))
        blocks[3, at : at + 2] = np.array([np.nan], "<f2").view(np.uint8)
        return blocks

    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_key_value_heads": 2, "num_hidden_layers": 1}
    monkeypatch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | sizes))
    path, _ = tiny_gguf.write("wide", tmp_path / "model.gguf", kind=kind, block=block)
    refused(path, BadCheckpoint, "values that are not numbers")


# --- several files, and where they lie --------------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    tiny_gguf.write("llama", tmp_path / "m.gguf", split=9)
    return sorted(tmp_path.glob("*.gguf"))


def test_a_missing_part(parts: list[Path]) -> None:
    parts[2].unlink()
    refused(parts[0], BadCheckpoint, "m-00003-of-00004.gguf is missing")


def test_a_part_under_another_name(parts: list[Path]) -> None:
    refused(parts[0].rename(parts[0].with_name("first.gguf")), BadCheckpoint, "first.gguf is one of 4 files")


def test_parts_in_the_wrong_order(parts: list[Path]) -> None:
    first, second = parts[1].read_bytes(), parts[2].read_bytes()
    parts[1].write_bytes(second)
    parts[2].write_bytes(first)
    refused(parts[0], BadCheckpoint, "says that it is part 2 of 4")


def test_the_header_is_what_gguf_itself_reads(path: Path) -> None:
    ours, theirs = read_header(path), GGUFReader(path)
    assert [one.name for one in ours.tensors] == [one.name for one in theirs.tensors]
    assert [one.offset for one in ours.tensors] == [one.data_offset for one in theirs.tensors]
    assert [one.n_bytes for one in ours.tensors] == [one.n_bytes for one in theirs.tensors]
    metadata = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata == metadata


def test_a_file_is_known_by_its_first_bytes(path: Path) -> None:
    """As under Ollama, whose files are called by a number."""
    assert isinstance(open_files(path.rename(path.with_name("sha256-abc"))), GgufFile)


def test_a_link_in_a_cache_stays_a_link(parts: list[Path], tmp_path: Path) -> None:
    """The parts of a split model are found beside the link, not beside what it points to."""
    (tmp_path / "cache").mkdir()
    for number, part in enumerate(parts):
        (tmp_path / "cache" / part.name).symlink_to(part.rename(tmp_path / f"blob{number}"))
    assert len(GgufFile(find(tmp_path / "cache" / parts[0].name)).files) == 4


# --- what the listing says -------------------------------------------------------------------------------------------


def listed(path: Path, available: AvailableMemory | None = None) -> ModelEntry:
    return next(one for one in listing([path.parent], available) if one.path == path)


def test_the_listing_says_what_the_model_is(path: Path) -> None:
    entry = listed(path)
    assert (entry.family, entry.quantization, entry.context, entry.problem) == ("llama", "F32", 128, None)
    assert entry.bytes == path.stat().st_size
    assert entry.parameters == load(path, device="cpu").n_parameters
    path.write_bytes(path.read_bytes()[:1000])
    assert re.search(r"model\.gguf is (damaged or )?not complete", listed(path).problem or "")
    refused(path, BadCheckpoint, "not complete", "Copy or download it again.")


def test_the_listing_tells_of_an_architecture_that_is_not_known(path: Path) -> None:
    good = read_header(path)
    parameters = load(path, device="cpu").n_parameters
    data = path.read_bytes()
    tensors = [(t.name, t.shape, int(t.kind), data[t.offset : t.offset + t.n_bytes]) for t in good.tensors]
    path.write_bytes(whole({"general.architecture": "mamba", "mamba.context_length": 777}, tensors))
    entry = listed(path, AvailableMemory(device="cpu", dtype="float32", free=1 << 40))
    assert (entry.family, entry.quantization, entry.context, entry.parameters) == ("mamba", "F32", 777, parameters)
    assert entry.problem == "GGUF files of architecture 'mamba' cannot be run here."
    path.write_bytes(
        whole({"general.architecture": "mamba", "mamba.context_length": "777", "general.file_type": 15}, tensors)
    )
    entry = listed(path)
    assert (entry.quantization, entry.context, entry.parameters) == ("Q4_K_M", None, parameters)


@pytest.mark.parametrize("kept", [True, False])
def test_memory_is_that_of_the_weights_as_they_are_held(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the listing says it needs is enough to open a quantized file, and a byte less is not."""
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_key_value_heads": 2, "max_position_embeddings": 128}
    monkeypatch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | sizes))
    monkeypatch.setattr(quantization, "library", lambda: object() if kept else None)
    path, model = tiny_gguf.write("wide", tmp_path / "model.gguf", kind=Kind.Q4_0)
    needed = listed(path, AvailableMemory(device="cpu", dtype="float32", free=1 << 40)).needs
    cache = 2 * 3 * 2 * 64 * 128  # keys and values of 3 layers, 2 heads, 64 channels, 128 tokens
    norms, ends = 7 * 256, 2 * 300 * 256  # in 32 bits; in 8.5; what is left is in 4.5
    bits = 32 * norms + 8.5 * ends + 4.5 * (model.num_parameters() - norms - ends)
    assert needed == (int(bits / 8) if kept else 4 * model.num_parameters()) + 4 * cache
    for free, fits in ((needed, True), (needed - 1, False)):
        room = AvailableMemory(device="cpu", dtype="float32", free=free)
        monkeypatch.setattr("weights.load.available_memory", lambda *_, there=room: there)
        if fits:
            assert load(path, device="cpu", dtype="float32", context=128).transformer.config.context_length == 128
        else:
            with pytest.raises(OutOfMemory, match="more than cpu has free"):
                load(path, device="cpu", dtype="float32", context=128)


@pytest.mark.parametrize(("key", "value"), [("pre", "superbpe"), ("normalizer.lowercase", True), ("model", "bert")])
def test_the_listing_says_which_tokenizer_is_not_known(key: str, value: str | bool, path: Path) -> None:
    def change(writer: GGUFWriter) -> None:
        writer.kv_data[0].pop(f"tokenizer.ggml.{key}", None)
        (writer.add_bool if isinstance(value, bool) else writer.add_string)(f"tokenizer.ggml.{key}", value)

    rewrite(path, change)
    assert f"tokenizer.ggml.{key}" in (listed(path).problem or "")


def test_the_listing_says_which_number_format_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def block(shape: tuple[int, ...], kind: Kind) -> tiny_gguf.Array:
        values, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        return np.zeros((shape[0], shape[1] // values * n_bytes), np.uint8)

    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_key_value_heads": 2, "num_hidden_layers": 1}
    monkeypatch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | sizes))
    path, _ = tiny_gguf.write("wide", tmp_path / "model.gguf", kind=Kind.IQ1_M, block=block)
    said = "is stored as 'IQ1_M', which cannot be read here"
    assert said in (listed(path).problem or "")
    refused(path, UnsupportedModel, said)


def test_the_settings_its_makers_sample_with(path: Path) -> None:
    """Single precision in the file: 0.7 is what was meant, not 0.699999988079071."""
    assert load(path, device="cpu").sampling == {}

    def change(writer: GGUFWriter) -> None:
        writer.add_sampling_temp(0.7)
        writer.add_sampling_top_k(20)
        writer.add_sampling_top_p(0.8)
        writer.add_sampling_min_p(0.05)

    rewrite(path, change)
    assert load(path, device="cpu").sampling == {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.05}
    rewrite(path, lambda writer: writer.add_sampling_temp(-1.0))
    refused(path, BadCheckpoint, "temperature")


# --- parts of a tensor ------------------------------------------------------------------------------------------------


def test_a_matrix_of_a_stack_is_read_alone(tmp_path: Path) -> None:
    """As gguf reads it: the rows of one of several matrices, and what is smaller than a row not at all."""
    values = np.random.default_rng(0).standard_normal((3, 5, 64)).astype(np.float32)
    path = tiny_gguf.write_vocabulary(
        tmp_path / "stack.gguf",
        lambda writer: writer.add_tensor("stack", gguf.quants.quantize(values, Kind.Q8_0), raw_dtype=Kind.Q8_0),
    )
    (info,) = (one for one in read_header(path).tensors if one.name == "stack")
    tensor = GgufTensor(file=path, name=info.name, shape=info.shape, kind=info.kind, offset=info.offset)
    (stored,) = (one for one in GGUFReader(path).tensors if one.name == "stack")
    want = gguf.quants.dequantize(stored.data, Kind.Q8_0)
    assert tensor.shape == want.shape == (3, 5, 64)
    assert np.array_equal(tensor.read(), want)
    assert np.array_equal(tensor.read((slice(1, 3),)), want[1:3])
    assert np.array_equal(tensor.read((1, slice(None))), want[1])
    assert np.array_equal(tensor.read((2, slice(1, 4))), want[2, 1:4])
    for part in ((1,), (slice(None), slice(0, 32)), (1, 2), (1, slice(None), slice(None))):
        with pytest.raises(ValueError, match="stored in rows"):
            tensor.read(part)
