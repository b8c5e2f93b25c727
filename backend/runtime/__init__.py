"""IR in, detections out. Knows OpenVINO and pixels; no HTTP, no Label Studio, no environment."""

from __future__ import annotations

import sys

# `import openvino` sends usage data to a server on the internet, from a process that it forks. With
# this entry its own import of the sender fails, and OpenVINO takes the silent stub it ships for
# that case. It stands here since every import of OpenVINO in this project comes after this package.
if "openvino" not in sys.modules:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
