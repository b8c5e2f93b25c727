"""Label Studio's HTTP API, as far as labelvino needs it.

The token can only go to the configured Label Studio: the client refuses every other address,
follows no redirect, and keeps no cookies.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import httpx2
import orjson

from backend.labelstudio.addresses import AddressGuard, AllowedHosts, Resolver, system_resolver
from backend.labelstudio.fetch_limits import DEFAULT_LIMITS, FetchLimits
from backend.labelstudio.shown_url import shown_url
from backend.labelstudio.tokens import LegacyToken, read_token
from backend.labelstudio.transport import GuardedTransport, tls_context
from backend.runtime.errors import FetchError, SettingsError

# "identity": sizes on the wire are then sizes in memory. Any type, since Django REST framework
# answers 406 to a client that asks for images only.
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "labelvino"}
_MAX_REFRESH_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Files:
    """A body of files; `parts`: name and bytes of each."""

    parts: Sequence[tuple[str, bytes]]


class LabelStudioClient:
    """One Label Studio and one token; many threads may use it. Close it, or use it in `with`."""

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        ca_bundle: Path | None = None,
        proxy: str | None = None,
        limits: FetchLimits = DEFAULT_LIMITS,
        resolver: Resolver = system_resolver,
    ) -> None:
        """`base_url` may have a path prefix; the host may be private. `token`: either kind.

        Of `limits` only the timeouts count here. Raises SettingsError for values that cannot work.
        """
        self._base = _base_url(base_url)
        self._prefix = self._base.path.rstrip("/")
        self._token = read_token(token, self._exchange) if token else None
        self._transport = GuardedTransport(
            AddressGuard(AllowedHosts().plus(*self.host_and_port), resolver),
            tls=tls_context(ca_bundle),
            proxy=proxy,
            limits=limits,
        )

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Of the configured Label Studio, as in the Host header."""
        default = 443 if self._base.scheme == "https" else 80
        return self._base.raw_host.decode("ascii"), self._base.port or default

    @property
    def has_token(self) -> bool:
        return self._token is not None

    @property
    def token_kind(self) -> str:
        """In words: "Personal Access Token", "legacy token" or "no token"."""
        if self._token is None:
            return "no token"
        is_legacy = isinstance(self._token, LegacyToken)
        return "legacy token" if is_legacy else "Personal Access Token"

    @property
    def shown_address(self) -> str:
        """Of the configured Label Studio, as messages may show it."""
        return shown_url(str(self._base)).rstrip("/")

    def api_url(self, path: str, **query: str | int) -> httpx2.URL:
        """`path` below the prefix, such as "api/projects/", with its query."""
        return self.url_for(f"{self._prefix}/{path}").copy_merge_params(query)

    def owns(self, url: httpx2.URL) -> bool:
        """True for addresses of the configured Label Studio: same origin, below its prefix."""
        base = self._base
        if (url.scheme, url.raw_host, url.port) != (base.scheme, base.raw_host, base.port):
            return False
        # A proxy in front may read %2e%2e as "..", and lead the token to a neighbour.
        path = posixpath.normpath(unquote(url.path))
        return path == self._prefix or path.startswith(f"{self._prefix}/")

    def has_prefix(self, address: str) -> bool:
        """True for a relative address that already has the path prefix, where there is one."""
        return self._prefix != "" and address.startswith(f"{self._prefix}/")

    def url_for(self, address: str) -> httpx2.URL:
        """A relative address (path and query) at the configured Label Studio.

        Label Studio writes some addresses with its prefix and some without; both are understood.
        Raises FetchError for what is no address.
        """
        path = address if address.startswith("/") else f"/{address}"
        prefix = "" if self.has_prefix(path) else self._prefix
        origin = str(self._base.copy_with(raw_path=b"/")).rstrip("/")
        return parsed_url(origin + prefix + path)

    def presign_url(self, uri: str, task_id: int) -> httpx2.URL:
        """Where Label Studio resolves a cloud address (`s3://...`) of a task.

        It answers with 303 to a presigned address, or with the bytes
        (label_studio/io_storages/proxy_api.py: base64 with the URL-safe alphabet).
        """
        encoded = base64.urlsafe_b64encode(uri.encode()).decode()
        return self.url_for(f"{self._prefix}/tasks/{task_id}/presign/?fileuri={encoded}")

    def get(self, url: httpx2.URL) -> AbstractContextManager[httpx2.Response]:
        """One GET with the token; see `request`."""
        return self.request("GET", url)

    @contextmanager
    def request(
        self, method: str, url: httpx2.URL, body: object = None
    ) -> Iterator[httpx2.Response]:
        """One request with the token; the answer is to be streamed within the block.

        `body`: sent as JSON, or `Files` as a form; None sends nothing. After 401 a Personal Access
        Token is refreshed once. Redirects are not followed. Raises FetchError, without the address;
        ValueError for an address that is not Label Studio's.
        """
        if not self.owns(url):
            raise ValueError(f"{shown_url(str(url))} is not an address of {self!r}")
        response = self._authorized(method, url, body)
        try:
            yield response
        finally:
            response.close()

    def _authorized(self, method: str, url: httpx2.URL, body: object) -> httpx2.Response:
        token = self._token
        if token is None:
            return self._send(method, url, body, HEADERS)
        try:
            authorization = token.authorization()
            response = self._send_as(authorization, method, url, body)
            if response.status_code == 401 and token.renew(authorization):
                response.close()
                response = self._send_as(token.authorization(), method, url, body)
        except TimeoutError as error:
            raise FetchError(
                "the Label Studio token was not refreshed in time: check that Label Studio answers."
            ) from error
        return response

    def _send_as(
        self, authorization: str, method: str, url: httpx2.URL, body: object
    ) -> httpx2.Response:
        return self._send(method, url, body, {**HEADERS, "Authorization": authorization})

    def _send(
        self, method: str, url: httpx2.URL, body: object, headers: dict[str, str]
    ) -> httpx2.Response:
        if isinstance(body, Files):
            # A field each: of several files in one field Label Studio keeps the last.
            fields = {str(number): part for number, part in enumerate(body.parts)}
            request = httpx2.Request(method, url, headers=headers, files=fields)
        elif body is not None:
            headers = {**headers, "Content-Type": "application/json"}
            request = httpx2.Request(method, url, headers=headers, content=orjson.dumps(body))
        else:
            request = httpx2.Request(method, url, headers=headers)
        return self._transport.handle_request(request)

    def _exchange(self, secret: str) -> str:
        """Personal access token -> access token."""
        url = self.url_for(f"{self._prefix}/api/token/refresh/")
        request = httpx2.Request("POST", url, headers=HEADERS, json={"refresh": secret})
        response = self._transport.handle_request(request)
        try:
            if response.status_code in (400, 401, 403):
                raise FetchError(
                    "Label Studio does not accept the Personal Access Token (HTTP "
                    f"{response.status_code}): it may be expired, revoked or of another server; "
                    "make a new one and set LABEL_STUDIO_API_KEY."
                )
            access = _access_of(response)
        finally:
            response.close()
        if access is None:
            raise FetchError(
                f"the token refresh at {shown_url(str(url))} gave no access token (HTTP "
                f"{response.status_code}): check that LABEL_STUDIO_URL is the address of a Label "
                "Studio, with its path prefix and https where it has them."
            )
        return access

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LabelStudioClient({str(self._base)!r}, {self._token!r})"


def parsed_url(text: str) -> httpx2.URL:
    """An http(s) address, percent-encoded where it must be.

    Raises FetchError, without the text: what is damaged may hold a password in any place.
    """
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, UnicodeError):
        raise FetchError("the address is damaged: correct it in the task's data.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise FetchError("the address is neither http nor https, or has no host.")
    if url.port is not None and not 0 < url.port < 65536:
        raise FetchError("the address is damaged (port): correct it in the task's data.")
    if url.userinfo:
        raise FetchError(
            "addresses with a user name or password are not fetched: give the image a presigned "
            "address, or upload it to Label Studio."
        )
    return url


def _base_url(text: str) -> httpx2.URL:
    try:
        url = parsed_url(text.strip())
    except FetchError as error:
        raise SettingsError(
            f"LABEL_STUDIO_URL cannot be used ({shown_url(text)}): set it to "
            "http(s)://host[:port][/prefix], without user name and password."
        ) from error
    return url.copy_with(query=None, fragment=None)


def _access_of(response: httpx2.Response) -> str | None:
    """The access token of a refresh answer; None where there is none."""
    if response.status_code != 200:
        return None
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MAX_REFRESH_ANSWER_BYTES:
            return None
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    access = answer.get("access") if isinstance(answer, dict) else None
    usable = isinstance(access, str) and access and all("!" <= c <= "~" for c in access)
    return access if usable else None
