"""What torch's compiler makes of the recorded step, in a thread beside it: by stand-ins for the compiler where only the
order of events counts, and by the real one for the CPU where there is one."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.backends.cuda_graph.compiler import Compiler, Function
from core.backends.cuda_graph.static_forward import MIN_BUCKET
from core.engine import Engine
from core.errors import BadSetting
from core.model import Model
from core.transformer import Transformer
from tests.core.support.gpu_models import FIXED, quantized_model
from tests.core.support.recorders import Again, step_of, written
from tests.core.support.transformers import SMALL, assert_same, new_cache, random_transformer, some_tokens

PATIENCE = 60
needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler for the CPU needs g++")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


class Slow:
    """A compiler that takes until it is let go, and adds something by which its work is known."""

    def __init__(self, adds: float = 0.0, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.calls = 0
        self._adds, self._error = adds, error

    def __call__(self, function: Function) -> Function:
        def compiled(*arguments: Any) -> Tensor:
            if threading.current_thread() is not threading.main_thread():
                assert self.go.wait(PATIENCE)
                if self._error is not None:
                    raise self._error
            self.calls += 1
            return function(*arguments[:-1], False) + self._adds

        return compiled


def test_tokens_are_written_while_it_compiles_and_faster_afterwards() -> None:
    transformer, capturer, slow, said = random_transformer(SMALL), Again(), Slow(), list[bool]()
    compiler = Compiler(slow, said.append)
    backend, cache, tokens = (
        step_of(transformer, capturer, compiler),
        new_cache(transformer),
        some_tokens(MIN_BUCKET + 20),
    )
    expected = transformer(tokens)[0]
    assert_same(written(backend, cache, tokens[:, :5])[0], expected[:5])
    assert (said, compiler.busy, backend.name) == ([True], True, "CUDA graph")
    recorded = capturer.captures
    transformer(tokens[:, 5 : MIN_BUCKET - 2], cache)
    assert_same(
        written(backend, cache, tokens[:, MIN_BUCKET - 2 : MIN_BUCKET + 3])[0],
        expected[MIN_BUCKET - 2 : MIN_BUCKET + 3],
    )
    assert capturer.captures == recorded, "nothing may be recorded while something is compiled"
    assert backend.fallback_reason is None
    slow.go.set()
    for n in range(MIN_BUCKET + 3, MIN_BUCKET + 12):  # one thing after another
        assert_same(written(backend, cache, tokens[:, n : n + 1])[0], expected[n : n + 1])
        compiler.wait()
    assert backend.name == "compiled CUDA graph"
    assert said == [True, False] * 3  # the first bucket, the second, the unembedding
    calls, recorded = slow.calls, capturer.captures
    assert_same(written(backend, cache, tokens[:, MIN_BUCKET + 12 :])[0], expected[MIN_BUCKET + 12 :])
    assert slow.calls > calls
    assert capturer.captures == recorded
    assert not compiler.busy


@pytest.mark.parametrize(
    ("slow", "why"),
    [
        (Slow(adds=1.0), "from those of the ordinary pass"),
        (Slow(error=ValueError("no such instruction\nsecond line")), "ValueError: no such instruction"),
    ],
)
def test_what_is_compiled_badly_is_told_and_the_graph_goes_on(slow: Slow, why: str) -> None:
    transformer, capturer, compiler = random_transformer(SMALL), Again(), Compiler(slow)
    backend, cache, tokens = step_of(transformer, capturer, compiler), new_cache(transformer), some_tokens(20)
    slow.go.set()
    found = []
    for n in range(20):
        found.append(written(backend, cache, tokens[:, n : n + 1])[0])
        compiler.wait()
    assert_same(torch.cat(found), transformer(tokens)[0])
    assert (compiler.fallback_reason or "").endswith(why)
    assert backend.fallback_reason is None
    assert backend.name == "CUDA graph"
    assert capturer.replays > 20


def test_there_is_nothing_to_compile_on_the_cpu(model: Model) -> None:
    with pytest.raises(BadSetting, match=r"nothing to compile for cpu.*--compile"):
        Engine(model, compiler=Compiler())


# --- by torch ---------------------------------------------------------------------------------------------------------


def as_one_graph(function: Function) -> Function:
    return torch.compile(function, fullgraph=True, dynamic=False, backend="eager")


def compiled_and_compared(transformer: Transformer, compiler: Compiler) -> None:
    """In one bucket and, as the cache has moved, in the next; each is compiled with a cache that lies elsewhere."""
    capturer, tokens = Again(), some_tokens(MIN_BUCKET + 8)
    backend, cache = step_of(transformer, capturer, compiler), new_cache(transformer)
    expected = transformer(tokens)[0]
    transformer(tokens[:, : MIN_BUCKET - 6], cache)
    for n in range(MIN_BUCKET - 6, MIN_BUCKET + 8):
        hidden, logits = written(backend, cache, tokens[:, n : n + 1])
        assert_same(hidden, expected[n : n + 1])
        assert_same(logits, transformer.unembed(expected[n : n + 1]))
        compiler.wait()
    assert (backend.fallback_reason, compiler.fallback_reason, backend.name) == (None, None, "compiled CUDA graph")


@pytest.mark.parametrize("name", FIXED)
def test_every_arrangement_is_one_graph(name: str) -> None:
    compiled_and_compared(random_transformer(FIXED[name]), Compiler(as_one_graph))


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantised_models_are_one_graph(kind: str) -> None:
    transformer = random_transformer(dataclasses.replace(SMALL, d_ff=64, qkv_bias=True))
    compiled_and_compared(quantized_model(transformer, kind), Compiler(as_one_graph))


@needs_a_compiler
@pytest.mark.parametrize("kind", ["int4"])  # whatever else there is in a step is in this one too
def test_the_real_compiler_finds_what_it_made_before(kind: str, tmp_path: Path) -> None:
    for times in range(2):
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "tests.core.backends.test_cuda_graph_compiled", kind]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        hits, misses = map(int, done.stdout.split())
        assert (hits, misses) == ((0, 3) if times == 0 else (3, 0))


def main() -> None:
    """Compile for real, and say how often something was found on the disk and how often not."""
    torch.set_num_threads(1)
    kind = sys.argv[1]
    with torch.inference_mode():
        transformer = random_transformer(dataclasses.replace(SMALL, n_layers=1, d_ff=64, qkv_bias=True))
        compiled_and_compared(quantized_model(transformer, kind), Compiler())
    counted = torch._dynamo.utils.counters["inductor"]
    print(counted["fxgraph_cache_hit"], counted["fxgraph_cache_miss"])


if __name__ == "__main__":
    main()
