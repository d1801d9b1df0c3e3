"""Delta discovery messages: what is read of a request, and responses as joins of encoded parts.

Protobuf's wire format concatenates, so a response is its resources' cached `resources` elements (field 2) followed by
the few fields that differ: type_url 4, nonce 5, removed_resources 6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any, Literal, cast

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.protobuf.message import DecodeError

from plait.kit import protowire
from plait.mesh.node import ProxyNode
from plait.proxy.words import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
WILDCARD = "*"
#: By requests of this type Istio's agents say whether their program is ready; nothing is answered.
HEALTH = "type.googleapis.com/istio.v1.HealthInformation"

_TYPE_URL, _NONCE, _REMOVED = 4, 5, 6
_NODE_PARTS = 4
#: Bytes of a request that is worth remembering: an ACK has a type and a nonce.
_SHORT = 256
#: Bytes of a part of a response that is worth being one.
_SMALL = 4096


class MalformedRequestError(Exception):
    """A request or its node does not say what the protocol needs; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The proxy as its first request describes it; `version` and `cluster_id` are shown to people only.

    `group` is the WorkloadGroup that a proxy in no pod registers itself with, `network` and `locality` (as
    REGION/ZONE/SUBZONE) are where it says it is.
    """

    node: ProxyNode
    version: str = ""
    cluster_id: str = ""
    group: str = ""
    network: str = ""
    locality: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One DeltaDiscoveryRequest. `error` is the message of a NACK, None otherwise; `nonce` is empty when the request
    acknowledges nothing.
    """

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: str | None = None


def decode_request(message: bytes) -> Request:
    """Read one request, without its node; raises MalformedRequestError."""
    # The ACKs of one push are the same bytes from everybody.
    return _decode_known(message) if len(message) <= _SHORT else _decode(message)


def _decode(message: bytes) -> Request:
    parsed = _parse(message)
    request = Request(
        type_url=parsed.type_url,
        # The same few names and versions from a thousand proxies that come back at once: one of each is kept.
        subscribe=tuple(map(intern, parsed.resource_names_subscribe)),
        unsubscribe=tuple(parsed.resource_names_unsubscribe),
        initial_versions={intern(name): intern(v) for name, v in parsed.initial_resource_versions.items()},
        nonce=parsed.response_nonce,
        error=(reason(parsed.error_detail.message) or f"code {parsed.error_detail.code}")
        if parsed.HasField("error_detail")
        else None,
    )
    if not request.type_url:
        raise MalformedRequestError("the request has no type_url")
    return request


_decode_known = lru_cache(maxsize=256)(_decode)


def decode_caller(message: bytes) -> Caller:
    """The node of a stream's first request; raises MalformedRequestError.

    Its id is `TYPE~IP~POD.NAMESPACE~DNS_DOMAIN`; the rest is metadata under Istio's names. Its `extensions` (500
    entries) are never looked at.
    """
    node = _parse(message).node
    identifier: str = node.id
    parts = identifier.split("~")
    kind = parts[0]
    # A pod's name may hold dots; a namespace never does.
    pod, _, namespace = (parts[2] if len(parts) == _NODE_PARTS else "").rpartition(".")
    if kind not in {"sidecar", "router"} or not pod or not namespace:
        raise MalformedRequestError(
            f"node id {identifier!r} is not TYPE~IP~POD.NAMESPACE~DNS_DOMAIN with TYPE sidecar or router"
        )
    fields = node.metadata.fields

    def text(name: str) -> str:
        return str(fields[name].string_value) if name in fields else ""

    labels = fields["LABELS"].struct_value.fields if "LABELS" in fields else {}
    return Caller(
        node=ProxyNode(
            kind=cast("Literal['sidecar', 'router']", kind),
            ip=parts[1],
            pod=pod,
            namespace=namespace,
            labels=tuple(sorted((key, value.string_value) for key, value in labels.items())),
            service_account=text("SERVICE_ACCOUNT") or "default",
            certificates="WORKLOAD_CERTIFICATES" in fields and fields["WORKLOAD_CERTIFICATES"].bool_value,
        ),
        version=text("ISTIO_VERSION"),
        cluster_id=text("CLUSTER_ID"),
        group=text("AUTO_REGISTER_GROUP"),
        network=text("NETWORK"),
        locality=f"{node.locality.region}/{node.locality.zone}/{node.locality.sub_zone}".rstrip("/"),
    )


def _parse(message: bytes) -> Any:
    try:
        return DeltaDiscoveryRequest.FromString(message)
    except DecodeError as error:
        raise MalformedRequestError(f"not a DeltaDiscoveryRequest: {error}") from error


def encode_response(type_url: str, nonce: str, elements: Iterable[bytes], removed: Iterable[str]) -> bytes:
    """A DeltaDiscoveryResponse; `elements` are complete `resources` elements, whole or in parts."""
    return b"".join(response_parts(type_url, nonce, elements, removed))


def response_parts(type_url: str, nonce: str, elements: Iterable[bytes], removed: Iterable[str]) -> tuple[bytes, ...]:
    """The same in parts: small elements as one, so that they are few."""
    rest = b"".join(
        (
            protowire.element(_TYPE_URL, type_url),
            protowire.element(_NONCE, nonce),
            *[protowire.element(_REMOVED, name) for name in removed],
        )
    )
    parts: list[bytes] = []
    small: list[bytes] = []
    for element in elements:
        if len(element) < _SMALL:
            small.append(element)
        else:
            parts += (b"".join(small), element) if small else (element,)
            small = []
    return (*parts, b"".join((*small, rest)))


def encode_element(*, type_url: str, name: str, version: str, value: bytes) -> bytes:
    """A `resources` element: tag 0x12 and length before a Resource (version 1, resource 2 as Any, name 3)."""
    wrapped = protowire.element(1, type_url) + protowire.element(2, value)
    return protowire.element(
        2, protowire.element(1, version) + protowire.element(2, wrapped) + protowire.element(3, name)
    )
