"""An HTTP answer -> an image's bytes, or the reason why it is none."""

from __future__ import annotations

import re
import zlib

import httpx2

from backend.runtime.errors import FetchError

_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.I | re.S)
# Of a server that is busy, or restarts.
PASSING_STATUS = frozenset({429, 500, 502, 503, 504})
# Reads gzip and zlib alike (zlib's manual, inflateInit2).
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raises FetchError above the limit."""
    if size_bytes > max_bytes:
        raise FetchError(
            f"the image has more than the limit of {max_bytes} bytes: raise "
            "LABELVINO_MAX_IMAGE_BYTES, or use a smaller image."
        )


def read_image_body(response: httpx2.Response, max_bytes: int) -> bytes:
    """The body of a 200 answer, at most `max_bytes` of it in memory, packed or not.

    A stated length is only believed when it is too large. Raises FetchError.
    """
    stated = response.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit():
        check_size(int(stated), max_bytes)
    # We ask for identity; storages send what was stored packed as it is, nevertheless.
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing in ("", "identity"):
        data = _plain(response, max_bytes)
    elif packing in ("gzip", "x-gzip", "deflate"):
        data = _unpacked(response, max_bytes)
    else:
        raise FetchError(f"the image is packed with '{packing[:40]}': store it as it is, or gzip.")
    if _WEB_PAGE.match(data[:1024]):
        raise FetchError(
            "the answer is a web page, not an image: use the direct address of the image, and "
            "where it is a login page, one that needs none."
        )
    return data


def _plain(response: httpx2.Response, max_bytes: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        check_size(len(data), max_bytes)
    return bytes(data)


def _unpacked(response: httpx2.Response, max_bytes: int) -> bytes:
    unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
    data = bytearray()
    try:
        for chunk in response.iter_raw():
            # One byte more than is allowed shows an excess, however much there is behind it.
            data += unpack.decompress(chunk, max_bytes + 1 - len(data))
            check_size(len(data), max_bytes)
    except zlib.error as error:
        raise FetchError(f"the packed image is damaged ({error}): upload it again.") from error
    if not unpack.eof:
        raise FetchError("the packed image is cut off: upload it again.")
    return bytes(data)


def status_reason(status: int, *, at_label_studio: bool, has_token: bool) -> str:
    """Why an answer other than 200 is no image, with the remedy."""
    if status in (401, 403) and at_label_studio:
        if not has_token:
            return f"Label Studio asks for a token (HTTP {status}): set LABEL_STUDIO_API_KEY."
        if status == 401:
            return (
                "Label Studio does not accept the token (HTTP 401): check LABEL_STUDIO_API_KEY; a "
                "legacy token works only where the organisation still allows them."
            )
        return (
            "Label Studio does not let the token's user read it (HTTP 403): check that user's "
            "access to the project, and for local files LOCAL_FILES_SERVING_ENABLED."
        )
    if status in (401, 403):
        return (
            f"the server does not let us read it (HTTP {status}): a presigned address may have "
            "expired, or the image needs a login; no token is sent to other hosts than "
            "LABEL_STUDIO_URL."
        )
    if status in (404, 410):
        return (
            f"there is no such image (HTTP {status}): check the task's address, and for cloud or "
            "local files that the project has the storage."
        )
    if status >= 500 and at_label_studio:
        return (
            f"Label Studio answered HTTP {status}: check its log; it answers so for an upload "
            "that is no longer there, too."
        )
    return f"the server answered HTTP {status}: check its log, or try again."
