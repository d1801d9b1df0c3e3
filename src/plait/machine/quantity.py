"""Kubernetes quantities such as `100m`, `64Mi` and `1.5`. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([a-zA-Z]*))")


def parse_quantity(text: str | float) -> Fraction:
    """The number a quantity stands for; raises ValueError."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if not found or (found[3] or "") not in _UNITS:
        raise ValueError(f"{text!r} is not a quantity; write a number with a unit such as m, k, M, Ki or Mi")
    return Fraction(found[1] + (found[2] or "")) * _UNITS[found[3] or ""]


def divided(quantity: Fraction, divisor: str) -> str:
    """How many of the divisor a quantity is, rounded up, as the downward API gives it."""
    unit = parse_quantity(divisor) or Fraction(1)
    return str(-(-quantity // unit))
