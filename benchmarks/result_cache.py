"""What to keep of an image's masks: cells as the model gave them, or crops as they are drawn.

    python benchmarks/result_cache.py MODEL.xml PHOTO_FOLDER [ENLARGE]

Milliseconds and kilobytes a photo, the mean over all, every candidate measured on each photo in
turn. ENLARGE: each photo is enlarged so many times on both sides.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from backend.image_results import FLOOR_SCORE
from backend.runtime.candidates_format import pack_candidates, unpack_candidates
from backend.runtime.detections import MaskCrop
from backend.runtime.engine import Engine, select
from backend.runtime.image import DecodedImage, decode_image

SHOWN, MOST = 0.5, 300


def main() -> None:
    engine = Engine(sys.argv[1], device="CPU")
    photos = sorted(Path(sys.argv[2]).iterdir())
    enlarge = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    took_s: dict[str, float] = defaultdict(float)
    amounts: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began_s = time.perf_counter()
        result = work()
        took_s[name] += time.perf_counter() - began_s
        return result

    for photo in photos:
        image = _enlarged(decode_image(photo.read_bytes()), enlarge)
        raw, geometry = timed("inference", lambda image=image: engine.infer(image))
        args = (raw, geometry, engine.contract)
        shown = timed("select and paste, 0.5", lambda a=args: _found(a, SHOWN))
        floor = timed("select and paste, floor", lambda a=args: _found(a, FLOOR_SCORE))
        kept = timed("select, floor", lambda a=args: select(*a, FLOOR_SCORE, MOST))
        timed("cells: paste, 0.5", lambda kept=kept: kept.detections(SHOWN, MOST))
        data = timed("cells: pack", lambda kept=kept: pack_candidates(kept, "k"))
        timed("cells: unpack", lambda data=data: unpack_candidates(data, "k"))
        bits = timed("crops: pack", lambda floor=floor: [_bits(m) for m in floor.masks or ()])
        timed("crops: unpack", lambda f=floor, b=bits: list(map(_pixels, b, f.masks or ())))
        small = timed("crops: deflate", lambda bits=bits: zlib.compress(b"".join(bits), 1))
        amounts["instances, 0.5"] += len(shown)
        amounts["instances, floor"] += len(floor)
        amounts["cells, kB"] += len(data) / 1000
        amounts["crops, kB"] += sum(map(len, bits)) / 1000
        amounts["crops deflated, kB"] += len(small) / 1000
    for name, value in amounts.items():
        print(f"| {name} | {value / len(photos):.1f} |")
    for name, value in took_s.items():
        print(f"| {name} | {value / len(photos) * 1000:.2f} ms |")


def _found(arguments: tuple[Any, Any, Any], min_score: float) -> Any:
    return select(*arguments, min_score, MOST).detections(min_score, MOST)


def _enlarged(image: DecodedImage, times: int) -> DecodedImage:
    pixels = cv2.resize(image.pixels, None, fx=times, fy=times)
    return DecodedImage(np.asarray(pixels, np.uint8), 1, image.digest)


def _bits(mask: MaskCrop) -> bytes:
    return np.packbits(mask.pixels).tobytes()


def _pixels(bits: bytes, mask: MaskCrop) -> MaskCrop:
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=mask.pixels.size)
    return MaskCrop(mask.x, mask.y, flat.reshape(mask.pixels.shape).astype(np.bool_))


if __name__ == "__main__":
    main()
