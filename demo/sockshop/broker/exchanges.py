"""Exchanges: which queues a message goes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KINDS = ("direct", "fanout", "topic", "headers")


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Bindings are (queue's name, key) with their arguments."""

    name: str
    kind: str
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    bindings: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def targets(self, key: str, headers: dict[str, Any]) -> list[str]:
        """The queues that a message with this key goes to, each once."""
        found: dict[str, None] = {}
        for (queue, pattern), arguments in self.bindings.items():
            if self._meant(pattern, key, arguments, headers):
                found[queue] = None
        return list(found)

    def _meant(self, pattern: str, key: str, arguments: dict[str, Any], headers: dict[str, Any]) -> bool:
        match self.kind:
            case "fanout":
                return True
            case "direct":
                return pattern == key
            case "topic":
                return topic_matches(pattern.split("."), key.split("."))
            case _:
                wanted = {name: value for name, value in arguments.items() if not name.startswith("x-")}
                hits = [name in headers and value in (None, headers[name]) for name, value in wanted.items()]
                return any(hits) if arguments.get("x-match") == "any" else all(hits)


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """`*` is one word, `#` any number of words."""
    states = {0}
    for word in [*words, None]:
        # A '#' may stand for nothing: the place behind it is reached at once.
        for place in range(len(pattern)):
            if place in states and pattern[place] == "#":
                states.add(place + 1)
        if word is None:
            break
        states = {
            place if pattern[place] == "#" else place + 1
            for place in states
            if place < len(pattern) and pattern[place] in {"#", "*", word}
        }
    return len(pattern) in states
