"""Where the arithmetic happens, on this machine and on machines pretended."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from core.backends import device
from core.errors import BadDevice


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with nothing but a processor, to which a test adds."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    return monkeypatch


def with_cuda(machine: pytest.MonkeyPatch, capability: tuple[int, int] = (9, 0), count: int = 2) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "device_count", lambda: count)
    machine.setattr(torch.cuda, "get_device_capability", lambda _: capability)


def test_a_bare_processor_computes_in_float32(machine: pytest.MonkeyPatch) -> None:
    assert device.available() == ["cpu"]
    assert device.choose() == (torch.device("cpu"), torch.float32)
    assert device.choose("auto", "auto") == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_processor_good_at_bfloat16_uses_it(machine: pytest.MonkeyPatch, feature: str) -> None:
    machine.setattr(torch.cpu, "get_capabilities", lambda: {feature: True, "avx2": True}, raising=False)
    assert device.choose()[1] == torch.bfloat16
    machine.setattr(torch.cpu, "get_capabilities", lambda: {feature: False, "avx2": True}, raising=False)
    assert device.choose()[1] == torch.float32


def test_the_best_there_is_comes_first(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.xpu, "is_available", lambda: True)
    assert device.choose() == (torch.device("xpu"), torch.bfloat16)
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.choose() == (torch.device("mps"), torch.float32)
    with_cuda(machine)
    assert device.choose() == (torch.device("cuda"), torch.bfloat16)
    assert device.available() == ["cuda", "mps", "xpu", "cpu"]


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_an_old_gpu_has_no_bfloat16(
    machine: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    with_cuda(machine, capability)
    assert device.choose("cuda")[1] == dtype


def test_a_device_can_be_asked_for(machine: pytest.MonkeyPatch) -> None:
    with_cuda(machine)
    assert device.choose("cuda:1")[0] == torch.device("cuda:1")
    assert device.choose("cpu")[0] == torch.device("cpu")
    assert device.choose("cpu:0")[0].type == "cpu"


@pytest.mark.parametrize(
    "name", ["cuda", "cuda:0", "tpu", "", "cpu:", "cpu:x", "cpu:-1", "cpu:²", "cpu:٣", "cpu:1", "CPU", "mps", ":0"]
)
def test_a_device_that_is_not_there_is_refused(machine: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(BadDevice, match="It has") as caught:
        device.choose(name)
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("name", ["cuda:2", "cuda:99", "cuda:"])
def test_a_gpu_beyond_the_last_is_refused(machine: pytest.MonkeyPatch, name: str) -> None:
    with_cuda(machine, count=2)
    with pytest.raises(BadDevice) as caught:
        device.choose(name)
    assert repr(name) in caught.value.message


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("float32", torch.float32),
        ("fp32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("bf16", torch.bfloat16),
        ("float16", torch.float16),
        ("fp16", torch.float16),
    ],
)
def test_number_formats(name: str, dtype: torch.dtype) -> None:
    assert device.choose("cpu", name)[1] == dtype


@pytest.mark.parametrize("name", ["int8", "float64", "", "Float32"])
def test_an_unknown_number_format_is_refused(name: str) -> None:
    with pytest.raises(BadDevice) as caught:
        device.choose("cpu", name)
    assert repr(name) in caught.value.message
    assert "bfloat16" in caught.value.hint


def test_a_small_model_takes_no_thread_from_a_large_one_opened_after_it() -> None:
    program = (
        "import torch; from core.backends.device import threads_for; torch.set_num_threads(threads_for(10**6)); "
        "print(torch.get_num_threads(), threads_for(10**9))"
    )
    two = os.environ | {"OMP_NUM_THREADS": "2"}
    shown = subprocess.run([sys.executable, "-c", program], env=two, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["1", "2"]
