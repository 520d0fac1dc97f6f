"""A model small enough to be made afresh in every test: random weights, a tokenizer trained on a paragraph, ChatML.

Its words mean nothing; its arithmetic is the whole road all the same.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from core.config import ModelConfig
from core.model import Model
from core.text.chat_template import ChatTemplate
from core.text.tokenizer import Tokenizer
from core.transformer import Transformer

START, END, BOS = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_PARAGRAPH = (
    "The user asks and the assistant answers. You are a helpful assistant. Once upon a time there was a small "
    "model that knew few words, and it was happy to say them all again and again. Hello! How are you? I am fine. "
    "What is the weather like today? It is warm and the sun shines on the little town by the sea.\n"
)


def tiny_backend() -> Backend:
    """A byte-level BPE tokenizer: 256 bytes, about 100 merges, three special tokens."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[BOS, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([_PARAGRAPH], trainer)
    return backend


def tiny_tokenizer() -> Tokenizer:
    return Tokenizer(tiny_backend())


def tiny_model(
    tokenizer: Tokenizer,
    *,
    seed: int = 0,
    context_length: int = 256,
    readable: bool = True,
    end_ids: frozenset[int] = frozenset(),
    template: str | None = CHATML,
) -> Model:
    """Random weights from a seed.

    Args:
        readable: the last bias makes it speak in printable ASCII; otherwise it babbles bytes, halves of characters
            among them.
        end_ids: none by default, so that a reply goes on until something else ends it.
    """
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        context_length=context_length,
        n_layers=2,
        n_heads=4,
        n_kv_heads=2,
        d_model=32,
        d_head=8,
        d_ff=64,
        tied_embeddings=False,
        head_bias=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = Transformer(config)
    with torch.no_grad():
        transformer.head.weight.mul_(8)  # a distribution with favourites, as a trained model has
        transformer.head.bias.zero_()
        for token_id in range(config.vocab_size):
            known = tokenizer.token_bytes(token_id)
            special = token_id in tokenizer.special_ids
            if special or (readable and not all(32 <= byte < 127 for byte in known)):
                transformer.head.bias[token_id] = -60.0
    return Model(
        name="tiny",
        transformer=transformer.eval(),
        tokenizer=tokenizer,
        template=None if template is None else ChatTemplate(template, {"bos_token": BOS, "eos_token": END}),
        end_ids=end_ids,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
