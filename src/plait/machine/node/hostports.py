"""Tells the relay where host ports lead: ready endpoints of the Services behind them, as they come and go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from plait.kube.client import Client
from plait.kube.kinds import ENDPOINTSLICE
from plait.kube.reflect import Ref, reflect

NAMESPACE = "istio-system"
#: Host port name -> (Service, name of its port).
BEHIND = {
    "http": ("istio-ingressgateway", "http2"),
    "https": ("istio-ingressgateway", "https"),
    "console": ("kiali", "http"),
}


def targets(slices: Mapping[Ref, Mapping[str, Any]]) -> dict[str, list[str]]:
    """`{"http": ["10.42.0.7:80"], …}`: addresses of the endpoints that are ready, sorted."""
    found: dict[str, set[str]] = {name: set() for name in BEHIND}
    for piece in slices.values():
        service = (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        numbers = {port.get("name"): port.get("port") for port in piece.get("ports") or ()}
        for name, (wanted, port_name) in BEHIND.items():
            if service == wanted and numbers.get(port_name):
                found[name] |= {f"{address}:{numbers[port_name]}" for address in _ready(piece)}
    return {name: sorted(addresses) for name, addresses in found.items()}


async def publish(client: Client, path: Path) -> None:
    """Keep the relay's file true until cancelled; written anew only when it differs, and all at once."""
    slices: dict[Ref, Mapping[str, Any]] = {}
    written: dict[str, list[str]] | None = None
    async with aclosing(reflect(client, [ENDPOINTSLICE], namespace=NAMESPACE)) as batches:
        async for batch in batches:
            for obj in batch.upserts:
                slices[Ref(obj["metadata"]["namespace"], obj["metadata"]["name"])] = obj
            for ref in batch.deletes:
                slices.pop(ref, None)
            wanted = targets(slices)
            if wanted != written:
                draft = path.with_suffix(".draft")
                draft.write_text(json.dumps(wanted))
                draft.replace(path)
                written = wanted


def _ready(piece: Mapping[str, Any]) -> list[str]:
    return [
        address
        for endpoint in piece.get("endpoints") or ()
        # Unknown counts as ready (EndpointSlice API: nil means ready).
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
    ]
