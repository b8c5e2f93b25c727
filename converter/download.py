"""One address -> one file, resumed where it broke off."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep
from typing import IO

import httpx2

from backend.runtime.errors import FetchError
from converter.web_address import check_redirect, shown, without_login
from converter.web_client import BrokeOffError, errors_as_ours, open_client

_WORTH_ANOTHER_TRY_BYTES = 1 << 20
_BUSY = frozenset({429, 500, 502, 503, 504})
Progress = Callable[[int, int | None], None]
"""Hears (bytes so far, all bytes or None)."""


@dataclass(frozen=True)
class DownloadLimits:
    """`attempts`: in a row that each bring less than 1 MiB."""

    connect_timeout_s: float = 15.0
    read_timeout_s: float = 60.0
    attempts: int = 5
    pause_s: float = 2.0
    redirects: int = 10
    max_bytes: int = 64 << 30


@dataclass(frozen=True)
class _Version:
    """Which bytes a partial file has begun: what the server said of them."""

    url: str = ""
    etag: str = ""
    last_modified: str = ""

    @property
    def validator(self) -> str:
        """For If-Range, which takes strong validators only (RFC 9110, 13.1.5)."""
        return self.etag if self.etag.startswith('"') else self.last_modified


def download(
    url: str,
    target: Path,
    *,
    size: int | None,
    whole_digest_known: bool,
    limits: DownloadLimits,
    progress: Progress = lambda _have, _total: None,
) -> Path:
    """Fetch `url`; returns TARGET.part with all bytes, whose digest the caller checks.

    A partial file is continued where the server still has the same version. `size`: the bytes that
    the file must have, or None. After an error or Ctrl-C a partial file stays, unless it is wrong.
    Proxies and certificates are those of HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.
    Raises FetchError.
    """
    part = target.with_name(f"{target.name}.part")
    with (
        _locked(part) as file,
        open_client(limits.connect_timeout_s, limits.read_timeout_s) as client,
    ):
        transfer = _Transfer(client, url, file, part, size, whole_digest_known, limits, progress)
        left = limits.attempts
        while True:
            before = transfer.have
            try:
                transfer.run()
            except BrokeOffError as error:
                if transfer.have - before > _WORTH_ANOTHER_TRY_BYTES:
                    left = limits.attempts
                left -= 1
                if left <= 0:
                    again = "the same command goes on from there" if transfer.have else "try again"
                    raise FetchError(f"{shown(url)} {error}: {again}.") from error
                sleep(limits.pause_s)
            else:
                return part


def discard(part: Path) -> None:
    """Remove a partial file that is wrong."""
    for path in (part, _version_file(part)):
        path.unlink(missing_ok=True)


class _Transfer:
    """One file's attempts."""

    def __init__(
        self,
        client: httpx2.Client,
        url: str,
        file: IO[bytes],
        part: Path,
        size: int | None,
        whole_digest_known: bool,
        limits: DownloadLimits,
        progress: Progress,
    ) -> None:
        self._client, self._url, self._file, self._part = client, url, file, part
        self._size, self._limits, self._progress = size, limits, progress
        self._digest_known = whole_digest_known
        self._version = _read_version(part)
        if self._version.url != without_login(url) or (
            not self._version.validator and not whole_digest_known
        ):
            self._restart()

    @property
    def have(self) -> int:
        """Bytes in the partial file."""
        return self._file.seek(0, 2)

    def run(self) -> None:
        """One attempt. Raises BrokeOffError, or FetchError where another try cannot help."""
        have = self.have
        if have and have == self._size:
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "labelvino"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._version.validator:
                headers["If-Range"] = self._version.validator
        with errors_as_ours(self._url), self._open(headers) as response:
            if have and response.status_code == 416:
                self._check_end(response, have)
                return
            total = self._begin(response, have)
            self._check_size(total)
            self._copy(response, total)

    @contextmanager
    def _open(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        url = httpx2.URL(self._url)
        for _ in range(self._limits.redirects + 1):
            with self._client.stream("GET", url, headers=headers) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                following = url.join(response.headers["location"])
            check_redirect(url, following)
            url = following
        raise FetchError(f"{shown(self._url)} leads from one address to the next without end.")

    def _check_end(self, response: httpx2.Response, have: int) -> None:
        """The server has nothing behind `have` bytes: then they are all, or of another file."""
        if not response.headers.get("content-range", "").endswith(f"/{have}"):
            self._restart()
            raise BrokeOffError("has another length now than when the download began")
        self._check_size(have)

    def _begin(self, response: httpx2.Response, have: int) -> int | None:
        """Find the place to write to; returns the whole file's bytes, None where nobody says."""
        status = response.status_code
        if status in _BUSY:
            raise BrokeOffError(f"is busy or out of order (status {status})")
        if status not in (200, 206):
            raise FetchError(f"{shown(self._url)} {_REASONS.get(status, f'answered {status}')}.")
        if response.headers.get("content-type", "").startswith("text/html"):
            raise FetchError(
                f"{shown(self._url)} is a web page and no file: open it in a browser, since it may "
                "want a login or a licence to be accepted."
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FetchError(f"{shown(self._url)} comes re-coded, so that nothing can be checked.")
        if status == 200:
            self._restart()
            length = response.headers.get("content-length")
            total = int(length) if length and length.isdigit() else None
        else:
            total = self._continued(response, have)
        self._version = _Version(
            without_login(self._url),
            response.headers.get("etag", ""),
            response.headers.get("last-modified", ""),
        )
        _version_file(self._part).write_text(json.dumps(asdict(self._version)))
        return total

    def _continued(self, response: httpx2.Response, have: int) -> int | None:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
        if found is None or int(found[1]) != have:
            self._restart()
            raise BrokeOffError("did not go on where it was asked to")
        return None if found[2] == "*" else int(found[2])

    def _check_size(self, total: int | None) -> None:
        if total is None:
            return
        if self._size is not None and total != self._size:
            self._restart()
            raise FetchError(
                f"{shown(self._url)} has {total} bytes, but must have {self._size}: it is another "
                "file than the registry knows."
            )
        if total > self._limits.max_bytes:
            raise FetchError(f"{shown(self._url)} has {total} bytes, which no model has.")

    def _copy(self, response: httpx2.Response, total: int | None) -> None:
        have, most = self.have, self._size or total or self._limits.max_bytes
        self._progress(have, self._size or total)
        for block in response.iter_raw():
            have += len(block)
            if have > most:
                self._restart()
                raise FetchError(
                    f"{shown(self._url)} sends more than the {most} bytes it may have."
                )
            self._file.write(block)
            self._progress(have, self._size or total)
        self._file.flush()
        if have < (self._size or total or 0):
            raise BrokeOffError(f"broke off at {have} of {self._size or total} bytes")

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._version = _Version()
        _version_file(self._part).unlink(missing_ok=True)


_REASONS = {
    401: "wants a login (401): fetch it with a browser",
    403: "is refused (403): it may want a login or a licence to be accepted in a browser",
    404: "is not there (404): look at the model's page for its new address",
    410: "is gone (410): look at the model's page for its new address",
}


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_version(part: Path) -> _Version:
    try:
        return _Version(**json.loads(_version_file(part).read_text()))
    except (OSError, ValueError, TypeError):
        return _Version()


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """The partial file, for one process only; an empty one does not stay behind."""
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FetchError(f"{part} is being written by another fetch: wait for it.") from error
        try:
            yield file
        finally:
            with suppress(OSError):
                file.flush()
            if part.exists() and part.stat().st_size == 0:
                discard(part)
