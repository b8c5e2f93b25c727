"""An address as logs and messages may show it."""

from __future__ import annotations

import re

_MAX_CHARACTERS = 200
_MAX_OF_BASE64 = 16  # may be an image itself
# Names a file within Label Studio; every other query value may be a signature or a key.
_LOCAL_FILES = re.compile(r"/data/local-files/?\?d=[^&#]*")
_SCHEME = r"(?:[a-z][a-z0-9+._-]*:)"
# Browsers read a backslash as a slash, so people may have put a password behind one.
_USERINFO = re.compile(rf"^({_SCHEME}[/\\]*|[/\\]{{2,}})[^/\\?#]*@", re.IGNORECASE)
# A password with "/", "?" or "#" in it looks like a host with a port that is no number.
_BROKEN_USERINFO = re.compile(
    rf"^({_SCHEME}?[/\\]*)[^/\\?#@\[]*:(?!\d*(?:[/\\?#]|$)).*@", re.IGNORECASE
)


def shown_url(url: str) -> str:
    """`url` on one line, shortened, without user names, passwords and query values.

    Works on any text, so that a damaged address is masked too.
    """
    text = url.strip()
    if text[:5].lower() == "data:":
        kind = re.split("[;,]", _one_line(text[:60]))[0]
        return f"{kind},\N{HORIZONTAL ELLIPSIS} ({len(text)} characters)"
    text = _USERINFO.sub(r"\1***@", _one_line(text))
    text = _BROKEN_USERINFO.sub(r"\1***@", text)
    found = _LOCAL_FILES.search(text) or re.search("[?#]", text)
    end = found.end() if found else len(text)
    shown = text[:end]
    if len(shown) > _MAX_CHARACTERS:
        shown = shown[:_MAX_CHARACTERS]
        if re.fullmatch("[A-Za-z0-9+/]*", shown):
            shown = shown[:_MAX_OF_BASE64]
        shown += "\N{HORIZONTAL ELLIPSIS}"
    return shown + ("***" if end < len(text) else "")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
