"""Pod and mesh configuration in, pod with sidecar out; the sidecar's bootstrap; the rules that capture a pod's traffic.

Pure functions, used by the machine's admission and node, by the webhook and by `plait kube-inject`.
"""

from plait.inject.annotations import AnnotationError
from plait.inject.bootstrap import BootstrapConfig, bootstrap
from plait.inject.capture import capture_rules, closed_ipv6
from plait.inject.config import InjectConfig
from plait.inject.legacy import convert_workload, foreign_sidecars
from plait.inject.pod import Injection, inject_pod

__all__ = [
    "AnnotationError",
    "BootstrapConfig",
    "InjectConfig",
    "Injection",
    "bootstrap",
    "capture_rules",
    "closed_ipv6",
    "convert_workload",
    "foreign_sidecars",
    "inject_pod",
]
