"""llama.cpp as an oracle: its server, as the wheel `xllamacpp` brings it. Import it by `pytest.importorskip`.

Knows nothing of ours.
"""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path
from typing import Any

import torch
import xllamacpp
from torch import Tensor

_EVERYTHING = 10_000_000  # more tokens than any vocabulary has


class Oracle:
    """One file, opened by llama.cpp; on one thread of the processor, keys and values in float32."""

    def __init__(self, path: Path, *, context: int = 256) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = params.n_batch = params.n_ubatch = context
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = params.n_threads_http = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        # Weights that are laid out anew for this very processor differ from machine to machine, and crash on some.
        params.no_extra_bufts = True
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_gpu_layers = 0
        params.swa_full = True  # or no text can be gone on from
        params.fit_params = params.warmup = params.ui = False
        params.cache_ram_mib = 0
        params.verbosity = 0
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._server = xllamacpp.Server(params)
        finally:  # the server takes them, and Ctrl+C would no longer end the tests
            for number, handler in kept.items():
                signal.signal(number, handler)
        address = self._server.listening_address.removeprefix("http://")
        self._connection = http.client.HTTPConnection(address, timeout=60)
        self._letter = self.encode("a", literal=True)[-1]

    def logprobs(self, ids: list[int], positions: range | None = None) -> Tensor:
        """Of every token that may follow, after each position or after those named: (positions, vocab)."""
        return torch.stack([self._next(ids[: position + 1]) for position in positions or range(len(ids))])

    def greedy(self, ids: list[int], n: int) -> list[int]:
        """The likeliest tokens, also past the end of a reply."""
        found: list[int] = []
        for _ in range(n):
            [likeliest] = self._complete([*ids, *found], n_probs=1)["top_logprobs"]
            found.append(likeliest["id"])
        return found

    def encode(self, text: str, *, add_special: bool = False, literal: bool = False) -> list[int]:
        asked = {"content": text, "add_special": add_special, "parse_special": not literal}
        found: list[int] = self._post("/tokenize", asked)["tokens"]
        return found

    def decode(self, ids: list[int]) -> str:
        return str(self._post("/detokenize", {"tokens": ids})["content"])

    def rendered(self, messages: list[dict[str, str]]) -> str:
        """By llama.cpp's own Jinja, ready for the reply."""
        return str(self._post("/apply-template", {"messages": messages})["prompt"])

    def answer(self, messages: list[dict[str, str]], n: int) -> tuple[str, str]:
        """The likeliest reply, and whether it came to its end ("stop") or was cut ("length")."""
        asked = {"messages": messages, "temperature": 0, "max_tokens": n}
        [choice] = self._post("/v1/chat/completions", asked)["choices"]
        return choice["message"]["content"], choice["finish_reason"]

    @property
    def end_ids(self) -> set[int]:
        """What the server takes out of the distribution where a reply is not to end."""
        options = {"temperature": 1, "samplers": [], "post_sampling_probs": True, "ignore_eos": True}
        left = {entry["id"] for entry in self._complete([0], n_probs=_EVERYTHING, **options)["top_probs"]}
        return set(range(self._vocab_size)) - left

    @property
    def _vocab_size(self) -> int:
        return len(self._complete([0], n_probs=_EVERYTHING)["top_logprobs"])

    def _next(self, ids: list[int]) -> Tensor:
        entries = self._complete(ids, n_probs=_EVERYTHING)["top_logprobs"]
        values = torch.empty(len(entries))
        values[[entry["id"] for entry in entries]] = torch.tensor([entry["logprob"] for entry in entries])
        return values

    def _complete(self, ids: list[int], **options: Any) -> dict[str, Any]:
        """What is said of one token after these. It is made a letter: of half a character nothing is said at all."""
        asked = {"prompt": ids, "n_predict": 1, "temperature": 0, "cache_prompt": True} | options
        asked["logit_bias"] = [[self._letter, 20.0]]  # which the numbers before sampling do not feel
        [token] = self._post("/completion", asked)["completion_probabilities"]
        found: dict[str, Any] = token
        return found

    def _post(self, path: str, asked: dict[str, Any], *, again: bool = True) -> dict[str, Any]:
        try:
            self._connection.request("POST", path, json.dumps(asked), {"Content-Type": "application/json"})
            reply = self._connection.getresponse()
            found: dict[str, Any] = json.load(reply)
        except (http.client.HTTPException, ConnectionError):  # the server hangs up on whoever was silent for a while
            self._connection.close()
            if not again:
                raise
            return self._post(path, asked, again=False)
        assert reply.status == 200, found
        return found
