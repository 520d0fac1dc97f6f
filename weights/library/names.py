"""What the models on this machine are called, and which of them a name means. Must not look into a model."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import ModelNotFound
from weights.gguf.names import quantization_in
from weights.library import paths, scan
from weights.library.packages import packaged_models
from weights.library.scan import FoundModel
from weights.library.suggestions import SUGGESTIONS, Package
from weights.untrusted.checked_json import show

BUNDLED = Path(__file__).resolve().parents[1] / "bundled"
_SHIPPED = dict(zip(scan.SHIPPED_NAMES, (BUNDLED, BUNDLED / "textbook"), strict=True))


def find(name: str | os.PathLike[str]) -> Path:
    """The directory or GGUF file of a model.

    Args:
        name: "bundled", "textbook", a name in the listing (its part before the colon is enough where only one model
            has it, a quantization after the colon will do), or a path.

    Raises:
        ModelNotFound: there is none, or more than one.
    """
    text = os.fspath(name)
    path = os.path.expanduser(text)
    if text in _SHIPPED:
        return _SHIPPED[text]
    if text and os.path.exists(path):  # a file is explained by whoever opens it
        # A link stays one: in a cache a file is one, and the rest of a split model lies beside it.
        return _only_one_in(Path(os.path.abspath(path)))
    named = _named(text)
    if len(named) == 1:
        return named[0].path
    if named:
        several = ", ".join(model.name for model in named[:8])
        raise ModelNotFound(f"There are {len(named)} models that {show(text)} could be.", f"Choose one of {several}.")
    raise ModelNotFound(f"There is no model {show(text)}.", _suggestion(text))


def shipped() -> list[FoundModel]:
    """The models that came with Logitscope, as far as they are there."""
    there = [(name, path) for name, path in _SHIPPED.items() if (path / "config.json").is_file()]
    return [FoundModel(name=name, path=path, source="shipped", licence="MIT") for name, path in there]


def installed_package() -> Package | None:
    """The suggested package with a model in it, if it is installed here."""
    here = {model.name for model in packaged_models(paths.package_folders())}
    return next((one.package for one in SUGGESTIONS if one.package is not None and one.package.name in here), None)


def is_shipped(path: Path) -> bool:
    """Whether it came with Logitscope."""
    return path in _SHIPPED.values()


def title(path: Path) -> str:
    """What to call the model at a path."""
    shipped_names = {path: name for name, path in _SHIPPED.items()}
    if path in shipped_names:
        return shipped_names[path]
    if (cached := scan.cached_title(path)) is not None:
        return cached
    names = (model.name for model in scan.found_models() if model.path == path and model.source != "folder")
    return next(names, None) or path.name or str(path)


def _only_one_in(path: Path) -> Path:
    """A path as it is, but for a folder that is no checkpoint and holds others: the one, or which there are."""
    if not path.is_dir() or (path / "config.json").is_file():
        return path
    inside = list(scan.models_in(path))
    if len(inside) > 1:
        several = ", ".join(str(model) for model in inside[:8])
        raise ModelNotFound(f"{path} holds {len(inside)} models.", f"Choose one of {several}.")
    return inside[0] if inside else path


def _named(text: str) -> list[FoundModel]:
    """The models of a name: exactly, in any case of letters, by the part before the colon, by the quantization."""
    models = list(scan.found_models())
    low = text.lower()
    repo, _, tag = low.partition(":")

    def has_tag(model: FoundModel) -> bool:
        return model.name.lower().startswith(f"{repo}:") and (quantization_in(model.name) or "").lower() == tag

    return (
        [model for model in models if model.name == text]
        or [model for model in models if model.name.lower() in (low, f"{low}:latest")]  # as Ollama reads it
        or [model for model in models if model.name.lower().startswith(f"{low}:")]
        or [model for model in models if tag and has_tag(model)]
    )


def _suggestion(text: str) -> str:
    import difflib  # only a wrong name needs it, and the first frame is to come soon

    names = [model.name for model in (*shipped(), *scan.found_models())]
    close = difflib.get_close_matches(text.lower(), names, cutoff=0.5)
    ends = [name for name in names if name.lower().endswith("/" + text.lower())]
    if ends or close:
        return f"Did you mean {' or '.join(dict.fromkeys(ends + close))}?"
    known = f"Here there are {', '.join(names[:20])}; or give" if names else "Give"
    return f"{known} the directory of a checkpoint, or a GGUF file."
