"""TensorFlow's answers of a SavedModel; runs in the tensorflow environment, never in ours.

    python saved_model_oracle.py FOLDER PIXELS.npz ANSWERS.npz

PIXELS: u8 [H,W,3] RGB by picture. ANSWERS: the signature's outputs of each picture without batch
and without padding rows, as `<picture>/detection_boxes` and so on; all in f32.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    folder, pixels_path, answers_path = (Path(argument) for argument in sys.argv[1:])
    loaded = tf.saved_model.load(str(folder))
    run = loaded.signatures["serving_default"]
    answers = {}
    for picture, pixels in np.load(pixels_path).items():
        found = run(input_tensor=tf.constant(pixels[np.newaxis]))
        count = int(found.pop("num_detections")[0])
        for name, rows in found.items():
            answers[f"{picture}/{name}"] = rows[0, :count].numpy()
    np.savez(answers_path, **answers)


if __name__ == "__main__":
    main()
