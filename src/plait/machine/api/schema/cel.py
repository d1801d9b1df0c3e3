"""Rules of CRD schemas in CEL (`x-kubernetes-validations`).

Kubernetes: a rule is about the value its schema describes (`self`), one that names `oldSelf` only about updates; a rule
that cannot be evaluated counts as broken. Schemas are compiled into trees of those fields that have rules below them,
so that an object costs what its rules cost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from plait.kit.cel import CelError, compile_cel, native
from plait.machine.api.schema.fields import FORBIDDEN, INVALID, FieldError, child, invalid, item, key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRANSITION: Final = re.compile(r"\boldSelf\b")
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, compiled."""

    text: str
    message: str
    reason: str
    program: Any
    transition: bool


@dataclass(slots=True)
class RuleTree:
    """The rules of one schema and of the schemas below it."""

    rules: tuple[Rule, ...] = ()
    fields: dict[str, RuleTree] = field(default_factory=dict)
    entries: RuleTree | None = None
    items: RuleTree | None = None


def rule_fault(rule: Any) -> str | None:
    """Why this is no rule, None if it is one."""
    if not isinstance(rule, dict) or not rule.get("rule"):
        return "must be CEL"
    try:
        compile_cel(str(rule["rule"]))
    except CelError as error:
        return f"is no CEL: {error}"
    return None


def compile_rules(schema: Mapping[str, Any]) -> RuleTree | None:
    """The tree of a schema's rules, None where there is no rule. Raises CelError."""
    tree = RuleTree(rules=tuple(_rule(each) for each in schema.get("x-kubernetes-validations") or ()))
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, dict) and (below := compile_rules(inner)) is not None:
            tree.fields[name] = below
    if isinstance(extra := schema.get("additionalProperties"), dict):
        tree.entries = compile_rules(extra)
    if isinstance(inner := schema.get("items"), dict):
        tree.items = compile_rules(inner)
    return tree if tree.rules or tree.fields or tree.entries or tree.items else None


def check_rules(tree: RuleTree, value: Any, old: Any = None, path: str = "") -> list[FieldError]:
    """Faults of a value that is valid by the rest of its schema; `old` is what it replaces, None where nothing is."""
    if value is None:
        return []
    found = [fault for rule in tree.rules if (fault := _broken(rule, value, old, path)) is not None]
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, inner in value.items():
            if (below := tree.fields.get(name)) is not None:
                found += check_rules(below, inner, before.get(name), child(path, name))
            elif tree.entries is not None:
                found += check_rules(tree.entries, inner, before.get(name), key(path, name))
    elif isinstance(value, list) and tree.items is not None:
        # Items of a list have no identity here, so there is nothing they replace.
        for index, inner in enumerate(value):
            found += check_rules(tree.items, inner, None, item(path, index))
    return found


def _broken(rule: Rule, value: Any, old: Any, path: str) -> FieldError | None:
    if rule.transition and old is None:
        return None
    try:
        # Values that CEL has no form for, such as text that is not Unicode, are refused here.
        context = native().Context({"self": value, "oldSelf": old} if rule.transition else {"self": value})
        for name, function in _KUBERNETES.items():
            if name in rule.text:
                context.add_function(name, function)
        holds = rule.program.execute(context)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, OverflowError, ArithmeticError):
        holds = False
    if holds is True:
        return None
    fault = invalid(path, value, rule.message)
    if rule.reason == FORBIDDEN:
        return FieldError(path=path, message=f"Forbidden: {rule.message}", reason=FORBIDDEN)
    return fault


def _rule(given: Mapping[str, Any]) -> Rule:
    text = str(given.get("rule") or "")
    return Rule(
        text=text,
        message=str(given.get("message") or f"must satisfy {text}"),
        reason=str(given.get("reason") or INVALID),
        program=compile_cel(text),
        transition=_TRANSITION.search(text) is not None,
    )


def _url(text: str) -> str:
    if not _is_url(text):
        raise ValueError(f"{text!r} is not a URL")
    return text


def _is_url(text: str) -> bool:
    """Kubernetes: an absolute URI or an absolute path, as Go's net/url reads it."""
    if re.search(r"[\x00-\x20\x7f]", text):
        return False
    scheme, colon, rest = text.partition(":")
    if text.startswith("/"):
        return True
    if not colon or not _SCHEME.fullmatch(scheme) or not rest:
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return not rest.startswith("//") or bool(parts.netloc) or bool(parts.path)


#: What Kubernetes adds to CEL, as far as schemas use it; of a call `x.f(y)` the receiver is the first argument.
_KUBERNETES: Final[Mapping[str, Callable[..., Any]]] = {
    "substring": lambda text, start, end=None: text[start:end],
    "lowerAscii": lambda text: "".join(chr(ord(c) | 32) if "A" <= c <= "Z" else c for c in text),
    "upperAscii": lambda text: "".join(chr(ord(c) & ~32) if "a" <= c <= "z" else c for c in text),
    "trim": lambda text: text.strip(),
    "split": lambda text, by: text.split(by) if by else list(text),
    "join": lambda parts, by="": by.join(parts),
    "replace": lambda text, old, new: text.replace(old, new),
    "indexOf": lambda text, part: text.find(part),
    "isURL": _is_url,
    "url": _url,
    "getScheme": lambda text: urlsplit(text).scheme,
    "getHost": lambda text: urlsplit(text).netloc,
    "getHostname": lambda text: urlsplit(text).hostname or "",
    "getPort": lambda text: str(urlsplit(text).port or ""),
    "getEscapedPath": lambda text: urlsplit(text).path,
    "find": lambda text, pattern: ((match := re.search(pattern, text)) and match.group()) or "",
}
