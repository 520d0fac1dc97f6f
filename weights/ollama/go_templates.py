"""Ollama's templates of known families, as the Jinja template of that family. Must not know a file.

They are programs in Go's template language, which nothing here runs. What tells families apart are the marks around
what is said, as in llama.cpp (src/llama-chat.cpp); the marks are then set as Ollama sets them (its folder template/).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

Around = tuple[str, str]  # what stands before and behind what was said


@dataclass(frozen=True, kw_only=True)
class _Family:
    """How one family writes a conversation."""

    fingerprint: str  # a regular expression that is found in its programs, and in none of the families before it
    user: Around
    assistant: Around
    prompt: str  # what the assistant's answer follows
    system: Around | None = None  # None: it stands in the next message of the user, at its beginning
    within: Around = ("", "\n\n")  # what is around it there

    @property
    def jinja(self) -> str:
        before, behind = map(_text, self.within)
        keep = f"{{% set kept.it = kept.it + {before} + said + {behind} %}}"
        turns = {
            "system": keep if self.system is None else _turn(self.system),
            "user": _turn(self.user, "kept.it + said") + "{% set kept.it = '' %}",
            "assistant": _turn(self.assistant),
        }
        cases = [f"{{% if m['role'] == '{role}' %}}{turn}{{% endif %}}" for role, turn in turns.items()]
        return (
            "{% set kept = namespace(it='') %}{% for m in messages %}{% set said = m['content'] %}"
            f"{''.join(cases)}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ {_text(self.prompt)} }}}}{{% endif %}}"
        )


def _turn(around: Around, said: str = "said") -> str:
    """What one says, between its marks."""
    before, behind = map(_text, around)
    return f"{{{{ {before} + {said} + {behind} }}}}"


def _text(text: str) -> str:
    """As Jinja writes it."""
    return json.dumps(text, ensure_ascii=False)


_FAMILIES = (
    _Family(  # Phi-4
        fingerprint=r"<\|im_sep\|>",
        system=("<|im_start|>system<|im_sep|>", "<|im_end|>"),
        user=("<|im_start|>user<|im_sep|>", "<|im_end|>"),
        assistant=("<|im_start|>assistant<|im_sep|>", "<|im_end|>"),
        prompt="<|im_start|>assistant<|im_sep|>",
    ),
    _Family(  # ChatML: Qwen, SmolLM, Hermes and many others
        fingerprint=r"<\|im_start\|>",
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=("<|im_start|>user\n", "<|im_end|>\n"),
        assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
        prompt="<|im_start|>assistant\n",
    ),
    _Family(  # Llama 3
        fingerprint=r"<\|start_header_id\|>",
        system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
        prompt="<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    _Family(  # Gemma 3, which leaves a line empty
        fingerprint=r"(?s)<start_of_turn>.*\$\.System|\$\.System.*<start_of_turn>",
        user=("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant=("<start_of_turn>model\n", "<end_of_turn>\n"),
        prompt="<start_of_turn>model\n",
    ),
    _Family(  # Gemma
        fingerprint=r"<start_of_turn>",
        user=("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant=("<start_of_turn>model\n", "<end_of_turn>\n"),
        prompt="<start_of_turn>model\n",
        within=("", "\n"),
    ),
    _Family(  # Granite 3
        fingerprint=r"<\|start_of_role\|>",
        system=("<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"),
        user=("<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"),
        assistant=("<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>\n"),
        prompt="<|start_of_role|>assistant<|end_of_role|>",
    ),
    _Family(  # DeepSeek R1 and what was distilled from it
        fingerprint=r"<｜User｜>",
        system=("", ""),
        user=("<｜User｜>", ""),
        assistant=("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        prompt="<｜Assistant｜>",
    ),
    _Family(  # Phi-3
        fingerprint=r"(?s)<\|(\{\{ \.Role \}\}|user)\|>.*<\|end\|>",
        system=("<|system|>\n", "<|end|>\n"),
        user=("<|user|>\n", "<|end|>\n"),
        assistant=("<|assistant|>\n", "<|end|>\n"),
        prompt="<|assistant|>\n",
    ),
    _Family(  # Zephyr, TinyLlama
        fingerprint=r"(?s)<\|(\{\{ \.Role \}\}|user)\|>.*</s>",
        system=("<|system|>\n", "</s>\n"),
        user=("<|user|>\n", "</s>\n"),
        assistant=("<|assistant|>\n", "</s>\n"),
        prompt="<|assistant|>\n",
    ),
    _Family(  # StableLM Zephyr, which ends what anybody says in one way
        fingerprint=r"<\|user\|>\s*\{\{[^}]*\}\}<\|endoftext\|>",
        system=("<|system|>\n", "<|endoftext|>\n"),
        user=("<|user|>\n", "<|endoftext|>\n"),
        assistant=("<|assistant|>\n", "<|endoftext|>\n"),
        prompt="<|assistant|>\n",
    ),
    _Family(  # Tulu, OLMo 2, which ends only what the assistant says
        fingerprint=r"(?s)<\|user\|>.*<\|endoftext\|>",
        system=("<|system|>\n", "\n"),
        user=("<|user|>\n", "\n"),
        assistant=("<|assistant|>\n", "<|endoftext|>\n"),
        prompt="<|assistant|>\n",
    ),
    _Family(  # Llama 2; the empty system block that Ollama writes into every later turn is none of its makers'
        fingerprint=r"<<SYS>>",
        within=("<<SYS>>\n", "\n<</SYS>>\n\n"),
        user=("[INST] ", " [/INST]"),
        assistant=(" ", "</s><s>"),
        prompt="",
    ),
    _Family(  # Mistral since 2411
        fingerprint=r"\[SYSTEM_PROMPT\]",
        system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        user=("[INST]", "[/INST]"),
        assistant=("", "</s>"),
        prompt="",
    ),
    _Family(  # Mistral, Mixtral
        fingerprint=r"\[INST\]",
        user=("[INST] ", "[/INST]"),
        assistant=(" ", "</s>"),
        prompt="",
    ),
    _Family(  # OpenChat, Starling
        fingerprint=r"GPT4 Correct",
        system=("GPT4 Correct System: ", "<|end_of_turn|>"),
        user=("GPT4 Correct User: ", "<|end_of_turn|>"),
        assistant=("GPT4 Correct Assistant: ", "<|end_of_turn|>"),
        prompt="GPT4 Correct Assistant:",
    ),
    _Family(  # SOLAR
        fingerprint=r"### User:",
        system=("### System:\n", "\n\n"),
        user=("### User:\n", "\n\n"),
        assistant=("### Assistant:\n", "</s>\n\n"),
        prompt="### Assistant:\n",
    ),
    _Family(  # Alpaca
        fingerprint=r"### Instruction:",
        system=("", "\n\n"),
        user=("### Instruction:\n", "\n\n"),
        assistant=("### Response:\n", "\n\n"),
        prompt="### Response:\n",
    ),
    _Family(  # Magicoder
        fingerprint=r"@@ Instruction",
        system=("", "\n\n"),
        user=("@@ Instruction\n", "\n\n"),
        assistant=("@@ Response\n", "\n\n"),
        prompt="@@ Response\n",
    ),
    _Family(  # Granite before 3
        fingerprint=r"(?s)Question:.*Answer:",
        system=("System:\n", "\n\n"),
        user=("Question:\n", "\n\n"),
        assistant=("Answer:\n", "\n\n"),
        prompt="Answer:\n",
    ),
    _Family(  # Vicuna
        fingerprint=r"(?s)USER:.*ASSISTANT:",
        system=("", "\n\n"),
        user=("USER: ", "\n"),
        assistant=("ASSISTANT: ", "</s>\n"),
        prompt="ASSISTANT:",
    ),
)


def jinja_of(program: str) -> str | None:
    """The Jinja template of the family that a program is for; None if it is of none that is known."""
    return next((family.jinja for family in _FAMILIES if re.search(family.fingerprint, program)), None)


def with_system(template: str, text: str) -> str:
    """A template that begins with this system message where a conversation has none."""
    own = json.dumps(text, ensure_ascii=False)
    return (
        "{% if not messages or messages[0]['role'] != 'system' %}"
        f"{{% set messages = [{{'role': 'system', 'content': {own}}}] + messages %}}{{% endif %}}{template}"
    )
