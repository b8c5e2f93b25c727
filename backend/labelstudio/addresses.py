"""Which hosts may be asked: public ones, and those that the operator allows.

A task's image address is foreign input. Without this check it could make the backend read
services of the private network (server-side request forgery).
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import httpx2

from backend.labelstudio.deadline import wait_s
from backend.runtime.errors import FetchError, SettingsError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], list[str]]
"""(host, port) -> IP addresses as text; raises OSError for a host that is not known."""

# IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the operating system, as every other program does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: IpAddress) -> bool:
    """True for an address of the open internet, also where IPv6 wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        # 6to4 could lead to any IPv4 address, and nobody serves images there.
        if address not in _GLOBAL_UNICAST or address.sixtofour is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts that may be asked although they are private; a port of None means every port."""

    names: frozenset[tuple[str, int | None]] = frozenset()
    networks: frozenset[tuple[IpNetwork, int | None]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> AllowedHosts:
        """Read `host`, `host:port`, `10.1.2.3`, `10.1.2.3:9000`, `10.0.0.0/8`, `[fd00::1]:9000`.

        Raises SettingsError for everything else.
        """
        names: set[tuple[str, int | None]] = set()
        networks: set[tuple[IpNetwork, int | None]] = set()
        for entry in entries:
            host, port = _split(entry.strip())
            try:
                networks.add((ipaddress.ip_network(host, strict=False), port))
            except ValueError:
                names.add((_host_name(host, entry), port))
        return cls(frozenset(names), frozenset(networks))

    def plus(self, host: str, port: int) -> AllowedHosts:
        """These and one more host, as it is spelled in an address."""
        return replace(self, names=self.names | {(host.lower(), port)})

    def allow_name(self, host: str, port: int) -> bool:
        """True where the name itself is allowed, whatever it resolves to."""
        return bool({(host.lower(), port), (host.lower(), None)} & self.names)

    def allow_address(self, address: IpAddress, port: int) -> bool:
        """True where this IP address is allowed."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(
            address.version == network.version and address in network and wanted in (None, port)
            for network, wanted in self.networks
        )


def _split(entry: str) -> tuple[str, int | None]:
    if entry.startswith("[") and "]" in entry:
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    else:
        return entry, None
    if port.isascii() and port.isdigit() and 0 < int(port) < 65536:
        return host, int(port)
    if port == "" and not entry.endswith(":"):
        return host, None
    raise SettingsError(f"allowed host '{entry}' has a port that is not within 1..65535.")


def _host_name(host: str, entry: str) -> str:
    if host and not set(host) & set("/*@?# :"):
        try:
            return httpx2.URL(f"http://{host}").raw_host.decode("ascii")
        except httpx2.InvalidURL:
            pass
    raise SettingsError(
        f"allowed host '{entry}' is not understood: use a host name, host:port, an IP address or "
        "a network such as 10.0.0.0/8."
    )


class AddressGuard:
    """Turns a host into the IP addresses that may be connected to.

    Resolving and checking is one step, and the caller connects to what it gives: so a name that
    resolves to something else a moment later (DNS rebinding) gains nothing. Odd spellings of an
    IP address (decimal, octal, hexadecimal) are checked as what they resolve to.
    """

    def __init__(self, allowed: AllowedHosts, resolver: Resolver = system_resolver) -> None:
        self._allowed = allowed
        self._resolver = resolver

    def addresses(self, host: str, port: int, timeout_s: float | None = None) -> list[str]:
        """IP addresses of `host`, at least one, every one of them allowed.

        Raises FetchError if the host is unknown or any address is neither public nor allowed,
        TimeoutError if the name server is too slow.
        """
        return [str(address) for address in self._checked(host, port, timeout_s)]

    def is_for_proxy(self, host: str, port: int, timeout_s: float | None = None) -> bool:
        """Whether a proxy, if there is one, is to be used: for all but private addresses.

        A name that is not known here is the proxy's to resolve, as is usual behind one. Raises
        as `addresses` does for what may not be asked.
        """
        try:
            return all(is_public(address) for address in self._checked(host, port, timeout_s))
        except _UnknownHostError:
            return True

    def _checked(self, host: str, port: int, timeout_s: float | None) -> list[IpAddress]:
        found = self._resolve(host, port, timeout_s)
        if self._allowed.allow_name(host, port):
            return found
        for address in found:
            if not is_public(address) and not self._allowed.allow_address(address, port):
                is_what = f"{host} is" if str(address) == host else f"{host} resolves to {address},"
                raise FetchError(
                    f"{is_what} not a public address: add '{host}:{port}' to "
                    "LABELVINO_ALLOWED_HOSTS if images may be read from there; if it is your Label "
                    "Studio, set LABEL_STUDIO_URL to it, or add it to "
                    "LABELVINO_LABEL_STUDIO_ALIASES where that is another name of it."
                )
        return found

    def _resolve(self, host: str, port: int, timeout_s: float | None) -> list[IpAddress]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        try:
            found = _within(timeout_s, lambda: self._resolver(host, port))
            addresses = [ipaddress.ip_address(text) for text in found]
        except TimeoutError:
            raise
        except (OSError, UnicodeError, ValueError) as error:
            raise _unknown(host) from error
        if not addresses:
            raise _unknown(host)
        return addresses


class _UnknownHostError(FetchError):
    """A name without an address."""


def _unknown(host: str) -> _UnknownHostError:
    return _UnknownHostError(
        f"the host {host} is not known: check its spelling, and that it can be resolved from "
        "where labelvino runs (inside a container 'localhost' is the container itself); another "
        "name of your Label Studio belongs into LABELVINO_LABEL_STUDIO_ALIASES."
    )


def _within(timeout_s: float | None, resolve: Callable[[], list[str]]) -> list[str]:
    """The system's resolver knows no timeout; so it gets a thread that may be left behind."""
    result: list[list[str]] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            result.append(resolve())
        except Exception as error:  # noqa: BLE001  raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, name="resolve", daemon=True)
    thread.start()
    thread.join(wait_s(timeout_s))
    if failure:
        raise failure[0]
    if not result:
        raise TimeoutError("the name server did not answer in time")
    return result[0]
