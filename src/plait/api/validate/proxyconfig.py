"""What Istio demands of a ProxyConfig beyond its shape."""

from __future__ import annotations

from plait.api.proxyconfig import ProxyConfig
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_selector


def validate_proxyconfig(obj: ProxyConfig, findings: Findings) -> None:
    """Add what is wrong with `obj` to `findings`."""
    spec = obj.spec
    if spec.selector is not None:
        validate_selector("spec.selector.matchLabels", spec.selector.match_labels, findings)
    findings.variables("spec.environmentVariables", spec.environment_variables)
    findings.integer("spec.concurrency", spec.concurrency, low=0, high=1024)
