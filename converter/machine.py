"""What a measurement was made on: a figure without it means nothing."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from backend.runtime.engine import list_devices


@dataclass(frozen=True)
class Machine:
    """`cores`: that this process may use; `load`: how many processes wanted to run when it began,
    the mean of a minute, or None where the system does not say; `devices`: name, full name and the
    precisions it computes in; `versions`: by package."""

    date: str
    cores: int
    memory_bytes: int
    system: str
    load: float | None
    devices: tuple[tuple[str, str, str], ...]
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """By field."""
        return asdict(self)

    @property
    def is_busy(self) -> bool:
        """Whether others were at work when it began."""
        return self.load is not None and self.load > 0.5 * self.cores


def this_machine() -> Machine:
    """Now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=cores or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        load=_load(),
        devices=tuple((d.name, d.full_name, ", ".join(d.precisions)) for d in list_devices()),
        versions={
            "labelvino": version("labelvino"),
            "OpenVINO": version("openvino"),
            "NumPy": version("numpy"),
            "OpenCV": version("opencv-python-headless"),
        },
    )


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
