"""Slots: the places in HTTP connection managers where it is decided who is let through.

A slot is a filter whose configuration comes by ECDS, under the filter's own name. So what decides can begin, change and
end without a listener being another one: the next request on any connection goes by it, and no connection is drained.
An empty slot has a filter that does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from envoy.config.core.v3.config_source_pb2 import ConfigSource, ExtensionConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthz
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.xds.cluster import ads
from plait.xds.encode import duration, packed, resource
from plait.xds.resource import ECDS, TYPE_PREFIX, Resource

HTTP_RBAC: Final = "envoy.filters.http.rbac"
HTTP_AUTHZ: Final = "envoy.filters.http.ext_authz"
JWT_AUTHN: Final = "envoy.filters.http.jwt_authn"

_RBAC: Final = TYPE_PREFIX + RBAC.DESCRIPTOR.full_name
_EXT_AUTHZ: Final = TYPE_PREFIX + ExtAuthz.DESCRIPTOR.full_name
_JWT_AUTHN: Final = TYPE_PREFIX + JwtAuthentication.DESCRIPTOR.full_name
#: RBAC without rules.
_NOTHING: Final = packed(RBAC())


class Slot(NamedTuple):
    """One place. `name` is that of the filter and of the resource, `stands_for` Istio's name of what is there."""

    name: str
    stands_for: str
    type_url: str


NOTE: Final = Slot(f"{HTTP_RBAC}.custom", HTTP_RBAC, _RBAC)
"""Which rule of CUSTOM holds; or what is denied because nobody can be asked."""
ASK: Final = Slot(f"{HTTP_AUTHZ}.custom", HTTP_AUTHZ, _EXT_AUTHZ)
TOKENS: Final = Slot(f"{JWT_AUTHN}.tokens", JWT_AUTHN, _JWT_AUTHN)
AUDIT: Final = Slot(f"{HTTP_RBAC}.audit", HTTP_RBAC, _RBAC)
DENY: Final = Slot(f"{HTTP_RBAC}.deny", HTTP_RBAC, _RBAC)
ALLOW: Final = Slot(f"{HTTP_RBAC}.allow", HTTP_RBAC, _RBAC)
SLOTS: Final = (NOTE, ASK, TOKENS, AUDIT, DENY, ALLOW)
"""In the order in which they decide (Istio's)."""

FILTER_NAMES: Final = frozenset(slot.stands_for for slot in SLOTS)
FILTER_TYPES: Final = frozenset(slot.type_url for slot in SLOTS)


def _reference(slot: Slot) -> HttpFilter:
    """The slot in a connection manager. Its listener does not serve before the slot is filled, however long that is."""
    source = ConfigSource()
    source.CopyFrom(ads())
    source.initial_fetch_timeout.CopyFrom(duration(0))
    # What does nothing is of this type in any slot.
    types = tuple(dict.fromkeys((slot.type_url, _RBAC)))
    return HttpFilter(name=slot.name, config_discovery=ExtensionConfigSource(config_source=source, type_urls=types))


REFERENCES: Final = tuple(_reference(slot) for slot in SLOTS)


def content(slot: Slot, made: HttpFilter | None) -> Resource:
    """What is in a slot; None: nothing."""
    config = made.typed_config if made is not None else _NOTHING
    return resource(ECDS, slot.name, TypedExtensionConfig(name=slot.name, typed_config=config))


def in_steps(changed: Iterable[Resource]) -> Iterator[tuple[Resource, ...]]:
    """What changed of the contents of slots, in steps of which each is in effect before the next.

    Slots are filled before others are emptied: what was a rule of one kind and becomes one of another holds all the
    time. Tokens are checked before somebody asks for what they say, and no longer only when nobody does.
    """
    found = {each.name: each for each in changed}
    contents = [each for name in _FILLING if (each := found.pop(name, None)) is not None]
    if found:
        yield tuple(found.values())
    for each in contents:
        if each.version != EMPTY[each.name].version:
            yield (each,)
    for each in reversed(contents):
        if each.version == EMPTY[each.name].version:
            yield (each,)


_FILLING: Final = (TOKENS.name, ASK.name, NOTE.name, AUDIT.name, DENY.name, ALLOW.name)


EMPTY: Final = {slot.name: content(slot, None) for slot in SLOTS}


def inlined(found: Resource) -> HttpFilter | None:
    """What is in a slot as a filter in its own right, by Istio's name; None: nothing that decides by itself."""
    element = DeltaDiscoveryResponse.FromString(found.encoded).resources[0]
    return _filter(TypedExtensionConfig.FromString(element.resource.value))


def filled(filters: Iterable[HttpFilter], extensions: Mapping[str, TypedExtensionConfig]) -> Iterator[HttpFilter]:
    """The filters of a connection manager with what ECDS brings for them in place.

    Slots have Istio's names then, and empty ones are left out. What is not there stays as it is.
    """
    for each in filters:
        found = extensions.get(each.name) if each.HasField("config_discovery") else None
        made = _filter(found) if found is not None else each
        if made is not None:
            yield made


def _filter(found: TypedExtensionConfig) -> HttpFilter | None:
    slot = _BY_NAME.get(found.name)
    if slot is None:
        return HttpFilter(name=found.name, typed_config=found.typed_config)
    # What is of another type is there for the time in which other slots change.
    if found.typed_config.type_url != slot.type_url or found.typed_config == _NOTHING:
        return None
    return HttpFilter(name=slot.stands_for, typed_config=found.typed_config)


_BY_NAME: Final = {slot.name: slot for slot in SLOTS}
