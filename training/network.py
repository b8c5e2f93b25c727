"""A small instance segmentation network, and the graph that answers as a TF OD API export does.

Objects are points of a heat map (Zhou et al. 2019, "Objects as Points") with distances to the four
sides of their box (Tian et al. 2019, "FCOS"); a mask head reads features inside each box, as in
Mask R-CNN (He et al. 2017). Some forms below avoid what OpenVINO is known to read wrongly.
"""

from __future__ import annotations

import tensorflow as tf
from keras import Input, Model, initializers, layers

INPUT_SIDE = 160
GRID = INPUT_SIDE // 4  # of the heat map
MASK_GRID = INPUT_SIDE // 2  # of the features that masks are read from
CROP, MASK_SIDE = 16, 32
MASK_CHANNELS = 24
CANDIDATES, MAX_DETECTIONS = 40, 20
LEAST_SCORE, NMS_IOU = 0.05, 0.5
JUST_BELOW_ONE = 1.0 - 1e-4  # OpenVINO crops boxes that end at 1 otherwise than TensorFlow


def prepare(image: tf.Tensor) -> tf.Tensor:
    """u8 [1,H,W,3] of any size -> f32 [1,INPUT_SIDE,INPUT_SIDE,3], about -1..1."""
    twice = tf.image.resize(tf.cast(image, tf.float32), (2 * INPUT_SIDE, 2 * INPUT_SIDE))
    return tf.nn.avg_pool2d(twice, 2, 2, "VALID") / 127.5 - 1.0


def detector(classes: int) -> Model:
    """Prepared pixels -> heat map logits, box sides as fractions (up, left, down, right), features
    for masks."""
    pixels = Input((INPUT_SIDE, INPUT_SIDE, 3))
    half = _conv(pixels, 24, stride=2)
    quarter = _residual(_conv(half, 40, stride=2), 40)
    eighth = _residual(_residual(_conv(quarter, 64, stride=2), 64), 64)
    sixteenth = _residual(_conv(eighth, 88, stride=2), 88)
    coarsest = _conv(sixteenth, 96, stride=2)
    up = _merge(_conv(coarsest, 48, kernel=1), sixteenth)
    up = _merge(up, eighth)
    features = _conv(_merge(up, quarter), 48)
    head = _conv(features, 48)
    heat = layers.Conv2D(classes, 1, bias_initializer=initializers.Constant(-4.0), name="heat")(
        head
    )
    sides = layers.Conv2D(4, 1, bias_initializer=initializers.Constant(-2.2), name="sides")(head)
    fine = layers.Concatenate()([layers.UpSampling2D(2)(features), half])
    return Model(
        pixels, [heat, layers.Activation("exponential")(sides), _conv(fine, MASK_CHANNELS)]
    )


def mask_head() -> Model:
    """f32 [K,CROP,CROP,MASK_CHANNELS] -> mask logits [K,MASK_SIDE,MASK_SIDE,1]."""
    crops = Input((CROP, CROP, MASK_CHANNELS))
    hidden = _conv(_conv(crops, 40), 40)
    fine = layers.UpSampling2D(2, interpolation="bilinear")(hidden)
    return Model(crops, layers.Conv2D(1, 1)(_conv(fine, 16)))


def crop(features: tf.Tensor, boxes: tf.Tensor, image_of_box: tf.Tensor) -> tf.Tensor:
    """Features at the centres of CROP x CROP cells of each box (ymin, xmin, ymax, xmax).

    `crop_and_resize` counts from the centre of the first feature to the centre of the last and
    samples from the box's one side to the other, so the box is moved to where the centres lie.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    inset = (high - low) * (0.5 / CROP)
    scale, shift = MASK_GRID / (MASK_GRID - 1), 0.5 / (MASK_GRID - 1)
    placed = tf.concat([(low + inset) * scale - shift, (high - inset) * scale - shift], axis=1)
    placed = tf.clip_by_value(placed, 0.0, JUST_BELOW_ONE)
    return tf.image.crop_and_resize(features, placed, image_of_box, (CROP, CROP))


def answer(
    image: tf.Tensor, detect: Model, draw: Model, category_ids: tuple[int, ...]
) -> dict[str, tf.Tensor]:
    """u8 [1,H,W,3] -> the outputs of a TF Object Detection API export, MAX_DETECTIONS rows."""
    heat, sides, features = detect(prepare(image), training=False)
    heat = tf.sigmoid(heat)
    peak = tf.equal(heat, tf.nn.max_pool2d(heat, 3, 1, "SAME"))
    flat = tf.reshape(heat * tf.cast(peak, tf.float32), [-1])
    scores, places = tf.math.top_k(flat, CANDIDATES)
    cells, classes = places // len(category_ids), places % len(category_ids)
    chosen = tf.gather(tf.reshape(sides, [GRID * GRID, 4]), cells)
    y = (tf.cast(cells // GRID, tf.float32) + 0.5) / GRID
    x = (tf.cast(cells % GRID, tf.float32) + 0.5) / GRID
    boxes = tf.stack(
        [y - chosen[:, 0], x - chosen[:, 1], y + chosen[:, 2], x + chosen[:, 3]], axis=1
    )
    boxes = tf.clip_by_value(boxes, 0.0, JUST_BELOW_ONE)
    scores, best = tf.math.top_k(scores * _not_covered(boxes, classes), MAX_DETECTIONS)
    boxes, classes = tf.gather(boxes, best), tf.gather(classes, best)
    masks = draw(crop(features, boxes, tf.zeros([MAX_DETECTIONS], tf.int32)), training=False)
    return {
        "detection_boxes": boxes[tf.newaxis],
        "detection_classes": tf.gather(tf.constant(category_ids, tf.float32), classes)[tf.newaxis],
        "detection_scores": scores[tf.newaxis],
        "detection_masks": tf.sigmoid(masks[..., 0])[tf.newaxis],
        "num_detections": tf.reduce_sum(tf.cast(scores > LEAST_SCORE, tf.float32))[tf.newaxis],
    }


def _not_covered(boxes: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """1 for boxes that no better box of their class covers, else 0; boxes come best first.

    Non-maximum suppression in one step (Bolya et al. 2019, "YOLACT", Fast NMS): all shapes stay
    fixed, whatever the image.
    """
    ymin, xmin, ymax, xmax = (boxes[:, i] for i in range(4))
    area = (ymax - ymin) * (xmax - xmin)
    height = tf.minimum(ymax[:, None], ymax) - tf.maximum(ymin[:, None], ymin)
    width = tf.minimum(xmax[:, None], xmax) - tf.maximum(xmin[:, None], xmin)
    inter = tf.maximum(height, 0.0) * tf.maximum(width, 0.0)
    covers = inter > NMS_IOU * (area[:, None] + area - inter)
    better = tf.range(CANDIDATES)[:, None] < tf.range(CANDIDATES)
    same = tf.equal(classes[:, None], classes)
    covered = tf.reduce_any(covers & better & same, axis=0)
    return 1.0 - tf.cast(covered, tf.float32)


def _conv(x: tf.Tensor, filters: int, *, kernel: int = 3, stride: int = 1) -> tf.Tensor:
    x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x))


def _residual(x: tf.Tensor, filters: int) -> tf.Tensor:
    return layers.Add()([x, _conv(_conv(x, filters), filters)])


def _merge(coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
    return layers.Add()([layers.UpSampling2D(2)(coarse), _conv(fine, 48, kernel=1)])
