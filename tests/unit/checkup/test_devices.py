"""Why a GPU or NPU is not there, in plain words; the folders of a machine are made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.checkup.devices import device_findings, has_library
from backend.checkup.finding import Finding
from backend.runtime.engine import DeviceInfo

CPU = DeviceInfo("CPU", "Some CPU", ("f32", "bf16"), "bf16")
GPU = DeviceInfo("GPU", "Some GPU", ("f32", "f16"), "f16")


def look(
    root: Path, wanted: str = "AUTO", seen: list[DeviceInfo] | None = None, *missing: str
) -> list[Finding]:
    """What is found where OpenVINO sees `seen` (the CPU) and the libraries `missing` are not."""
    return list(device_findings(wanted, [CPU] if seen is None else seen, root,
                                lambda name: name not in missing))  # fmt: skip


def machine(root: Path, node: str, vendor: str = "0x8086") -> Path:
    """A graphics card or accelerator, as the kernel shows it."""
    device = root / "dev" / node
    device.parent.mkdir(parents=True)
    device.touch()
    facts = root / "sys" / "class" / "drm" / device.name / "device"
    facts.mkdir(parents=True)
    (facts / "vendor").write_text(f"{vendor}\n")
    return root


def test_no_device_at_all(tmp_path: Path) -> None:
    (found,) = look(tmp_path, seen=[])
    assert (found.status, found.check) == ("problem", "device")
    assert "reinstall the package openvino" in found.text


def test_a_cpu_alone_is_fine(tmp_path: Path) -> None:
    (found,) = look(tmp_path)
    assert found == Finding("device", "ok", "CPU: Some CPU, f32, bf16; by default bf16")


def test_a_device_that_does_not_answer(tmp_path: Path) -> None:
    broken = DeviceInfo("GPU", "unknown", (), "unknown", "clGetPlatformIDs error -1001")
    found = look(tmp_path, "AUTO", [CPU, broken])[1]
    assert found.status == "problem"
    assert "-1001" in found.text and "update its driver" in found.text


def test_a_gpu_without_libopencl(tmp_path: Path) -> None:
    root = machine(tmp_path, "dri/renderD128")
    found = look(root, "GPU", None, "libOpenCL.so.1")[-1]
    assert found.status == "problem"
    assert found.text == (
        "OpenVINO sees no GPU, which the settings ask for: libOpenCL.so.1 is missing: install "
        "ocl-icd-libopencl1 intel-opencl-icd."
    )
    # Nobody asked for it, so that it is only a hint.
    found = look(root, "AUTO", None, "libOpenCL.so.1")[-1]
    assert found.status == "hint" and "libOpenCL.so.1 is missing" in found.text


def test_a_gpu_without_a_driver_for_opencl(tmp_path: Path) -> None:
    found = look(machine(tmp_path, "dri/renderD128"), "GPU.0")[-1]
    assert "driver is missing or too old" in found.text and "intel-opencl-icd" in found.text


def test_a_gpu_that_was_not_given_to_the_container(tmp_path: Path) -> None:
    found = look(tmp_path, "AUTO:GPU,CPU")[-1]
    assert found.status == "problem" and "--device /dev/dri" in found.text


def test_a_gpu_that_this_user_may_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path, "dri/renderD128")
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = look(root, "GPU")[-1]
    assert "/dev/dri/renderD128" in found.text and "group render" in found.text


def test_an_npu_without_its_loader(tmp_path: Path) -> None:
    root = machine(tmp_path, "accel/accel0")
    found = look(root, "NPU", None, "libze_loader.so.1")[-1]
    assert "libze_loader.so.1 is missing" in found.text and "libze1" in found.text


def test_others_graphics_cards_are_left_alone(tmp_path: Path) -> None:
    assert len(look(machine(tmp_path, "dri/renderD128", vendor="0x10de"))) == 1


def test_a_gpu_that_works(tmp_path: Path) -> None:
    found = look(machine(tmp_path, "dri/renderD128"), "AUTO:GPU", [CPU, GPU])
    assert [one.status for one in found] == ["ok", "ok"]


def test_what_is_left_out_is_not_asked_for(tmp_path: Path) -> None:
    assert len(look(tmp_path, "AUTO:-GPU")) == 1


def test_an_unknown_device(tmp_path: Path) -> None:
    found = look(tmp_path, "XPU")[-1]
    assert found.status == "problem" and "labelvino devices" in found.text


def test_the_dynamic_linker_is_asked() -> None:
    assert has_library("libc.so.6")
    assert not has_library("libnothing-of-this-name.so.7")
