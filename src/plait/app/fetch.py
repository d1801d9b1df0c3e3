"""`python -m plait.app.fetch FOLDER PACKAGE…`: makes a layer of Debian packages, on the host, for the node.

Writes what it does to standard output, as `plait.machine.images.fetched` reads it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from plait.machine.images.errors import LayerError
from plait.machine.images.fetched import Word
from plait.machine.images.layers import Layers


def say(word: Word) -> None:
    """One line, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Make the layer; the last line says how it ended."""
    folder, *packages = sys.argv[1:]
    try:
        asyncio.run(Layers(Path(folder)).ensure(packages, lambda text: say(Word(progress=text))))
    except LayerError as error:
        say(Word(error=str(error)))
    except BrokenPipeError:
        return  # the node that asked has gone; the next will ask again
    else:
        say(Word(made=True))


if __name__ == "__main__":
    main()
