"""What Istio demands of a Gateway beyond its shape."""

from __future__ import annotations

from typing import Final

from plait.api.gateway import Gateway, Server
from plait.api.names import is_dns_label, is_ip
from plait.api.validation import Findings

#: Ports on which every proxy already listens.
PROXY_PORTS: Final = frozenset({15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090})
_HTTP: Final = ("HTTP", "HTTP2", "GRPC")
_SERVED: Final = frozenset({*_HTTP, "GRPC-WEB", "HTTP_PROXY", "TCP", "MONGO"})
_PROTOCOLS: Final = (*_HTTP, "HTTPS", "TLS", "TCP", "MONGO", "GRPC-WEB", "HTTP_PROXY")


def validate_gateway(gateway: Gateway, findings: Findings) -> None:
    """Add what is wrong with `gateway` to `findings`."""
    if not gateway.spec.servers:
        findings.error("spec.servers", "there is no server", fix="at least one, with port and hosts")
    names: set[str] = set()
    for index, server in enumerate(gateway.spec.servers):
        path = f"spec.servers[{index}]"
        _server(path, server, findings)
        name = server.port.name if server.port is not None else ""
        if name and name in names:
            findings.error(f"{path}.port.name", f"a second port {name!r}", fix="a name of its own", value=name)
        names.add(name)


def _server(path: str, server: Server, findings: Findings) -> None:
    if not server.hosts:
        findings.error(f"{path}.hosts", "a host is missing", fix='for example ["*"]')
    for index, host in enumerate(server.hosts):
        where = f"{path}.hosts[{index}]"
        namespace, slash, name = host.rpartition("/")
        if slash and namespace not in {"*", "."} and not is_dns_label(namespace):
            findings.error(
                where, f"{namespace!r} is not a namespace", fix="NAMESPACE/HOST, ./HOST or */HOST", value=host
            )
        findings.host(where, name, wildcard=True)
    if server.bind and not is_ip(server.bind):
        findings.error(f"{path}.bind", f"{server.bind!r} is not an IP address", value=server.bind)
    if server.port is None:
        findings.error(f"{path}.port", "a port is missing", fix="port: {number: 80, name: http, protocol: HTTP}")
        return
    findings.port(f"{path}.port.number", server.port.number)
    if server.port.number in PROXY_PORTS:
        findings.error(f"{path}.port.number", f"{server.port.number} belongs to the proxy itself", fix="another port")
    protocol = server.port.protocol.upper()
    if protocol not in _PROTOCOLS:
        findings.error(
            f"{path}.port.protocol",
            f"{server.port.protocol!r} is not a protocol",
            fix=", ".join(_PROTOCOLS),
            value=server.port.protocol,
        )
    if not server.port.name:
        findings.error(f"{path}.port.name", "a name is missing", fix="for example http")
    redirect_only = server.tls is not None and server.tls.https_redirect
    if protocol in {"HTTPS", "TLS"} and server.tls is None:
        findings.error(f"{path}.tls", f"{protocol} needs tls", fix="tls: {mode: SIMPLE, credentialName: NAME}")
    elif protocol in _HTTP and server.tls is not None and not redirect_only and server.tls.mode:
        findings.error(f"{path}.tls", f"a port of protocol {protocol} has no TLS", fix="protocol HTTPS")
    if protocol not in _SERVED and protocol in _PROTOCOLS:
        findings.warn(f"{path}.port.protocol", f"servers of protocol {protocol} do nothing yet", fix="protocol HTTP")
