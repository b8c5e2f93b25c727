"""Commands on a disk that is small or read-only, which only they see."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def in_a_file_system_of_its_own(
    tmp_path: Path, mount: str, command: list[str | Path]
) -> tuple[int, str, list[str]]:
    """Run a command where `mount` was done on the folder `disk`: exit code, stderr, what is there.

    Skips where this machine lets nobody mount: it takes Linux with user namespaces, or root.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'{mount} || exit 99\n"$@"\ncode=$?\nls -A {disk}\nexit $code'
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare, to mount a small disk with")
    wrapped = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", *command]
    done = subprocess.run(wrapped, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip(f"nobody may mount here: {done.stderr.strip()}")
    return done.returncode, done.stderr, done.stdout.split()
