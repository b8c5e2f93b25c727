"""How much and how long a fetch may take."""

from __future__ import annotations

from dataclasses import dataclass

from backend.runtime.errors import SettingsError
from backend.runtime.image import ImageLimits


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one image's fetch. Raises SettingsError for bounds that nothing could keep.

    max_bytes          of the image, after unpacking
    connect_timeout_s  for the name server, for each address that is tried, and for TLS
    read_timeout_s     the longest silence of a server
    total_timeout_s    from the call to the last byte, redirects and token refresh included
    max_redirects      0: follow none
    """

    max_bytes: int = ImageLimits.max_bytes
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0
    total_timeout_s: float = 30.0
    max_redirects: int = 5

    def __post_init__(self) -> None:
        for name in ("max_bytes", "connect_timeout_s", "read_timeout_s", "total_timeout_s"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0, but is {getattr(self, name)}.")
        if self.max_redirects < 0:
            raise SettingsError(f"max_redirects must not be negative: {self.max_redirects}.")


DEFAULT_LIMITS = FetchLimits()
