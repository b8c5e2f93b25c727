"""A street drawn in code, in which a COCO-trained model finds things; the README's pictures."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 1280, 854
_FINE = 2  # drawn at twice the size, for smooth edges
Point = tuple[float, float]
Colour = tuple[int, int, int]


def draw_scene() -> bytes:
    """JPEG bytes: a stop sign, a clock, a traffic light, a kite, a ball."""
    canvas = _Canvas()
    canvas.polygon(
        [(0, 560), (0, 470), (200, 430), (420, 500), (640, 440), (900, 510), (1100, 450),
         (1280, 490), (1280, 560)],
        (126, 150, 132),
    )  # fmt: skip
    for x, y, r in ((180, 120, 50), (240, 105, 65), (310, 125, 48), (760, 80, 40), (850, 80, 55)):
        canvas.ellipse((x, y), (1.4 * r, 0.6 * r), (244, 247, 250))
    canvas.polygon([(0, 854), (0, 700), (1280, 640), (1280, 854)], (92, 94, 98))
    canvas.line([(0, 780), (1280, 740)], (225, 225, 215), 8)
    _stop_sign(canvas, (250, 400), 105)
    _clock(canvas, (690, 330), 95)
    _traffic_light(canvas, (1080, 330), (84, 220))
    _kite(canvas)
    _ball(canvas, (860, 740), 58)
    return canvas.jpeg()


class _Canvas:
    """Sky above, a meadow below; coordinates in pixels of the finished picture."""

    def __init__(self) -> None:
        sky = _gradient((120, 170, 225), (225, 236, 245), 560)
        meadow = _gradient((150, 160, 120), (95, 110, 70), HEIGHT - 560)
        self._image = Image.fromarray(np.concatenate([sky, meadow]))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        self._draw.polygon([(x * _FINE, y * _FINE) for x, y in points], fill=colour)

    def line(self, points: list[Point], colour: Colour, width: int) -> None:
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        self._draw.line(fine, fill=colour, width=width * _FINE)

    def ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        (x, y), (rx, ry) = centre, radii
        box = [v * _FINE for v in (x - rx, y - ry, x + rx, y + ry)]
        self._draw.ellipse(box, fill=colour)

    def post(self, top: Point, bottom: float, width: float, colour: Colour) -> None:
        x, y = top
        self.polygon(
            [(x - width, y), (x + width, y), (x + width, bottom), (x - width, bottom)], colour
        )

    def box(self, centre: Point, size: Point, colour: Colour) -> None:
        (x, y), (w, h) = centre, size
        corners = [v * _FINE for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)]
        self._draw.rounded_rectangle(corners, radius=14 * _FINE, fill=colour)

    def text(self, centre: Point, text: str, size: float) -> None:
        font = ImageFont.load_default(int(size * _FINE))
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=font)
        at = (centre[0] * _FINE - (left + right) / 2, centre[1] * _FINE - (top + bottom) / 2)
        self._draw.text(at, text, font=font, fill=(250, 250, 250))

    def jpeg(self) -> bytes:
        small = np.asarray(self._image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), float)
        noisy = small + np.random.default_rng(3).normal(0, 5, small.shape)  # as a camera's
        picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        out = BytesIO()
        picture.filter(ImageFilter.GaussianBlur(0.6)).save(out, "JPEG", quality=92)
        return out.getvalue()


def _stop_sign(canvas: _Canvas, centre: Point, radius: float) -> None:
    canvas.post(centre, 700, 7, (150, 152, 155))
    for share, colour in ((1.0, (245, 245, 245)), (0.93, (190, 25, 30))):
        canvas.polygon(_ring(centre, share * radius, 8, math.pi / 8), colour)
    canvas.text(centre, "STOP", 0.62 * radius)


def _clock(canvas: _Canvas, centre: Point, radius: float) -> None:
    canvas.post(centre, 690, 10, (60, 62, 66))
    canvas.ellipse(centre, (radius, radius), (45, 45, 48))
    canvas.ellipse(centre, (0.88 * radius, 0.88 * radius), (248, 246, 238))
    inner, outer = _ring(centre, 0.72 * radius, 12), _ring(centre, 0.82 * radius, 12)
    for start, end in zip(inner, outer, strict=True):
        canvas.line([start, end], (30, 30, 30), 5)
    for angle, length, width in ((-2.2, 0.45, 8), (-0.6, 0.66, 5)):
        canvas.line([centre, _ring(centre, length * radius, 1, angle)[0]], (20, 20, 20), width)


def _traffic_light(canvas: _Canvas, centre: Point, size: Point) -> None:
    (x, y), (width, height) = centre, size
    canvas.post((x, y + height / 2), 690, 8, (70, 72, 75))
    canvas.box(centre, size, (40, 42, 44))
    radius = 0.36 * width
    for i, colour in enumerate(((225, 40, 35), (90, 75, 30), (30, 80, 45))):
        lamp = (x, y - height / 2 + height * (i + 0.5) / 3)
        canvas.ellipse(lamp, (radius, radius), colour)
    shine = (x - 0.2 * radius, y - height / 3 - 0.35 * radius)
    canvas.ellipse(shine, (0.3 * radius, 0.25 * radius), (255, 120, 110))


def _kite(canvas: _Canvas) -> None:
    canvas.polygon([(900, 120), (985, 175), (930, 290), (850, 200)], (240, 180, 30))
    canvas.polygon([(900, 120), (930, 290), (850, 200)], (220, 70, 60))
    tail = [(930 + 30 * math.sin(t / 4), 290 + 5 * t) for t in range(41)]
    canvas.line([(float(x), float(y)) for x, y in tail], (80, 60, 120), 3)


def _ball(canvas: _Canvas, centre: Point, radius: float) -> None:
    x, y = centre
    canvas.ellipse((x, y + 0.95 * radius), (1.1 * radius, 0.2 * radius), (70, 72, 75))
    canvas.ellipse(centre, (radius, radius), (245, 245, 245))
    for k in range(6):
        angle = k * math.pi / 3 + 0.3
        patch = _ring(centre, 0.62 * radius if k else 0.0, 1, angle)[0]
        canvas.polygon(_ring(patch, 0.26 * radius, 5, angle), (25, 25, 28))


def _ring(centre: Point, radius: float, count: int, turn: float = 0.0) -> list[Point]:
    steps = [turn + 2 * math.pi * i / count for i in range(count)]
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in steps]


def _gradient(top: Colour, bottom: Colour, rows: int) -> np.ndarray:
    share = np.linspace(0, 1, rows * _FINE)[:, None, None]
    column = (1 - share) * np.array(top) + share * np.array(bottom)
    return np.repeat(column, WIDTH * _FINE, axis=1).astype(np.uint8)
