"""How fast one model is on this machine: reading a prompt and writing tokens, in tokens per second."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

from core.conversation import Message
from core.errors import BadSetting
from tui.cli import tables
from tui.cli.json_records import json_line

if TYPE_CHECKING:
    from core.decoding.decoder import Decoder
    from core.decoding.lookahead import Lookahead
    from core.engine import Engine
    from core.model import Model
    from core.speculative.draft_model import DraftModel

_ASKED = "Tell me a story about a dog and a cat who go to the sea."


def bench(engine: Engine, arguments: argparse.Namespace) -> None:
    """Measure and print. The text does not matter for the time, so the tokens are simply counted up."""
    model = engine.model
    total = arguments.prompt_tokens + arguments.new_tokens
    if total > model.context_length:
        raise BadSetting(
            f"{arguments.prompt_tokens} tokens to read and {arguments.new_tokens} to write do not fit in "
            f"{model.name}'s context of {model.context_length}.",
            "Ask for fewer with --prompt-tokens and --new-tokens.",
        )
    decoder = _warm(engine, arguments.prompt_tokens, arguments.new_tokens)
    runs = [_measure(decoder, arguments.prompt_tokens, arguments.new_tokens) for _ in range(arguments.repeat)]
    prefill = statistics.median(run[0] for run in runs)
    decode = statistics.median(run[1] for run in runs)
    record = {
        "model": model.name,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "precision": model.precision,
        "parameters": model.n_parameters,
        "prompt_tokens": arguments.prompt_tokens,
        "new_tokens": arguments.new_tokens,
        "prefill_tokens_per_second": prefill,
        "decode_tokens_per_second": decode,
        "decoding": decoder.backend.name,
        "fallback_reason": decoder.backend.fallback_reason,
        "why_not_compiled": "it was not wanted" if engine.compiler is None else engine.compiler.fallback_reason,
        **_drafted(engine, arguments),
        **_limit(model, decode, arguments.prompt_tokens + arguments.new_tokens // 2),
    }
    if arguments.json:
        print(json_line(record))
    else:
        tables.show_bench(record)


def _limit(model: Model, decode: float, context: int) -> dict[str, float]:
    """What decoding could reach if it did nothing but read weights and cache, and the share of it that it reaches."""
    import torch

    from core.backends.cuda_graph import bandwidth as on_gpu
    from core.native import bandwidth as on_cpu

    bandwidth, n_bytes = None, model.bytes_per_token(context)
    if model.device.type == "cpu":
        bandwidth = on_cpu.read_bandwidth(n_bytes, n_threads=torch.get_num_threads())
    elif model.device.type == "cuda":
        bandwidth = on_gpu.read_bandwidth(n_bytes, model.device)
    if bandwidth is None:
        return {}
    limit = bandwidth / n_bytes
    return {
        "bytes_per_token": n_bytes,
        "read_bytes_per_second": bandwidth,
        "limit_tokens_per_second": limit,
        "share_of_limit": decode / limit,
    }


def _drafted(engine: Engine, arguments: argparse.Namespace) -> dict[str, Any]:
    """With a draft that guesses, and alone. What is right depends on the text, so an answer is written."""
    if engine.draft is None:
        return {}
    drafts = (None, engine.draft)
    runs = [tuple(_write(engine.model, draft, arguments) for draft in drafts) for _ in range(arguments.repeat)]
    return {
        "draft": engine.draft.model.name,
        "drafted_tokens_per_second": statistics.median(drafted[0] for _, drafted in runs),
        "undrafted_tokens_per_second": statistics.median(alone[0] for alone, _ in runs),
        "guesses": sum(drafted[1].proposed for _, drafted in runs),
        "right_guesses": sum(drafted[1].accepted for _, drafted in runs),
    }


def _write(model: Model, draft: DraftModel | None, arguments: argparse.Namespace) -> tuple[float, Lookahead]:
    """Tokens per second of the likeliest answer, written again and again."""
    from core.engine import decoder_for
    from core.text.prompt import prompt_ids

    decoder = decoder_for(model, draft=draft)
    ids = prompt_ids((Message(role="user", text=_ASKED),), model.template, model.tokenizer)
    for _ in decoder.prefill(ids):
        pass
    first = logits = decoder.logits(len(ids) - 1)
    start = time.perf_counter()
    for _ in range(arguments.new_tokens):
        token = int(logits.argmax())
        if token in model.end_ids or len(decoder.ids) == decoder.limit:
            decoder.rewind(len(ids))
            token = int(first.argmax())
        logits = decoder.decode_one(token)
    return arguments.new_tokens / (time.perf_counter() - start), decoder.lookahead


def _warm(engine: Engine, prompt_tokens: int, new_tokens: int) -> Decoder:
    """A decoder with everything in place: memory, threads, and what is compiled."""
    from core.engine import decoder_for

    compiler = engine.compiler
    decoder = decoder_for(engine.model, compiler=compiler)
    _measure(decoder, prompt_tokens, new_tokens)
    while compiler is not None and compiler.wait():  # there may be more to compile, one thing at a time
        _measure(decoder, prompt_tokens, new_tokens)
    return decoder


def _measure(decoder: Decoder, prompt_tokens: int, new_tokens: int) -> tuple[float, float]:
    """Tokens per second of a text that is read and written anew: reading, writing."""
    decoder.rewind(0)
    ids = [n % decoder.vocab_size for n in range(prompt_tokens)]
    start = time.perf_counter()
    for _ in decoder.prefill(ids):
        pass
    decoder.logits(prompt_tokens - 1)  # comes to the CPU, so a GPU has really finished
    middle = time.perf_counter()
    for n in range(new_tokens):
        decoder.decode_one(n % decoder.vocab_size)
    end = time.perf_counter()
    return prompt_tokens / (middle - start), new_tokens / (end - middle)
