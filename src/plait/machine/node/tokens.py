"""Service account tokens of pods, from the API's TokenRequest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.kube.client import Client

#: A proxy's token is read once, at its start; it must last as long as the proxy may.
PROXY_SECONDS = 10 * 365 * 24 * 3600
APP_SECONDS = 3607


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and the time (seconds since the epoch) at which it is to be replaced: after 80 % of its life."""

    text: str = field(repr=False)
    renew_at: float


async def request_token(
    client: Client, pod: Mapping[str, Any], *, seconds: int, now: float, audience: str | None = None
) -> Token:
    """A token of the pod's service account, bound to the pod. Raises ApiError."""
    meta, account = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
    spec: dict[str, Any] = {
        "expirationSeconds": seconds,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
        "audiences": [audience] if audience else [],
    }
    body = await client.request(
        "POST",
        f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token",
        json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
    )
    status = msgspec.json.decode(body)["status"]
    expires = datetime.fromisoformat(status["expirationTimestamp"]).astimezone(UTC).timestamp()
    return Token(text=status["token"], renew_at=now + (expires - now) * 0.8)
