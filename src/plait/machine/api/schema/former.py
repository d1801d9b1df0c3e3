"""Kinds of Istio 1.0 that are served still, so that manifests of the time and commands of the time find them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.machine.api.schema.kinds import Column, ServedKind

Schema = Mapping[str, Any]

_GROUP = "authentication.istio.io"
_VERSION = "v1alpha1"
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}


def _object(**properties: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": dict(sorted(properties.items()))}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_MODE: Schema = {"type": "string", "enum": ["STRICT", "PERMISSIVE"]}
_MTLS = _object(mode=_MODE, allowTls=_FLAG)
_JWT = _object(issuer=_TEXT, audiences=_TEXTS, jwksUri=_TEXT, jwks=_TEXT, jwtHeaders=_TEXTS, jwtParams=_TEXTS)
_PORT = _object(number={"type": "integer"}, name=_TEXT)
#: What `authentication/v1alpha1/policy.proto` of Istio 1.0 has; its definitions of the kinds had no schema.
_SPEC = _object(
    targets=_list(_object(name=_TEXT, ports=_list(_PORT))),
    peers=_list(_object(mtls=_MTLS, jwt=_JWT)),
    peerIsOptional=_FLAG,
    origins=_list(_object(jwt=_JWT)),
    originIsOptional=_FLAG,
    principalBinding={"type": "string", "enum": ["USE_PEER", "USE_ORIGIN"]},
)
_SCHEMA: Schema = _object(spec=_SPEC)


def _kind(kind: str, plural: str, singular: str, *, namespaced: bool) -> ServedKind:
    return ServedKind(
        group=_GROUP,
        version=_VERSION,
        served_versions=(_VERSION,),
        kind=kind,
        plural=plural,
        singular=singular,
        namespaced=namespaced,
        categories=("istio-io", "authentication-istio-io"),
        columns=(
            Column(name="Name", format="name", description="Name of the object, unique in its namespace"),
            Column(name="Age", type="date", path=".metadata.creationTimestamp", description="Time since creation"),
        ),
        acts=True,
        custom=True,
        definitions={f"{_GROUP}/{_VERSION}": _definition(kind)},
    )


def _definition(kind: str) -> str:
    return f"io.istio.authentication.{_VERSION}.{kind}"


FORMER_KINDS: tuple[ServedKind, ...] = (
    _kind("MeshPolicy", "meshpolicies", "meshpolicy", namespaced=False),
    _kind("Policy", "policies", "policy", namespaced=True),
)
"""A controller makes of each the PeerAuthentication that says the same today."""

FORMER_SCHEMAS: dict[str, Schema] = {_definition(kind.kind): _SCHEMA for kind in FORMER_KINDS}
