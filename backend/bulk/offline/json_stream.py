"""JSON read value by value, so that a file may be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

_FIRST_READ = 1 << 16  # characters
_IN_NUMBERS = "0123456789.eE+-"


class JsonStream:
    """One JSON text, read from its beginning. Every method raises ValueError for what is no JSON.

    Only the value that is read is in memory, and what was read ahead.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            if not self._fill(_FIRST_READ):
                return ""

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        more = _FIRST_READ
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                if not self._fill(more):
                    raise
            else:
                # A number may go on behind what was read: 1 of 1.5e10.
                is_sure = self._text[end : end + 2].strip(_IN_NUMBERS) != ""
                if is_sure or not isinstance(value, (int, float)) or not self._fill(more):
                    self._at = end
                    return value
            more *= 2  # a long value is not begun anew for each little piece

    def array(self) -> Iterator[Any]:
        """The values of the array that comes next, one after the other."""
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        """The names in the object that comes next; whoever iterates reads each one's value."""
        self._take("{")
        if self.peek() == "}":
            self._take("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise ValueError("a name in an object is no text")  # noqa: TRY004 - of the file
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def skip(self) -> None:
        """Pass over the next value; of an array one element at a time."""
        if self.peek() == "[":
            for _ in self.array():
                pass
        else:
            self.value()

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise ValueError(f"'{self.peek()}' follows where the end should be")

    def _take(self, allowed: str) -> str:
        found = self.peek()
        if not found or found not in allowed:
            wanted = " or ".join(f"'{character}'" for character in allowed)
            raise ValueError(f"expected {wanted}, but got {found or 'the end'}")
        self._at += 1
        return found

    def _fill(self, characters: int) -> bool:
        if self._ended:
            return False
        more = self._file.read(characters)
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)
