"""How each Service is spoken to inside the mesh, and which objects have a say: the table of Istio's `tls-check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from plait.analyze.fields import at, labels, mapping, mappings, number, text
from plait.analyze.kinds import DESTINATION_RULE, SERVICE
from plait.analyze.mutual_tls import demanded
from plait.analyze.pods import pods_selected
from plait.analyze.world import Item, World
from plait.mesh.peers import DEFAULT, takes_part
from plait.snapshot.contribution import sorted_labels

_PLAIN, _TLS, _MUTUAL, _BOTH = "HTTP", "TLS", "mTLS", "HTTP/mTLS"
_SERVER: Final = {"STRICT": _MUTUAL, "PERMISSIVE": _BOTH, "DISABLE": _PLAIN}
_CLIENT: Final = {"ISTIO_MUTUAL": _MUTUAL, "SIMPLE": _TLS, "MUTUAL": _TLS, "DISABLE": _PLAIN}
_NONE = "-"
COLUMNS = ("HOST:PORT", "STATUS", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRow:
    """One port of a Service: what its pods take, and what sidecars send."""

    host: str
    server: str
    client: str
    policy: str
    rule: str

    @property
    def fits(self) -> bool:
        """Whether the pods take what is sent to them."""
        return self.client in self.server.split("/")

    @property
    def cells(self) -> tuple[str, ...]:
        """As `COLUMNS`."""
        return (self.host, "OK" if self.fits else "CONFLICT", self.server, self.client, self.policy, self.rule)


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
    pods = list(pods_selected(world, labels(service.spec, "selector"), service.namespace))
    mutual = [takes_part(sorted_labels(pod.labels)) for pod in pods]
    asked = demanded(world, service, [port]) if any(mutual) else ()
    # Of several the strictest: who fails it has calls refused.
    first = min(asked, key=lambda each: [*_SERVER].index(each.mode), default=DEFAULT)
    server = _SERVER[first.mode] if asked else _PLAIN
    automatic = at(world.mesh_config, "enableAutoMtls") is not False and server != _PLAIN
    client, rule = _MUTUAL if automatic else _PLAIN, _NONE
    for key in world.rules_of(namespace)(host, service.namespace):
        item = world.get(DESTINATION_RULE, key.namespace, key.name)
        if item is None:
            continue
        wanted = _client_mode(item, port)
        rule = f"{key.name}/{key.namespace}" if rule == _NONE or wanted else rule
        if wanted:
            client = _CLIENT.get(wanted, client)
            break
    policy = str(first.origin.object) if asked and first.origin is not None else ""
    return TlsRow(host=f"{host}:{port}", server=server, client=client, policy=_policy(world, policy), rule=rule)


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
