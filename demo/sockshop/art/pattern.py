"""What is knitted into the socks: each function paints over the whole layer, the sock is cut out afterwards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageFont

from sockshop.art.canvas import SCALE, Colour, Point, at, box, pen, width
from sockshop.art.shape import rows

if TYPE_CHECKING:
    from collections.abc import Sequence


def stripes(
    image: Image.Image, colours: Sequence[Colour], *, pitch: float, begin: float = 0, end: float = 1200
) -> None:
    """Bands of `pitch` units that follow the knitting from `begin` to `end`."""
    draw = pen(image)
    row, turn = begin, 0
    while row < end:
        for part in rows(row, min(row + pitch, end)):
            draw.polygon(at(*part), fill=(*colours[turn % len(colours)], 255))
        row, turn = row + pitch, turn + 1


def diamonds(image: Image.Image, first: Colour, second: Colour, thread: Colour) -> None:
    """Argyle: diamonds in two colours under a crossing thread."""
    draw = pen(image)
    half, tall = 70, 105
    for line, y in enumerate(range(210, 1100, tall)):
        for column, x in enumerate(range(130, 1100, half * 2)):
            centre = x + (half if line % 2 else 0)
            corners = ((centre, y - tall), (centre + half, y), (centre, y + tall), (centre - half, y))
            if line % 2 == 0:
                draw.polygon(at(*corners), fill=(*(first if column % 2 else second), 255))
    for y in range(-1000, 1200, tall * 2):
        for slope in (1, -1):
            begin = y if slope == 1 else y + 1600
            draw.line(
                at((130 - half, begin), (1130 - half, begin + slope * 1000 * tall / half)),
                fill=(*thread, 255),
                width=width(5),
            )


def crossing(image: Image.Image, colour: Colour, second: Colour) -> None:
    """Two sets of slanting lines."""
    draw = pen(image)
    for offset in range(-900, 1500, 150):
        draw.line(at((offset, 0), (offset + 1000, 1000)), fill=(*colour, 255), width=width(24))
    for offset in range(100, 2500, 150):
        draw.line(at((offset, 0), (offset - 1000, 1000)), fill=(*second, 255), width=width(24))


def waves(image: Image.Image, colours: Sequence[Colour]) -> None:
    """Rows of waves, each over the one above."""
    draw = pen(image)
    for turn, y in enumerate(range(150, 1150, 62)):
        crest = [(x, y + 26 * math.sin(x / 44 + turn * 0.9)) for x in range(0, 1010, 10)]
        draw.polygon(at(*crest, (1000, 1100), (0, 1100)), fill=(*colours[turn % len(colours)], 255))


def digits(image: Image.Image, colours: Sequence[Colour]) -> None:
    """A sentence in zeros and ones."""
    draw = pen(image)
    font = ImageFont.load_default(size=58 * SCALE)
    bits = "".join(f"{ord(letter):08b}" for letter in "plain socks, no magic inside")
    place = 0
    for y in range(196, 900, 66):
        for x in range(290, 980, 50):
            draw.text(at((x, y))[0], bits[place % len(bits)], font=font, fill=(*colours[place * 7 % len(colours)], 255))
            place += 1


def stars(image: Image.Image, places: Sequence[tuple[float, float, float]], colour: Colour) -> None:
    """Four-pointed sparkles at (x, y, size)."""
    draw = pen(image)
    for x, y, size in places:
        corners: list[Point] = []
        for step in range(8):
            reach = size if step % 2 == 0 else size * 0.24
            angle = step * math.pi / 4
            corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
        draw.polygon(at(*corners), fill=(*colour, 255))


def bolt(image: Image.Image, colour: Colour) -> None:
    """A flash on the leg."""
    corners = ((520, 235), (412, 420), (478, 420), (436, 580), (566, 372), (496, 372), (548, 235))
    pen(image).polygon(at(*corners), fill=(*colour, 255))


def swoosh(image: Image.Image, colours: Sequence[Colour]) -> None:
    """Bands along the foot."""
    draw = pen(image)
    for turn, colour in enumerate(colours):
        drop = turn * 46
        draw.line(
            at((300, 640 + drop), (520, 700 + drop), (760, 712 + drop), (1000, 690 + drop)),
            fill=(*colour, 255),
            width=width(24),
            joint="curve",
        )


def play(image: Image.Image, disc: Colour, sign: Colour) -> None:
    """A button to press and a bar that shows how far the film is."""
    draw = pen(image)
    draw.ellipse(box(484, 350, 98), fill=(*disc, 255))
    draw.polygon(at((452, 296), (452, 404), (546, 350)), fill=(*sign, 255))
    draw.rounded_rectangle(box(640, 740, 190, 13), radius=width(13), fill=(*sign, 255))
    draw.rounded_rectangle(box(555, 740, 105, 13), radius=width(13), fill=(*disc, 255))
    draw.ellipse(box(660, 740, 30), fill=(*disc, 255))


def cat(image: Image.Image, fur: Colour, dark: Colour, nose: Colour) -> None:
    """A face on the leg."""
    draw = pen(image)
    white = (255, 255, 250)
    draw.ellipse(box(484, 385, 130, 118), fill=(*fur, 255))
    for side in (-1, 1):
        ear = ((484 + side * 124, 240), (484 + side * 122, 372), (484 + side * 28, 290))
        draw.polygon(at(*ear), fill=(*fur, 255))
        inner = ((484 + side * 110, 268), (484 + side * 106, 338), (484 + side * 56, 298))
        draw.polygon(at(*inner), fill=(*nose, 255))
        draw.ellipse(box(484 + side * 52, 366, 25, 31), fill=(*white, 255))
        draw.ellipse(box(484 + side * 48, 370, 11, 24), fill=(*dark, 255))
        for drop in (-16, 6, 28):
            draw.line(
                at((484 + side * 42, 426 + drop / 3), (484 + side * 122, 420 + drop)), fill=(*dark, 255), width=width(5)
            )
        draw.arc(box(484 + side * 20, 436, 20, 18), 0, 180, fill=(*dark, 255), width=width(6))
    draw.polygon(at((464, 412), (504, 412), (484, 434)), fill=(*nose, 255))


def paws(image: Image.Image, colour: Colour) -> None:
    """Prints on the foot."""
    draw = pen(image)
    for x, y in ((440, 610), (560, 690), (700, 690), (480, 780), (640, 800), (790, 780)):
        draw.ellipse(box(x, y + 14, 24, 20), fill=(*colour, 255))
        for angle in (-50, -17, 17, 50):
            far = math.radians(angle)
            draw.ellipse(box(x + 32 * math.sin(far), y + 12 - 34 * math.cos(far), 9, 11), fill=(*colour, 255))
