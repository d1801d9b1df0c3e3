"""Log lines as fortio writes them to standard error: JSON, or coloured text on a terminal."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

DEBUG, VERBOSE, INFO, WARNING, ERROR, CRITICAL, FATAL = range(7)
#: Names that `-loglevel` takes, by level.
NAMES: Final = ("Debug", "Verbose", "Info", "Warning", "Error", "Critical", "Fatal")
_SHORT: Final = ("dbug", "trace", "info", "warn", "err", "crit", "fatal")
_SHOWN: Final = ("DBG", "VRB", "INF", "WRN", "ERR", "CRI", "FTL")
_COLOURS: Final = (90, 36, 32, 33, 31, 35, 91)


def level(text: str) -> int:
    """The level of a name, in any case; raises ValueError."""
    for number, name in enumerate(NAMES):
        if text.strip().lower() == name.lower():
            return number
    raise ValueError(f"should be one of [{' '.join(NAMES)}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Where log lines go, from which level on, and in what form."""

    out: TextIO
    level: int = INFO
    as_json: bool = True
    colour: bool = False
    timestamp: bool = True
    places: bool = True
    routine: bool = True

    def shows(self, wanted: int) -> bool:
        """Whether a line of this level is shown."""
        return self.level <= wanted

    def write(self, at: int, message: str, /, **attributes: Any) -> None:
        """Write a line; the attributes follow the message."""
        if self.level > at:
            return
        frame = sys._getframe(1)  # noqa: SLF001 -- the caller's place is part of the line
        place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        self.out.write(self._line(at, message, place, attributes) + "\n")

    def _line(self, at: int, message: str, place: str, attributes: dict[str, Any]) -> str:
        file, _, number = place.partition(":")
        if self.as_json and not self.colour:
            line: dict[str, Any] = {"level": _SHORT[at]}
            line |= {"r": 1} if self.routine else {}
            line |= {"file": file, "line": int(number)} if self.places else {}
            line |= {"msg": message, **attributes}
            clock = f'"ts":{time.time():.6f},' if self.timestamp else ""
            return f"{{{clock}{json.dumps(line, separators=(',', ':'), ensure_ascii=False)[1:]}"
        where = f"{place}> " if self.places else ""
        if not self.colour:
            more = "".join(f", {name}={_text(value)}" for name, value in attributes.items())
            clock = time.strftime("%Y/%m/%d %H:%M:%S ") if self.timestamp else ""
            return f"{clock}[{NAMES[at][0]}] {where}{message}{more}"
        now = time.time()
        clock = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03d} " if self.timestamp else ""
        tint = f"\x1b[{_COLOURS[at]}m"
        more = "".join(f", \x1b[34m{name}\x1b[0m={tint}{_text(value)}\x1b[0m" for name, value in attributes.items())
        routine = "\x1b[37mr1 " if self.routine else ""
        return f"\x1b[90m{clock}{routine}\x1b[90m[{tint}{_SHOWN[at]}\x1b[90m] {where}{tint}{message}\x1b[0m{more}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
