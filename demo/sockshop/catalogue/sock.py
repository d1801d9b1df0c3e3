"""A sock as the catalogue shows it."""

from __future__ import annotations

from dataclasses import dataclass

from sockshop.service.gojson import Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sock:
    """One article. `price` is in dollars, `count` is the stock, `tags` are those that the query matched."""

    id: str
    name: str
    description: str
    price: float
    count: int
    image_urls: tuple[str, str]
    tags: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The sock for JSON: the key order and the singular `tag` are the original's."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "imageUrl": list(self.image_urls),
            "price": Float32(self.price),
            "count": self.count,
            "tag": list(self.tags),
        }
