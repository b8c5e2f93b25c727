"""What is known of a model: what the command says, else what the source says of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import openvino as ov

from backend.runtime.contract import (
    DEFAULT_SCORE_THRESHOLD,
    Label,
    MaskFrame,
    ModelContract,
    ResizeRule,
)
from backend.runtime.errors import ConversionError
from converter.contracts import AdaptOptions, Family, Preprocessing
from converter.contracts.family import ColorOrder
from converter.contracts.model_api import resize_from_model_info
from converter.contracts.od_api import OdApi
from converter.labels import labels_from_model_info, read_labels
from converter.ovc_options import OvcOptions
from converter.sources import SourceModel


@dataclass(frozen=True)
class Wishes:
    """What the command says of the model; None or empty: nothing.

    Numbers of `mean_values` and `scale_values`: one, or one a channel in the model's own order.
    """

    labels: str | None = None
    family: str | None = None
    resize: ResizeRule | None = None
    color_order: ColorOrder | None = None
    mean_values: tuple[float, ...] = ()
    scale_values: tuple[float, ...] = ()
    mask_frame: MaskFrame | None = None
    static_hw: tuple[int, int] | None = None
    name: str | None = None
    score_threshold: float | None = None
    ovc: OvcOptions = field(default_factory=OvcOptions)


def parse_numbers(text: str) -> tuple[float, ...]:
    """`123.7,116.3,103.5`, with or without brackets, as ovc takes it. Raises ValueError."""
    return tuple(float(part) for part in text.strip().strip("[]()").replace(",", " ").split())


def own_contract(source: SourceModel) -> ModelContract | None:
    """The facts of an IR that labelvino-model wrote before, else None. Raises ContractError."""
    text = source.model_info.get("labelvino")
    return None if text is None else ModelContract.from_json(text)


def gather_options(
    source: SourceModel, family: Family, wishes: Wishes
) -> tuple[AdaptOptions, tuple[str, ...]]:
    """The adapter's options, and sentences on what came from the source itself.

    Raises ConversionError where something is missing, or cannot be done.
    """
    _refuse_unsupported(source)
    own = own_contract(source)
    said: list[str] = list(source.facts.notes)
    stated = labels_from_model_info(source.model_info) if own is None else own.labels
    stated = stated or source.facts.labels
    labels = _labels(wishes, stated, said)
    resize = wishes.resize or (own.resize if own else source.facts.resize)
    if resize is None and not isinstance(family, OdApi):  # which resizes itself
        resize, reason = resize_from_model_info(source.model_info, source.model)
        said += [reason] if reason else []
    options = AdaptOptions(
        labels=labels,
        resize=resize,
        preprocessing=_preprocessing(source, wishes, own, said),
        mask_frame=wishes.mask_frame or (own.mask_frame if own else None),
        source_classes=source.facts.classes or len(stated) or None,
    )
    return options, tuple(said)


def preprocessing_said(source: SourceModel, wishes: Wishes) -> Preprocessing:
    """What command and source say of the preparation. Raises ConversionError."""
    return _preprocessing(source, wishes, own_contract(source), [])


def score_threshold(source: SourceModel, wishes: Wishes) -> float:
    """The command's, else the source's own, else the default."""
    if wishes.score_threshold is not None:
        return wishes.score_threshold
    if own := own_contract(source):
        return own.score_threshold
    text = source.model_info.get("confidence_threshold")
    try:
        return DEFAULT_SCORE_THRESHOLD if text is None else float(text)
    except ValueError as error:
        raise ConversionError(
            f"the model's confidence_threshold '{text}' is no number: give --score-threshold."
        ) from error


def precision_of(model: ov.Model) -> str:
    """int8, f16 or f32: what most bytes of the weights are; FakeQuantize makes it int8."""
    sizes: dict[str, int] = {}
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind == "FakeQuantize":
            return "int8"
        if kind == "Constant":
            name = node.get_element_type().to_string()
            sizes[name] = sizes.get(name, 0) + node.get_byte_size()
    weights = {
        "int8": sizes.get("i8", 0) + sizes.get("u8", 0),
        "f16": sizes.get("f16", 0) + sizes.get("bf16", 0),
        "f32": sizes.get("f32", 0),
    }
    return max(reversed(weights), key=lambda name: weights[name])


def _labels(wishes: Wishes, stated: Sequence[Label], said: list[str]) -> tuple[Label, ...]:
    if wishes.labels is not None:
        return read_labels(wishes.labels)
    if stated:
        said.append(f"the model names its own {len(stated)} labels")
        return tuple(stated)
    raise ConversionError(
        "the model does not name its labels: give --labels coco80, coco91 or a file."
    )


def _preprocessing(
    source: SourceModel, wishes: Wishes, own: ModelContract | None, said: list[str]
) -> Preprocessing:
    info = source.model_info
    order, mean, scale = wishes.color_order, wishes.mean_values, wishes.scale_values
    if own is not None:
        if order == "bgr" or mean or scale:
            raise ConversionError(
                f"{source.path} was converted by labelvino-model, so that its graph prepares its "
                "input already: leave out --color-order, --mean-values and --scale-values."
            )
        return Preprocessing("rgb", embedded=True)
    if order is None and "reverse_input_channels" in info:
        # Model API reads images as BGR and reverses them where this is set.
        order = "rgb" if info["reverse_input_channels"] in ("YES", "True") else "bgr"
        said.append(f"the model says its channel order: --color-order {order}")
    order = order or source.facts.color_order
    if not mean and info.get("mean_values"):
        mean = _numbers("mean_values", info)
        said.append(f"the model says its mean values: {info['mean_values']}")
    if not scale and info.get("scale_values"):
        scale = _numbers("scale_values", info)
        said.append(f"the model says its scale values: {info['scale_values']}")
    return Preprocessing(order, mean, scale)


def _numbers(key: str, model_info: dict[str, str]) -> tuple[float, ...]:
    try:
        return parse_numbers(model_info[key])
    except ValueError as error:
        option = "--" + key.replace("_", "-")
        raise ConversionError(
            f"the model's {key} '{model_info[key]}' are no numbers: give {option}."
        ) from error


def _refuse_unsupported(source: SourceModel) -> None:
    info = source.model_info
    if "tile_size" in info and info["tile_size"] not in ("", "0", "None"):
        raise ConversionError(
            f"{source.path} was trained with tiling (tile_size), which labelvino cannot do yet: "
            "export the model without tiling."
        )
    if info.get("embedded_processing") in ("YES", "True"):
        raise ConversionError(
            f"{source.path} was saved by Model API with its preprocessing embedded "
            "(embedded_processing): convert the IR that it was loaded from."
        )


def describe_facts(source: SourceModel) -> dict[str, object]:
    """What the source says of itself, for `inspect`; JSON values are opened."""
    facts: dict[str, object] = {}
    for key, text in sorted(source.model_info.items()):
        try:
            facts[key] = json.loads(text) if text[:1] in "{[" else text
        except ValueError:
            facts[key] = text
    return facts
