"""Further names of the configured Label Studio.

People reach it at http://localhost:8080, and so tasks say; the backend in its container reaches the
same one at http://label-studio:8080.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import httpx2

from backend.labelstudio.client import LabelStudioClient, parsed_url
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import FetchError, SettingsError

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Alias:
    """One further name; `schemes` and `prefix` (of the path) limit what it means."""

    schemes: frozenset[str]
    host: bytes
    port: int | None  # None: the default one of the scheme
    prefix: str

    @classmethod
    def parse(cls, entry: str) -> Alias:
        """Read `host`, `host:port` or `http(s)://host[:port][/prefix]`. Raises SettingsError."""
        has_scheme = "://" in entry
        try:
            url = parsed_url(entry if has_scheme else f"http://{entry}")
        except FetchError as error:
            raise _unusable(entry) from error
        prefix = url.path.rstrip("/")
        is_odd = any(c.isspace() for c in entry) or (prefix and not has_scheme)
        if is_odd or url.query or url.fragment:
            raise _unusable(entry)
        schemes = frozenset([url.scheme] if has_scheme else _DEFAULT_PORTS)
        return cls(schemes, url.raw_host.lower(), url.port, prefix)

    def path_of(self, url: httpx2.URL) -> str | None:
        """Path and query at Label Studio; None for an address that does not bear this name."""
        if url.scheme not in self.schemes or url.raw_host.lower() != self.host:
            return None
        default = _DEFAULT_PORTS[url.scheme]
        if (url.port or default) != (self.port or default):
            return None
        path = url.raw_path.decode("ascii")
        if not self.prefix:
            return path
        rest = path.removeprefix(self.prefix)
        return rest if rest != path and rest.startswith(("/", "?")) else None


class LabelStudioNames:
    """Turns addresses at further names into those at the configured Label Studio."""

    def __init__(self, label_studio: LabelStudioClient | None, aliases: Iterable[str]) -> None:
        """Raises SettingsError for what is no name, or where no Label Studio is configured."""
        self._label_studio = label_studio
        self._aliases = tuple(Alias.parse(entry) for entry in aliases)
        if self._aliases and label_studio is None:
            raise SettingsError(
                "LABELVINO_LABEL_STUDIO_ALIASES are further names of LABEL_STUDIO_URL: set that "
                "too."
            )

    def at_home(self, url: httpx2.URL) -> httpx2.URL:
        """`url`, at LABEL_STUDIO_URL where it bears one of the names. Raises FetchError."""
        if self._label_studio is None or self._label_studio.owns(url):
            return url
        for alias in self._aliases:
            path = alias.path_of(url)
            if path is not None:
                return self._label_studio.url_for(path)
        return url


def _unusable(entry: str) -> SettingsError:
    return SettingsError(
        f"LABELVINO_LABEL_STUDIO_ALIASES: '{shown_url(entry)}' is not understood: use host, "
        "host:port or http(s)://host[:port][/prefix]."
    )
