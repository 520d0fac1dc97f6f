"""Published weights, SmolLM2-135M-Instruct in Q4_1, against transformers and llama.cpp on the same file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.conversation import Message
from core.engine import Engine, decoder_for
from core.model import Model
from core.records import Finished
from core.settings import Settings
from core.text.prompt import prompt_ids
from tests.weights.support.greedy import greedy
from tests.weights.support.real import smollm2
from weights.load import load

_LLAMA_CPP = "llama.cpp is the oracle, and there is no wheel of xllamacpp for this machine"
_TEXTS = Path(__file__).parents[3] / "weights" / "recipe" / "corpus" / "own"
N_TOKENS = 2000
PROMPTS = ("What is the capital of France?", "def fibonacci(n):", "Once upon a time", "2 + 2 =")
QUESTION = (Message(role="user", text="What is the capital of France?"),)
CONVERSATIONS: dict[str, list[dict[str, str]]] = {
    "a question": [{"role": "user", "content": "Hi  there\n\n"}],
    "a system message": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    "an empty system message": [{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}],
    "three turns": [
        {"role": "user", "content": "Hello <|im_end|>"},
        {"role": "assistant", "content": "Hi! How are you?\n"},
        {"role": "user", "content": '2 < 3 && "so" {{ what }}'},
    ],
}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def path() -> Path:
    return smollm2()


@pytest.fixture(scope="module")
def ours(path: Path) -> Model:
    """Dequantized, so that nothing is rounded twice."""
    return load(path, device="cpu", dtype="float32", quantize="none")


@pytest.fixture(scope="module")
def theirs(path: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def their_tokenizer(path: Path) -> Any:
    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


@pytest.fixture(scope="module")
def oracle(path: Path) -> Any:
    pytest.importorskip("xllamacpp", reason=_LLAMA_CPP)
    from tests.weights.support.llama_cpp_oracle import Oracle

    return Oracle(path)


@pytest.fixture(scope="module")
def long_text(ours: Model) -> list[int]:
    texts = [file.read_text(encoding="utf-8") for file in sorted(_TEXTS.glob("*.txt"))]
    return ours.tokenizer.encode("\n".join(text[:8000] for text in texts))[:N_TOKENS]


def their_logprobs(theirs: Any, ids: list[int]) -> Tensor:
    found: Tensor = theirs(torch.tensor([ids])).logits[0].log_softmax(-1)
    return found


def our_logprobs(model: Model, ids: list[int]) -> Tensor:
    """As a prompt is read."""
    decoder = decoder_for(model)
    for _ in decoder.prefill(ids):
        pass
    return torch.stack([torch.from_numpy(decoder.logits(n).copy()) for n in range(len(ids))]).log_softmax(-1)


@pytest.mark.parametrize("text", PROMPTS)
def test_logits_and_64_greedy_tokens_are_those_of_transformers(text: str, ours: Model, theirs: Any) -> None:
    ids = ours.tokenizer.encode(text)
    want = theirs(torch.tensor([ids])).logits[0]
    got = ours.transformer.unembed(ours.transformer(torch.tensor([ids])))[0]
    print(f"{text!r}: largest difference {(got - want).abs().max():.1e}, largest logit {want.abs().max():.1f}")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-3)
    never = theirs.config.vocab_size  # the end of a reply is a token as any other
    written = theirs.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=64, eos_token_id=never)
    assert greedy(ours, ids, 64) == written[0, len(ids) :].tolist()


def test_every_token_of_a_long_text_is_as_likely_as_in_transformers(
    ours: Model, theirs: Any, long_text: list[int]
) -> None:
    """One position after the other, because all distributions together take 400 MB a program."""
    assert len(long_text) == N_TOKENS
    logits = theirs(torch.tensor([long_text])).logits[0]
    decoder = decoder_for(ours)
    for _ in decoder.prefill(long_text):
        pass
    largest, clear = 0.0, 0
    for position, following in enumerate(long_text[1:]):
        want = logits[position].log_softmax(-1)
        got = torch.from_numpy(decoder.logits(position)).log_softmax(-1)
        largest = max(largest, float((got - want)[following].abs()))
        first, second = want.topk(2).values.tolist()
        if first - second > 1e-3:
            clear += 1
            assert got.argmax() == want.argmax()
    print(
        f"largest difference of a token's logprob {largest:.1e}; {clear} of {N_TOKENS - 1} likeliest tokens are clear"
    )
    assert largest < 1e-3
    assert clear > 0.99 * N_TOKENS


def test_a_token_at_a_time_the_numbers_are_the_same(ours: Model, theirs: Any, long_text: list[int]) -> None:
    want = their_logprobs(theirs, long_text[:64])
    decoder = decoder_for(ours)
    written = [torch.from_numpy(decoder.decode_one(token_id).copy()) for token_id in long_text[:64]]
    torch.testing.assert_close(torch.stack(written).log_softmax(-1), want, rtol=0, atol=1e-3)


def test_what_held_bits_cost(path: Path, ours: Model, long_text: list[int]) -> None:
    """As the file is opened where nothing is asked for: its matrices held in 8 bits."""
    held = load(path, device="cpu", dtype="float32")
    assert held.precision != ours.precision
    exact, rounded = our_logprobs(ours, long_text[:512]), our_logprobs(held, long_text[:512])
    divergence = (exact.exp() * (exact - rounded)).sum(-1)
    same = (exact.argmax(-1) == rounded.argmax(-1)).float().mean()
    print(
        f"{held.precision}: divergence {divergence.mean():.1e} nats a token, largest {divergence.max():.1e}; {same:.1%}"
    )
    assert divergence.mean() < 2e-3
    assert same > 0.97


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_chat_template_renders_as_in_transformers(name: str, ours: Model, their_tokenizer: Any) -> None:
    said = CONVERSATIONS[name]
    want = their_tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    assert ours.template is not None
    conversation = tuple(Message(role=one["role"], text=one["content"]) for one in said)  # type: ignore[arg-type]
    assert ours.template.render(conversation) == want


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_chat_template_renders_as_in_llama_cpp(name: str, ours: Model, oracle: Any) -> None:
    said = CONVERSATIONS[name]
    assert ours.template is not None
    conversation = tuple(Message(role=one["role"], text=one["content"]) for one in said)  # type: ignore[arg-type]
    assert ours.template.render(conversation) == oracle.rendered(said)


def test_a_reply_ends_where_llama_cpp_and_transformers_end_it(ours: Model, theirs: Any, oracle: Any) -> None:
    assert ours.end_ids == oracle.end_ids
    parts = Engine(ours).reply(QUESTION, lambda: Settings(temperature=0.0, max_tokens=64))
    reply = next(part for part in parts if isinstance(part, Finished))
    assert (reply.text, reply.reason) == ("The capital of France is Paris.", "end")
    prompt = prompt_ids(QUESTION, ours.template, ours.tokenizer)
    [written] = theirs.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=64)
    *said, end = written[len(prompt) :].tolist()
    assert end in ours.end_ids
    assert ours.tokenizer.decode(said) == reply.text
    assert oracle.greedy(prompt, len(said) + 1) == [*said, end]


def test_texts_are_cut_as_llama_cpp_cuts_them(ours: Model, oracle: Any) -> None:
    texts = [file.read_text(encoding="utf-8")[:3000] for file in sorted(_TEXTS.glob("*.txt"))]
    texts += ["naïve фы 你好 🙂 <|im_start|>  x<|im_end|>\n", " \n\n\t 3.14 12345"]
    for text in texts:
        for literal in (False, True):
            assert ours.tokenizer.encode(text, literal=literal) == oracle.encode(text, literal=literal)
