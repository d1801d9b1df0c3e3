"""The executables that an image table promises: small scripts among a container's own files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from plait.machine.node.roots import Root

_MODE = 0o755


def write_programs(root: Root, programs: Mapping[str, Sequence[str]], *, python: str) -> None:
    """Write each program (path in the container -> words), over whatever the host has there.

    `python` is the interpreter that the word of that name stands for.
    """
    for path, words in programs.items():
        place = root.own(root.resolve(path))
        place.write_text(script(words, python=python))
        place.chmod(_MODE)


def script(words: Sequence[str], *, python: str) -> str:
    """What such a program holds."""
    command = [python, *words[1:]] if words[0] in {"python", "python3"} else words
    return f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'
