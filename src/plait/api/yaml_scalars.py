"""What a plain YAML scalar means to the Go reader behind kubectl and Istio (sigs.k8s.io/yaml).

Booleans include yes, no, on, off, y and n; numbers may be hexadecimal, binary or octal with a leading 0; there are no
sexagesimal numbers (`12:30` is text) and dates are text.
"""

from __future__ import annotations

import math
import re
from typing import Final

_TRUE: Final = frozenset("y Y yes Yes YES true True TRUE on On ON".split())  # noqa: SIM905 (reads like the table it is)
_FALSE: Final = frozenset("n N no No NO false False FALSE off Off OFF".split())  # noqa: SIM905
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGERS: Final = (
    (re.compile(r"[-+]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"[-+]?0[bB][01]+"), 2),
    (re.compile(r"[-+]?0[oO]?[0-7]+"), 8),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), 10),
)
_SPECIAL: Final = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}


def plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of a scalar without quotes."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in "+-.0123456789":
        return text
    return _number(text)


def _number(text: str) -> str | int | float:
    digits = text.replace("_", "")
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(digits):
            value = int(digits.lower().replace("0o", "0", 1), base)
            # Go's reader has 64 bits; beyond that a number is read as a float.
            return value if -(2**63) <= value < 2**64 else float(value)
    if _FLOAT.fullmatch(digits):
        return float(digits)
    return _SPECIAL.get(text.lower(), text) if text.lower() in _SPECIAL else text


def key_text(value: str | float | bool | None) -> str:
    """A mapping key as JSON has it: always text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
