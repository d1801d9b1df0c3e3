"""The table of images that users write with `plait image`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from plait.machine.images.table import Image, parse_entry, read_table

_HEADING = "# Images of this mesh, written by `plait image add` and `plait image remove`.\n"


class UserTable:
    """One table file that is edited entry by entry. Each edit is atomic, and edits wait for one another."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> tuple[Image, ...]:
        """The entries in the file's order; none where there is no file. Raises TableError."""
        return read_table(self._path) if self._path.exists() else ()

    def add(self, entry: Image | Mapping[str, Any]) -> Image:
        """Put an entry in, in place of one with the same pattern. Raises TableError where it is not an entry."""
        image = entry if isinstance(entry, Image) else parse_entry(entry)
        # Read back what will be written: a value that YAML cannot hold must not spoil the file.
        image = parse_entry(image.entry())
        with self._turn():
            present = list(self.entries())
            kept = [image if other.match == image.match else other for other in present]
            self._write(kept if image in kept else [*kept, image])
        return image

    def remove(self, match: str) -> bool:
        """Take out the entry with this pattern; says whether there was one."""
        with self._turn():
            present = self.entries()
            kept = [image for image in present if image.match != match]
            if len(kept) == len(present):
                return False
            self._write(kept)
        return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, images: list[Image]) -> None:
        text = _HEADING + yaml.safe_dump({"images": [image.entry() for image in images]}, sort_keys=False)
        fresh = self._path.with_name(f".{self._path.name}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
