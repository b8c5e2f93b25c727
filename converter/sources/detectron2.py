"""Detectron2's two-stage detectors and RetinaNet, by config and weights.

Its Python sources are enough: the compiled part is not needed to trace these models. Its model_zoo
module is left alone, since it imports pkg_resources, which new setuptools do not have.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from backend.runtime.contract import Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.contracts.family import ColorOrder
from converter.sources.source import (
    LoadOptions,
    NativeModule,
    SourceFacts,
    SourceModel,
    digest_files,
    reason_of,
)
from converter.sources.torch_module import (
    convert_module,
    example_image,
    import_torch,
    pad_right_and_below,
    quiet,
)
from converter.sources.torch_weights import State, load_state, read_state, weights_of

FAMILY = "detectron2"
_ARCHITECTURES = ("GeneralizedRCNN", "RetinaNet")
_HEADS = ("StandardROIHeads", "CascadeROIHeads", "Res5ROIHeads")
# Buffers that are computed, and that older checkpoints also stored
_MAY_MISS = (
    "num_batches_tracked",
    "pixel_mean",
    "pixel_std",
    *(f"cell_anchors.{level}" for level in range(8)),
)
_TRACED_SHORT_SIDE = 320


@quiet()
def load_detectron2(config: str, options: LoadOptions) -> SourceModel:
    """`config`: a name of the model zoo, such as COCO-Detection/faster_rcnn_R_50_FPN_1x, or a file.

    The number of classes is that of the weights. Raises ConversionError.
    """
    torch = import_torch(torchvision=True)
    version = _import_detectron2()
    source = f"detectron2:{config}"
    cfg = read_config(config, trust=options.trust)
    _refuse(cfg, source)
    path = weights_of(options, source)
    state = read_state(path, trust=options.trust)
    classes = _set_classes(cfg, state)
    model = _build(cfg, source)
    load_state(model, state, path, source, _MAY_MISS)
    image = example_image(options, short=_TRACED_SHORT_SIDE, highest=255.0, batch=True)
    native = NativeModule(traceable(model), tuple(output_names(model)))
    return SourceModel(
        model=convert_module(native.module, image, native.names, shape=[1, 3, -1, -1], what=source),
        path=Path(source),
        format=FAMILY,
        digest=hashlib.sha256((cfg.dump() + digest_files([path])).encode()).hexdigest(),
        framework_version=f"torch {torch.__version__}, detectron2 {version}",
        facts=SourceFacts(
            family=FAMILY,
            family_reason=f"the source is {source}",
            labels=_labels(cfg, classes),
            classes=classes,
            resize=_resize(cfg),
            color_order=_color_order(cfg, source),
        ),
        native=native,
    )


def traceable(model: Any) -> Any:
    """A module f32 [1,3,H,W] -> (boxes, labels, scores[, masks]), masks raw within their boxes.

    `model`: a GeneralizedRCNN or RetinaNet. Its padding is replaced: compiled by OpenVINO, its own
    makes 512x672 of 480x640.
    """
    import torch
    from detectron2.export.torchscript_patch import patch_builtin_len
    from detectron2.layers.wrappers import shapes_to_tensor
    from detectron2.structures import ImageList

    constraints = model.backbone.padding_constraints
    divisor = constraints.get("size_divisibility", 0) or model.backbone.size_divisibility

    def preprocess_image(batched_inputs: Any) -> Any:
        image = batched_inputs[0]["image"]
        padded = ((image - model.pixel_mean) / model.pixel_std)[None]
        if divisor > 1:
            padded = pad_right_and_below(padded, divisor)
        return ImageList(padded, [shapes_to_tensor(image.shape[-2:])])

    class Traceable(torch.nn.Module):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            inputs = [{"image": image[0]}]
            with patch_builtin_len():
                if hasattr(self.model, "roi_heads"):
                    found = self.model.inference(inputs, do_postprocess=False)[0]
                else:
                    found = _dense_inference(self.model, inputs)
            answer = (found.pred_boxes.tensor, found.pred_classes, found.scores)
            return (*answer, found.pred_masks) if found.has("pred_masks") else answer

    model.preprocess_image = preprocess_image
    return Traceable()


def _dense_inference(model: Any, inputs: Any) -> Any:
    """RetinaNet's forward without its rescaling, which also clips boxes and drops empty ones."""
    images = model.preprocess_image(inputs)
    features = model.backbone(images.tensor)
    predictions = model.head([features[name] for name in model.head_in_features])
    found = model.forward_inference(
        images, [features[name] for name in model.head_in_features], predictions
    )[0]
    found.pred_boxes.clip(images.image_sizes[0])
    return found[found.pred_boxes.nonempty()]


def output_names(model: Any) -> list[str]:
    """The names of what `traceable` gives."""
    names = ["boxes", "labels", "scores"]
    heads = getattr(model, "roi_heads", None)
    return [*names, "masks"] if getattr(heads, "mask_on", False) else names


def _import_detectron2() -> str:
    try:
        import detectron2
        import detectron2.modeling
    except ImportError as error:
        raise ConversionError(
            f"this source needs Detectron2, which cannot be imported ({reason_of(error)}): it is "
            "on no package index, so install it from its sources, as docs/sources/detectron2.md "
            "says."
        ) from error
    return str(detectron2.__version__)


def read_config(config: str, *, trust: bool = False) -> Any:
    """The configuration that a zoo name or a .yaml file stands for. Raises ConversionError.

    Detectron2's own files may compute values with Python code, as RetinaNet's do; others only with
    `trust`.
    """
    if Path(config).suffix == ".py":
        raise ConversionError(
            f"{config} is a program (LazyConfig): give a .yaml config, or build the model in a "
            "module of yours and convert module:factory."
        )
    if Path(config).is_file():
        return _merged(Path(config), allow_code=trust)
    import detectron2

    package = Path(str(detectron2.__file__)).parent
    name = config if config.endswith(".yaml") else f"{config}.yaml"
    for folder in (package / "model_zoo" / "configs", package.parent / "configs"):
        if (folder / name).resolve().is_relative_to(folder.resolve()) and (folder / name).is_file():
            return _merged(folder / name, allow_code=True)
    raise ConversionError(
        f"there is no config file {config}, and Detectron2's model zoo has none of that name: "
        "write it as COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x."
    )


def _merged(file: Path, *, allow_code: bool) -> Any:
    from detectron2.config import get_cfg

    cfg = get_cfg()
    try:
        cfg.merge_from_file(str(file), allow_unsafe=allow_code)
    except KeyError as error:
        project = "a project outside Detectron2's core"
        if "POINT" in str(error):
            project = "PointRend, which OpenVINO cannot convert"
        raise ConversionError(f"{file} is a config of {project}: {reason_of(error)}.") from error
    except Exception as error:  # yaml and yacs raise several types
        if "tag:yaml.org,2002:python/" in str(error):
            raise ConversionError(
                f"{file} holds Python code, which would run when it is read: pass --trust if you "
                "trust where it comes from."
            ) from error
        raise ConversionError(f"{file} is no config of Detectron2: {reason_of(error)}.") from error
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    return cfg


def _refuse(cfg: Any, source: str) -> None:
    """What cannot be converted, or would lose something without a word."""
    model = cfg.MODEL
    if model.META_ARCHITECTURE == "PanopticFPN":
        raise ConversionError(
            f"{source} is a PanopticFPN, whose semantic output the contract has no place for: use "
            "a Mask R-CNN config."
        )
    if model.META_ARCHITECTURE not in _ARCHITECTURES:
        raise ConversionError(
            f"{source} is a {model.META_ARCHITECTURE}, which cannot be converted: only "
            f"{' and '.join(_ARCHITECTURES)} can."
        )
    if "PointRend" in model.ROI_MASK_HEAD.NAME or "Point" in model.ROI_HEADS.NAME:
        raise ConversionError(
            f"{source} is a PointRend, which OpenVINO cannot convert (affine_grid_generator): use "
            "a Mask R-CNN config."
        )
    if model.META_ARCHITECTURE == "GeneralizedRCNN" and model.ROI_HEADS.NAME not in _HEADS:
        raise ConversionError(f"{source} has {model.ROI_HEADS.NAME}: only {', '.join(_HEADS)} do.")
    _color_order(cfg, source)
    if model.KEYPOINT_ON:
        raise ConversionError(f"{source} finds keypoints, which the contract has no place for.")
    if model.LOAD_PROPOSALS or model.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals":
        raise ConversionError(f"{source} wants proposals from a file: use a Faster R-CNN config.")


def _set_classes(cfg: Any, state: State) -> int:
    """As many as the weights have; the config's where they do not tell."""
    if cfg.MODEL.META_ARCHITECTURE == "RetinaNet":
        anchors = cfg.MODEL.ANCHOR_GENERATOR
        a_place = len(anchors.SIZES[0]) * len(anchors.ASPECT_RATIOS[0])
        if "head.cls_score.weight" in state:
            cfg.MODEL.RETINANET.NUM_CLASSES = len(state["head.cls_score.weight"]) // a_place
        return int(cfg.MODEL.RETINANET.NUM_CLASSES)
    for stage in ("", "0."):
        name = f"roi_heads.box_predictor.{stage}cls_score.weight"
        if name in state:
            cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(state[name]) - 1
    return int(cfg.MODEL.ROI_HEADS.NUM_CLASSES)


def _build(cfg: Any, source: str) -> Any:
    from detectron2.modeling import build_model

    try:
        model = build_model(cfg).eval()
    except Exception as error:  # of any of its registries
        raise ConversionError(
            f"Detectron2 cannot build {source}: {reason_of(error)}: check the config."
        ) from error
    refuse_square_padding(model, source)
    return model


def refuse_square_padding(model: Any, source: str) -> None:
    """Raises ConversionError for backbones such as ViTDet's."""
    if model.backbone.padding_constraints.get("square_size", 0) > 0:
        raise ConversionError(
            f"{source} pads its images to a square (square_size), which cannot be converted."
        )


def _resize(cfg: Any) -> ResizeRule:
    if cfg.INPUT.MIN_SIZE_TEST <= 0:
        return ResizeRule("none")
    longest = cfg.INPUT.MAX_SIZE_TEST
    return ResizeRule("shortest-edge", short=cfg.INPUT.MIN_SIZE_TEST, long=longest)


def _color_order(cfg: Any, source: str) -> ColorOrder:
    orders: dict[str, ColorOrder] = {"BGR": "bgr", "RGB": "rgb"}
    if cfg.INPUT.FORMAT not in orders:
        raise ConversionError(f"{source} wants {cfg.INPUT.FORMAT} images: only BGR and RGB can be.")
    return orders[cfg.INPUT.FORMAT]


def _labels(cfg: Any, classes: int) -> tuple[Label, ...]:
    """COCO's where the config trains on COCO; else none."""
    trained = tuple(cfg.DATASETS.TRAIN)
    on_coco = bool(trained) and all(
        name.startswith(("coco_2014_", "coco_2017_")) for name in trained
    )
    return COCO_LABELS if on_coco and classes == len(COCO_LABELS) else ()
