"""Compile an IR on a device and run it: image in, detections out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.candidates import Candidates
from backend.runtime.contract import ModelContract, ir_digest, read_contract
from backend.runtime.detections import Detections
from backend.runtime.errors import ContractError, DeviceError, InferenceError
from backend.runtime.image import DecodedImage
from backend.runtime.masks import cut_mask
from backend.runtime.request_pool import AdaptingPool, RequestPool, Requests
from backend.runtime.resize import ResizeGeometry, needed_size, resize_image

Precision = Literal["auto", "f32", "f16", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_OV_PRECISION = {"f32": ov.Type.f32, "f16": ov.Type.f16, "bf16": ov.Type.bf16}
_CAPABILITY = {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}
_PRECISION_NAME = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_VIRTUAL = ("AUTO", "MULTI", "HETERO", "BATCH")
UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """What the graph gave for one image, in pixels of the model input.

    `boxes` f32 [N, 5] (x1, y1, x2, y2, score); `labels` i64 [N]; `masks` f32 [N, h, w] or None.
    """

    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    masks: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class DeviceInfo:
    """A device that OpenVINO sees; a device that does not answer has `problem`."""

    name: str
    full_name: str
    precisions: tuple[str, ...]
    default_precision: str
    problem: str = ""


class Engine:
    """A model compiled on a device, with a pool of infer requests; any thread may call it."""

    def __init__(
        self,
        model_path: Path | str,
        *,
        device: str = "AUTO",
        precision: Precision = "auto",
        throughput: bool = False,
        adapts: bool = False,
        cache_dir: Path | None = None,
    ) -> None:
        """Load and compile. Raises ContractError or DeviceError.

        `throughput`: many images at once rather than the shortest time for one. `adapts`: both, as
        images come; takes the memory of both once two have met.
        """
        self.model_path = Path(model_path)
        core = _core(os.getpid())
        model = _read(core, self.model_path)
        self.contract: ModelContract = read_contract(model, self.model_path)
        self.device = device
        self.model_digest = model_digest(self.model_path, self.contract)
        self._has_masks = self.contract.mask_frame is not None
        _check_device(core, device, precision)
        config: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY"}
        if cache_dir is not None:
            config["CACHE_DIR"] = _cache_folder(cache_dir)
        if precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = _OV_PRECISION[precision]
        try:
            self._compiled = core.compile_model(model, device, config)
        except RuntimeError as error:
            raise DeviceError(
                f"the model cannot be compiled for device '{device}': {_last_line(error)} "
                "('labelvino devices' lists what is there)."
            ) from error
        if precision != "auto" and self.precision not in (precision, UNKNOWN):
            raise DeviceError(
                f"device '{device}' was asked for {precision} but computes in {self.precision}: "
                "use --precision auto, or another device."
            )
        _prepare_libraries()
        pool = RequestPool(self._compiled)
        self._pool: Requests = pool
        if adapts and not throughput:
            many = config | {"PERFORMANCE_HINT": "THROUGHPUT"}
            self._pool = AdaptingPool(pool, lambda: core.compile_model(model, device, many))

    @property
    def requests(self) -> int:
        """How many images are inferred at once, at the most."""
        return self._pool.size

    @property
    def execution_devices(self) -> tuple[str, ...]:
        """The devices that really compute (AUTO may change them after a while)."""
        try:
            return tuple(self._compiled.get_property("EXECUTION_DEVICES"))
        except RuntimeError:
            return (UNKNOWN,)

    @property
    def precision(self) -> str:
        """The precision that the device really computes in, or 'unknown'."""
        try:
            return _name(self._compiled.get_property("INFERENCE_PRECISION_HINT"))
        except RuntimeError:
            pass  # AUTO, MULTI and HETERO answer for their devices instead
        try:
            answers = self._compiled.get_property("DEVICE_PROPERTIES")
            found = {_name(a["INFERENCE_PRECISION_HINT"]) for a in answers.values()}
        except (RuntimeError, KeyError, AttributeError, TypeError):
            return UNKNOWN
        return found.pop() if len(found) == 1 else UNKNOWN

    @property
    def compiled(self) -> ov.CompiledModel:
        """What OpenVINO made of the model, for whoever measures it."""
        return self._compiled

    def needed_size(self, width: int, height: int) -> tuple[int, int]:
        """Of an image's width and height, the least that its pixels must have for this model."""
        return needed_size(self.contract.resize, width, height)

    def infer(self, image: DecodedImage) -> tuple[RawOutputs, ResizeGeometry]:
        """Run the model on one image; waits for a free request. Raises InferenceError."""
        tensor, geometry = resize_image(image, self.contract.resize)
        with self._pool.request() as request:
            try:
                request.infer({"image": tensor})
            except RuntimeError as error:
                raise InferenceError(
                    f"the model cannot process an image of {image.width}x{image.height} on device "
                    f"'{self.device}': leave it out, or crop it to a more usual shape "
                    f"({_last_line(error)})."
                ) from error
            boxes = np.array(request.get_tensor("boxes").data, np.float32)
            labels = np.array(request.get_tensor("labels").data, np.int64)
            masks = None
            if self._has_masks:
                masks = np.array(request.get_tensor("masks").data, np.float32)
        return RawOutputs(boxes, labels, masks), geometry

    def detect(
        self, image: DecodedImage, *, min_score: float = 0.0, max_detections: int = 300
    ) -> Detections:
        """All instances with a score of at least `min_score`, best first. Raises InferenceError."""
        return self.candidates(image, min_score, max_detections).detections(
            min_score, max_detections
        )

    def candidates(self, image: DecodedImage, floor_score: float, limit: int) -> Candidates:
        """What `detections` can be made from. Raises InferenceError."""
        raw, geometry = self.infer(image)
        return select(raw, geometry, self.contract, floor_score, limit)


def decode(
    raw: RawOutputs,
    geometry: ResizeGeometry,
    contract: ModelContract,
    min_score: float = 0.0,
    max_detections: int = 300,
) -> Detections:
    """Raw outputs -> detections in the image; masks are pasted for those that stay only."""
    found = select(raw, geometry, contract, min_score, max_detections)
    return found.detections(min_score, max_detections)


def select(
    raw: RawOutputs,
    geometry: ResizeGeometry,
    contract: ModelContract,
    floor_score: float,
    limit: int,
) -> Candidates:
    """Raw outputs -> what may become detections: the best `limit` from `floor_score` on.

    Rows with a number that is not finite, without area, or with a label outside the contract's
    list are dropped: no device may put them in front of an annotator.
    """
    boxes = geometry.boxes_to_image(raw.boxes[:, :4])
    scores = raw.boxes[:, 4]
    good = np.isfinite(raw.boxes).all(axis=1) & (scores >= floor_score)
    good &= (raw.labels >= 0) & (raw.labels < len(contract.labels))
    good &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-scores[kept], kind="stable")][:limit]
    frame = contract.mask_frame if raw.masks is not None else None
    cells = None
    if raw.masks is not None and frame is not None:
        # Copies, so that the other instances' masks are not kept in memory.
        cells = tuple(cut_mask(raw.masks[i].copy(), boxes[i], geometry, frame) for i in kept)
    return Candidates(
        geometry, frame, boxes[kept], scores[kept], raw.labels[kept], cells, floor_score, limit
    )


def load_contract(model_path: Path | str) -> ModelContract:
    """The facts of an IR, without compiling it. Raises ContractError."""
    return read_contract(read_ir(model_path), model_path)


def read_ir(model_path: Path | str) -> ov.Model:
    """An IR, without compiling it. Raises ContractError."""
    return _read(_core(os.getpid()), Path(model_path))


def list_devices() -> list[DeviceInfo]:
    """What OpenVINO sees on this machine."""
    core = _core(os.getpid())
    devices = []
    for name in core.available_devices:
        try:
            devices.append(
                DeviceInfo(
                    name,
                    str(core.get_property(name, "FULL_DEVICE_NAME")).strip(),
                    _precisions(core, name),
                    _name(core.get_property(name, "INFERENCE_PRECISION_HINT")),
                )
            )
        except RuntimeError as error:
            devices.append(DeviceInfo(name, UNKNOWN, (), UNKNOWN, _last_line(error)))
    return devices


@cache
def _core(process_id: int) -> ov.Core:  # noqa: ARG001 - a forked child needs its own
    """OpenVINO itself, one for the life of a process.

    A core that goes takes the code of its plugins with it, and a thread that has computed there
    crashes when it ends (SIGSEGV; seen with 2026.4.1).
    """
    core = ov.Core()
    # Weights are read, not mapped: a mapped file that is written over while its model serves
    # changes the results or kills the process (SIGBUS). Reading a model of 7 MB took 21 ms instead
    # of 19, and no more memory once it was compiled.
    core.set_property({"ENABLE_MMAP": False})
    return core


def _prepare_libraries() -> None:
    """Convert one array each way in this thread, before many threads do; keep OpenCV to one thread.

    OpenVINO's Python binding fills its table of number types at the first conversion, and waits
    for the interpreter's lock meanwhile: two threads that do it at once block each other for ever
    (seen with 2026.4.1, about one start in ten).

    OpenCV's threads go on looking for work for a while after each call, on cores that the model
    wants: 2 of 100 ms of processor time for a photo of 12 megapixels.
    """
    cv2.setNumThreads(1)
    for dtype in (np.uint8, np.float32, np.int64):
        np.array(ov.Tensor(np.zeros(1, dtype)).data)


def model_digest(path: Path, contract: ModelContract) -> str:
    """SHA-256 (hex) of the weights, the graph, and the facts that change results."""
    text = ir_digest(path) + contract.result_facts()
    return hashlib.sha256(text.encode()).hexdigest()


def _read(core: ov.Core, path: Path) -> ov.Model:
    if not path.is_file():
        raise ContractError(f"there is no model file {path}.")
    if path.suffix != ".xml":
        raise ContractError(
            f"{path} is not an OpenVINO IR (.xml): convert it first with "
            f"'labelvino-model convert {path} -o model.xml'."
        )
    if not path.with_suffix(".bin").is_file():
        raise ContractError(f"{path} has no weights beside it: {path.with_suffix('.bin').name}.")
    try:
        return core.read_model(path)
    except RuntimeError as error:
        raise ContractError(
            f"{path} cannot be read as an OpenVINO IR: {_last_line(error)}."
        ) from error


def _cache_folder(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(
            f"the model cache {folder} cannot be used: name another folder in "
            "LABELVINO_MODEL_CACHE."
        ) from error
    return str(folder)


def _check_device(core: ov.Core, device: str, precision: Precision) -> None:
    base, _, rest = device.partition(":")
    seen = core.available_devices
    asked = rest.split(",") if base in _VIRTUAL else [device]
    asked = [name for name in asked if name and not name.startswith("-")]  # AUTO:-GPU leaves it out
    for name in asked:
        if name not in seen and name.partition(".")[0] not in seen:
            raise DeviceError(
                f"there is no device '{name}' here; OpenVINO sees {', '.join(seen) or 'none'} "
                "('labelvino devices' says more)."
            )
    if precision == "auto":
        return
    for name in asked or seen:
        able = _precisions(core, name)
        if precision not in able:
            raise DeviceError(
                f"device '{name}' does not compute in {precision}, only in {', '.join(able)}: "
                "use one of these or auto."
            )


def _precisions(core: ov.Core, device: str) -> tuple[str, ...]:
    able = set(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    return tuple(name for name, capability in _CAPABILITY.items() if capability in able)


def _name(precision: object) -> str:
    text = str(precision)  # a Type prints as <Type: 'bfloat16'>
    for long, short in _PRECISION_NAME.items():
        if text in (short, long) or f"'{long}'" in text:
            return short
    return UNKNOWN


def _last_line(error: RuntimeError) -> str:
    """OpenVINO's errors are a stack of source lines with the reason at the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason given"
