"""What a pod's sidecar is started with: Istio's ProxyConfig, from the mesh's defaults to the pod's own annotation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from plait.api.mesh_settings import ProxyDefaults
from plait.api.names import is_host_port, is_variable_name
from plait.api.proxyconfig import ProxyConfig
from plait.api.yaml import read_yaml
from plait.inject.annotations import AnnotationError

ANNOTATION: Final = "proxy.istio.io/config"
#: The variable in which Istio's proxies find these settings, as JSON.
PROXY_CONFIG: Final = "PROXY_CONFIG"


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """`concurrency` is the number of worker threads, 0 one for each core, None the default (1). `discovery_address` is
    where istiod is (HOST:PORT; plain text on port 15010), empty the usual place.
    """

    concurrency: int | None = None
    environment: Mapping[str, str] = field(default_factory=_nothing)
    discovery_address: str = ""


def proxy_settings(
    pod: Mapping[str, Any],
    *,
    namespace: str,
    root_namespace: str,
    configs: Iterable[ProxyConfig],
    defaults: ProxyDefaults | None = None,
) -> ProxySettings:
    """What holds for a pod of `namespace`.

    Istio's order, the later over the earlier, field by field: the mesh's `defaultConfig`, the root namespace's
    ProxyConfig, the namespace's, the one that selects the pod, the pod's annotation. Of several the oldest holds.
    Raises AnnotationError.
    """
    labels = {str(k): str(v) for k, v in ((pod.get("metadata") or {}).get("labels") or {}).items()}
    levels: list[ProxyConfig | None] = [None, None, None]
    for config in sorted(configs, key=lambda c: (c.metadata.creation_timestamp, c.metadata.name)):
        level = _level(config, namespace, root_namespace, labels)
        if level is not None and levels[level] is None:
            levels[level] = config
    concurrency = defaults.concurrency if defaults is not None else None
    inherited = defaults.discovery_address if defaults is not None else ""
    environment = dict(defaults.proxy_metadata) if defaults is not None else {}
    for found in levels:
        if found is not None:
            concurrency = found.spec.concurrency if found.spec.concurrency is not None else concurrency
            environment |= found.spec.environment_variables
    own = _annotation(pod)
    given, metadata = own.get("concurrency"), own.get("proxyMetadata")
    if isinstance(given, int) and given >= 0:
        concurrency = given
    if isinstance(metadata, dict):
        environment |= {str(key): str(value) for key, value in metadata.items()}
    # One that no pod can have would keep all pods concerned from being made.
    environment = {name: value for name, value in environment.items() if is_variable_name(name)}
    return ProxySettings(
        concurrency=concurrency, environment=environment, discovery_address=_discovery(own) or inherited
    )


def _level(config: ProxyConfig, namespace: str, root_namespace: str, labels: Mapping[str, str]) -> int | None:
    selector = config.spec.selector.match_labels if config.spec.selector is not None else {}
    if config.metadata.namespace == namespace:
        if not selector:
            return 1
        return 2 if selector.items() <= labels.items() else None
    # In the root namespace a selector is for its own pods only.
    return 0 if config.metadata.namespace == root_namespace and not selector else None


def _discovery(own: Mapping[str, Any]) -> str:
    address = str(own.get("discoveryAddress") or "")
    if address and not is_host_port(address):
        raise AnnotationError(ANNOTATION, address, "discoveryAddress is not HOST:PORT; istiod.istio-system.svc:15012?")
    return address


def _annotation(pod: Mapping[str, Any]) -> dict[str, Any]:
    text = ((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION, "")
    reading = read_yaml(str(text))
    documents = [document.value for document in reading.documents]
    return documents[0] if not reading.problems and documents and isinstance(documents[0], dict) else {}
