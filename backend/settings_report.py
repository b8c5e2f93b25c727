"""The settings in effect, as `labelvino serve --print-settings` shows them."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import SecretStr

from backend.labelstudio.shown_url import shown_url
from backend.settings import Settings
from backend.settings_sources import carries_secret

_MASK = "***"


def settings_toml(settings: Settings) -> str:
    """A settings file with where each value came from; what is masked or not set is a comment."""
    lines = [
        "# The settings in effect and where each comes from.",
        "# Lines that begin with # are not set, or hold a secret, which is masked.",
    ]
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None:
            lines.append(f"# {name} is not set")
            continue
        hidden = "# " if carries_secret(value) else ""
        lines.append(f"{hidden}{name} = {_toml(value)}  # {_one_line(settings.origin(name))}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, SecretStr):
        return _text(_MASK)
    if isinstance(value, str):
        return _text(shown_url(value) if carries_secret(value) else value)
    if isinstance(value, Path):
        return _text(str(value))
    return json.dumps(value) if isinstance(value, bool) else repr(value)


def _text(value: str) -> str:
    """TOML's basic strings escape as JSON's do, and the delete character besides."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """A comment may hold no control character."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
