"""Where the image tables of a mesh are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import plait.machine.node
from plait.app.plan import demo_table
from plait.app.state import State


def ordered(demos: Iterable[Path], images: Path) -> tuple[Path, ...]:
    """Plait's own, the demos', the user's: later tables win."""
    own = Path(plait.machine.node.__file__).with_name("images.yaml")
    return (own, *demos, images / "table.yaml")


def table_paths(state: State) -> tuple[Path, ...]:
    """The tables of a mesh by its state; the last is the user's and may not exist."""
    demos = [table for table in [demo_table("sockshop")] if table and table.exists()]
    return ordered(demos, state.images)
