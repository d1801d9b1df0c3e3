"""Rules that many kinds share: numbers, choices, ports, quantities, selectors."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.metadata import validate_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PERCENT = re.compile(r"[0-9]+%")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)|[eE]([+-]?[0-9]+))?")
_SCALE = {"n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def at_least(value: int | None, least: int, path: str) -> Iterator[FieldError]:
    """A number with a lower bound; unset is fine."""
    if value is not None and value < least:
        yield invalid(path, value, f"must be greater than or equal to {least}")


def one_of(value: str | None, allowed: tuple[str, ...], path: str) -> Iterator[FieldError]:
    """A value from a list; unset is fine."""
    if value is not None and value not in allowed:
        yield not_supported(path, value, allowed)


def own_label(name: str, seen: set[str], path: str) -> Iterator[FieldError]:
    """A name that is a DNS label, and that nothing `seen` before has; it is seen from now on."""
    if not name:
        yield required(path)
    elif fault := names.dns_label(name):
        yield invalid(path, name, fault)
    elif name in seen:
        yield duplicate(path, name)
    seen.add(name)


def port_number(value: int, path: str) -> Iterator[FieldError]:
    """1 to 65535."""
    if value not in names.PORTS:
        yield invalid(path, value, "must be between 1 and 65535, inclusive")


def port_or_name(value: int | str | None, path: str) -> Iterator[FieldError]:
    """A port's number, or the name of a container's port."""
    if value is None:
        yield required(path)
    elif isinstance(value, int):
        yield from port_number(value, path)
    elif fault := names.port_name(value):
        yield invalid(path, value, fault)


def count_or_percent(value: int | str | None, path: str) -> Iterator[FieldError]:
    """A count from 0, or a percentage."""
    if isinstance(value, int):
        yield from at_least(value, 0, path)
    elif isinstance(value, str) and not _PERCENT.fullmatch(value):
        yield invalid(path, value, 'must be a number or a percentage, such as 1 or "25%"')


def amount(quantity: Any) -> Decimal:
    """The number a quantity stands for; zero if it is none."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        return Decimal(0)
    number, suffix, exponent = match.groups()
    value = Decimal(number) * Decimal(10) ** int(exponent or 0)
    if suffix and suffix.endswith("i"):
        return value * Decimal(1024) ** ("KMGTPE".index(suffix[0]) + 1)
    return value * Decimal(1000) ** _SCALE.get(suffix or "", 0)


def validate_selector(selector: dict[str, Any], path: str) -> Iterator[FieldError]:
    """A label selector."""
    yield from validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, rule in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = rule.get("operator"), rule.get("values") or []
        if fault := names.qualified_name(rule.get("key", "")):
            yield invalid(f"{where}.key", rule.get("key", ""), fault)
        if operator not in _OPERATORS:
            yield invalid(f"{where}.operator", operator, f"must be one of {', '.join(_OPERATORS)}")
        elif operator in {"In", "NotIn"} and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in {"Exists", "DoesNotExist"} and values:
            yield forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        for at, value in enumerate(values):
            if fault := names.label_value(value):
                yield invalid(f"{where}.values[{at}]", value, fault)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches labels."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        name, values = rule.get("key", ""), rule.get("values") or []
        match rule.get("operator"):
            case "In" if labels.get(name) not in values:
                return False
            case "NotIn" if labels.get(name) in values:
                return False
            case "Exists" if name not in labels:
                return False
            case "DoesNotExist" if name in labels:
                return False
            case _:
                pass
    return True
