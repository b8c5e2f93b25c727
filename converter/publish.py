"""Write an IR in a temporary place, try it, and only then give it its name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import openvino as ov

from backend.runtime.contract import ModelContract, ir_digest, write_contract
from backend.runtime.errors import ConversionError, LabelvinoError
from backend.runtime.self_test import SelfTest
from converter.workplace import OLD_GRAPH, OLD_WEIGHTS, alone_in, workplace


@dataclass(frozen=True)
class Published:
    """`ir_digest`: SHA-256 (hex) of what the IR computes; `infer_seconds`: one a tried size."""

    path: Path
    ir_digest: str
    size_bytes: int
    infer_seconds: tuple[float, ...]


def check_target(target: Path, *, force: bool) -> None:
    """Refuse early what could not be published in the end. Raises ConversionError."""
    if target.suffix != ".xml":
        raise ConversionError(f"the output {target} must end in .xml.")
    if not target.parent.is_dir():
        raise ConversionError(f"there is no folder {target.parent}: make it first.")
    for path in (target, target.with_suffix(".bin")):
        if path.is_dir():
            raise ConversionError(f"{path} is a folder: choose another output.")
        if path.exists() and not force:
            raise ConversionError(f"{path} exists: choose another output, or replace it (--force).")


def publish(
    model: ov.Model,
    contract: ModelContract,
    target: Path,
    *,
    compress_to_fp16: bool,
    timeout_s: float,
    phase: Callable[[str], None],
    check: Callable[[Path], None] = lambda _: None,
) -> tuple[Published, ModelContract]:
    """Write `target` (.xml) and its .bin, both or neither; what stood there is replaced.

    The facts come back with the precision that the weights have once they are written.
    `phase` hears 'write' and 'verify'; `check` may raise for an IR that works but is not wanted.
    Raises ConversionError; nothing is left behind then.
    """
    with _workplace(target) as folder:
        xml = folder / target.name
        phase("write")
        if compress_to_fp16 and contract.precision == "f32":
            contract = replace(contract, precision="f16")
        write_contract(model, contract)
        _save(model, xml, compress_to_fp16=compress_to_fp16)
        phase("verify")
        seconds, self_test = run_verification(xml, timeout_s)
        digest = ir_digest(xml)
        self_test.write(model)
        _save(model, xml, compress_to_fp16=compress_to_fp16)
        if ir_digest(xml) != digest:
            raise ConversionError("the model changed while it was written: try again.")
        check(xml)
        size = xml.stat().st_size + xml.with_suffix(".bin").stat().st_size
        with alone_in(target.parent):
            _move(xml, target, folder)
    return Published(target, digest, size, tuple(seconds)), contract


def run_verification(xml: Path, timeout_s: float) -> tuple[list[float], SelfTest]:
    """`verify` in a child process: seconds of each trial, and the self-test it recorded.

    Raises ConversionError, also where the process dies.
    """
    # -P: a folder named converter where the user happens to stand must not be taken for ours.
    command = [sys.executable, "-P", "-m", "converter.verify", str(xml)]
    try:
        child = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"the converted model did not finish its trial within {timeout_s:.0f} s: give it more "
            "time with --timeout."
        ) from error
    if child.returncode < 0:
        raise ConversionError(
            f"OpenVINO crashed ({_signal_name(-child.returncode)}) while it ran the converted "
            "model, so that it was not written: report the model with your OpenVINO version."
        )
    try:
        answer = json.loads(child.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConversionError(f"the converted model could not be tried: {last}.") from None
    if "error" in answer:
        raise ConversionError(f"the converted model does not work: {answer['error']}")
    seconds: list[float] = answer["seconds"]
    return seconds, SelfTest.from_json(answer["self_test"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """`workplace` with sentences for its errors."""
    reached = False
    try:
        with workplace(target) as folder:
            reached = True
            yield folder
    except OSError as error:
        where = target if reached else f"the folder {target.parent}"
        raise ConversionError(f"{where} cannot be written to: {error.strerror}.") from error


def _save(model: ov.Model, xml: Path, *, compress_to_fp16: bool) -> None:
    try:
        ov.save_model(model, xml, compress_to_fp16=compress_to_fp16)
    except LabelvinoError:
        raise
    except RuntimeError as error:
        raise ConversionError(
            f"the model cannot be written beside {xml.parent.parent / xml.name}: is the disk full?"
        ) from error


def _move(xml: Path, target: Path, folder: Path) -> None:
    """Both files get their names, or the old pair stays.

    The old graph goes first and the new one comes last, so that whoever looks in between, or finds
    what a power cut left, sees no IR at all, never one with the other's weights.
    """
    weights = target.with_suffix(".bin")
    old = [(folder / OLD_GRAPH, target), (folder / OLD_WEIGHTS, weights)]
    new = [(xml.with_suffix(".bin"), weights), (xml, target)]
    for path, _ in new:
        with path.open("rb+") as file:
            os.fsync(file)
    try:
        for aside, path in old:
            if path.exists():
                path.replace(aside)
        for path, final in new:
            path.replace(final)
    except BaseException:
        for path, final in new:
            if not path.exists():
                final.unlink(missing_ok=True)
        for aside, path in reversed(old):
            if aside.exists():
                aside.replace(path)
        raise
