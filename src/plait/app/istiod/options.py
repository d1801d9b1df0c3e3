"""The command line and the environment of istiod's processes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plait.kube.access import SERVICE_ACCOUNT, Access

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

XDS_PORT, SECURE_PORT, MONITORING_PORT = 15010, 15012, 15014
#: What istiod is called, by proxies of today and of Istio 1.0's time; with and without the cluster's domain.
_NAMES: Final = ("istiod", "istio-pilot")


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="istiod", description="plait's control plane")
    parser.add_argument("role", nargs="?", choices=("builder", "delivery"), default="builder")
    parser.add_argument("--xds", default=f"0.0.0.0:{XDS_PORT}", help="address of xDS")
    parser.add_argument("--secure", default=f"0.0.0.0:{SECURE_PORT}", help="address of xDS and certificates, by TLS")
    parser.add_argument("--transport", choices=("http2", "grpc"), default="http2", help="server of xDS")
    parser.add_argument("--monitoring", default=f"0.0.0.0:{MONITORING_PORT}", help="address of /debug and /metrics")
    parser.add_argument("--service-account", type=Path, default=SERVICE_ACCOUNT, help="folder with token and ca.crt")
    parser.add_argument("--channel", type=int, help="delivery only: inherited socket to the builder")
    # What Istio's Deployments pass to their istiod means nothing here, and must not stop it.
    known, ignored = parser.parse_known_args([part for part in given if part != "discovery"])
    if ignored:
        sys.stderr.write(f"istiod: ignoring arguments: {' '.join(ignored)}\n")
    return known


def access(environment: Mapping[str, str], account: Path) -> Access:
    """The API server of the cluster this pod runs in; raises ValueError or AccessError."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ValueError("KUBERNETES_SERVICE_HOST is not set: istiod runs in a pod")
    return Access.in_cluster(account, host=host, port=port)


def pod(environment: Mapping[str, str]) -> tuple[str, str]:
    """Name and namespace of this pod."""
    return environment.get("POD_NAME", "istiod"), environment.get("POD_NAMESPACE", "istio-system")


def names(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Host names that istiod's certificate is for."""
    _, namespace = pod(environment)
    return tuple(
        f"{service}.{namespace}.svc{domain}" for service in _NAMES for domain in ("", ".cluster.local")
    ) + tuple(f"{service}.{namespace}" for service in _NAMES)


def addresses(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses that istiod's certificate is for: this pod's, and loopback for a port-forward."""
    return tuple(dict.fromkeys([*filter(None, [environment.get("POD_IP")]), "127.0.0.1"]))
