"""Drawing at three times the size, on a square of 1000 units whatever the picture's size in pixels."""

from __future__ import annotations

from PIL import Image, ImageDraw

UNITS = 1000
SCALE = 1.5
SIZE = int(UNITS * SCALE)

Colour = tuple[int, int, int]
Point = tuple[float, float]


def layer(colour: Colour | None = None) -> Image.Image:
    """An empty layer, transparent or of one colour."""
    return Image.new("RGBA", (SIZE, SIZE), (*colour, 255) if colour else (0, 0, 0, 0))


def mask(level: int = 0) -> Image.Image:
    """An empty stencil."""
    return Image.new("L", (SIZE, SIZE), level)


def pen(image: Image.Image) -> ImageDraw.ImageDraw:
    """Draws on an image, in pixels."""
    return ImageDraw.Draw(image)


def at(*points: Point) -> list[Point]:
    """Units to pixels."""
    return [(x * SCALE, y * SCALE) for x, y in points]


def box(x: float, y: float, rx: float, ry: float | None = None) -> list[float]:
    """The pixels of an ellipse or rectangle by its centre and half sizes."""
    ry = rx if ry is None else ry
    return [(x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE, (y + ry) * SCALE]


def width(units: float) -> int:
    """A line's width in pixels, never none."""
    return max(1, round(units * SCALE))


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above."""
    if factor <= 1:
        red, green, blue = (round(part * factor) for part in colour)
    else:
        red, green, blue = (round(255 - (255 - part) / factor) for part in colour)
    return red, green, blue
