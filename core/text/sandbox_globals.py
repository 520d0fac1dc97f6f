"""Python's `dict` and Jinja's `namespace` as a stranger's template gets them, with no way to what is behind them.

Knows no budget and no template.
"""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace


class SafeDict:
    """`dict` without the class behind it, through whose methods anything could be changed."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        return dict(*values, **named)

    def fromkeys(self, *values: Any) -> dict[Any, Any]:
        return dict.fromkeys(*values)


class SafeNamespace(Namespace):
    """Variables of a template that outlive a block. It has no names of Python's own and does not say what it holds."""

    def __init__(*args: Any, **named: Any) -> None:  # so that a variable may be called "self"
        self, values = args[0], dict(*args[1:], **named)
        Namespace.__init__(self, {})
        for name, value in values.items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace has no variable {name!r}")
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"
