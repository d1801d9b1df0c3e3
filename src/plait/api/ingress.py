"""networking.k8s.io Ingress and IngressClass, reduced to what the mesh needs of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from plait.api.meta import Metadata

CONTROLLER: Final = "istio.io/ingress-controller"
"""The controller that an IngressClass names for Istio to serve it."""
CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
"""The old way to name a class."""


class IngressSettings(NamedTuple):
    """The mesh's settings of Ingresses.

    `mode` DEFAULT serves those without a class too, OFF none at all. `name` is the class by the old annotation.
    `service` is the gateway's, in the root namespace, `selector` the value of the label `istio` of its pods.
    """

    mode: str = "STRICT"
    name: str = "istio"
    service: str = "istio-ingressgateway"
    selector: str = "ingressgateway"

    def class_of(self, annotations: Mapping[str, str], class_name: str) -> str | None:
        """The IngressClass that must be Istio's; empty: the Ingress is Istio's without one; None: it is not."""
        if self.mode == "OFF":
            return None
        if (old := annotations.get(CLASS_ANNOTATION)) is not None:
            return "" if old == self.name else None
        return class_name or ("" if self.mode == "DEFAULT" else None)


class BackendPort(msgspec.Struct, frozen=True):
    """A port of a Service by number, or by name."""

    number: int = 0
    name: str = ""


class BackendService(msgspec.Struct, frozen=True):
    """A Service of the Ingress's own namespace."""

    name: str = ""
    port: BackendPort = BackendPort()


class Backend(msgspec.Struct, frozen=True):
    """Where requests go. A backend that is no Service has no meaning here."""

    service: BackendService | None = None


class IngressPath(msgspec.Struct, frozen=True, rename="camel"):
    """One path of a host."""

    backend: Backend = Backend()
    path: str = ""
    path_type: str = "ImplementationSpecific"


class IngressHTTP(msgspec.Struct, frozen=True):
    """The paths of a host."""

    paths: tuple[IngressPath, ...] = ()


class IngressRule(msgspec.Struct, frozen=True):
    """One host; empty: every host."""

    host: str = ""
    http: IngressHTTP = IngressHTTP()


class IngressTLS(msgspec.Struct, frozen=True, rename="camel"):
    """Hosts with a certificate; none: every host."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`default_backend` gets what no path takes."""

    ingress_class_name: str = ""
    default_backend: Backend | None = None
    rules: tuple[IngressRule, ...] = ()
    tls: tuple[IngressTLS, ...] = ()


class Ingress(msgspec.Struct, frozen=True):
    """networking.k8s.io/v1 Ingress."""

    metadata: Metadata
    spec: IngressSpec = IngressSpec()


class IngressClassSpec(msgspec.Struct, frozen=True):
    """Who serves Ingresses of the class."""

    controller: str = ""


class IngressClass(msgspec.Struct, frozen=True):
    """networking.k8s.io/v1 IngressClass."""

    metadata: Metadata
    spec: IngressClassSpec = IngressClassSpec()
