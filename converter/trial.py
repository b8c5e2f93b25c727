"""Run a foreign model once, in a process of its own: a plugin that crashes takes only that with it.

`python -m converter.trial MODEL.xml ANSWERS.npz` writes one array an output, by its index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.errors import ConversionError
from backend.runtime.image import decode_image

_SIZE_HW = (480, 640)
_TIMEOUT_S = 600.0


def answers_of(model: ov.Model) -> list[npt.NDArray[np.generic]]:
    """What the CPU gives for a picture at f32, one array an output.

    The model must have one input, [1,H,W,3] of RGB pixels. Raises ConversionError.
    """
    with tempfile.TemporaryDirectory(prefix="labelvino-") as folder:
        xml, answers = Path(folder) / "trial.xml", Path(folder) / "answers.npz"
        ov.save_model(model, xml, compress_to_fp16=False)
        command = [sys.executable, "-P", "-m", "converter.trial", str(xml), str(answers)]
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"the model did not finish one picture within {_TIMEOUT_S:.0f} s."
            ) from error
        if done.returncode != 0 or not answers.is_file():
            last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise ConversionError(f"the model could not be tried on a picture: {last}.")
        with np.load(answers) as found:
            return [found[str(index)] for index in range(len(model.outputs))]


def main() -> int:
    """The command of the child process."""
    xml, answers = Path(sys.argv[1]), Path(sys.argv[2])
    compiled = ov.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = compiled.input(0)
    found = compiled(
        {0: _picture(image.get_partial_shape()).astype(image.get_element_type().to_dtype())}
    )
    np.savez(answers, **{str(index): found[port] for index, port in enumerate(compiled.outputs)})
    return 0


def _picture(shape: ov.PartialShape) -> npt.NDArray[np.uint8]:
    height, width = (
        usual if side.is_dynamic else side.get_length()
        for side, usual in zip((shape[1], shape[2]), _SIZE_HW, strict=True)
    )
    picture = decode_image(Path(__file__).with_name("self_test.jpg").read_bytes())
    return np.asarray(cv2.resize(picture.pixels, (width, height)), np.uint8)[np.newaxis]


if __name__ == "__main__":
    sys.exit(main())
