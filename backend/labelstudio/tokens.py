"""Label Studio's two kinds of API token, recognised by their form.

- A Personal Access Token is a JWT (RFC 7519) that is exchanged for an access token of 300 s.
- A legacy token is an opaque word (40 hexadecimal digits).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from backend.labelstudio.deadline import wait_s
from backend.runtime.errors import SettingsError

DEFAULT_LIFE_S = 300.0
# An access token is renewed after this share of its life, so that none dies under way.
_USED_SHARE = 0.8

Exchange = Callable[[str], str]
"""Personal access token -> access token."""


class LegacyToken:
    """Sent as it is."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def authorization(self) -> str:
        """Value of the Authorization header."""
        return f"Token {self._secret}"

    def renew(self, refused: str) -> bool:
        """Always False: there is nothing newer than the `refused` header."""
        del refused
        return False

    def __repr__(self) -> str:
        return "LegacyToken(***)"


class PersonalAccessToken:
    """Exchanged for an access token, early and by one thread at a time; the others wait."""

    def __init__(
        self, secret: str, exchange: Exchange, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._secret = secret
        self._exchange = exchange
        self._clock = clock
        self._lock = threading.Lock()
        self._access: str | None = None
        self._renew_at_s = 0.0

    def authorization(self) -> str:
        """Value of the Authorization header; may ask Label Studio, and raises as `exchange` does.

        Raises TimeoutError if the time is over while another thread asks.
        """
        self._acquire()
        try:
            if self._access is None or self._clock() >= self._renew_at_s:
                asked_at_s = self._clock()
                self._access = self._exchange(self._secret)
                self._renew_at_s = asked_at_s + _USED_SHARE * _life_s(self._access)
            return f"Bearer {self._access}"
        finally:
            self._lock.release()

    def renew(self, refused: str) -> bool:
        """Forget the access token of the `refused` header; True: the next may do better."""
        self._acquire()
        try:
            # Another thread may have renewed it meanwhile.
            if refused == f"Bearer {self._access}":
                self._access = None
            return True
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        left_s = wait_s(None)
        if not self._lock.acquire(timeout=-1 if left_s is None else left_s):
            raise TimeoutError("another thread's token refresh did not end in time")

    def __repr__(self) -> str:
        return "PersonalAccessToken(***)"


def read_token(text: str, exchange: Exchange) -> LegacyToken | PersonalAccessToken:
    """Tell the kind of a token, white space around it ignored.

    Raises SettingsError, without the token, for one that can not work.
    """
    secret = text.strip()
    if not secret or not all("!" <= c <= "~" for c in secret):
        raise SettingsError(
            "the Label Studio token is empty or has a space or a strange character in it: set "
            "LABEL_STUDIO_API_KEY to the bare token, without 'Token' or 'Bearer'."
        )
    parts = secret.split(".")
    if "alg" not in _json_part(parts[0]):
        return LegacyToken(secret)
    if len(parts) != 3:
        raise SettingsError(
            "the Label Studio token is cut off: copy the whole Personal Access Token, as it is "
            "shown once when it is made, into LABEL_STUDIO_API_KEY."
        )
    if _json_part(parts[1]).get("token_type") == "access":
        raise SettingsError(
            "the Label Studio token is an access token, which dies after minutes: set "
            "LABEL_STUDIO_API_KEY to the Personal Access Token."
        )
    return PersonalAccessToken(secret, exchange)


def _json_part(part: str) -> dict[str, Any]:
    """One part of a JWT; empty for what is none."""
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _life_s(access: str) -> float:
    """From the token's own times, whose difference holds whatever our clock says."""
    claims = _json_part(access.split(".")[1]) if access.count(".") == 2 else {}
    issued, expires = claims.get("iat"), claims.get("exp")
    if isinstance(issued, int | float) and isinstance(expires, int | float) and expires > issued:
        return float(expires - issued)
    return DEFAULT_LIFE_S
