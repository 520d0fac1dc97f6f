"""A model of Ollama's: the GGUF file of a manifest, with the template and the settings that lie beside it.

Must not know what Ollama is asked for models by.
"""

from __future__ import annotations

import json
from pathlib import Path

from core.errors import BadCheckpoint, BadSetting, UnsupportedModel
from core.settings import Settings
from weights.gguf.file import GgufFile
from weights.ollama.go_templates import jinja_of, with_system
from weights.ollama.manifest import Manifest, read_manifest
from weights.untrusted.checked_json import CheckedJson
from weights.untrusted.text_file import read_text

_MAX_BLOB = 200_000  # bytes of a template, of settings, of a system message
# Its penalties are of another kind, and its seed, context and lengths are no advice on how to sample.
_COUNTS, _SHARES = ("top_k",), ("temperature", "top_p", "min_p", "typical_p")
_SPECIAL_TYPES = (3, 4)  # of tokens: control, user-defined (ggml, docs/gguf.md)


class OllamaModel(GgufFile):
    """One tag of a model. Several tags may share a file of weights and differ in what lies beside it."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: of the manifest.

        Raises:
            BadCheckpoint: it is damaged; or see `GgufFile`.
            UnsupportedModel: it has parts that would change what it says and are not read here; or see `GgufFile`.
        """
        manifest = read_manifest(path)
        if manifest is None:
            raise BadCheckpoint(f"{path} names no file of weights.", "Fetch the model again with `ollama pull`.")
        if manifest.has_adapter:
            raise UnsupportedModel(
                f"{path.parent.name}:{path.name} of Ollama has an adapter beside its weights, which is not read here.",
                "Choose the model that it was made from.",
            )
        super().__init__(manifest.weights)
        self.path = path
        self._manifest: Manifest = manifest
        self._params = _params(manifest.params)

    @property
    def template(self) -> str | None:
        """The file's own; else that of the family that Ollama's is for. It may bring a system message with it."""
        source = super().template or jinja_of(_text(self._manifest.template))
        system = _text(self._manifest.system).strip()
        return with_system(source, system) if source and system else source

    @property
    def end_tokens(self) -> frozenset[str]:
        """The stop strings that are tokens: others end no turn, they only cut a text."""
        stops = self._params.get("stop")
        wanted = {stop for stop in stops if isinstance(stop, str)} if isinstance(stops, list) else set()
        tokens = zip(self._vocabulary.tokens, self._vocabulary.types, strict=False)
        return frozenset(text for text, kind in tokens if kind in _SPECIAL_TYPES and text in wanted)

    @property
    def generation_config(self) -> CheckedJson:
        """Ollama's settings, and the file's own where it has none."""
        own = super().generation_config
        return CheckedJson(
            {**{n: own.value(n) for n in (*_COUNTS, *_SHARES)}, **_sampling(self._params)}, where=own.where
        )


def _sampling(params: dict[str, object]) -> dict[str, object]:
    """The settings that are possible; what is wrong with the others matters to nobody."""
    found: dict[str, object] = {}
    for name in (*_COUNTS, *_SHARES):
        value = params.get(name)
        if type(value) is int or (type(value) is float and name in _SHARES):
            try:
                Settings(**{name: value})  # type: ignore[arg-type]
            except BadSetting:
                continue
            found[name] = value
    return found


def _params(blob: Path | None) -> dict[str, object]:
    try:
        params = json.loads(_text(blob) or "{}")
    except (ValueError, RecursionError):
        return {}
    return params if isinstance(params, dict) else {}


def _text(blob: Path | None) -> str:
    """Empty where there is none, or none that can be read."""
    try:
        return "" if blob is None else read_text(blob, most=_MAX_BLOB)
    except BadCheckpoint:
        return ""
