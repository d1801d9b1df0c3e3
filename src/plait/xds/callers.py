"""Whom certificates alone let in, where it is known which identities may be let through at all."""

from __future__ import annotations

from typing import Final, NamedTuple

from plait.api.spiffe import SCHEME


class Identity(NamedTuple):
    """A SPIFFE identity, or the beginning of some."""

    text: str
    prefix: bool = False


NOBODY: Final = Identity(SCHEME)
"""An identity that no certificate has."""


class Admission(NamedTuple):
    """Callers that a rule may let through (None: anybody), to `ports` alone (None: to all but `but`)."""

    identities: tuple[Identity, ...] | None
    ports: frozenset[int] | None = None
    but: frozenset[int] = frozenset()

    def concerns(self, port: int | None) -> bool:
        """Whether it is about a port; None: one of which nothing is known."""
        if port is None:
            return True
        return port not in self.but and (self.ports is None or port in self.ports)


def callers(given: tuple[Admission, ...] | None, port: int | None) -> tuple[Identity, ...] | None:
    """Who may be let through to a port; None: that cannot be said by identities alone."""
    if given is None:
        return None
    found: dict[Identity, None] = {}
    for each in given:
        if each.concerns(port):
            if each.identities is None:
                return None
            found.update(dict.fromkeys(each.identities))
    return tuple(found) or (NOBODY,)
