"""`data:` URIs (RFC 2397): the image stands in the address itself."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

import msgspec

from backend.labelstudio.image_body import check_size
from backend.runtime.errors import FetchError

_BASE64 = msgspec.json.Decoder(bytes)


def read_data_uri(uri: str, max_bytes: int) -> bytes:
    """Bytes of a `data:` URI, base64 or percent-encoded.

    Raises FetchError for a damaged one, and before decoding for one above `max_bytes`.
    """
    head, comma, payload = uri[len("data:") :].partition(",")
    if not comma:
        raise FetchError("the data: URI has no comma before its data: correct the task's data.")
    if not head.lower().rstrip().endswith(";base64"):
        check_size(len(payload) - 2 * payload.count("%"), max_bytes)
        data = unquote_to_bytes(payload)
        check_size(len(data), max_bytes)
        return data
    if len(payload) * 3 // 4 <= max_bytes and "\\" not in payload:
        try:  # as most are: nothing but base64, which msgspec reads three times as fast as binascii
            return _BASE64.decode(f'"{payload}"')
        except (msgspec.MsgspecError, UnicodeError):
            pass  # escaped, broken into lines, without padding, or damaged
    # Escapes and line breaks only make the text longer than what it stands for.
    characters = len(payload) - 2 * payload.count("%") - sum(map(payload.count, "=\r\n \t"))
    check_size(characters * 3 // 4, max_bytes)
    text = b"".join(unquote_to_bytes(payload).split()).rstrip(b"=")
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise FetchError(
            f"the base64 text of the data: URI is damaged ({error}): correct the task's data."
        ) from error
    check_size(len(data), max_bytes)
    return data
