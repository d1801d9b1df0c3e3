"""What the core hands to delivery: named, versioned Envoy resources and the changes of a view.

A version is the content hash of the resource: equal resources have equal versions in every process, on
every restart, so nothing equal is ever sent twice. The encoded form is kept, not the message object: a
response is a join of encoded parts (protobuf's wire format concatenates).
"""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_PREFIX = "type.googleapis.com/"
CDS = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = TYPE_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
RDS = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
ECDS = TYPE_PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
SDS = TYPE_PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"

#: Order in which one change travels on a stream: what is referred to goes before what refers to it.
DELIVERY_ORDER = (CDS, EDS, LDS, RDS, ECDS, SDS)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Resource:
    """One Envoy resource: `content` is a complete `resources` element (field 2) of a DeltaDiscoveryResponse.

    Of a large one it is in parts, which resources that are much alike share.
    """

    type_url: str
    name: str
    version: str
    # It may hold a key.
    content: bytes | tuple[bytes, ...] = field(repr=False)

    @property
    def encoded(self) -> bytes:
        """The content as a whole."""
        return self.content if isinstance(self.content, bytes) else b"".join(self.content)

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The content in parts."""
        return self.content if isinstance(self.content, tuple) else (self.content,)


@dataclass(frozen=True, slots=True)
class ViewUpdate:
    """What changed in one view since the update before, for one resource type.

    A view is what a class of proxies shares; `view` is its opaque, stable name. The first update of a view holds
    everything it has.
    """

    view: str
    type_url: str
    upserts: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()
