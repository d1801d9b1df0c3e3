"""Reads the logs of plait's own processes: CRI lines, or plain ones from before init was there to write them."""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

_CRI = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:]+)\.\d+Z (?:stdout|stderr) [FP] (.*)$", re.DOTALL)
#: Seconds between two looks at a log that is followed.
_LOOK = 0.2


def text_of(line: str) -> str:
    """A line for a person: time to the second, then the text."""
    match = _CRI.match(line)
    return f"{match[1]}Z {match[2]}" if match else line


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines; all of them for a negative count."""
    with path.open(errors="replace") as file:
        return [line.rstrip("\n") for line in (file if count < 0 else deque(file, maxlen=count))]


async def follow(path: Path) -> AsyncIterator[str]:
    """Lines as they are added, across rotation; never ends."""
    file = path.open(errors="replace")
    file.seek(0, os.SEEK_END)
    rest = ""
    try:
        while True:
            text = rest + file.read()
            *lines, rest = text.split("\n")
            for line in lines:
                yield line
            if not lines:
                await asyncio.sleep(_LOOK)
                if path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                    file.close()
                    file = path.open(errors="replace")
    finally:
        file.close()
