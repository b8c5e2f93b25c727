"""HTTP connections that go only where they may, and end when they must.

No environment variable is read: HTTP_PROXY and the like are ignored, a proxy is an explicit
setting. It is used for public hosts and for names that only the proxy can resolve. Then the proxy
opens the connection, so an address cannot be pinned, and the proxy's own rules must keep it away
from private addresses. Private hosts that are allowed are always asked directly.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import httpcore2
import httpx2

from backend.labelstudio import deadline
from backend.labelstudio.addresses import AddressGuard
from backend.labelstudio.fetch_limits import DEFAULT_LIMITS, FetchLimits
from backend.runtime.errors import FetchError, SettingsError

_MAX_CONNECTIONS = 64
_KEEPALIVE_S = 5.0

_sending: ContextVar[bool] = ContextVar("sending", default=False)
_AddressesOf = Callable[[str, int, float | None], list[str]]


class GuardedTransport(httpx2.BaseTransport):
    """An httpx2 transport; many threads may use one.

    Every error is a FetchError whose message says the reason and the remedy, not the address.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        tls: ssl.SSLContext,
        proxy: str | None = None,
        limits: FetchLimits = DEFAULT_LIMITS,
    ) -> None:
        """`tls` as from `tls_context`; raises SettingsError for a proxy that is not understood."""
        _keep_secrets_out_of_logs()
        self._guard = guard
        self._limits = limits
        self._direct = httpcore2.ConnectionPool(
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_S,
            network_backend=_Backend(guard.addresses),
        )
        self._proxied = _proxy_pool(proxy, tls) if proxy else None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        sending = _sending.set(True)
        try:
            with _explained(self._limits):
                answer = self._send(request)
        finally:
            _sending.reset(sending)
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, self._limits),
            extensions=answer.extensions,
        )

    def _send(self, request: httpx2.Request) -> httpcore2.Response:
        url = request.url
        default_port = 443 if url.scheme == "https" else 80
        host, port = url.raw_host.decode("ascii"), url.port or default_port
        connect_s, read_s = self._limits.connect_timeout_s, self._limits.read_timeout_s
        pool: httpcore2.ConnectionPool = self._direct
        if self._proxied and self._guard.is_for_proxy(host, port, connect_s):
            pool = self._proxied
        timeouts = {
            "connect": connect_s,
            "read": read_s,
            "write": read_s,
            "pool": deadline.wait_s(read_s),
        }
        sent = httpcore2.Request(
            request.method,
            httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.read(),
            extensions={"timeout": timeouts},
        )
        try:
            return pool.handle_request(sent)
        except httpcore2.RemoteProtocolError:
            if request.method != "GET":
                raise
            # A server may close an idle connection just when we use it again.
            return pool.handle_request(sent)

    def close(self) -> None:
        self._direct.close()
        if self._proxied:
            self._proxied.close()


@cache
def tls_context(ca_bundle: Path | None = None) -> ssl.SSLContext:
    """Trust the system's certificates, certifi's, and those of `ca_bundle` (PEM) besides.

    Read once a process, since it takes a while; the context is shared and not to be changed.
    Raises SettingsError if the file cannot be used.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"the CA bundle {ca_bundle} cannot be read ({error}): set LABELVINO_CA_BUNDLE to "
                "a file with certificates in PEM form."
            ) from error
    return context


def _proxy_pool(proxy: str, tls: ssl.SSLContext) -> httpcore2.HTTPProxy:
    # The text may hold a password: no message shows it.
    try:
        settings = httpx2.Proxy(proxy)
    except (ValueError, httpx2.InvalidURL):
        raise SettingsError(
            "the proxy is not understood: set LABELVINO_PROXY to http://host:port."
        ) from None
    if settings.url.scheme not in ("http", "https") or not settings.url.host:
        raise SettingsError("the proxy must be an http or https address: check LABELVINO_PROXY.")
    return httpcore2.HTTPProxy(
        proxy_url=httpcore2.URL(str(settings.url)),
        proxy_auth=settings.raw_auth,
        proxy_ssl_context=tls if settings.url.scheme == "https" else None,
        ssl_context=tls,
        max_connections=_MAX_CONNECTIONS,
        keepalive_expiry=_KEEPALIVE_S,
        network_backend=_Backend(lambda host, _port, _timeout_s: [host]),
    )


class _Backend(httpcore2.NetworkBackend):
    """Connects to the addresses that `addresses_of` gives, and to nothing else.

    Host header and TLS name stay those of the URL, since httpcore2 takes them from there.
    """

    def __init__(self, addresses_of: _AddressesOf) -> None:
        self._addresses_of = addresses_of
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception | None = None
        for address in self._addresses_of(host, port, timeout):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, deadline.wait_s(timeout), local_address, socket_options
                )
                return _Stream(stream)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")


class _Stream(httpcore2.NetworkStream):
    """A socket whose every wait ends with the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, deadline.wait_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, deadline.wait_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        wait_s = deadline.wait_s(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, wait_s))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Body(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response, limits: FetchLimits) -> None:
        self._answer = answer
        self._limits = limits

    def __iter__(self) -> Iterator[bytes]:
        with _explained(self._limits):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _explained(limits: FetchLimits) -> Iterator[None]:
    """The one place where errors of the network become ours."""
    try:
        yield
    except httpcore2.ProxyError as error:
        raise FetchError(f"the proxy refused ({error}): check LABELVINO_PROXY.") from error
    except (httpcore2.TimeoutException, TimeoutError) as error:
        raise FetchError(
            f"no complete answer in time (connect {limits.connect_timeout_s:g} s, silence "
            f"{limits.read_timeout_s:g} s, in all {limits.total_timeout_s:g} s or the request's "
            "own budget): check that the server is up and fast enough, or raise "
            "LABELVINO_FETCH_TIMEOUT.",
            passing=True,
        ) from error
    except (
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        raise FetchError(_network_reason(error), passing=True) from error


def _network_reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted ({cause.verify_message}): set "
            "LABELVINO_CA_BUNDLE to your company's CA certificates."
        )
    if cause is not None:
        return f"TLS failed ({cause}): check whether the server speaks https on this port."
    if isinstance(error, httpcore2.ConnectError):
        return f"no connection ({error}): check the host and port, and that the server is up."
    return f"the connection broke off ({error}): try again, or check the server's log."


def _no_secrets(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or not _sending.get()


def _keep_secrets_out_of_logs() -> None:
    """At DEBUG httpcore2 logs answers with their headers, presigned addresses among them.

    Only records of our own requests are dropped.
    """
    for part in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"httpcore2.{part}").addFilter(_no_secrets)
