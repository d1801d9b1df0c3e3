"""The outline of a sock and what every sock has: ribbed cuff, heel, toe, light and shadow."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageFilter

from sockshop.art.canvas import Colour, Point, at, box, layer, mask, pen, shade, width

_START: Point = (345, 95)
_CURVES: tuple[tuple[Point, Point, Point], ...] = (
    ((345, 78), (352, 70), (372, 70)),
    ((440, 66), (530, 66), (592, 70)),
    ((612, 70), (620, 78), (620, 95)),
    ((622, 230), (606, 360), (622, 470)),
    ((636, 560), (730, 590), (810, 618)),
    ((900, 648), (950, 700), (946, 770)),
    ((942, 850), (880, 884), (800, 886)),
    ((680, 890), (540, 892), (440, 890)),
    ((330, 888), (282, 820), (292, 730)),
    ((302, 640), (352, 560), (352, 470)),
    ((352, 340), (345, 220), (345, 95)),
)
PIVOT: Point = (640, 480)
"""The instep: round it the knitting turns from the leg into the foot."""

CUFF_END = 190.0


def outline() -> list[Point]:
    """The sock's edge as points in units."""
    points = [_START]
    for first, second, end in _CURVES:
        begin = points[-1]
        for step in range(1, 25):
            t = step / 24
            weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3)
            corners = (begin, first, second, end)
            points.append(
                (
                    sum(weight * corner[0] for weight, corner in zip(weights, corners, strict=True)),
                    sum(weight * corner[1] for weight, corner in zip(weights, corners, strict=True)),
                )
            )
    return points


def silhouette() -> Image.Image:
    """The sock as a stencil."""
    image = mask()
    pen(image).polygon(at(*outline()), fill=255)
    return image


def rows(begin: float, end: float) -> list[list[Point]]:
    """The knitted rows from `begin` to `end` as polygons: level on the leg, a fan at the heel, upright on the foot.

    Rows are counted in units along the front of the sock: 0 at the cuff, 480 at the ankle, 780 where the foot begins.
    """
    turn, far = 300.0, 900.0
    parts: list[list[Point]] = []
    if begin < PIVOT[1]:
        stop = min(end, PIVOT[1])
        parts.append([(0, begin), (PIVOT[0], begin), (PIVOT[0], stop), (0, stop)])
    fan_begin, fan_end = (max(0.0, min(1.0, (t - PIVOT[1]) / turn)) for t in (begin, end))
    if fan_end > fan_begin:
        edge = [
            (PIVOT[0] - far * math.cos(t * math.pi / 2), PIVOT[1] + far * math.sin(t * math.pi / 2))
            for t in (fan_begin + (fan_end - fan_begin) * step / 8 for step in range(9))
        ]
        parts.append([PIVOT, *edge])
    if end > PIVOT[1] + turn:
        left = PIVOT[0] + max(begin - PIVOT[1] - turn, 0)
        right = PIVOT[0] + end - PIVOT[1] - turn
        parts.append([(left, 300), (right, 300), (right, 1000), (left, 1000)])
    return parts


def trim(image: Image.Image, colour: Colour) -> None:
    """Cuff, heel and toe in one colour, and the ribs of the cuff."""
    draw = pen(image)
    draw.rectangle([*at((0, 0))[0], *at((1000, CUFF_END))[0]], fill=(*colour, 255))
    draw.ellipse(box(300, 868, 190, 165), fill=(*colour, 255))
    draw.ellipse(box(985, 765, 165, 190), fill=(*colour, 255))
    for x in range(352, 640, 24):
        draw.line(at((x, 60), (x, CUFF_END)), fill=(*shade(colour, 0.86), 255), width=width(7))
    draw.line(at((300, CUFF_END), (660, CUFF_END)), fill=(*shade(colour, 0.72), 255), width=width(5))


def knit(image: Image.Image) -> Image.Image:
    """The weave: faint rows over everything."""
    lines = layer()
    draw = pen(lines)
    for row in range(60, 1100, 14):
        for part in rows(row, row + 3):
            draw.polygon(at(*part), fill=(0, 0, 0, 15))
    return Image.alpha_composite(image, lines)


def lit(image: Image.Image, form: Image.Image) -> Image.Image:
    """Roundness: the edges of the form fall into shade, the upper left catches light."""
    inner = form.filter(ImageFilter.GaussianBlur(width(38)))
    dark = ImageChops.multiply(ImageChops.invert(inner), form).point([round(level * 0.62) for level in range(256)])
    image = Image.composite(layer((18, 22, 44)), image, dark)
    gleam = mask()
    pen(gleam).line(at((420, 120), (424, 460), (384, 700)), fill=70, width=width(46), joint="curve")
    gleam = ImageChops.multiply(gleam.filter(ImageFilter.GaussianBlur(width(22))), form)
    return Image.composite(layer((255, 255, 255)), image, gleam)


def cut_out(image: Image.Image, form: Image.Image) -> Image.Image:
    """The image where the form is, nothing elsewhere."""
    image = image.copy()
    image.putalpha(form)
    return image
