"""TensorFlow itself as an oracle; runs in the tensorflow environment, never in ours.

    python tensorflow_oracle.py GRAPH.pb PIXELS.npz ANSWERS.npz [ROLE=TENSOR ...]

ROLE: boxes, scores, classes, masks, count or image, where the graph's tensors have other names.

PIXELS: u8 [H,W,3] RGB by photo name. ANSWERS: for each name the rows that are no padding, as
`<name>/boxes` f32 [N,4] (ymin, xmin, ymax, xmax as fractions), `<name>/scores` f32 [N],
`<name>/classes` f32 [N] and, where the graph has them, `<name>/masks` f32 [N,h,w].
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf  # type: ignore[import-not-found,unused-ignore]

OUTPUTS = ("boxes", "scores", "classes", "masks")


def main() -> None:
    graph_path, pixels_path, answers_path = (Path(argument) for argument in sys.argv[1:4])
    said = dict(argument.split("=") for argument in sys.argv[4:])
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(graph_path.read_bytes())
    names = {node.name for node in definition.node}
    tensors = {name: said.get(name, f"detection_{name}:0") for name in OUTPUTS}
    wanted = [name for name in OUTPUTS if tensors[name].removesuffix(":0") in names]
    answers = {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(definition, name="")
        fetches = [*(tensors[name] for name in wanted), said.get("count", "num_detections:0")]
        image = said.get("image", "image_tensor:0")
        for photo, pixels in np.load(pixels_path).items():
            *found, count = session.run(fetches, {image: pixels[np.newaxis]})
            for name, rows in zip(wanted, found, strict=True):
                answers[f"{photo}/{name}"] = rows[0, : int(count[0])]
    np.savez(answers_path, **answers)


if __name__ == "__main__":
    main()
