"""Photos enlarged to 4000x3000, since there are no free ones with ground truth of that size.

python benchmarks/large_photos.py PHOTOS TARGET [COUNT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

QUALITY = 90  # of a camera's JPEG; some 2 to 4 MB a photo


def main() -> None:
    target, count = Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 12
    target.mkdir(parents=True, exist_ok=True)
    for photo in sorted(Path(sys.argv[1]).iterdir())[:count]:
        with Image.open(photo) as image:
            size = (4000, 3000) if image.width >= image.height else (3000, 4000)
            large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
            large.save(target / photo.name, "JPEG", quality=QUALITY)


if __name__ == "__main__":
    main()
