"""Where the image tables of a mesh are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import plait.machine.node
from plait.app import demos
from plait.app.state import State


def ordered(of_demos: Iterable[Path], images: Path) -> tuple[Path, ...]:
    """Plait's own, the demos', the user's: later tables win."""
    own = Path(plait.machine.node.__file__).with_name("images.yaml")
    return (own, *of_demos, images / "table.yaml")


def table_paths(state: State) -> tuple[Path, ...]:
    """The tables of a mesh by its state; the last is the user's and may not exist."""
    return ordered(demos.tables(), state.images)
