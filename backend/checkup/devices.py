"""What OpenVINO can compute on, and in plain words why a device is not there."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.checkup.finding import Finding
from backend.runtime.engine import DeviceInfo, list_devices

_INTEL = "0x8086"
_VIRTUAL = ("AUTO", "MULTI", "HETERO", "BATCH")


@dataclass(frozen=True)
class _Kind:
    """What a kind of device needs on Linux besides OpenVINO."""

    name: str
    nodes: str  # below /
    group: str
    library: str
    packages: str


_GPU = _Kind(
    "GPU", "dev/dri/renderD*", "render", "libOpenCL.so.1", "ocl-icd-libopencl1 intel-opencl-icd"
)
_NPU = _Kind(
    "NPU", "dev/accel/accel*", "render", "libze_loader.so.1", "libze1 intel-level-zero-npu"
)


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds it."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def device_findings(
    wanted: str,
    seen: list[DeviceInfo] | None = None,
    root: Path = Path("/"),
    has: Callable[[str], bool] = has_library,
) -> Iterator[Finding]:
    """One line for each device that OpenVINO sees, and for each that it should see.

    `wanted`: the device of the settings, such as AUTO or AUTO:GPU,CPU. The rest is for tests.
    """
    seen = list_devices() if seen is None else seen
    for device in seen:
        if device.problem:
            text = (
                f"{device.name} does not answer ({device.problem}): update its driver, or use "
                "--device CPU."
            )
            yield Finding("device", "problem", text)
        else:
            precisions = ", ".join(device.precisions)
            text = f"{device.name}: {device.full_name}, {precisions}; by default {{}}"
            yield Finding("device", "ok", text.format(device.default_precision))
    names = {device.name for device in seen}
    kinds = {name.partition(".")[0] for name in names}
    if not seen:
        text = "OpenVINO sees no device here: reinstall the package openvino."
        yield Finding("device", "problem", text)
    for name in _asked(wanted):
        if name not in names and name not in kinds:
            text = f"OpenVINO sees no {name}, which the settings ask for: {_cause(name, root, has)}"
            yield Finding("device", "problem", text)
    for kind in (_GPU, _NPU):
        is_asked = any(name.partition(".")[0] == kind.name for name in _asked(wanted))
        if kind.name not in kinds and not is_asked and _is_built_in(kind, root):
            text = (
                f"this machine has an Intel {kind.name} that OpenVINO does not see: "
                f"{_cause(kind.name, root, has)}"
            )
            yield Finding("device", "hint", text)


def _asked(wanted: str) -> list[str]:
    base, _, rest = wanted.partition(":")
    names = rest.split(",") if base in _VIRTUAL else [wanted]
    return [name.strip() for name in names if name.strip() and not name.strip().startswith("-")]


def _is_built_in(kind: _Kind, root: Path) -> bool:
    nodes = sorted(root.glob(kind.nodes))
    if kind is _NPU:
        return bool(nodes)  # only Intel's driver makes them without others' libraries
    vendors = [root / "sys/class/drm" / node.name / "device/vendor" for node in nodes]
    return any(file.is_file() and file.read_text().strip() == _INTEL for file in vendors)


def _cause(name: str, root: Path, has: Callable[[str], bool]) -> str:
    """The first thing that is missing, with its remedy."""
    kind = {"GPU": _GPU, "NPU": _NPU}.get(name.partition(".")[0])
    if kind is None:
        return "'labelvino devices' lists what there is; use --device AUTO or CPU."
    nodes = sorted(root.glob(kind.nodes))
    folder = f"/{Path(kind.nodes).parent}"
    if not nodes:
        return (
            f"there is nothing in {folder}: the kernel has no driver for it, or the container was "
            f"started without --device {folder}."
        )
    if not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return (
            f"this user may not open /{nodes[0].relative_to(root)}: add it to the group "
            f"{kind.group} (in a container --group-add with that group's number)."
        )
    if not has(kind.library):
        return f"{kind.library} is missing: install {kind.packages}."
    return f"its driver is missing or too old: install {kind.packages} anew."
