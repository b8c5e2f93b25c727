"""Train the demo's model and export it: `nice python training/train.py`, see README.md here.

Runs in the tensorflow environment. Writes training/saved_model, a frozen SavedModel whose
signature has the names of the TF Object Detection API.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import network
import numpy as np
import scene_data
import tensorflow as tf
from scene_data import CATEGORY_IDS, MAX_INSTANCES, Example
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

BATCH = 16
PEAK_RATE = 4e-3


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=here / "saved_model")
    given = parser.parse_args()
    keras.utils.set_random_seed(1)
    began = time.monotonic()
    examples = scene_data.draw_examples(range(given.scenes))
    print(f"{len(examples)} scenes drawn in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    detect, draw = network.detector(len(CATEGORY_IDS)), network.mask_head()
    print(f"{detect.count_params() + draw.count_params()} parameters", flush=True)
    train(detect, draw, tensors(examples), given.epochs)
    print(f"trained in {time.monotonic() - began:.0f} s", flush=True)
    export(detect, draw, given.out)


def tensors(examples: list[Example]) -> dict[str, np.ndarray]:
    """All examples stacked; pixels as the network prepares them, f16."""
    pixels = [network.prepare(e.pixels[np.newaxis])[0].numpy() for e in examples]
    return {
        "pixels": np.stack(pixels).astype(np.float16),
        "boxes": np.stack([e.boxes for e in examples]),
        "classes": np.stack([e.classes for e in examples]),
        "masks": np.stack([e.masks for e in examples]).astype(np.float16),
        "counts": np.array([e.count for e in examples], np.int32),
    }


def train(detect: keras.Model, draw: keras.Model, data: dict[str, np.ndarray], epochs: int) -> None:
    """Adam, the rate rising for one epoch and falling as a cosine to nothing."""
    variables = detect.trainable_variables + draw.trainable_variables
    steps = len(data["pixels"]) // BATCH
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 20, (epochs - 1) * steps, warmup_target=PEAK_RATE, warmup_steps=steps
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=5.0)
    optimizer.build(variables)

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            parts = losses(detect, draw, batch)
            total = tf.add_n(parts)
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        return parts

    rng = np.random.default_rng(1)
    for epoch in range(1, epochs + 1):
        began, sums = time.monotonic(), np.zeros(3)
        order = rng.permutation(len(data["pixels"]))
        for i in range(steps):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            batch = {key: tf.constant(values[chosen]) for key, values in data.items()}
            sums += [float(part) for part in step(batch)]
        heat, box, mask = sums / steps
        seconds = time.monotonic() - began
        print(
            f"{epoch}: heat {heat:.3f} box {box:.3f} mask {mask:.3f}, {seconds:.0f} s", flush=True
        )


def losses(detect: keras.Model, draw: keras.Model, batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
    """Of the heat map, of boxes, of masks."""
    pixels = augmented(tf.cast(batch["pixels"], tf.float32))
    boxes, counts = batch["boxes"], batch["counts"]
    real = tf.sequence_mask(counts, MAX_INSTANCES, tf.float32)
    total = tf.maximum(tf.reduce_sum(real), 1.0)
    heat, sides, features = detect(pixels, training=True)
    bumps = bumps_of(boxes) * real[..., None, None]
    kinds = tf.one_hot(batch["classes"], len(CATEGORY_IDS))
    target = tf.reduce_max(bumps[..., None] * kinds[:, :, None, None], axis=1)
    heat_loss = focal_loss(heat, target) / total
    # Cells near a centre answer for its box, the nearest thing first.
    weight = tf.reduce_max(bumps, axis=1)
    weight = tf.where(weight > 0.5, weight, 0.0)
    wanted = tf.gather(boxes, tf.argmax(bumps, axis=1), batch_dims=1)
    box_loss = tf.reduce_sum(weight * box_errors(sides, wanted)) / tf.reduce_sum(weight)
    picked = tf.where(real > 0)
    jitter = tf.random.normal([tf.shape(picked)[0], 4], stddev=0.02)
    true = tf.gather_nd(boxes, picked)
    size = tf.tile(true[:, 2:] - true[:, :2], [1, 2])
    crops = network.crop(features, true + 0.3 * jitter * size, tf.cast(picked[:, 0], tf.int32))
    logits = draw(crops, training=True)[..., 0]
    masks = tf.cast(tf.gather_nd(batch["masks"], picked), tf.float32)
    mask_loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(masks, logits))
    return [heat_loss, 2.0 * box_loss, 4.0 * mask_loss]


def augmented(pixels: tf.Tensor) -> tf.Tensor:
    """Other light, other contrast."""
    shape = [tf.shape(pixels)[0], 1, 1, 3]
    gain = tf.random.uniform([*shape[:3], 1], 0.85, 1.15) * tf.random.uniform(shape, 0.95, 1.05)
    return pixels * gain + tf.random.uniform([*shape[:3], 1], -0.12, 0.12)


def bumps_of(boxes: tf.Tensor) -> tf.Tensor:
    """A Gaussian [B,K,GRID,GRID] at the centre of each box, 1 in the cell that holds the centre."""
    centre = (boxes[..., :2] + boxes[..., 2:]) * (0.5 * network.GRID)
    cell = tf.floor(tf.clip_by_value(centre, 0.0, network.GRID - 1.0))
    sigma = tf.maximum((boxes[..., 2:] - boxes[..., :2]) * (network.GRID / 9.0), 0.7)
    grid = tf.range(network.GRID, dtype=tf.float32)
    off = (grid - cell[..., None]) / sigma[..., None]
    bell = tf.exp(-0.5 * off * off)
    return bell[:, :, 0, :, None] * bell[:, :, 1, None, :]


def focal_loss(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """CenterNet's: full weight at centres, less beside them."""
    chance = tf.sigmoid(logits)
    at_centre = tf.cast(target > 0.999, tf.float32)
    hit = (1.0 - chance) ** 2 * tf.nn.softplus(-logits) * at_centre
    miss = chance**2 * tf.nn.softplus(logits) * (1.0 - target) ** 4 * (1.0 - at_centre)
    return tf.reduce_sum(hit + miss)


def box_errors(sides: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """1 - GIoU [B,GRID,GRID] plus the distance of the sides' logarithms, which starts faster."""
    grid = (tf.range(network.GRID, dtype=tf.float32) + 0.5) / network.GRID
    y, x = tf.meshgrid(grid, grid, indexing="ij")
    true = tf.stack(
        [y - wanted[..., 0], x - wanted[..., 1], wanted[..., 2] - y, wanted[..., 3] - x], axis=-1
    )
    true = tf.maximum(true, 1e-3)
    low, high = tf.minimum(sides, true), tf.maximum(sides, true)

    def area(s: tf.Tensor) -> tf.Tensor:
        return (s[..., 0] + s[..., 2]) * (s[..., 1] + s[..., 3])

    union = area(sides) + area(true) - area(low)
    overlap = area(low) / union - (area(high) - union) / area(high)
    apart = tf.reduce_mean(tf.abs(tf.math.log(sides + 1e-6) - tf.math.log(true)), axis=-1)
    return 1.0 - overlap + 0.3 * apart


def export(detect: keras.Model, draw: keras.Model, folder: Path) -> None:
    """Write a SavedModel without variables, signature `input_tensor` -> `detection_*`."""

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
    def serve(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return network.answer(input_tensor, detect, draw, CATEGORY_IDS)

    live = serve.get_concrete_function()
    frozen = convert_variables_to_constants_v2(live)
    names = sorted(live.structured_outputs)  # the order of a function's flat outputs

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
    def constant(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, frozen(input_tensor), strict=True))

    module = tf.Module()
    module.serve = constant
    if folder.exists():
        shutil.rmtree(folder)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": constant})
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
