"""One image over HTTP: redirects followed by hand, the token kept at home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from backend.labelstudio.aliases import LabelStudioNames
from backend.labelstudio.client import HEADERS, LabelStudioClient, parsed_url
from backend.labelstudio.fetch_limits import FetchLimits
from backend.labelstudio.image_body import PASSING_STATUS, read_image_body, status_reason
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import FetchError


class ImageDownload:
    """`label_studio` answers what it owns and gets the token; `others` connects to the rest."""

    def __init__(
        self,
        label_studio: LabelStudioClient | None,
        others: httpx2.BaseTransport,
        limits: FetchLimits,
        names: LabelStudioNames | None = None,
    ) -> None:
        self._label_studio = label_studio
        self._names = names or LabelStudioNames(label_studio, ())
        self._others = others
        self._limits = limits

    def get(self, url: httpx2.URL, *, with_token: bool) -> bytes:
        """Bytes at `url`, each redirect checked as the first address.

        `with_token`: `url` is Label Studio's. A chain that leaves it never gets the token again.
        Raises FetchError; it names the address only where a redirect led to another one.
        """
        location: str | None = None
        for hop in range(self._limits.max_redirects + 1):
            try:
                with self._open(url, with_token) as response:
                    if not response.has_redirect_location:
                        return self._body(response, with_token)
                    location = response.headers["location"]
                following = _redirected(url, location)
                home = self._names.at_home(following)
                if with_token:
                    with_token = self._stays(url, following, home)
            except FetchError as error:
                if hop == 0:
                    raise
                shown = f"redirected to {shown_url(str(url))}: {error}"
                raise FetchError(shown, passing=error.passing) from error
            url = home
        raise FetchError(
            f"more than {self._limits.max_redirects} redirects, the last to "
            f"{shown_url(str(url))}: use the image's own address."
        )

    @contextmanager
    def _open(self, url: httpx2.URL, with_token: bool) -> Iterator[httpx2.Response]:
        if with_token and self._label_studio is not None:
            with self._label_studio.get(url) as response:
                yield response
            return
        response = self._others.handle_request(httpx2.Request("GET", url, headers=HEADERS))
        try:
            yield response
        finally:
            response.close()

    def _body(self, response: httpx2.Response, with_token: bool) -> bytes:
        if response.status_code == 200:
            return read_image_body(response, self._limits.max_bytes)
        has_token = self._label_studio is not None and self._label_studio.has_token
        raise FetchError(
            status_reason(response.status_code, at_label_studio=with_token, has_token=has_token),
            passing=response.status_code in PASSING_STATUS,
        )

    def _stays(self, url: httpx2.URL, following: httpx2.URL, home: httpx2.URL) -> bool:
        """Whether a redirect of Label Studio stays there; raises where it tells of a setting.

        `home`: `following` under Label Studio's configured name, where it bears another one.
        """
        if following.path.rstrip("/").endswith("/user/login"):
            raise FetchError("Label Studio asks for a login: check LABEL_STUDIO_API_KEY.")
        upgraded = url.scheme == "http" and following.scheme == "https"
        if upgraded and (url.raw_host, url.raw_path) == (following.raw_host, following.raw_path):
            raise FetchError("Label Studio wants https: set LABEL_STUDIO_URL to its https address.")
        return self._label_studio is not None and self._label_studio.owns(home)


def _redirected(url: httpx2.URL, location: str) -> httpx2.URL:
    """The address a redirect leads to; raises FetchError, without `location`, for a damaged one."""
    try:
        joined = str(url.join(location))
    except (httpx2.InvalidURL, ValueError):
        raise FetchError("the server redirects to a damaged address: check its log.") from None
    return parsed_url(joined)
