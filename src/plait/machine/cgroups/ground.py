"""Where a mesh may make control groups: a value, found out before every start and told to all of plait's processes.

Groups of a mesh are children of the group that plait itself was started in and of no other. All their names begin with
one word of the mesh's own, so that whoever finds one knows whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

#: All names of groups of all meshes begin so.
WORD: Final = "plait-"

#: What of a container's `resources.limits` a group can hold.
Controller = Literal["memory", "cpu"]
CONTROLLERS: Final[tuple[Controller, ...]] = ("memory", "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that takes groups with this controller, and how its files are called: those of version 1 or 2."""

    folder: str
    version: Literal[1, 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a controller cannot be used, and one line that mends it."""

    problem: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The groups of one mesh: where each controller's are made, or why none can be; `prefix` begins their names.

    Of version 2: `home` is the group that plait moved itself into, because a group with processes may not share out
    controllers to its children (empty where there was no need); `shared` are those that it did not share out before.
    """

    prefix: str = ""
    places: dict[Controller, Place] = field(default_factory=dict)
    refused: dict[Controller, Refusal] = field(default_factory=dict)
    home: str = ""
    shared: tuple[Controller, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders in which groups of the mesh may be, each once."""
        return tuple(Path(folder) for folder in dict.fromkeys(place.folder for place in self.places.values()))

    @property
    def crowded(self) -> bool:
        """Whether a container without a group would be in `home`, with all of plait: CPU is dealt out by group, so
        that all in there would get what one container gets.
        """
        cpu = self.places.get("cpu")
        return bool(self.home) and cpu is not None and cpu.version == 2

    def group(self, controller: Controller, name: str) -> Path | None:
        """The folder of a group of the mesh; None where the controller cannot be used."""
        place = self.places.get(controller)
        return Path(place.folder) / f"{self.prefix}.{name}" if place else None

    def without(self, controllers: Iterable[Controller], refusal: Refusal) -> Ground:
        """The same without some controllers, for a reason."""
        lost = set(controllers)
        return replace(
            self,
            places={name: place for name, place in self.places.items() if name not in lost},
            refused={**self.refused, **dict.fromkeys(sorted(lost), refusal)},
        )


def prefix_of(state: Path) -> str:
    """How the names of all groups of a mesh begin: one word for each state folder."""
    return f"{WORD}{sha256(str(state).encode()).hexdigest()[:10]}"
