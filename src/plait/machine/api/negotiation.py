"""What form of answer the client asks for, by its `Accept` header; answers are always JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plait.machine.api.errors import not_acceptable

JSON = "application/json"
YAML = "application/yaml"

Form = Literal["Object", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"]

_GROUPS = {
    "Table": ("meta.k8s.io", ("v1", "v1beta1")),
    "PartialObjectMetadata": ("meta.k8s.io", ("v1", "v1beta1")),
    "PartialObjectMetadataList": ("meta.k8s.io", ("v1", "v1beta1")),
    "APIGroupDiscoveryList": ("apidiscovery.k8s.io", ("v2", "v2beta1")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The form chosen, and the version of it where it is not a plain object."""

    form: Form
    version: str = ""
    yaml: bool = False


def negotiate(accept: str, *, allowed: tuple[Form, ...]) -> Accepted:
    """The first clause of `accept` that can be served; the plain object always can be. Raises 406."""
    for clause in accept.split(",") if accept.strip() else [JSON]:
        media, *parameters = (part.strip() for part in clause.split(";"))
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media in {YAML, "application/x-yaml"} and "as" not in values:
            return Accepted(form="Object", yaml=True)
        if media not in {JSON, "application/*", "*/*"}:
            continue
        form = values.get("as")
        if form is None:
            return Accepted(form="Object")
        for offer in allowed:
            group, versions = _GROUPS.get(offer, ("", ()))
            if form == offer and values.get("g") == group and values.get("v") in versions:
                return Accepted(form=offer, version=values["v"])
    raise not_acceptable([JSON, YAML])
