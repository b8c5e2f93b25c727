"""torchvision's Faster R-CNN and Mask R-CNN, by name and state dict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.runtime.contract import Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.sources.source import (
    LoadOptions,
    NativeModule,
    SourceFacts,
    SourceModel,
    digest_files,
)
from converter.sources.torch_module import (
    convert_module,
    example_image,
    import_torch,
    pad_right_and_below,
)
from converter.sources.torch_weights import State, load_state, read_state, weights_of

FAMILY = "torchvision"
_CLASS_SCORES = "roi_heads.box_predictor.cls_score.weight"
# Frozen batch norms count nothing; ones that learn do.
_MAY_MISS = ("num_batches_tracked",)
_TRACED_SHORT_SIDE = 320


def load_torchvision(name: str, options: LoadOptions) -> SourceModel:
    """`maskrcnn_resnet50_fpn`, `fasterrcnn_...`: built with the classes that the weights have.

    Raises ConversionError.
    """
    import_torch(torchvision=True)
    source = f"torchvision:{name}"
    builder = _builder(name)
    path = weights_of(options, source)
    state = read_state(path, trust=options.trust)
    if _CLASS_SCORES not in state:
        raise ConversionError(
            f"{path} has the weights of another model than {source}: there is no {_CLASS_SCORES}."
        )
    classes = int(state[_CLASS_SCORES].shape[0])
    model = builder(weights=None, weights_backbone=None, num_classes=classes).eval()
    load_state(model, state, path, source, _MAY_MISS)
    digest = digest_files([path])
    notes = _freeze_as_trained(model, state, name)
    return SourceModel(
        model=convert_rcnn(model, options, source),
        path=Path(source),
        format=FAMILY,
        digest=digest,
        framework_version=_versions(),
        facts=facts_of(model, f"the source is {source}", _own_labels(name, digest), notes),
        native=native_of(model),
    )


def is_rcnn(module: Any) -> bool:
    """Whether a module is one of torchvision's two-stage detectors."""
    try:
        from torchvision.models.detection import FasterRCNN
    except (ImportError, RuntimeError):
        return False
    return isinstance(module, FasterRCNN)


def convert_rcnn(model: Any, options: LoadOptions, what: str) -> Any:
    """A FasterRCNN or MaskRCNN as ov.Model, input f32 [1,3,H,W] RGB 0..1, raw masks."""
    if model.roi_heads.has_keypoint():
        raise ConversionError(f"{what} finds keypoints, which the contract has no place for.")
    image = example_image(options, short=_TRACED_SHORT_SIDE, batch=True)
    native = native_of(model)
    return convert_module(native.module, image, native.names, shape=[1, 3, -1, -1], what=what)


def native_of(model: Any) -> NativeModule:
    """The module that is converted."""
    masks = ("masks",) if model.roi_heads.has_mask() else ()
    return NativeModule(_wrapped(model), ("boxes", "labels", "scores", *masks))


def facts_of(
    model: Any, reason: str, labels: tuple[Label, ...] = (), notes: tuple[str, ...] = ()
) -> SourceFacts:
    """What a FasterRCNN's own transform and predictor say."""
    rule = model.transform
    if rule.fixed_size is not None:
        width, height = rule.fixed_size
        resize = ResizeRule("stretch", width=width, height=height)
    else:
        resize = ResizeRule("shortest-edge", short=rule.min_size[-1], long=rule.max_size)
    return SourceFacts(
        family=FAMILY,
        family_reason=reason,
        labels=labels,
        classes=model.roi_heads.box_predictor.cls_score.out_features - 1,
        resize=resize,
        notes=notes,
    )


def _wrapped(model: Any) -> Any:
    """The model without its resize and without pasting masks into the image.

    torchvision's own forward gives dictionaries, resizes, and pastes each mask into a full frame.
    """
    import torch
    from torchvision.models.detection.image_list import ImageList

    class RawMasks(torch.nn.Module):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            rule = self.model.transform
            padded = pad_right_and_below(rule.normalize(image[0])[None], rule.size_divisible)
            images = ImageList(padded, [(image.shape[-2], image.shape[-1])])
            features = self.model.backbone(padded)
            if isinstance(features, torch.Tensor):
                features = {"0": features}
            proposals, _ = self.model.rpn(images, features, None)
            found, _ = self.model.roi_heads(features, proposals, images.image_sizes, None)
            first = found[0]
            return tuple(first[k] for k in ("boxes", "labels", "scores", "masks") if k in first)

    return RawMasks()


def _builder(name: str) -> Any:
    from torchvision.models import list_models
    from torchvision.models.detection import __dict__ as known

    names = sorted(n for n in known if n.startswith(("maskrcnn_", "fasterrcnn_")))
    if name in names:
        return known[name]
    if name in list_models():
        raise ConversionError(
            f"torchvision's {name} is no Faster R-CNN or Mask R-CNN: use one of {', '.join(names)}."
        )
    raise ConversionError(f"torchvision has no model {name}: use one of {', '.join(names)}.")


def _freeze_as_trained(model: Any, state: State, name: str) -> tuple[str, ...]:
    """Batch norms as those of the weights' training; says what was taken for granted.

    torchvision trains from pretrained weights with frozen batch norms, which count no batches.
    Those of its first COCO weights, and what was trained from them, divide without an epsilon.
    """
    import torch

    frozen = not any(key.endswith("num_batches_tracked") for key in state)
    if not frozen or name not in ("maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn"):
        return ()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if any(float(norm.running_var.min()) <= 0 for norm in norms):
        return ()
    for norm in norms:
        norm.eps = 0.0
    return ("batch norms are frozen with eps 0, as in torchvision's COCO weights of this model",)


def _own_labels(name: str, digest: str) -> tuple[Label, ...]:
    """COCO's, where the file is torchvision's own: its address ends in the start of its digest."""
    from torchvision.models import get_model_weights

    for weights in get_model_weights(name):
        start = Path(weights.url).stem.rpartition("-")[2]
        if digest.startswith(start) and len(weights.meta["categories"]) == 91:
            return COCO_LABELS
    return ()


def _versions() -> str:
    import torch
    import torchvision

    return f"torch {torch.__version__}, torchvision {torchvision.__version__}"
