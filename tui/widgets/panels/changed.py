"""What a panel says when a person has moved a setting in it. Must not know who listens."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from core.setting_spec import Value


@dataclass
class SettingChanged(Message):
    """A person wants a setting, by its name in `Settings`, to have this value, which is in its range."""

    name: str
    value: Value
