"""Addresses on the web: how they are shown, and where a redirect may lead."""

from __future__ import annotations

import ipaddress
import re
import socket

import httpx2

from backend.runtime.errors import FetchError


def shown(url: str | httpx2.URL) -> str:
    """An address without what may be secret: no user, no query."""
    parsed = httpx2.URL(url)
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))


def without_login(url: str) -> str:
    """An address as the user wrote it, but for a name and a password in it."""
    return re.sub(r"//[^/@]*@", "//***@", url)


def check_redirect(here: httpx2.URL, there: httpx2.URL) -> None:
    """Raises FetchError for a redirect that leaves TLS, HTTP, or the public internet."""
    if there.scheme not in ("http", "https") or not there.host:
        raise FetchError(f"{shown(here)} leads to '{there.scheme}:', which is no web address.")
    if here.scheme == "https" and there.scheme == "http":
        raise FetchError(
            f"{shown(here)} leads to {there.host} without encryption (http): it is refused."
        )
    if is_private(there.host) and not is_private(here.host):
        raise FetchError(
            f"{shown(here)} leads to {there.host}, an address of a private network: it is refused; "
            "a mirror of your own belongs into a registry file."
        )


def is_private(host: str) -> bool:
    """Whether a host is, by its name or an address of it, not on the public internet.

    A name that cannot be resolved here (a proxy may do it) counts as public.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(name.strip("[]")).is_global
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return False
    return any(not ipaddress.ip_address(each.split("%")[0]).is_global for each in found)
