"""The catalogue's pictures: two of each sock, one alone and one as a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageFilter

from sockshop.art import pattern, shape
from sockshop.art.canvas import SIZE, Colour, at, box, layer, mask, pen, shade, width

if TYPE_CHECKING:
    from collections.abc import Callable

PIXELS = 480
_HOLES = (
    (430, 300, 40, 46),
    (540, 430, 52, 44),
    (410, 560, 36, 40),
    (520, 690, 58, 46),
    (700, 720, 44, 52),
    (812, 800, 30, 26),
)
_SPARKS = ((455, 430, 34), (566, 270, 28), (400, 720, 30), (620, 620, 34), (780, 690, 26), (640, 820, 24))


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """`paint` puts the pattern on a layer of colour `base`; `ground` is the colour behind the sock."""

    single: str
    pair: str
    ground: Colour
    base: Colour
    trim: Colour
    paint: Callable[[Image.Image], None]
    holes: bool = False
    leg: Colour | None = None


def _holy(image: Image.Image) -> None:
    pattern.stars(image, _SPARKS, (255, 226, 138))


def _colourful(image: Image.Image) -> None:
    bands = ((232, 72, 85), (247, 147, 76), (252, 206, 92), (98, 186, 124), (62, 146, 204), (120, 94, 188))
    pattern.stripes(image, bands, pitch=46, begin=190)


def _sport(image: Image.Image) -> None:
    pattern.stripes(image, ((255, 255, 255), (38, 42, 54)), pitch=22, begin=196, end=262)
    pattern.bolt(image, (250, 204, 62))
    pattern.swoosh(image, ((255, 255, 255), (250, 204, 62)))


def _crossed(image: Image.Image) -> None:
    pattern.crossing(image, (222, 62, 74), (238, 240, 246))


def _figueroa(image: Image.Image) -> None:
    pattern.waves(image, ((74, 178, 150), (44, 128, 156), (128, 206, 166), (36, 92, 140)))


def _cats(image: Image.Image) -> None:
    pattern.cat(image, (106, 74, 54), (40, 28, 24), (240, 150, 150))
    pattern.paws(image, (106, 74, 54))


def _nerd(image: Image.Image) -> None:
    pattern.digits(image, ((142, 202, 242), (96, 160, 226), (222, 240, 255)))


def _tube(image: Image.Image) -> None:
    pattern.play(image, (224, 58, 62), (255, 255, 255))


def _classic(image: Image.Image) -> None:
    pattern.diamonds(image, (86, 122, 80), (124, 84, 56), (240, 226, 196))


DESIGNS = (
    Design(
        single="holy_1.jpeg",
        pair="holy_2.jpeg",
        ground=(232, 226, 246),
        base=(128, 110, 190),
        trim=(92, 76, 152),
        paint=_holy,
        holes=True,
    ),
    Design(
        single="colourful_socks.jpg",
        pair="",
        ground=(253, 240, 220),
        base=(62, 146, 204),
        trim=(52, 62, 110),
        paint=_colourful,
    ),
    Design(
        single="puma_1.jpeg",
        pair="puma_2.jpeg",
        ground=(226, 236, 240),
        base=(38, 42, 54),
        trim=(22, 24, 32),
        paint=_sport,
    ),
    Design(
        single="cross_1.jpeg",
        pair="cross_2.jpeg",
        ground=(224, 234, 250),
        base=(44, 82, 152),
        trim=(26, 48, 96),
        paint=_crossed,
    ),
    Design(
        single="WAT.jpg",
        pair="WAT2.jpg",
        ground=(222, 242, 234),
        base=(128, 206, 166),
        trim=(30, 84, 120),
        paint=_figueroa,
    ),
    Design(
        single="catsocks.jpg",
        pair="catsocks2.jpg",
        ground=(248, 236, 222),
        base=(206, 170, 128),
        trim=(92, 124, 84),
        paint=_cats,
    ),
    Design(
        single="bit_of_leg_1.jpeg",
        pair="bit_of_leg_2.jpeg",
        ground=(250, 232, 224),
        base=(38, 78, 148),
        trim=(24, 50, 104),
        paint=_nerd,
        leg=(238, 190, 160),
    ),
    Design(
        single="youtube_1.jpeg",
        pair="youtube_2.jpeg",
        ground=(250, 228, 226),
        base=(58, 60, 72),
        trim=(196, 46, 52),
        paint=_tube,
    ),
    Design(
        single="classic.jpg",
        pair="classic2.jpg",
        ground=(240, 234, 218),
        base=(196, 164, 120),
        trim=(88, 60, 42),
        paint=_classic,
    ),
)


def sock(design: Design, *, worn: bool = True) -> Image.Image:
    """The sock on nothing, or on the leg that some designs have."""
    form = shape.silhouette()
    image = layer(design.base)
    design.paint(image)
    shape.trim(image, design.trim)
    image = shape.lit(shape.knit(image), form)
    if design.holes:
        image, form = _pierced(image, form, shade(design.base, 0.45))
    image = shape.cut_out(image, form)
    return image if design.leg is None or not worn else Image.alpha_composite(_leg(design.leg), image)


def _pierced(image: Image.Image, form: Image.Image, rim: Colour) -> tuple[Image.Image, Image.Image]:
    holes = mask()
    draw, edge = pen(holes), pen(image)
    for x, y, rx, ry in _HOLES:
        edge.ellipse(box(x, y, rx + 9, ry + 9), fill=(*rim, 255))
        draw.ellipse(box(x, y, rx, ry), fill=255)
    return image, ImageChops.subtract(form, holes)


def _leg(skin: Colour) -> Image.Image:
    form = mask()
    pen(form).polygon(at((372, -20), (596, -20), (604, 140), (362, 140)), fill=255)
    return shape.cut_out(shape.lit(layer(skin), form), form)


def _scene(ground: Colour) -> Image.Image:
    image = layer(shade(ground, 1.6))
    pen(image).ellipse(box(540, 500, 430), fill=(*ground, 255))
    return image


def _placed(scene: Image.Image, thing: Image.Image, *, dx: float = 0, dy: float = 0, turn: float = 0) -> Image.Image:
    """The thing on the scene, moved by units and turned by degrees, with its shadow."""
    moved = layer()
    moved.paste(thing.rotate(turn, resample=Image.Resampling.BICUBIC), tuple(round(part) for part in at((dx, dy))[0]))
    shadow = layer()
    form = moved.getchannel("A").filter(ImageFilter.GaussianBlur(width(20)))
    soft = mask()
    soft.paste(form, (width(14), width(24)))
    shadow.paste(layer((30, 32, 60)), mask=soft.point([round(level * 0.34) for level in range(256)]))
    return Image.alpha_composite(Image.alpha_composite(scene, shadow), moved)


def single(design: Design) -> Image.Image:
    """One sock on its ground."""
    return _finished(_placed(_scene(design.ground), sock(design), dx=-110, dy=10))


def pair(design: Design) -> Image.Image:
    """Two of them, the one behind turned a little."""
    thing = sock(design, worn=False)
    small = layer()
    side = round(SIZE * 0.86)
    small.paste(thing.resize((side, side), Image.Resampling.LANCZOS), (round(SIZE * 0.07), round(SIZE * 0.07)))
    scene = _placed(_scene(shade(design.ground, 0.95)), small, dx=10, dy=-50, turn=13)
    return _finished(_placed(scene, small, dx=-150, dy=50, turn=-4))


def _finished(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((PIXELS, PIXELS), Image.Resampling.LANCZOS)
