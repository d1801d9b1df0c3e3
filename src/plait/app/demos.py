"""Demos that come with plait: applications that know nothing of it, found by package name and never imported."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo: the package that holds its image table and manifests, and the namespace it lives in."""

    name: str
    package: str
    namespace: str

    def table(self) -> Path | None:
        """Its image table; None if the demo is not installed beside plait."""
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        table = Path(next(iter(folders))) / "images.yaml" if folders else None
        return table if table and table.exists() else None

    def manifests(self) -> Path:
        """The folder of its manifests; raises FileNotFoundError if the demo is not installed."""
        table = self.table()
        if table is None:
            raise FileNotFoundError(f"the demo {self.name} is not installed: the package {self.package} is missing")
        return table.parent / "manifests"


DEMOS = {
    "bookinfo": Demo("bookinfo", "bookinfo", "bookinfo"),
    "sock-shop": Demo("sock-shop", "sockshop", "sock-shop"),
}


def tables() -> tuple[Path, ...]:
    """The image tables of the demos that are installed."""
    return tuple(table for demo in DEMOS.values() if (table := demo.table()))
