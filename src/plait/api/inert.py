"""Fields of Istio's kinds that are understood but do nothing here: whoever sets one is told so, by kubectl, on files.

The table is data: a path and the sentence that follows it. A field that gets an effect loses its row; a test holds the
table and the examples of the proxies' configuration against the schemas, so that no field is ignored in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Inert:
    """A field without effect. `[]` after a name in `path` stands for each item of a list, `{}` for each value of a map.

    Only values in `only` count, if there are any; those in `but` do not count, since they ask for what is so anyway.
    Nothing (false, 0, an empty string, list or object) counts only if it is named in `only`.
    """

    path: str
    says: str
    only: frozenset[Any] = frozenset()
    but: frozenset[Any] = frozenset()

    def counts(self, value: Any) -> bool:
        """Whether somebody who wrote this value expects something that will not happen."""
        if self.only:
            return isinstance(value, str | int) and value in self.only
        return bool(value) and not (isinstance(value, str | int) and value in self.but)


def row(path: str, says: str, *, only: tuple[Any, ...] = (), but: tuple[Any, ...] = ()) -> Inert:
    """A row of a table."""
    return Inert(path=path, says=says, only=frozenset(only), but=frozenset(but))


_NETWORKING: Final = "networking.istio.io"

#: (group, kind) -> its fields without effect.
TABLE: Final[Mapping[tuple[str, str], tuple[Inert, ...]]] = {
    (_NETWORKING, "Gateway"): (
        row("spec.servers[].defaultEndpoint", "has no effect, in Istio neither: a VirtualService says where to go"),
        row(
            "spec.servers[].tls.tlsCertificates[].caCertificates",
            "has no effect: whose clients are trusted is said once for the server, in tls.caCertificates",
        ),
    ),
    (_NETWORKING, "ProxyConfig"): (row("spec.image", "has no effect: every proxy is the machine's own Envoy"),),
    (_NETWORKING, "Sidecar"): (
        *(
            row(
                f"{pool}.http.h2UpgradePolicy",
                "has no effect on the way in: the port's protocol says",
                but=("DEFAULT",),
            )
            for pool in ("spec.inboundConnectionPool", "spec.ingress[].connectionPool")
        ),
    ),
    (_NETWORKING, "WorkloadGroup"): (
        *(
            row(f"spec.probe.{way}", "has no effect: istiod makes the probe from its own pod, by httpGet or tcpSocket")
            for way in ("exec", "grpc")
        ),
    ),
}


def inert_values(group: str, kind: str, obj: Mapping[str, Any]) -> Iterator[tuple[Inert, str, Any]]:
    """(row, path, value) of each field without effect that `obj` sets."""
    for each in TABLE.get((group, kind), ()):
        for path, value in values(obj, tuple(each.path.split("."))):
            if each.counts(value):
                yield each, path, value


def values(
    value: Any, steps: tuple[str, ...], path: str = "", *, but_named: frozenset[str] = frozenset()
) -> Iterator[tuple[str, Any]]:
    """Every place below `value` that the steps lead to; list items with a name in `but_named` are left out."""
    if not steps:
        yield path, value
        return
    name, suffix = steps[0][:-2], steps[0][-2:]
    if suffix not in {"[]", "{}"}:
        name, suffix = steps[0], ""
    if not isinstance(value, dict) or name not in value:
        return
    found, here = value[name], f"{path}.{name}" if path else name
    if not suffix:
        yield from values(found, steps[1:], here, but_named=but_named)
    elif suffix == "{}" and isinstance(found, dict):
        for key, item in found.items():
            yield from values(item, steps[1:], f"{here}[{key}]", but_named=but_named)
    elif suffix == "[]" and isinstance(found, list):
        for index, item in enumerate(found):
            if not (isinstance(item, dict) and item.get("name") in but_named):
                yield from values(item, steps[1:], f"{here}[{index}]", but_named=but_named)
