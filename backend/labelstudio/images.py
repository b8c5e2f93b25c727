"""A task's image address -> bytes, within limits and only from where it may be read."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote

import httpx2

from backend.labelstudio.addresses import AddressGuard, AllowedHosts, Resolver, system_resolver
from backend.labelstudio.aliases import LabelStudioNames
from backend.labelstudio.client import LabelStudioClient, parsed_url
from backend.labelstudio.data_uri import read_data_uri
from backend.labelstudio.deadline import finish_by
from backend.labelstudio.fetch_limits import DEFAULT_LIMITS, FetchLimits
from backend.labelstudio.image_download import ImageDownload
from backend.labelstudio.local_files import LocalFiles
from backend.labelstudio.shown_url import shown_url
from backend.labelstudio.transport import GuardedTransport, tls_context
from backend.runtime.errors import FetchError

_SCHEME = re.compile(r"([a-z][a-z0-9+._-]*):", re.IGNORECASE)
# s3, gs and azure-blob are Label Studio's; the others are spellings of its paid editions.
_CLOUD = frozenset({"s3", "s3s", "gs", "gcs", "azure-blob", "azure-spi", "azure_spi"})
# First folders of Label Studio's own addresses; other absolute paths are files on disk.
LABEL_STUDIO_FOLDERS = frozenset({"data", "storage-data", "tasks", "projects", "api", "static"})

_NO_LABEL_STUDIO = (
    "this address needs Label Studio, and none is configured: set LABEL_STUDIO_URL and "
    "LABEL_STUDIO_API_KEY."
)


class ImageFetcher:
    """Fetches images; many threads may use one. Close it, or use it in `with`.

    data:                             decoded
    /data/upload/..., other relative  from Label Studio, with its token
    /data/local-files/?d=...          from disk if there is a root and the file; or Label Studio
    s3:, gs:, azure-blob: ...         through Label Studio, which signs or passes on
    http(s) of Label Studio           with its token, also under its further names
    http(s) of other hosts            without a token; public or allowed hosts only
    file:, absolute paths             from disk, below the root only
    everything else                   refused

    The token goes to Label Studio only, and only while a chain of redirects has not left it.
    """

    def __init__(
        self,
        label_studio: LabelStudioClient | None = None,
        *,
        limits: FetchLimits = DEFAULT_LIMITS,
        aliases: Sequence[str] = (),
        allowed_hosts: Sequence[str] = (),
        local_files_root: Path | None = None,
        ca_bundle: Path | None = None,
        proxy: str | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        """`label_studio` is closed along with this; `aliases`: further names of it, as Alias.parse
        reads them; `allowed_hosts` as AllowedHosts.parse.

        Raises SettingsError for values that cannot work.
        """
        self._label_studio = label_studio
        self._limits = limits
        self._local_files = None if local_files_root is None else LocalFiles(local_files_root)
        allowed = AllowedHosts.parse(allowed_hosts)
        if label_studio is not None:
            allowed = allowed.plus(*label_studio.host_and_port)
        self._others = GuardedTransport(
            AddressGuard(allowed, resolver), tls=tls_context(ca_bundle), proxy=proxy, limits=limits
        )
        self._names = LabelStudioNames(label_studio, aliases)
        self._download = ImageDownload(label_studio, self._others, limits, self._names)

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        """Bytes at `url`; not yet known to be an image.

        `task_id`: of the task, needed for cloud addresses. `deadline`: seconds of
        time.monotonic(), besides the limits' total. Raises FetchError with the address (without
        secrets), the reason and the remedy.
        """
        now_s = time.monotonic()
        ends_at_s = now_s + self._limits.total_timeout_s
        if deadline is not None:
            ends_at_s = min(ends_at_s, deadline)
        try:
            _check_time(now_s, ends_at_s)
            with finish_by(ends_at_s):
                return self._fetch(url.strip(), task_id)
        except FetchError as error:
            shown = shown_url(url) or "empty address"
            raise FetchError(f"{shown}: {error}", passing=error.passing) from error

    def _fetch(self, url: str, task_id: int | None) -> bytes:
        if not url:
            raise FetchError("the task has no image address: check the label config's value.")
        if re.match(r"[/\\]{2}", url):  # browsers take the scheme of the page
            url = f"https:{url}"
        found = _SCHEME.match(url)
        scheme = found[1].lower() if found else ""
        if scheme == "data":
            return read_data_uri(url, self._limits.max_bytes)
        if scheme in ("http", "https"):
            return self._from_http(parsed_url(url))
        if scheme in _CLOUD:
            return self._from_cloud(url, task_id)
        if scheme == "file":
            return self._from_disk(_file_path(url))
        if scheme:
            raise FetchError(
                f"addresses of the kind '{scheme}:' are not fetched: use http, https, data, file, "
                "a cloud address that Label Studio knows, or an upload."
            )
        return self._from_relative(url)

    def _from_relative(self, url: str) -> bytes:
        data = self._local_copy(url)
        if data is not None:
            return data
        if url.startswith("/") and not self._is_label_studio_path(url):
            return self._from_disk(url)
        if self._label_studio is None:
            raise FetchError(_NO_LABEL_STUDIO)
        return self._download.get(self._label_studio.url_for(url), with_token=True)

    def _is_label_studio_path(self, url: str) -> bool:
        if self._label_studio is not None and self._label_studio.has_prefix(url):
            return True
        return url.lstrip("/").split("/", 1)[0] in LABEL_STUDIO_FOLDERS

    def _local_copy(self, url: str) -> bytes | None:
        """The file on disk that a Label Studio address or an absolute path means; None: not here.

        Raises FetchError for one that leads out of the root.
        """
        if self._local_files is None:
            return None
        path, _, query = url.partition("#")[0].partition("?")
        if path.rstrip("/").endswith("data/local-files"):
            # Label Studio reads `d` as a form does, and takes it as relative in any case.
            name = parse_qs(query).get("d", [""])[-1].lstrip("/")
        else:
            name = url if url.startswith("/") and self._local_files.names(url) else ""
        real = self._local_files.find(name) if name else None
        return None if real is None else self._local_files.read(real, self._limits.max_bytes)

    def _from_disk(self, path: str) -> bytes:
        if self._local_files is None:
            raise FetchError(
                "this is a file on disk, and none may be read: set LABELVINO_LOCAL_FILES_ROOT to "
                "the folder of the images."
            )
        real = self._local_files.find(path)
        if real is None:
            raise FetchError("the file is not there: check the path on labelvino's machine.")
        return self._local_files.read(real, self._limits.max_bytes)

    def _from_cloud(self, uri: str, task_id: int | None) -> bytes:
        if self._label_studio is None:
            raise FetchError(_NO_LABEL_STUDIO)
        if task_id is None:
            raise FetchError(
                "only Label Studio can resolve a cloud address, for a task with an id."
            )
        return self._download.get(self._label_studio.presign_url(uri, task_id), with_token=True)

    def _from_http(self, url: httpx2.URL) -> bytes:
        url = self._names.at_home(url)
        if self._label_studio is None or not self._label_studio.owns(url):
            return self._download.get(url, with_token=False)
        data = self._local_copy(url.raw_path.decode("ascii"))
        return self._download.get(url, with_token=True) if data is None else data

    def close(self) -> None:
        self._others.close()
        if self._label_studio is not None:
            self._label_studio.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _check_time(now_s: float, ends_at_s: float) -> None:
    if now_s >= ends_at_s:
        raise FetchError("the time was over before it began: ask for fewer tasks at once.")


def _file_path(url: str) -> str:
    """Path of a `file:` address (RFC 8089) of this machine."""
    path = url[len("file:") :]
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise FetchError("the file: address names another machine, which is not asked.")
        path = slash + rest
    if not path.startswith("/"):
        raise FetchError("the file: address has no absolute path: write file:///folder/name.")
    return unquote(path)
