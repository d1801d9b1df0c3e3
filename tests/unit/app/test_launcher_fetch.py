"""Fetching packages for the node: the socket, the words, and what comes of a broken end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from plait.machine.images.errors import LayerError
from plait.machine.images.fetched import FetchedLayers


class Shelf:
    """Layers that are there once they have been made."""

    def __init__(self) -> None:
        self.made: set[tuple[str, ...]] = set()

    def find(self, packages) -> tuple[Path, ...] | None:
        return (Path("/layer"),) if tuple(packages) in self.made else None


async def answering(path: Path, *lines: bytes, makes: Shelf | None = None) -> tuple[asyncio.Server, list[bytes]]:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        if makes:
            makes.made.add(tuple(asked[-1].decode().split()))
        writer.writelines(lines)
        writer.close()

    return await asyncio.start_unix_server(answer, path), asked


async def test_a_layer_is_asked_for_once_and_its_progress_is_passed_on(tmp_path: Path) -> None:
    shelf, told = Shelf(), []
    server, asked = await answering(tmp_path / "s", b'{"progress": "unpacking"}\n', b'{"made": true}\n', makes=shelf)
    async with server:
        layers = FetchedLayers(shelf, tmp_path / "s")  # type: ignore[arg-type]
        assert await layers.ensure(["a", "b"], told.append) == (Path("/layer"),)
        assert await layers.ensure(["a", "b"], told.append) == (Path("/layer"),)
    assert asked == [b"a b\n"]
    assert told == ["unpacking"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b'{"error": "no package nonsense"}\n'], "no package nonsense"),
        ([b'{"progress": "half"}\n'], "stopped in the middle"),
        ([b"Traceback\n"], "answer about packages"),
        ([b'{"made": true}\n'], "does not suit this machine"),
    ],
)
async def test_what_goes_wrong_is_said(tmp_path: Path, lines: list[bytes], words: str) -> None:
    server, _ = await answering(tmp_path / "s", *lines)
    async with server:
        with pytest.raises(LayerError, match=words):
            await FetchedLayers(Shelf(), tmp_path / "s").ensure(["a"])  # type: ignore[arg-type]


async def test_without_a_launcher_it_is_said_too(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="cannot ask the launcher"):
        await FetchedLayers(Shelf(), tmp_path / "none").ensure(["a"])  # type: ignore[arg-type]
