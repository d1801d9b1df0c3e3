"""Connections: messages in, answers out."""

from __future__ import annotations

import asyncio
import sys

from sockshop.documents.commands import Commands
from sockshop.mongo import message
from sockshop.mongo.values import BsonError


class Server:
    """Serves one command set to any number of connections, one command at a time."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._connections: set[asyncio.StreamWriter] = set()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until either side ends it; a message that breaks the protocol ends it too."""
        self._connections.add(writer)
        try:
            while True:
                header = await reader.readexactly(message.HEADER.size)
                rest = await reader.readexactly(message.length_of(header) - len(header))
                request = message.read_request(header + rest)
                answer = self._commands.run(request.body)
                if not request.silent:
                    writer.write(message.write_answer(request, answer))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # how a connection ends
        except BsonError as error:
            sys.stderr.write(f"documents: {writer.get_extra_info('peername')}: {error}\n")
        finally:
            self._connections.discard(writer)
            writer.close()

    def close(self) -> None:
        """Ends all connections; a command that runs has been answered, for commands run to their end at once."""
        for writer in tuple(self._connections):
            writer.close()
