"""Pod and mesh configuration in, pod with sidecar out; the sidecar's bootstrap; the rules that capture a pod's traffic.

Pure functions, used by the machine's admission and node, by the webhook and by `plait kube-inject`.
"""

from plait.inject.annotations import AnnotationError
from plait.inject.bootstrap import BootstrapConfig, bootstrap
from plait.inject.bootstrap_patches import BootstrapPatch, bootstrap_patches, patched, with_patches
from plait.inject.capture import capture_rules, closed_ipv6
from plait.inject.config import PROXY_MARK, InjectConfig
from plait.inject.legacy import convert_workload, foreign_sidecars, old_images
from plait.inject.pod import Injection, inject_pod
from plait.inject.proxy_settings import ProxySettings, proxy_settings

__all__ = [
    "PROXY_MARK",
    "AnnotationError",
    "BootstrapConfig",
    "BootstrapPatch",
    "InjectConfig",
    "Injection",
    "ProxySettings",
    "bootstrap",
    "bootstrap_patches",
    "capture_rules",
    "closed_ipv6",
    "convert_workload",
    "foreign_sidecars",
    "inject_pod",
    "old_images",
    "patched",
    "proxy_settings",
    "with_patches",
]
