"""The models that `fetch` knows by name: our models.toml, and files of the user's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import new as new_hash
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from backend.runtime.errors import SettingsError

OWN_REGISTRY = Path(__file__).with_name("models.toml")
Algorithm = Literal["md5", "sha256", "sha384", "sha512"]
_HEX_DIGITS: dict[str, int] = {
    name: new_hash(name, usedforsecurity=False).digest_size * 2 for name in get_args(Algorithm)
}
_MODEL_TEXTS = ("group", "about", "page", "license", "gives", "labels")
_MODEL_KEYS = frozenset({*_MODEL_TEXTS, "convert", "files"})
_GROUP_KEYS = frozenset(_MODEL_TEXTS) - {"group"}
_FILE_KEYS = frozenset({"path", "url", "size", "digest", "unpack_to"})


@dataclass(frozen=True)
class Digest:
    """What a publisher states: `hex_digits` may be only the first digits of the whole digest."""

    algorithm: str
    hex_digits: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """`sha256:0123...`. Raises ValueError."""
        algorithm, _, digits = text.partition(":")
        length = _HEX_DIGITS.get(algorithm, 0)
        if not re.fullmatch(r"[0-9a-f]{6,}", digits) or len(digits) > length:
            names = ", ".join(_HEX_DIGITS)
            raise ValueError(
                f"has the digest '{text}', which must be ALGORITHM:HEX with one of {names} and at "
                "least 6 small hexadecimal digits"
            )
        return cls(algorithm, digits)

    @property
    def is_whole(self) -> bool:
        return len(self.hex_digits) == _HEX_DIGITS[self.algorithm]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex_digits}{'' if self.is_whole else '...'}"


@dataclass(frozen=True)
class RemoteFile:
    """`path`: relative to the model's folder; `size`, `digest`: None where nobody states them.

    `unpack_to`: the folder, relative too, into which an archive is unpacked, or None.
    """

    path: str
    url: str
    size: int | None = None
    digest: Digest | None = None
    unpack_to: str | None = None


@dataclass(frozen=True)
class ModelEntry:
    """`convert`: arguments of `labelvino-model convert`, with {folder} for the model's folder."""

    name: str
    files: tuple[RemoteFile, ...]
    about: str = ""
    page: str = ""
    license: str = ""
    gives: str = ""
    labels: str = ""
    convert: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """All bytes to download, or None where one file's size is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def resize(self) -> str:
        """How an image becomes the input, where `convert` says it; '' where the model does."""
        given = dict(zip(self.convert, self.convert[1:], strict=False))
        return given.get("--resize", "")


def read_registry(files: Iterable[Path] = ()) -> dict[str, ModelEntry]:
    """Our own models, then those of `files`; a later file replaces what an earlier one names.

    Raises SettingsError for a file that cannot be read or is not understood.
    """
    models: dict[str, ModelEntry] = {}
    groups: dict[str, Mapping[str, Any]] = {}
    for path in (OWN_REGISTRY, *files):
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            _only(content, {"groups", "models"}, "the file")
            for name, group in _tables(content, "groups"):
                _only(group, _GROUP_KEYS, f"the group '{name}'")
                groups[name] = group
            for name, model in _tables(content, "models"):
                models[name] = _model(name, model, groups)
        except OSError as error:
            raise SettingsError(
                f"the model registry {path} cannot be read: {error.strerror}."
            ) from error
        except ValueError as error:  # TOML's own too, and bytes that are no UTF-8
            raise SettingsError(f"the model registry {path}: {error}.") from error
    return models


def entry_named(name: str, models: Mapping[str, ModelEntry]) -> ModelEntry:
    """Raises SettingsError for a name that is not there, with those that look like it."""
    if name in models:
        return models[name]
    last = {each.rpartition("/")[2].lower(): each for each in models}
    near = [last[each] for each in get_close_matches(name.rpartition("/")[2].lower(), last, 3)]
    meant = f", or did you mean {' or '.join(near)}?" if near else "."
    raise SettingsError(f"there is no model '{name}': see `labelvino-model list`{meant}")


def _tables(content: dict[str, Any], key: str) -> Iterable[tuple[str, dict[str, Any]]]:
    tables = content.get(key, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise ValueError(f"'{key}' must hold tables, [{key}.NAME]")
    return tables.items()


def _model(name: str, table: dict[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> ModelEntry:
    what = f"the model '{name}'"
    _only(table, _MODEL_KEYS, what)
    group = _text(table, "group", what)
    if group and group not in groups:
        raise ValueError(f"{what} is of the group '{group}', which is not there")
    texts = {key: _text({**groups.get(group, {}), **table}, key, what) for key in _GROUP_KEYS}
    convert, files = table.get("convert", []), table.get("files", [])
    if not isinstance(convert, list) or not all(isinstance(part, str) for part in convert):
        raise ValueError(f"{what} has a 'convert' that is no list of texts")
    if not isinstance(files, list) or not files or not all(isinstance(f, dict) for f in files):
        raise ValueError(f"{what} has no files: write [[models.NAME.files]]")
    parsed = tuple(_file(file, what) for file in files)
    places = [place for file in parsed for place in {file.path, file.unpack_to or file.path}]
    if twice := sorted({place for place in places if places.count(place) > 1}):
        raise ValueError(f"{what} has two files with the path '{twice[0]}'")
    return ModelEntry(
        name=name,
        files=parsed,
        convert=tuple(convert),
        **texts,
    )


def _file(table: dict[str, Any], what: str) -> RemoteFile:
    _only(table, _FILE_KEYS, f"a file of {what}")
    path, url = _text(table, "path", what), _text(table, "url", what)
    unpack_to = _text(table, "unpack_to", what) or None
    for name in (path, unpack_to or path):
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\\" in name:
            raise ValueError(f"{what} has a file with the path '{name}', which is no relative path")
    if not re.match(r"https?://[^/\s]+", url):
        raise ValueError(f"{what} has a file with the address '{url}', which is no http(s) address")
    size = table.get("size")
    if size is not None and (type(size) is not int or size < 1):
        raise ValueError(f"{what} has a file with the size {size!r}, which is no number of bytes")
    digest = _text(table, "digest", what)
    try:
        parsed = Digest.parse(digest) if digest else None
    except ValueError as error:
        raise ValueError(f"{what} {error}") from error
    return RemoteFile(path, url, size, parsed, unpack_to)


def _text(table: Mapping[str, Any], key: str, what: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{what} has a '{key}' that is no text")  # noqa: TRY004
    return value


def _only(table: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(
            f"{what} has the key '{unknown[0]}', which is not known: use {', '.join(sorted(known))}"
        )
