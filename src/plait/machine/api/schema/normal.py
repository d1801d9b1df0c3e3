"""The form in which objects are kept: what decoding into Go structs and encoding again would make of them.

Unknown fields and nulls go; empty fields that Go leaves out go; quantities are written in their shortest form, whole
numbers without a point. So an object sent as JSON and the same one sent as protobuf are equal, and so are their hashes.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.machine.api.schema.types import Type

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}


def normalise(kind: Type, value: dict[str, Any]) -> dict[str, Any]:
    """A new object without what counts as unset; values of the wrong type are left as they are."""
    made = _object(kind, value)
    for name in ("metadata", "spec", "status"):  # the frame of an object stays even when empty
        if name in kind.omit and value.get(name) == {}:
            made[name] = {}
    return made


def _value(kind: Type, value: Any) -> Any:
    match kind.form:
        case "object" if isinstance(value, dict):
            return _object(kind, value)
        case "map" if isinstance(value, dict) and kind.element is not None:
            inner = kind.element.type
            return {name: _value(inner, one) for name, one in value.items() if one is not None or inner.nullable}
        case "list" if isinstance(value, list) and kind.element is not None:
            inner = kind.element.type
            return [_value(inner, one) for one in value if one is not None or inner.nullable]
        case "quantity":
            return canonical_quantity(value)
        case "integer" | "int-or-string" if isinstance(value, float) and value.is_integer():
            return int(value)
        case _:
            return copied(value)


def _object(kind: Type, value: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, inner in value.items():
        declared = kind.fields.get(name)
        if declared is None:
            if kind.open:
                made[name] = copied(inner)
            continue
        if inner is None:
            if declared.type.nullable:
                made[name] = None
            continue
        kept = _value(declared.type, inner)
        if name in kind.omit and not kept and kept is not None:
            continue
        made[name] = kept
    return made


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {name: copied(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [copied(inner) for inner in value]
    return value


def strip_nulls(value: Any) -> Any:
    """A deep copy without entries whose value is null (unset, to a Go decoder)."""
    if isinstance(value, dict):
        return {name: strip_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [strip_nulls(inner) for inner in value if inner is not None]
    return value


def canonical_quantity(value: Any) -> Any:
    """A quantity in canonical form: no fraction, the largest suffix that allows it, the given family of suffixes.

    `0.5` -> `500m`, `1024Mi` -> `1Gi`, `1000m` -> `1`, 1 -> `1`. What is not a quantity comes back unchanged.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = str(value).strip()
    for suffix, power in _BINARY.items():
        if text.endswith(suffix):
            return _binary(text[:-2], power, value)
    return _decimal(text, value)


def _binary(number: str, power: int, given: Any) -> Any:
    amount = _number(number)
    if amount is None:
        return given
    amount *= Decimal(1024) ** power
    if amount != amount.to_integral_value():
        return _decimal(format(amount, "f"), given)
    left, power = int(amount), 0
    while left and left % 1024 == 0 and power < len(_BINARY):
        left, power = left // 1024, power + 1
    return f"{left}{('', *_BINARY)[power]}"


def _decimal(text: str, given: Any) -> Any:
    suffix = text[-1:] if text[-1:] in _DECIMAL else ""
    exponent_form = not suffix and "e" in text.lower()
    amount = _number(text[: len(text) - len(suffix)])
    if amount is None:
        return given
    amount *= Decimal(1000) ** _DECIMAL[suffix]
    if amount == 0:
        return "0"
    power = -3
    while power < 6 and (amount / Decimal(1000) ** (power + 1)) % 1 == 0:
        power += 1
    scaled = (amount / Decimal(1000) ** power).to_integral_value(rounding="ROUND_CEILING")
    if exponent_form:
        return f"{scaled:f}e{3 * power}" if power else f"{scaled:f}"
    return f"{scaled:f}{_SUFFIX[power]}"


def _number(text: str) -> Decimal | None:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) < 40 else None
