"""Where settings come from, by pydantic-settings' own sources: the environment and a TOML file."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, TomlConfigSettingsSource

from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import SettingsError

Names = Mapping[str, tuple[str, ...]]


def environment_values(kind: type[BaseSettings], names: Names) -> dict[str, tuple[str, Any]]:
    """By field name: the variable that counts, and its value."""
    fields = {variable: field for field, variables in names.items() for variable in variables}
    source = EnvSettingsSource(kind)
    found = {}
    for key, value in source().items():
        field = fields[key]
        variable = next(v for v in names[field] if v.lower() in source.env_vars)
        found[field] = (variable, value)
    return found


def file_values(kind: type[BaseSettings], names: Names, path: Path) -> dict[str, Any]:
    """By field name: the values of a settings file.

    Raises SettingsError for a file that cannot be read, and for a key that is no field.
    """
    if not path.is_file():
        raise SettingsError(f"there is no settings file {path}.")
    try:
        values = TomlConfigSettingsSource(kind, path).toml_data
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error}.") from error
    for key in values:
        if key not in names:
            raise SettingsError(
                f"the settings file {path} has a key '{key}', which is no setting: "
                f"did you mean '{_nearest(key, names)}'?"
            )
    return values


def carries_secret(value: object) -> bool:
    """Whether a setting is a secret, or an address with a password or a key in it."""
    if isinstance(value, str):
        return "://" in value and shown_url(value) != value
    return isinstance(value, SecretStr)


def readable_by_others(path: Path) -> bool:
    """Whether any user of this machine may read the file."""
    return bool(path.stat().st_mode & stat.S_IROTH)


def _nearest(key: str, names: Names) -> str:
    """The field whose own name, or variable, is most like `key`."""
    known = {variable.lower(): field for field, all_ in names.items() for variable in all_}
    known |= {field: field for field in names}
    return known[get_close_matches(key.lower(), known, n=1, cutoff=0.0)[0]]
