"""A container's environment variables, from values, fields of the pod, ConfigMaps, Secrets and Services. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

from plait.machine.images.table import expand
from plait.machine.quantity import divided, parse_quantity

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_SUBSCRIPT = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")


class ConfigError(ValueError):
    """A container's configuration cannot be put together yet or at all; the text is the kubelet's.

    `missing` names a ConfigMap or Secret that is not there: (kind, name).
    """

    def __init__(self, message: str, missing: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.missing = missing


class Sources(Protocol):
    """Where ConfigMaps and Secrets come from: their `data`, with the values of Secrets decoded."""

    def data(self, kind: Literal["ConfigMap", "Secret"], name: str) -> Mapping[str, bytes] | None:
        """The contents of the object of the pod's namespace; None where there is no such object."""
        ...


def environment(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    *,
    base: Mapping[str, str],
    sources: Sources,
    node: Mapping[str, str],
) -> dict[str, str]:
    """All variables of a container; later ones win: `base` (image and Services), `envFrom`, `env`.

    `node` holds `status.hostIP`, `status.podIP` and the like, which the API may not know yet. Raises ConfigError.
    """
    env = dict(base)
    for item in container.get("envFrom") or ():
        env |= _from_object(item, sources)
    for item in container.get("env") or ():
        source = item.get("valueFrom")
        if source:
            value = _referred(item["name"], source, pod=pod, container=container, sources=sources, node=node)
        else:
            value = expand(str(item.get("value") or ""), env)
        if value is not None:
            env[item["name"]] = value
    return env


def field(pod: Mapping[str, Any], path: str, node: Mapping[str, str]) -> str:
    """The text of a `fieldRef`; raises ConfigError for a path the downward API does not have."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if found := _SUBSCRIPT.fullmatch(path):
        return str((meta.get(found[1]) or {}).get(found[2], ""))
    if path in node:
        return node[path]
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(meta.get(path.removeprefix("metadata."), ""))
        case "spec.nodeName":
            return str(spec.get("nodeName") or "")
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "default")
        case "metadata.labels" | "metadata.annotations":
            pairs = meta.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f'{key}="{_quoted(str(pairs[key]))}"' for key in sorted(pairs))
    raise ConfigError(f"fieldRef: unsupported fieldPath: {path}")


def resource(pod: Mapping[str, Any], container: Mapping[str, Any], ref: Mapping[str, Any]) -> str:
    """The text of a `resourceFieldRef`: requests and limits in units of its divisor, rounded up."""
    name = ref.get("containerName")
    if name and name != container.get("name"):
        spec = pod.get("spec") or {}
        both = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        container = next((c for c in both if c["name"] == name), {})
    kind, _, what = str(ref.get("resource", "")).partition(".")
    resources = container.get("resources") or {}
    quantity = (resources.get(kind) or {}).get(what)
    if quantity is None and kind == "requests":
        quantity = (resources.get("limits") or {}).get(what)
    return divided(parse_quantity(quantity or "0"), ref.get("divisor") or "1")


def service_variables(services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and the rest, for Services that have an address, as the kubelet writes them."""
    env: dict[str, str] = {}
    for service in services:
        spec = service.get("spec") or {}
        host, ports = spec.get("clusterIP"), spec.get("ports") or ()
        if not host or host == "None" or not ports:
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        env |= {f"{name}_SERVICE_HOST": host, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
        first = f"{ports[0].get('protocol', 'TCP').lower()}://{host}:{ports[0]['port']}"
        env[f"{name}_PORT"] = first
        for port in ports:
            protocol, number = port.get("protocol", "TCP"), str(port["port"])
            if port.get("name"):
                env[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
            prefix = f"{name}_PORT_{number}_{protocol}"
            env |= {
                prefix: f"{protocol.lower()}://{host}:{number}",
                f"{prefix}_PROTO": protocol.lower(),
                f"{prefix}_PORT": number,
                f"{prefix}_ADDR": host,
            }
    return env


def base_variables(
    *, hostname: str, uid: int, image: Mapping[str, str], services: Mapping[str, str], api: tuple[str, int]
) -> dict[str, str]:
    """What every container has before its own variables: as from a container runtime, the image, and Services."""
    return {
        "PATH": PATH,
        "HOSTNAME": hostname,
        "HOME": "/root" if uid == 0 else "/",
        **services,
        **service_variables(
            [
                {
                    "metadata": {"name": "kubernetes"},
                    "spec": {"clusterIP": api[0], "ports": [{"name": "https", "port": api[1]}]},
                }
            ]
        ),
        **image,
    }


def _referred(
    name: str,
    source: Mapping[str, Any],
    *,
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    sources: Sources,
    node: Mapping[str, str],
) -> str | None:
    """The value that `valueFrom` means; None for an optional one that is not there."""
    if ref := source.get("fieldRef"):
        return field(pod, ref.get("fieldPath", ""), node)
    if ref := source.get("resourceFieldRef"):
        return resource(pod, container, ref)
    if ref := source.get("configMapKeyRef"):
        return _key("ConfigMap", ref, sources)
    if ref := source.get("secretKeyRef"):
        return _key("Secret", ref, sources)
    raise ConfigError(f"environment variable {name}: valueFrom is empty")


def _key(kind: Literal["ConfigMap", "Secret"], ref: Mapping[str, Any], sources: Sources) -> str | None:
    name, key = ref.get("name", ""), ref["key"]
    data = sources.data(kind, name)
    if data is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'{kind.lower()} "{name}" not found', (kind, name))
    if key not in data:
        if ref.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {key} in {kind} {name}", (kind, name))
    return data[key].decode("utf-8", "surrogateescape")


def _from_object(item: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    kind: Literal["ConfigMap", "Secret"] = "ConfigMap" if item.get("configMapRef") else "Secret"
    ref = item.get("configMapRef") or item.get("secretRef") or {}
    data = sources.data(kind, ref.get("name", ""))
    if data is None:
        if ref.get("optional"):
            return {}
        raise ConfigError(f'{kind.lower()} "{ref.get("name", "")}" not found', (kind, ref.get("name", "")))
    prefix = item.get("prefix") or ""
    return {
        prefix + key: value.decode("utf-8", "surrogateescape")
        for key, value in data.items()
        if _NAME.fullmatch(prefix + key)
    }


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
