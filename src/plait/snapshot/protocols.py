"""Which protocol a Service port speaks: Istio's rule from appProtocol, the name's prefix, and well-known ports."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from plait.api.kubernetes import ServicePort


class Protocol(StrEnum):
    """What to expect on a port. AUTO: nobody said, so the first bytes decide.

    GRPC_WEB: gRPC, which clients may also call as browsers do.
    """

    HTTP = "http"
    HTTP2 = "http2"
    GRPC_WEB = "grpc-web"
    TCP = "tcp"
    TLS = "tls"
    AUTO = "auto"
    UDP = "udp"

    # Enum's own is a Python function, and members are hashed with every port.
    __hash__ = str.__hash__

    @property
    def is_http2(self) -> bool:
        """Whether it is declared to be HTTP/2."""
        return self in _HTTP2

    @property
    def is_http(self) -> bool:
        """Whether it is declared to be HTTP of any kind."""
        return self in _HTTP

    @property
    def may_be_http(self) -> bool:
        """Whether HTTP rules can hold for it."""
        return self in _MAYBE_HTTP


# Outside the class: looking members up by name costs more than the question itself, and it is asked for every port.
_HTTP2: Final = frozenset({Protocol.HTTP2, Protocol.GRPC_WEB})
_HTTP: Final = _HTTP2 | {Protocol.HTTP}
_MAYBE_HTTP: Final = _HTTP | {Protocol.AUTO}
_PREFIXES: Final = {
    "http": Protocol.HTTP,
    "http_proxy": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.HTTP2,
    "grpc-web": Protocol.GRPC_WEB,
    "https": Protocol.TLS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.TCP,
    "mysql": Protocol.TCP,
    "redis": Protocol.TCP,
    "udp": Protocol.UDP,
}
_APP_PROTOCOLS: Final = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.TLS,
}
#: Protocols in which the server speaks first or that are never HTTP: sniffing there would only delay.
_WELL_KNOWN_TCP: Final = frozenset({25, 53, 3306, 27017})


def protocol_named(name: str, port: int) -> Protocol:
    """The protocol that a port of a ServiceEntry or a Sidecar declares; nothing or an unknown word: AUTO."""
    found = _PREFIXES.get(name.lower())
    if found is not None:
        return found
    return Protocol.TCP if port in _WELL_KNOWN_TCP else Protocol.AUTO


def protocol_of(port: ServicePort) -> Protocol:
    """The protocol of a Service port. A name counts up to its first `-`; `grpc-web` is a prefix of its own."""
    if port.protocol == "UDP":
        return Protocol.UDP
    name = port.name if port.app_protocol is None else port.app_protocol
    name = name.lower()
    if name in _APP_PROTOCOLS and port.app_protocol is not None:
        return _APP_PROTOCOLS[name]
    if name.startswith("grpc-web"):
        return Protocol.GRPC_WEB
    found = _PREFIXES.get(name.partition("-")[0])
    if found is not None:
        return found
    return Protocol.TCP if port.port in _WELL_KNOWN_TCP else Protocol.AUTO
