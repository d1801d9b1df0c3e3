"""Where the image tables of a mesh are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from plait.app import demos
from plait.app.state import State
from plait.machine.images.table import BUILTIN_TABLE


def ordered(of_demos: Iterable[Path], images: Path) -> tuple[Path, ...]:
    """Plait's own, the demos', the user's: later tables win."""
    return (BUILTIN_TABLE, *of_demos, images / "table.yaml")


def table_paths(state: State) -> tuple[Path, ...]:
    """The tables of a mesh by its state; the last is the user's and may not exist."""
    return ordered(demos.tables(), state.images)
