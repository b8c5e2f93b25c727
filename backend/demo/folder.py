"""The demo's folder: what is kept from one demo to the next."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from backend.runtime.errors import DemoError, SettingsError

_FILE = "demo.json"
_LOCK = "lock"


@dataclass
class DemoState:
    """What must be the same next time; in a file that only its owner reads.

    studio_is_ready  Label Studio has been up once, with this account
    address          where the running demo is; empty where none runs
    """

    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    token: str = field(default_factory=lambda: secrets.token_hex(20))
    studio_is_ready: bool = False
    address: str = ""


class DemoFolder:
    """A folder that one demo at a time works in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = DemoState()

    @property
    def studio_data(self) -> Path:
        """Label Studio's own data: database, uploads."""
        return self.path / "label-studio"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @contextmanager
    def opened(self, *, reset: bool = False) -> Iterator[str]:
        """Hold the folder for this demo; yields what was found there, as one sentence, or nothing.

        Raises DemoError where another demo runs in it, SettingsError where it is somebody's.
        """
        if self.path.exists() and not self._is_ours():
            raise SettingsError(f"{self.path} is not a folder of the demo: give a new one.")
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                where = self._read() or DemoState()
                raise DemoError(
                    "the demo is running already, at "
                    f"{where.address or 'an address that it is about to print'}: end it there with "
                    "Ctrl-C first."
                ) from None
            found = self._prepare(reset=reset)
            try:
                yield found
            finally:
                self.state.address = ""
                self.save()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        new = self.path / f"{_FILE}.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self.state), file)
        new.replace(self.path / _FILE)

    def _prepare(self, *, reset: bool) -> str:
        known = self._read()
        found = ""
        if reset or known is None or not known.studio_is_ready:
            if self.studio_data.exists():
                shutil.rmtree(self.studio_data)
                if not reset:
                    found = "an earlier demo was broken off while it was set up: starting anew"
            known = DemoState()
        self.state = known
        self.studio_data.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self.save()
        return found

    def _is_ours(self) -> bool:
        if not self.path.is_dir():
            return False
        return (self.path / _LOCK).exists() or not any(self.path.iterdir())

    def _read(self) -> DemoState | None:
        """None where there is no state, or a damaged one."""
        try:
            return DemoState(**json.loads((self.path / _FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
