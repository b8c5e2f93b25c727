"""How others decode 100 instances at 4000x3000, as candidates of benchmarks/decoding.py."""

from __future__ import annotations

import json
import sys

from benchmarks.candidate import answer_rounds
from benchmarks.instances import HEIGHT, WIDTH, instances
from benchmarks.peers import DECODE


def main() -> None:
    decode = DECODE[sys.argv[2]]
    boxes, masks = instances()

    def do(count: int) -> str:
        if not count:
            return ""
        found = ((box, 0.9, 0, mask) for box, mask in zip(boxes[:count], masks, strict=False))
        regions = decode(found, HEIGHT, WIDTH)
        return f"{len(regions)} regions, {len(json.dumps(regions))} bytes"

    answer_rounds(do)


if __name__ == "__main__":
    main()
