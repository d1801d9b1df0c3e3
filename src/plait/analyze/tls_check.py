"""How each Service is spoken to inside the mesh, and which objects have a say: the table of Istio's `tls-check`.

Sidecars have no certificates of their own yet, so the columns of what is spoken say HTTP where policies ask for mutual
TLS; what they ask for is told beside the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plait.analyze.fields import mapping, mappings, number, text
from plait.analyze.kinds import DESTINATION_RULE, SERVICE
from plait.analyze.mutual_tls import mode_wanted
from plait.analyze.world import Item, World

_PLAIN, _TLS = "HTTP", "TLS"
_NONE = "-"
COLUMNS = ("HOST:PORT", "STATUS", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRow:
    """One port of a Service. `asked` are (object, mode) that ask for mutual TLS, which is not done."""

    host: str
    client: str
    policy: str
    rule: str
    asked: tuple[tuple[str, str], ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """As `COLUMNS`."""
        status = "OK" if self.client == _PLAIN else "CONFLICT"
        return (self.host, status, _PLAIN, self.client, self.policy, self.rule)


def tls_rows(world: World, namespace: str, host: str = "") -> Iterator[TlsRow]:
    """Rows of all Services, or of `host`, as callers in `namespace` see them; without any if nobody has that host.

    `host` may be short (of `namespace`), NAME.NAMESPACE or whole, with or without a port.
    """
    name, _, port = host.partition(":")
    for service in sorted(world.all(SERVICE), key=lambda item: item.full_name):
        whole = f"{service.name}.{service.namespace}.svc.{world.domain}"
        if name and name not in {whole, whole.removesuffix(f".{world.domain}"), f"{service.name}.{service.namespace}"}:
            short = name == service.name and namespace == service.namespace
            if not short:
                continue
        for _, declared in mappings(service.spec, "ports"):
            here = number(declared, "port")
            if here and port in {"", str(here)} and text(declared, "protocol") in {"", "TCP"}:
                yield _row(world, namespace, service, whole, here)


def _row(world: World, namespace: str, service: Item, host: str, port: int) -> TlsRow:
    mode, policy = mode_wanted(world, service)
    asked = [(policy, mode)] if mode in {"STRICT", "PERMISSIVE"} else []
    found = world.rules_of(namespace)(host, service.namespace)
    client, rule = _PLAIN, _NONE
    for key in found:
        item = world.get(DESTINATION_RULE, key.namespace, key.name)
        if item is None:
            continue
        wanted = _client_mode(item, port)
        rule = f"{key.name}/{key.namespace}" if rule == _NONE or wanted else rule
        if wanted == "ISTIO_MUTUAL":
            asked.append((str(item.key), wanted))
        client = _TLS if wanted in {"SIMPLE", "MUTUAL"} else client
        if wanted:
            break
    return TlsRow(host=f"{host}:{port}", client=client, policy=_policy(world, policy), rule=rule, asked=tuple(asked))


def _client_mode(rule: Item, port: int) -> str:
    policy = mapping(rule.spec, "trafficPolicy")
    for _, settings in mappings(policy, "portLevelSettings"):
        if number(settings, "port", "number") == port:
            return text(settings, "tls", "mode")
    return text(policy, "tls", "mode")


def _policy(world: World, policy: str) -> str:
    """`default/sock-shop`; that of the mesh has no namespace behind its name, as in Istio's table."""
    if not policy:
        return _NONE
    _, namespace, name = policy.split("/")
    return f"{name}/" if namespace == world.root_namespace else f"{name}/{namespace}"
