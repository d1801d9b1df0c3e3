"""The ProxyConfigs in the store that hold for a pod on its way into it."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from plait.api.mesh_settings import KEY, NAME, ProxyDefaults, read_settings
from plait.api.proxyconfig import ProxyConfig
from plait.inject import ProxySettings, proxy_settings
from plait.machine.api.admission import AdmissionRequest, Objects

_PROXYCONFIGS = ("networking.istio.io", "proxyconfigs")
_CONFIGMAPS = ("", "configmaps")


def settings_of(request: AdmissionRequest, root_namespace: str) -> ProxySettings:
    """What the pod's sidecar is started with."""
    objects = request.objects
    if objects is None:
        return ProxySettings()
    configs: list[ProxyConfig] = []
    for namespace in dict.fromkeys((request.namespace, root_namespace)):
        for entry in objects.entries(_PROXYCONFIGS, namespace):
            # One from before its schema was checked holds for nobody, rather than keep pods from being made.
            with suppress(msgspec.ValidationError):
                configs.append(msgspec.convert(entry.obj, ProxyConfig))
    return proxy_settings(
        request.obj,
        namespace=request.namespace,
        root_namespace=root_namespace,
        configs=configs,
        defaults=_defaults(objects, root_namespace),
    )


def _defaults(objects: Objects, root_namespace: str) -> ProxyDefaults | None:
    for entry in objects.entries(_CONFIGMAPS, root_namespace):
        if entry.obj["metadata"]["name"] == NAME:
            return read_settings((entry.obj.get("data") or {}).get(KEY, "")).settings.default_config
    return None
