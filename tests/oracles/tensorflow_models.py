"""Models as TensorFlow and Keras write them, and their answers; runs in TensorFlow's environment.

    python tensorflow_models.py FOLDER PIXELS.npz DEMO

PIXELS: u8 [H,W,3] RGB by picture. DEMO: the demo model's SavedModel. Makes in FOLDER

    toy.keras, toy.h5     ten rows of boxes, classes 1..10 and masks, of which eight count
    keras3/               a SavedModel around nested Keras 3 layers, which OpenVINO cannot read
    exported/             the same network by model.export
    lambda.keras, .h5     a model with a Lambda layer
    custom.keras          a model with a layer that is not Keras' own
    toy.tflite            the toy network, any size
    demo.tflite           the demo without its masks, which no TFLite operation can cut out
    demo_frozen.pb        the demo as a frozen graph, whose outputs are named Identity
    answers.npz           <model>/<picture>/<output> of toy, keras3, exported and demo
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras  # type: ignore[import-not-found,unused-ignore]
import numpy as np
import tensorflow as tf  # type: ignore[import-not-found,unused-ignore]
from tensorflow.python.framework.convert_to_constants import (  # type: ignore[import-not-found,unused-ignore]
    convert_variables_to_constants_v2,
)

ROWS, REAL, CELLS = 10, 8, 7
layers = keras.layers


def fixed(values: list[float], name: str) -> keras.layers.Layer:
    """A layer that gives the same values for everything."""
    start = keras.initializers.Constant(0)
    layer = layers.Dense(len(values), kernel_initializer=start, name=name)
    layer.later_bias = np.array(values, np.float32)
    return layer


def toy() -> keras.Model:
    image = keras.Input((None, None, 3), dtype="uint8", name="input_tensor")
    x = layers.Resizing(64, 64)(layers.Rescaling(1 / 255)(image))
    x = layers.Conv2D(8, 5, strides=4, activation="relu")(x)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    low = layers.Reshape((ROWS, 2))(layers.Dense(ROWS * 2, activation="sigmoid")(x))
    high = layers.Reshape((ROWS, 2))(layers.Dense(ROWS * 2, activation="sigmoid")(x))
    corners = [layers.Rescaling(0.45)(low), layers.Rescaling(0.45, offset=0.55)(high)]
    masks = layers.Dense(ROWS * CELLS * CELLS, activation="sigmoid")(x)
    classes = fixed([float(i + 1) for i in range(ROWS)], "classes")
    count = fixed([float(REAL)], "count")
    outputs = {
        "detection_boxes": layers.Concatenate()(corners),
        "detection_scores": layers.Dense(ROWS, activation="sigmoid")(x),
        "detection_classes": classes(x),
        "detection_masks": layers.Reshape((ROWS, CELLS, CELLS))(masks),
        "num_detections": count(x),
    }
    model = keras.Model(image, outputs)
    for layer in (classes, count):
        layer.set_weights([layer.get_weights()[0], layer.later_bias])
    return model


class Nested(layers.Layer):
    """Layers in a list within a layer: Keras 3 keeps such variables where OpenVINO finds none."""

    def __init__(self, **more: object) -> None:
        super().__init__(**more)
        self.heads = [layers.Dense(24, activation="relu"), layers.Dense(24, activation="relu")]
        self.inner = toy_on_grid()

    def call(self, image):  # type: ignore[no-untyped-def]
        x = tf.image.resize(tf.cast(image, tf.float32) / 255, (8, 8))
        x = tf.reshape(x, [1, 192])
        for head in self.heads:
            x = head(x)
        return self.inner(x)


def toy_on_grid() -> keras.Model:
    x = keras.Input((24,))
    low = layers.Rescaling(0.4)(layers.Dense(2 * ROWS, activation="sigmoid")(x))
    high = layers.Rescaling(0.4, offset=0.6)(layers.Dense(2 * ROWS, activation="sigmoid")(x))
    boxes = [layers.Reshape((ROWS, 2))(low), layers.Reshape((ROWS, 2))(high)]
    return keras.Model(
        x, [layers.Concatenate()(boxes), layers.Dense(ROWS, activation="sigmoid")(x)]
    )


def keras3(folder: Path):  # type: ignore[no-untyped-def]
    image = keras.Input((None, None, 3), batch_size=1, dtype="uint8", name="input_tensor")
    model = keras.Model(image, Nested()(image))

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
    def serve(input_tensor):  # type: ignore[no-untyped-def]
        boxes, scores = model(input_tensor)
        return {
            "detection_boxes": boxes,
            "detection_scores": scores,
            "detection_classes": tf.reshape(tf.range(1.0, ROWS + 1), [1, ROWS]),
            "num_detections": tf.constant([float(REAL)]),
        }

    tf.saved_model.save(model, str(folder), signatures={"serving_default": serve})
    return serve


@keras.saving.register_keras_serializable(package="elsewhere")
class Halve(layers.Layer):
    def call(self, x):  # type: ignore[no-untyped-def]
        return x * 0.5


def with_layer(layer: keras.layers.Layer) -> keras.Model:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layer(image))


def demo_files(folder: Path, demo: Path):  # type: ignore[no-untyped-def]
    run = tf.saved_model.load(str(demo)).signatures["serving_default"]

    class Boxes(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 240, 320, 3], tf.uint8, name="image")])
        def find(self, image):  # type: ignore[no-untyped-def]
            found = run(input_tensor=image)
            return {name: found[name] for name in found if name != "detection_masks"}

    module = Boxes()
    lite = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.find.get_concrete_function()], module
    )
    (folder / "demo.tflite").write_bytes(lite.convert())
    frozen = convert_variables_to_constants_v2(run)
    definition = frozen.graph.as_graph_def().SerializeToString()
    (folder / "demo_frozen.pb").write_bytes(definition)
    return run


def main() -> None:
    folder, pixels_path, demo = (Path(argument) for argument in sys.argv[1:])
    keras.utils.set_random_seed(3)
    model = toy()
    model.save(folder / "toy.keras")
    model.save(folder / "toy.h5")
    model.export(folder / "exported", verbose=False)
    with_layer(layers.Lambda(lambda x: x * 2)).save(folder / "lambda.keras")
    with_layer(layers.Lambda(lambda x: x * 2)).save(folder / "lambda.h5")
    with_layer(Halve()).save(folder / "custom.keras")
    lite = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "toy.tflite").write_bytes(lite.convert())
    serve = keras3(folder / "keras3")
    run = demo_files(folder, demo)
    exported = tf.saved_model.load(str(folder / "exported")).signatures["serving_default"]
    answers = {}
    for picture, pixels in np.load(pixels_path).items():
        image = tf.constant(pixels[np.newaxis])
        for name, found in {
            "toy": model(image, training=False),
            "keras3": serve(image),
            "exported": exported(input_tensor=image),
            "demo": run(input_tensor=image),
        }.items():
            for output, value in found.items():
                answers[f"{name}/{picture}/{output}"] = np.array(value)[0]
    np.savez(folder / "answers.npz", **answers)


if __name__ == "__main__":
    main()
