"""An HTTP client with the proxies and certificates of the environment, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import getproxies

import httpx2

from backend.runtime.errors import FetchError
from converter.web_address import shown


class BrokeOffError(Exception):
    """The connection failed in a way that another try may mend."""


def open_client(connect_timeout_s: float, read_timeout_s: float) -> httpx2.Client:
    """A client with the proxies and certificates of the environment. Raises FetchError."""
    timeout = httpx2.Timeout(read_timeout_s, connect=connect_timeout_s)
    try:
        return httpx2.Client(timeout=timeout)
    except OSError as error:
        raise FetchError(
            f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used ({error}): name a PEM file of "
            "certificates, or unset it."
        ) from error
    except (ImportError, ValueError) as error:
        raise FetchError(
            f"the proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY cannot be used ({error}): name "
            "one as http://host:port."
        ) from error


@contextmanager
def errors_as_ours(url: str) -> Iterator[None]:
    """httpx2's errors as FetchError and BrokeOffError; those of the disk stay."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise BrokeOffError("does not answer in time") from error
    except (httpx2.ConnectError, httpx2.ProxyError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise FetchError(
                f"{shown(url)} has a certificate that is not trusted: name your authority's file "
                "in SSL_CERT_FILE, where you have one."
            ) from error
        proxied = ", and a proxy is set" if getproxies() else ""
        raise BrokeOffError(f"cannot be reached ({error}{proxied})") from error
    except httpx2.TransportError as error:
        raise BrokeOffError(f"broke off ({error})") from error
    except (httpx2.InvalidURL, ValueError) as error:
        raise FetchError(f"{shown(url)} leads to an address that is not understood.") from error
