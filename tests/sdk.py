"""label_studio_sdk as an oracle: a process of its own environment, asked by the tests."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tests" / "oracles" / "sdk_oracle.py"


class SdkError(AssertionError):
    """The SDK could not answer a question; the message carries its exception."""


def environment_python(name: str, variable: str) -> Path:
    """The Python of another environment: `variable` if set, else .cache/envs/<name>/bin/python.

    Where it is missing the test is skipped with the command that makes it, but on CI it fails:
    nothing may be skipped there for want of an environment.
    """
    python = Path(os.environ.get(variable) or ROOT / ".cache" / "envs" / name / "bin" / "python")
    if not python.exists():
        reason = f"no environment {name!r} at {python}: run `make env-{name}`, or set {variable}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return python


class SdkOracle:
    """One running SDK process. A context manager; many questions may be asked."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-W", "ignore", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._talk: deque[str] = deque(maxlen=50)
        # Read at once, or a full pipe would stop the process.
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    @classmethod
    def start(cls) -> SdkOracle:
        """The SDK of LABELVINO_SDK_PYTHON or .cache/envs/sdk; skips where there is none."""
        return cls(environment_python("sdk", "LABELVINO_SDK_PYTHON"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the process end; it ends with its stdin."""
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join(timeout=5)
        process.stdout.close()
        process.stderr.close()

    def validate(self, config: str, prediction: Mapping[str, Any]) -> list[str]:
        """What `LabelInterface(config).validate_prediction` finds wrong; empty is right."""
        asked = {"op": "validate", "config": config, "prediction": prediction}
        return list(self._ask(asked)["errors"])

    def encode(self, mask: npt.NDArray[np.bool_]) -> list[int]:
        """The brush RLE, as bytes 0..255, of a full-frame mask bool [H,W]."""
        height, width = mask.shape
        packed = base64.b64encode(np.packbits(mask).tobytes()).decode()
        asked = {"op": "encode", "width": width, "height": height, "mask": packed}
        return list(self._ask(asked)["rle"])

    def decode(self, rle: list[int], width: int, height: int) -> npt.NDArray[np.uint8]:
        """The RGBA bytes u8 [H,W,4] of a brush RLE. Fails when the RLE has another size."""
        found = base64.b64decode(self._ask({"op": "decode", "rle": rle})["bytes"])
        assert len(found) == width * height * 4, (
            f"the RLE holds {len(found)} bytes, {width}x{height} pixels have {width * height * 4}"
        )
        return np.frombuffer(found, np.uint8).reshape(height, width, 4)

    def version(self) -> str:
        return str(self._ask({"op": "version"})["version"])

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SdkError("the SDK process ended: " + "".join(self._talk))
        reply: dict[str, Any] = json.loads(line)
        if "raised" in reply:
            raise SdkError(reply["raised"])
        return reply

    def _listen(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._talk.append(line)
