"""Demos that come with plait: applications that know nothing of it, found by package name and never imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plait.app.plan import demo_table


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo: the package that holds its image table and manifests, and the namespace it lives in."""

    name: str
    package: str
    namespace: str

    def manifests(self) -> Path:
        """The folder of its manifests; raises FileNotFoundError if the demo is not installed."""
        table = demo_table(self.package)
        if table is None:
            raise FileNotFoundError(f"the demo {self.name} is not installed: the package {self.package} is missing")
        return table.parent / "manifests"


DEMOS = {"sock-shop": Demo("sock-shop", "sockshop", "sock-shop")}
