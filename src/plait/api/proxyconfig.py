"""networking.istio.io ProxyConfig: settings of a sidecar that it takes when its pod is made."""

from __future__ import annotations

from typing import Any

import msgspec

from plait.api.meta import Metadata


class ProxySelector(msgspec.Struct, frozen=True, rename="camel"):
    """Picks pods by their labels."""

    match_labels: dict[str, str] = {}


class ProxyConfigSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`concurrency` is the number of worker threads; 0: one for each core."""

    selector: ProxySelector | None = None
    concurrency: int | None = None
    environment_variables: dict[str, str] = {}
    image: dict[str, Any] | None = None


class ProxyConfig(msgspec.Struct, frozen=True):
    """networking.istio.io ProxyConfig, any version."""

    metadata: Metadata
    spec: ProxyConfigSpec = ProxyConfigSpec()
