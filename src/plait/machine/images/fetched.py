"""Layers for a node that has no network: it asks the launcher, which is on the host, to make them.

The launcher's socket takes one line, the packages' names with spaces between, and starts a program that answers with
JSON lines: any number of `{"progress": …}`, then `{"made": true}` or `{"error": …}`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from plait.machine.images.errors import LayerError
from plait.machine.images.layers import Layers


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the answer."""

    progress: str = ""
    error: str = ""
    made: bool = False


class FetchedLayers:
    """A `LayerSource` over the folder that both sides see; `socket` is the launcher's."""

    def __init__(self, layers: Layers, socket: Path) -> None:
        self._layers = layers
        self._socket = socket

    def find(self, packages: Sequence[str]) -> tuple[Path, ...] | None:
        """See `Layers.find`."""
        return self._layers.find(packages)

    async def ensure(
        self, packages: Sequence[str], progress: Callable[[str], None] = lambda _: None
    ) -> tuple[Path, ...]:
        """The folders, made by the launcher where they are missing. Raises LayerError."""
        if (found := self.find(packages)) is not None:
            return found
        await self._ask(packages, progress)
        found = self.find(packages)
        if found is None:
            raise LayerError(
                f"packages {', '.join(packages)}: the launcher made a layer that does not suit this machine"
            )
        return found

    async def _ask(self, packages: Sequence[str], progress: Callable[[str], None]) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError as error:
            raise LayerError(f"cannot ask the launcher for packages: {error.strerror}") from error
        try:
            writer.write(" ".join(packages).encode() + b"\n")
            await writer.drain()
            while line := await reader.readline():
                word = msgspec.json.decode(line, type=Word)
                if word.error:
                    raise LayerError(word.error)
                if word.made:
                    return
                progress(word.progress)
        except (OSError, msgspec.DecodeError) as error:
            raise LayerError(f"the launcher's answer about packages: {error}") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # it has gone: closed all the same
                await writer.wait_closed()
        raise LayerError(f"packages {', '.join(packages)}: the launcher stopped in the middle; it is tried again")
