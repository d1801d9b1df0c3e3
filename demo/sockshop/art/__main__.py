"""`python -m sockshop.art`: draws every picture into the folders of catalogue and front-end."""

from __future__ import annotations

from pathlib import Path

from sockshop.art.logo import favicon, logo
from sockshop.art.picture import DESIGNS, pair, single

_SHOP = Path(__file__).parent.parent
_QUALITY = 84


def main() -> None:
    """Draws everything; the same each time."""
    pictures = _SHOP / "catalogue" / "images"
    for design in DESIGNS:
        single(design).save(pictures / design.single, "JPEG", quality=_QUALITY, optimize=True)
        if design.pair:
            pair(design).save(pictures / design.pair, "JPEG", quality=_QUALITY, optimize=True)
    for version, folder in (("v1", "public"), ("v2", "public_v2")):
        logo(version).save(_SHOP / "front_end" / folder / "img" / "logo.png", "PNG", optimize=True)
    favicon().save(_SHOP / "front_end" / "public" / "img" / "favicon.png", "PNG", optimize=True)


if __name__ == "__main__":
    main()
