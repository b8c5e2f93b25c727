"""What a table of figures was measured on."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("openvino", "numpy", "opencv-python-headless", "pillow")
_LINE = "processor: {cpu}, {cores} cores, load {load:.1f} when the run began"


def describe(packages: tuple[str, ...] = PACKAGES) -> str:
    """Machine, versions, date and command, one line each."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    lines = [
        _LINE.format(cpu=cpu, cores=os.cpu_count(), load=os.getloadavg()[0]),
        f"versions: Python {platform.python_version()}, " + ", ".join(map(_version, packages)),
        f"date: {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "command: python " + shlex.join([_short(sys.argv[0]), *map(_short, sys.argv[1:])]),
    ]
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} absent"


def _short(argument: str) -> str:
    """A path without the folders that only this machine has."""
    path = Path(argument)
    return argument if not path.is_absolute() else path.name
