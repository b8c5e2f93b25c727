"""An environment of its own with pinned packages, made once and renewed when the pins change.

Needs Python alone, since it runs before anything is installed:
python environment.py FOLDER REQUIREMENTS
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

Advance = Callable[[int, int], None]
"""Takes how many packages pip has looked at, and about how many there are."""

_STAMP = ".made"
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?==", re.MULTILINE)
_REMEMBERED_LINES = 15


class EnvironmentMakingError(Exception):
    """The environment could not be made; the text has pip's own last words."""


def is_current(folder: Path, requirements: Path) -> bool:
    """Whether the environment is whole and has exactly these pins."""
    try:
        return (folder / _STAMP).read_text(encoding="utf-8") == _digest(requirements)
    except (OSError, UnicodeDecodeError):
        return False


def make_environment(folder: Path, requirements: Path, advance: Advance) -> None:
    """Make `folder` an environment of these pins with this Python; nothing is done where it is one.

    What was broken off, or has other pins, is removed first: the stamp is written last. Raises
    EnvironmentMakingError.
    """
    if is_current(folder, requirements):
        (folder / _STAMP).touch()  # make compares times
        return
    if folder.exists():
        if not (folder / "pyvenv.cfg").exists() and any(folder.iterdir()):
            raise EnvironmentMakingError(f"{folder} is not an environment: choose another folder.")
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)], lambda _: None)
    total = len(_PIN.findall(requirements.read_text(encoding="utf-8")))
    seen = 0

    def count(line: str) -> None:
        nonlocal seen
        if line.startswith(("Collecting ", "Processing ")):  # from an index, from a folder
            seen += 1
            advance(min(seen, total), total)

    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    _run([*pip, "--progress-bar=off", "--require-hashes", "-r", str(requirements)], count)
    advance(total, total)
    (folder / _STAMP).write_text(_digest(requirements), encoding="utf-8")


def _digest(requirements: Path) -> str:
    text = f"{sys.version_info[:2]} {sys.base_prefix}\n".encode() + requirements.read_bytes()
    return hashlib.sha256(text).hexdigest()


def _run(command: list[str], see: Callable[[str], None]) -> None:
    last: deque[str] = deque(maxlen=_REMEMBERED_LINES)
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                see(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise EnvironmentMakingError("\n".join(last) or f"{command[0]} failed")


def _main(folder: Path, requirements: Path) -> int:
    terminal = sys.stderr.isatty()

    def advance(seen: int, total: int) -> None:
        if terminal:
            print(f"\r{folder}: {seen} of {total} packages ", end="", file=sys.stderr, flush=True)

    if not is_current(folder, requirements):
        print(f"{folder}: installing {requirements}", file=sys.stderr)
    try:
        make_environment(folder, requirements, advance)
    except EnvironmentMakingError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{folder}: interrupted; the next run makes it anew", file=sys.stderr)
        return 130
    if terminal:
        print("\r\033[K", end="", file=sys.stderr)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2])))
