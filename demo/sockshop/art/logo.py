"""The shop's sign, 248 x 50: version 1 in blue, version 2 in red with its number beside it."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from sockshop.art import pattern, shape
from sockshop.art.canvas import Colour, layer

WIDTH, HEIGHT = 248, 50
_FINE = 4

_INK: Colour = (34, 40, 66)
_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "v1": ((47, 111, 190), (250, 196, 72)),
    "v2": ((214, 66, 84), (92, 200, 170)),
}


def logo(version: str) -> Image.Image:
    """Transparent, to stand on any light ground."""
    main, second = _COLOURS[version]
    image = Image.new("RGBA", (WIDTH * _FINE, HEIGHT * _FINE), (0, 0, 0, 0))
    sign = _sign(main, second).resize((HEIGHT * _FINE, HEIGHT * _FINE), Image.Resampling.LANCZOS)
    image.paste(sign, (-8 * _FINE, 0), sign)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=29 * _FINE)
    left = 43 * _FINE
    for word, colour in (("Weave", _INK), ("Socks", main)):
        draw.text(
            (left, 26 * _FINE),
            word,
            font=font,
            fill=(*colour, 255),
            anchor="lm",
            stroke_width=2,
            stroke_fill=(*colour, 255),
        )
        left += round(draw.textlength(word, font=font)) + _FINE
    if version != "v1":
        _badge(draw, left + 4 * _FINE, version, second)
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def favicon() -> Image.Image:
    """The sign alone, 64 x 64."""
    return _sign(*_COLOURS["v1"]).resize((64, 64), Image.Resampling.LANCZOS)


def _sign(main: Colour, second: Colour) -> Image.Image:
    image = layer(main)
    pattern.stripes(image, (second, (255, 255, 255)), pitch=52, begin=250, end=406)
    pattern.stripes(image, ((255, 255, 255), second), pitch=48, begin=850, end=946)
    shape.trim(image, _INK)
    return shape.cut_out(image, shape.silhouette())


def _badge(draw: ImageDraw.ImageDraw, left: float, text: str, colour: Colour) -> None:
    box = (left, 14 * _FINE, left + 31 * _FINE, 37 * _FINE)
    draw.rounded_rectangle(box, radius=11 * _FINE, fill=(*colour, 255))
    draw.text(
        (left + 15.5 * _FINE, 25.5 * _FINE),
        text,
        font=ImageFont.load_default(size=17 * _FINE),
        fill=(*_INK, 255),
        anchor="mm",
        stroke_width=2,
        stroke_fill=(*_INK, 255),
    )
