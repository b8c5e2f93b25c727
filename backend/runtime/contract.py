"""What an IR says of itself: rt_info <-> ModelContract.

The facts stand in `rt_info` under `model_info`. Next to them stand the keys of OpenVINO Model API
(https://github.com/open-edge-platform/model_api), so that it reads the same file; where the two
could differ, ours (`model_info/labelvino`, one JSON value) wins for us.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import openvino as ov
from defusedxml.ElementTree import iterparse

from backend.runtime.errors import ContractError

CONTRACT_VERSION = 1
LETTERBOX_GREY = 114
DEFAULT_SCORE_THRESHOLD = 0.5

MaskFrame = Literal["box", "image"]
ResizeKind = Literal["none", "stretch", "fit", "letterbox", "shortest-edge"]
Interpolation = Literal["linear", "cubic", "nearest"]


@dataclass(frozen=True)
class ResizeRule:
    """How an image becomes the model's input.

    none           the model resizes itself: the image goes in as it is
    stretch        to exactly `width` x `height`
    fit            scaled to fit into `width` x `height`, the rest padded right and below
    letterbox      the same, padded on both sides, as Ultralytics does
    shortest-edge  scaled so that the short side is `short`, but the long side at most `long`

    `pad`: the grey 0..255 of the padding. `antialias_above`: shrinking by more than this factor
    averages areas first.
    """

    kind: ResizeKind
    width: int = 0
    height: int = 0
    short: int = 0
    long: int = 0
    interpolation: Interpolation = "linear"
    antialias_above: float = 2.0
    pad: int = 0

    def __post_init__(self) -> None:
        if self.kind in ("stretch", "fit", "letterbox"):
            if self.width < 1 or self.height < 1:
                raise ContractError(
                    f"resize '{self.kind}' needs a width and a height of at least 1."
                )
        elif self.kind == "shortest-edge":
            if not 1 <= self.short <= self.long:
                raise ContractError("resize 'shortest-edge' needs 1 <= short <= long.")
        elif self.kind != "none":
            raise ContractError(f"unknown resize kind '{self.kind}'.")
        if self.interpolation not in ("linear", "cubic", "nearest"):
            raise ContractError(f"unknown interpolation '{self.interpolation}'.")
        if not 0 <= self.pad <= 255:
            raise ContractError(f"the padding's grey must be within 0..255, but is {self.pad}.")

    @classmethod
    def parse(cls, text: str) -> ResizeRule:
        """Read `none`, `stretch:WxH`, `fit:WxH`, `letterbox:WxH` or `shortest-edge:SHORT:LONG`.

        `fit` and `letterbox` may end in `:GREY`, the padding; it is 0 and 114 otherwise.
        """
        if text == "none":
            return cls("none")
        if found := re.fullmatch(r"stretch:(\d+)x(\d+)", text):
            return cls("stretch", width=int(found[1]), height=int(found[2]))
        if found := re.fullmatch(r"(fit|letterbox):(\d+)x(\d+)(?::(\d+))?", text):
            kind: ResizeKind = "fit" if found[1] == "fit" else "letterbox"
            pad = _usual_pad(kind) if found[4] is None else int(found[4])
            return cls(kind, width=int(found[2]), height=int(found[3]), pad=pad)
        if found := re.fullmatch(r"shortest-edge:(\d+):(\d+)", text):
            return cls("shortest-edge", short=int(found[1]), long=int(found[2]))
        raise ContractError(
            f"resize rule '{text}' is not understood: use none, stretch:WIDTHxHEIGHT, "
            "fit:WIDTHxHEIGHT, letterbox:WIDTHxHEIGHT or shortest-edge:SHORT:LONG."
        )

    def __str__(self) -> str:
        if self.kind == "none":
            return "none"
        if self.kind == "shortest-edge":
            return f"shortest-edge:{self.short}:{self.long}"
        grey = f":{self.pad}" if self.pad != _usual_pad(self.kind) else ""
        return f"{self.kind}:{self.width}x{self.height}{grey}"


def _usual_pad(kind: ResizeKind) -> int:
    return LETTERBOX_GREY if kind == "letterbox" else 0


@dataclass(frozen=True)
class Label:
    """One class: the category id of the data set it was trained on, and its name."""

    id: int
    name: str


@dataclass(frozen=True)
class ModelContract:
    """All facts about a model that its IR carries."""

    name: str
    labels: tuple[Label, ...]
    resize: ResizeRule
    mask_frame: MaskFrame | None  # None: a pure detector
    family: str
    source_format: str
    source_digest: str
    converter_version: str
    precision: str  # of the weights: f32, f16, int8
    converted_at: str = ""
    framework_version: str = ""
    score_threshold: float = DEFAULT_SCORE_THRESHOLD
    parent_digest: str = ""  # `ir_digest` of the IR that this was quantised from
    version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        if not self.labels:
            raise ContractError("a model needs at least one label.")
        if self.mask_frame not in ("box", "image", None):
            raise ContractError(f"mask_frame must be 'box' or 'image', but is '{self.mask_frame}'.")
        if not 0.0 <= self.score_threshold <= 1.0:
            raise ContractError(f"score threshold {self.score_threshold} is not within 0..1.")

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def to_json(self) -> str:
        """One line of JSON, as `rt_info` stores it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelContract:
        """Raises ContractError for facts that are not ours, damaged, or of a newer version."""
        try:
            facts: dict[str, Any] = json.loads(text)
            version = facts["version"]
            if version != CONTRACT_VERSION:
                raise ContractError(
                    f"the model's facts have version {version}, but this labelvino reads version "
                    f"{CONTRACT_VERSION}: convert the model again, or use the matching labelvino."
                )
            facts["labels"] = tuple(Label(int(x["id"]), str(x["name"])) for x in facts["labels"])
            facts["resize"] = ResizeRule(**facts["resize"])
            return cls(**facts)
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(
                f"the model's facts (rt_info, model_info/labelvino) are damaged ({error}): "
                "convert the model again with labelvino-model convert."
            ) from error

    def result_facts(self) -> str:
        """The facts that change results, as canonical text (part of the model's digest)."""
        facts = {
            "labels": [[label.id, label.name] for label in self.labels],
            "resize": asdict(self.resize),
            "mask_frame": self.mask_frame,
        }
        return json.dumps(facts, sort_keys=True, separators=(",", ":"))


_MODEL_API_TYPES = {"box": "MaskRCNN", "image": "DETRInstSeg", None: "ssd"}
_MODEL_API_RESIZES = {"fit": "fit_to_window", "letterbox": "fit_to_window_letterbox"}


def write_contract(model: ov.Model, contract: ModelContract) -> None:
    """Put the facts into the model's `rt_info`, in our form and in Model API's."""
    model_api = {
        "model_type": _MODEL_API_TYPES[contract.mask_frame],
        # Model API splits on white space and counts a background entry first.
        "labels": " ".join(["background", *(n.replace(" ", "_") for n in contract.label_names)]),
        "label_ids": " ".join(str(label.id) for label in contract.labels),
        "confidence_threshold": str(contract.score_threshold),
        "reverse_input_channels": "False",
        "resize_type": _MODEL_API_RESIZES.get(contract.resize.kind, "standard"),
        "pad_value": str(contract.resize.pad),
    }
    if contract.mask_frame == "image" and contract.resize.kind in _MODEL_API_RESIZES:
        del model_api["model_type"]  # its wrapper would stretch such masks over the padding too
    for key, value in model_api.items():
        model.set_rt_info(value, ["model_info", key])
    model.set_rt_info(contract.to_json(), ["model_info", "labelvino"])


def read_contract(model: ov.Model, path: Path | str = "MODEL.xml") -> ModelContract:
    """The facts of an IR that labelvino-model wrote; `path` only for the message.

    Raises ContractError, with the command that adopts the model, where there are none.
    """
    if not model.has_rt_info(["model_info", "labelvino"]):
        if model.has_rt_info(["model_info", "tile_size"]):
            raise ContractError(
                f"{path} was trained with tiling (tile_size), which labelvino cannot do yet: "
                "export the model without tiling."
            )
        raise ContractError(
            f"{path} does not say what its inputs and outputs mean: adopt it with "
            f"'labelvino-model convert {path} -o adopted.xml --labels ...'."
        )
    contract = ModelContract.from_json(model.get_rt_info(["model_info", "labelvino"]).astype(str))
    _check_ports(model, contract, path)
    return contract


def _check_ports(model: ov.Model, contract: ModelContract, path: Path | str) -> None:
    inputs = [name for port in model.inputs for name in port.get_names()]
    if "image" not in inputs or len(model.inputs) != 1:
        raise ContractError(f"{path} must have the one input 'image', but has {inputs}.")
    shape = model.input("image").partial_shape
    if len(shape) != 4 or shape[3].is_dynamic or shape[3].get_length() != 3:
        raise ContractError(f"{path}: the input must be [1,H,W,3], but is {shape}.")
    wanted = {"boxes", "labels"} | ({"masks"} if contract.mask_frame else set())
    outputs = {name for port in model.outputs for name in port.get_names()}
    if not wanted <= outputs:
        raise ContractError(
            f"{path} must have the outputs {sorted(wanted)}, but has {sorted(outputs)}: "
            "convert the model again with labelvino-model convert."
        )


def ir_digest(xml_path: Path) -> str:
    """SHA-256 (hex) of what an IR computes: weights, operations and their connections.

    Names, dates and facts are left out, so that converting the same source again gives the same
    digest. Raises ContractError for files that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        in_rt_info = 0
        for event, element in iterparse(xml_path, events=("start", "end")):
            if element.tag == "rt_info":
                in_rt_info += 1 if event == "start" else -1
            elif event == "start" and not in_rt_info and element.tag in _COMPUTING:
                kept = sorted((k, v) for k, v in element.attrib.items() if k != "name")
                digest.update(repr((element.tag, kept)).encode())
            if event == "end" and element.tag == "layer":
                element.clear()
        with xml_path.with_suffix(".bin").open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
    except (OSError, SyntaxError, ValueError) as error:
        raise ContractError(f"{xml_path} cannot be read as an OpenVINO IR: {error}.") from error
    return digest.hexdigest()


_COMPUTING = frozenset({"layer", "data", "edge", "port", "dim"})
