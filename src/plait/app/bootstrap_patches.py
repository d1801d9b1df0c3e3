"""EnvoyFilters in the store that change what the proxy of a pod on its way into it starts with."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import msgspec

from plait.api.envoyfilter import EnvoyFilter
from plait.inject import BootstrapPatch, bootstrap_patches, with_patches
from plait.machine.api.admission import AdmissionRequest

_ENVOYFILTERS = ("networking.istio.io", "envoyfilters")


def with_bootstrap_patches(pod: dict[str, Any], request: AdmissionRequest, root_namespace: str) -> dict[str, Any]:
    """The pod with what EnvoyFilters merge into the bootstrap of its proxy, if any do."""
    if request.objects is None:
        return pod
    filters: list[EnvoyFilter] = []
    for namespace in dict.fromkeys((request.namespace, root_namespace)):
        for entry in request.objects.entries(_ENVOYFILTERS, namespace):
            # One from before its schema was checked holds for nobody, rather than keep pods from being made.
            with suppress(msgspec.ValidationError):
                filters.append(msgspec.convert(entry.obj, EnvoyFilter))
    found = bootstrap_patches(filters, pod, namespace=request.namespace, root_namespace=root_namespace)
    readable = tuple(_in_envoys_words(found))
    return with_patches(pod, readable) if readable else pod


def _in_envoys_words(found: tuple[BootstrapPatch, ...]) -> list[BootstrapPatch]:
    """Values with the names of Envoy's own fields; of those that it could not read nothing is left."""
    result = []
    for patch in found:
        # Imported here: Envoy's message classes are 30 MB, and hardly anybody patches a bootstrap.
        values = importlib.import_module("plait.xds.patch.values")
        with suppress(values.PatchValueError):  # refused at the door, or told there
            result.append(patch._replace(value=values.plain_value("BOOTSTRAP", patch.value)))
    return result
