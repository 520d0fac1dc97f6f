"""The decoding step in C against the transformer in torch: every arrangement of it, every set of instructions."""

from __future__ import annotations

import shutil
import subprocess
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from unittest.mock import patch

import numpy as np
import pytest
import torch

from core.backends.native import NativeBackend, fallback_reason
from core.errors import BadCheckpoint
from core.kv_cache import GROWTH
from core.native import bindings as native
from core.native import quantize as native_quantize
from core.native.bandwidth import read_bandwidth
from core.native.bindings import MAX_STEP_TOKENS
from core.quantization.formats import Kind
from core.quantization.layers import install
from core.quantization.packing import dequantize, quantize
from tests.core.support.native_models import (
    CPU,
    LONG,
    ODD,
    by_c,
    by_torch,
    cache_of,
    exactly,
    model,
    quantize_model,
    some_ids,
    without_gradients,
)
from tests.core.support.transformers import CONFIGS, SMALL
from tests.support.decoders import decoder_of

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

pytestmark = pytest.mark.skipif(native.library() is None, reason="the C library is not built")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    yield from without_gradients()


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_where_there_is_a_compiler_the_library_is_built() -> None:
    assert native.library() is not None


@pytest.mark.parametrize("name", [*CONFIGS, *ODD])
def test_every_arrangement_gives_the_logits_of_torch(name: str, target: str) -> None:
    config = (CONFIGS | ODD)[name]
    transformer = model(config)
    ids = some_ids(config)
    torch.testing.assert_close(by_c(transformer, ids), by_torch(transformer, ids), atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["plain", "textbook", "soft caps, sandwich", "norms of branches, across heads"])
def test_in_bfloat16_it_is_at_least_as_close_to_the_truth_as_torch(name: str, target: str) -> None:
    config = CONFIGS[name]
    transformer = model(config, torch.bfloat16)
    ids = some_ids(config)
    truth = by_torch(exactly(transformer), ids, dtype=torch.float64)
    ours = (by_c(transformer, ids, dtype=torch.bfloat16) - truth).abs().mean()
    theirs = (by_torch(transformer, ids, dtype=torch.bfloat16) - truth).abs().mean()
    assert 0 < ours < theirs


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8", "int4"])
def test_the_number_of_threads_changes_no_bit(kind: str, target: str) -> None:
    dtype = torch.float32 if kind == "float32" else torch.bfloat16
    transformer = model(SMALL, dtype)
    if kind in ("int8", "int4"):
        quantize_model(transformer, kind)
    ids = some_ids(SMALL)
    alone = by_c(transformer, ids, dtype=dtype, n_threads=1)
    for n_threads in (2, 3, 7):
        assert torch.equal(by_c(transformer, ids, dtype=dtype, n_threads=n_threads), alone)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantised_weights_give_what_torch_computes_with_the_same_numbers(kind: str, target: str) -> None:
    """In C the inputs of a matrix are rounded to 8 bits too: an error of 1/254 of the largest of 32, at random."""
    experts = {"expert_layers": frozenset({1}), "n_experts": 4, "n_experts_used": 2, "d_expert": 32}
    config = replace(SMALL, d_model=64, d_head=16, d_ff=96, **experts)
    transformer = model(config)
    quantize_model(transformer, kind)
    ids = some_ids(config)
    ours, theirs = by_c(transformer, ids), by_torch(transformer, ids)
    assert (ours - theirs).std() < 0.02 * theirs.std()
    assert (ours - theirs).abs().max() > 0  # they are not the same computation


@pytest.mark.parametrize("name", ["gate", "up", "0.gate", "2.up", "down"])
def test_matrices_of_experts_may_be_in_formats_of_their_own(name: str, target: str) -> None:
    """As in a GGUF file that keeps some of them in 16 bits."""
    experts = {"expert_layers": frozenset({0, 1, 2}), "n_experts": 4, "n_experts_used": 3, "d_expert": 32}
    transformer = model(replace(SMALL, **experts), torch.bfloat16)
    modules = {f"{one}.weight": module for one, module in transformer.named_modules() if ".experts." in one}
    packed = {one: quantize(m.weight, "int8") for one, m in modules.items() if one.endswith(f"{name}.weight")}
    install(transformer, packed, torch.bfloat16)
    ids = some_ids(transformer.config)
    ours, theirs = (by(transformer, ids, dtype=torch.bfloat16) for by in (by_c, by_torch))
    assert (ours - theirs).std() < 0.015 * theirs.std()


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_whole_numbers_are_multiplied_exactly(kind: str, target: str) -> None:
    """Weights and inputs that 8 and 4 bits hold without rounding, against a product in float64."""
    config = replace(SMALL, d_model=96, vocab_size=75)
    transformer = model(config)
    most = 127 if kind == "int8" else 7
    weights = torch.randint(-most, most + 1, (75, 96)).float()
    weights[:, ::32] = most if kind == "int8" else -8  # so that the scale of a group is 1
    head = quantize(weights, kind)
    install(transformer, {"head.weight": head, "embedding.weight": head}, torch.float32)
    hidden = torch.randint(-127, 128, (MAX_STEP_TOKENS, 96)).float()
    hidden[:, ::32] = 127
    backend = NativeBackend(transformer, dtype=torch.float32, n_threads=2)
    expected = hidden.double() @ weights.double().T
    torch.testing.assert_close(torch.from_numpy(backend.logits(hidden)).double(), expected, atol=0, rtol=1e-6)
    cache, out = cache_of(config), torch.empty(1, 96)
    backend.forward([74], cache, out)  # the last row of a block that is not full
    reference = transformer(torch.tensor([[74]]), cache_of(config))[0]
    torch.testing.assert_close(out, reference, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["float32", "int8", "int4"])
@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_inputs_that_are_no_numbers_give_logits_that_are_none(kind: str, odd: float, target: str) -> None:
    """So that a damaged norm is noticed, whatever the matrix after it is held in."""
    transformer = model(SMALL)
    if kind != "float32":
        quantize_model(transformer, "int8")
        transformer.head.packed = quantize(torch.randn(SMALL.vocab_size, SMALL.d_model), kind)
    hidden = torch.randn(MAX_STEP_TOKENS, SMALL.d_model)
    hidden[3, 5] = odd
    logits = NativeBackend(transformer, dtype=torch.float32, n_threads=1).logits(hidden)
    assert torch.from_numpy(logits).isfinite().all(-1).tolist() == [row != 3 for row in range(MAX_STEP_TOKENS)]


@pytest.mark.parametrize("bits", [0x7FFFFFFF, -1, 0x7F800001, 0x7FC00003])
def test_no_kind_of_nan_is_lost_on_the_way(bits: int, target: str) -> None:
    """Rounding it to bfloat16 could carry over into 0, and an exponential moves bits: numbers that look sound."""
    odd = torch.tensor([bits], dtype=torch.int32).view(torch.float32)
    config = replace(SMALL, logit_softcap=3.0, mlp_bias=True, attention_softcap=2.0)
    transformer = model(config)
    hidden = torch.randn(1, SMALL.d_model)
    hidden[0, 5] = odd
    assert np.isnan(NativeBackend(transformer, dtype=torch.float32, n_threads=1).logits(hidden)).all()
    halves = model(config, torch.bfloat16)
    halves.norm.float().weight[7] = odd
    halves.blocks[0].attention_norm.float().weight[7] = odd
    assert by_c(halves, [1, 2, 3], dtype=torch.bfloat16).isnan().all()


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_give_logits_that_are_none(kind: Kind, odd: float, target: str) -> None:
    """What a damaged scale makes of its row is not taken for a number."""
    transformer = model(SMALL)
    head = quantize(torch.randn(SMALL.vocab_size, SMALL.d_model), kind)
    install(transformer, {"head.weight": head}, torch.float32)
    head.scales[1, 0, 3] = odd  # of the group of 16 rows, columns, and row
    logits = NativeBackend(transformer, dtype=torch.float32, n_threads=1).logits(torch.randn(1, SMALL.d_model))[0]
    assert np.flatnonzero(~np.isfinite(logits)).tolist() == [19]


@pytest.mark.parametrize("name", ["plain", "wide windows"])
def test_a_text_of_several_blocks_of_positions(name: str, target: str) -> None:
    config = (CONFIGS | ODD)[name]
    transformer, ids = model(config), some_ids(config, 500)
    torch.testing.assert_close(by_c(transformer, ids), by_torch(transformer, ids), atol=3e-5, rtol=1e-5)


def test_steps_and_passes_of_torch_share_one_cache() -> None:
    transformer = model(SMALL)
    backend = NativeBackend(transformer, dtype=torch.float32, n_threads=1)
    ids = some_ids(SMALL, 300)  # more than the cache begins with
    cache, hidden = cache_of(SMALL), torch.empty(300, SMALL.d_model)
    for start in range(0, 300, 10):
        part = ids[start : start + 10]
        if start % 20:
            hidden[start : start + 10] = transformer(torch.tensor([part]), cache)[0]
        else:
            backend.forward(part[:5], cache, hidden[start : start + 5])
            backend.forward(part[5:], cache, hidden[start + 5 : start + 10])
    torch.testing.assert_close(hidden, transformer(torch.tensor([ids]))[0], atol=3e-5, rtol=1e-5)
    cache.rewind(120)
    again = torch.empty(1, SMALL.d_model)
    backend.forward([ids[120]], cache, again)
    torch.testing.assert_close(again, hidden[120:121], atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_a_short_prompt_of_a_quantised_model_is_read_in_c(count: int) -> None:
    """In groups, and to the same bits as one token after another; torch would unpack every matrix for it."""
    config = replace(SMALL, d_model=64, d_head=16, d_ff=96)
    transformer = model(config)
    quantize_model(transformer, "int8")
    ids = some_ids(config, count)
    at_once, in_turn = (decoder_of(transformer, device=CPU, dtype=torch.float32) for _ in range(2))
    assert list(at_once.prefill(ids)) == [count]
    last = [in_turn.decode_one(token) for token in ids][-1]
    assert np.array_equal(at_once.logits(count - 1), last)


def test_a_text_that_becomes_long_is_turned_anew() -> None:
    transformer = model(LONG)
    ids = some_ids(LONG, 30)
    ours = decoder_of(transformer, device=CPU, dtype=torch.float32)
    theirs = decoder_of(transformer, device=CPU, dtype=torch.float32, eager=True)
    assert (ours.backend.fallback_reason, theirs.backend.fallback_reason) == (None, "it was not wanted")
    for token in ids:
        logits = [torch.from_numpy(one.decode_one(token)) for one in (ours, theirs)]
        torch.testing.assert_close(*logits, atol=3e-5, rtol=1e-5)


def test_a_step_that_does_not_fit_changes_nothing() -> None:
    config = replace(SMALL, context_length=10)
    backend, cache = NativeBackend(model(config), dtype=torch.float32, n_threads=1), cache_of(config)
    backend.forward([1] * 8, cache, torch.empty(8, config.d_model))
    with pytest.raises(ValueError, match="11 positions do not fit in a context of 10"):
        backend.forward([1] * 3, cache, torch.empty(3, config.d_model))
    for wrong in ([], [1] * 9, [-1], [3, config.vocab_size]):
        with pytest.raises(ValueError, match="1 to 8 tokens below 101"):
            backend.forward(wrong, cache, torch.empty(1, config.d_model))
    assert cache.length == 8


def test_what_has_moved_since_the_last_step_is_found_again() -> None:
    """A step remembers where everything was: another cache, one that has grown, another place for hidden states."""
    config = replace(SMALL, context_length=2 * GROWTH)
    transformer, ids = model(config), some_ids(config, GROWTH + 20)
    backend = NativeBackend(transformer, dtype=torch.float32, n_threads=1)
    caches = [cache_of(config) for _ in range(2)]
    hidden = [torch.zeros(GROWTH + 10, config.d_model), torch.zeros(GROWTH + 20, config.d_model)]
    for n, token in enumerate(ids):
        wide = [one for one in hidden if n < len(one)]
        logits = [
            backend.decode([token], cache, rows, n)[0] for cache in caches for rows in wide if not cache.rewind(n)
        ]
        assert all(np.array_equal(logits[0], one) for one in logits)
    assert torch.equal(hidden[0], hidden[1][: len(hidden[0])])
    expected = by_torch(transformer, ids)
    torch.testing.assert_close(transformer.unembed(hidden[1]), expected, atol=3e-5, rtol=1e-5)


def test_a_cache_that_grows_is_not_kept_twice() -> None:
    config = replace(SMALL, context_length=2 * GROWTH)
    backend, cache = NativeBackend(model(config), dtype=torch.float32, n_threads=1), cache_of(config)
    backend.decode([1], cache, torch.empty(1, config.d_model))
    before = weakref.ref(cache.keys)
    cache.reserve(GROWTH + 1)
    assert before() is None


def test_what_would_crash_in_c_is_refused_before() -> None:
    transformer = model(SMALL)
    backend, cache = NativeBackend(transformer, dtype=torch.float32, n_threads=1), cache_of(SMALL)
    for ids in ([], [1] * (MAX_STEP_TOKENS + 1), [-(10**9)], [10**9], [SMALL.vocab_size]):
        with pytest.raises(ValueError, match="a step takes 1 to 8 tokens below 101"):
            backend.forward(ids, cache, torch.empty(len(ids), SMALL.d_model))
    wide = torch.randn(2, 2 * SMALL.d_model)
    for hidden in (wide, wide[:, : SMALL.d_model], torch.randn(9, SMALL.d_model), torch.randn(2, SMALL.d_model).half()):
        with pytest.raises(ValueError, match="hidden states"):
            backend.logits(hidden)
    rows = torch.empty(3, SMALL.d_model)
    for ids, at in (([1], 3), ([1], -1), ([1, 2], 2), ([1] * 4, 0)):
        with pytest.raises(ValueError, match=f"{len(ids)} hidden states do not fit into 3 rows from row {at} on"):
            backend.decode(ids, cache, rows, at)
    assert cache.length == 0
    decoder = decoder_of(transformer, device=CPU, dtype=torch.float32)
    for token in (-1, SMALL.vocab_size, -(10**9), 10**9):
        with pytest.raises(BadCheckpoint, match=f"token {token}, but this model knows 101"):
            decoder.decode_one(token)
        with pytest.raises(BadCheckpoint, match=f"token {token}, but this model knows 101"):
            list(decoder.prefill([5, token]))
    assert decoder.ids == []


def test_what_it_is_not_for_runs_in_torch_and_says_why() -> None:
    many = {"expert_layers": frozenset({0}), "n_experts": 10, "n_experts_used": 9}
    plain, experts = model(SMALL), model(replace(SMALL, **many))
    assert fallback_reason(plain.config, CPU, torch.float32) is None
    assert "float16" in (fallback_reason(plain.config, CPU, torch.float16) or "")
    assert "meta" in (fallback_reason(plain.config, torch.device("meta"), torch.float32) or "")
    assert "9 experts" in (fallback_reason(experts.config, CPU, torch.float32) or "")
    with patch("core.native.bindings._opened", return_value=(None, "there is none")):
        decoder = decoder_of(plain, device=CPU, dtype=torch.float32)
    assert decoder.backend.fallback_reason == "there is none"
    expected = decoder_of(plain, device=CPU, dtype=torch.float32).decode_one(5)
    torch.testing.assert_close(torch.from_numpy(decoder.decode_one(5)), torch.from_numpy(expected), atol=3e-5, rtol=0)


def state_of(thread: Path) -> str:
    """R: it runs, S: it sleeps (proc(5), stat)."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux alone tells what each thread does")
def test_threads_without_work_sleep() -> None:
    before = set(Path("/proc/self/task").iterdir())
    backend, cache = NativeBackend(model(SMALL), dtype=torch.float32, n_threads=4), cache_of(SMALL)
    backend.forward([1], cache, torch.empty(1, SMALL.d_model))
    threads = set(Path("/proc/self/task").iterdir()) - before
    assert len(threads) == 3  # the fourth is the one that asks
    patience = 500
    while any(state_of(thread) != "S" for thread in threads) and (patience := patience - 1):
        time.sleep(0.01)  # they look for more work for a moment
    assert patience, "they wait awake"


def test_two_threads_of_python_may_use_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They let go of Python's lock on the way into C."""
    found = native.library()
    assert found is not None
    workspace = found.logitscope_create_workspace(3, 1, 1)
    monkeypatch.setattr(native_quantize, "_workspace", lambda: workspace)
    packed = quantize(torch.randn(2048, 512), "int8")
    expected = dequantize(packed, torch.float32)
    together = Barrier(2)

    def unpack(_: int) -> bool:
        together.wait()
        unpacked = [dequantize(packed, torch.float32) for _ in range(100)]
        return all(torch.equal(one, expected) for one in unpacked)

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(unpack, range(4)))
    found.logitscope_free_workspace(workspace)


def test_reading_memory_is_measured() -> None:
    speed = read_bandwidth(1 << 20, n_threads=2, repeat=2)
    assert speed is not None
    assert 1e7 < speed < 1e13


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_sanitizers_find_nothing(sanitizer: str, tmp_path: Path) -> None:
    """Every kind of operation, number format and set of instructions, in memory of exactly the size that is needed."""
    assert COMPILER is not None
    folder = Path(native.__file__).parent / "csrc"
    check = Path(__file__).parents[1] / "support" / "native_check.c"
    program = tmp_path / "checked"
    sources = [str(path) for path in (*sorted(folder.rglob("*.c")), check)]
    flags = ["-std=gnu11", "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-pthread"]
    command = [COMPILER, *flags, f"-I{folder}", *sources, "-o", str(program), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and "cannot find" in built.stderr:
        pytest.skip(f"there is no library for -fsanitize={sanitizer}")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("steps: ")
