"""What the results of a probe mean: counting successes and failures as the kubelet does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Purpose = Literal["startup", "liveness", "readiness"]

#: Before its first success a probe is repeated at these waits (seconds), so that a pod is ready when it is, not at the
#: next full period. Failures of these extra tries do not count.
EAGER_WAITS = (0.05, 0.1, 0.1, 0.2, 0.2, 0.3, 0.5, 0.5, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe with the API's defaults filled in; times are seconds. `action` is the object that says what to do."""

    purpose: Purpose
    action: Mapping[str, Any]
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3
    grace: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a probe has found so far: `healthy` is None until one of the thresholds is reached.

    `run` is how many equal results came in a row, `last` the last of them.
    """

    healthy: bool | None = None
    last: bool | None = None
    run: int = 0

    def after(self, success: bool, probe: Probe) -> Verdict:
        """The verdict after one more result."""
        run = self.run + 1 if success is self.last else 1
        reached = run >= (probe.successes if success else probe.failures)
        return replace(self, healthy=success if reached else self.healthy, last=success, run=run)


def read_probe(container: Mapping[str, Any], purpose: Purpose) -> Probe | None:
    """A container's probe, or None where it has none."""
    spec = container.get(f"{purpose}Probe")
    if not spec:
        return None
    return Probe(
        purpose=purpose,
        action=spec,
        initial_delay=float(spec.get("initialDelaySeconds") or 0),
        period=float(spec.get("periodSeconds") or 10),
        timeout=float(spec.get("timeoutSeconds") or 1),
        # More than one success is for readiness alone.
        successes=int(spec.get("successThreshold") or 1) if purpose == "readiness" else 1,
        failures=int(spec.get("failureThreshold") or 3),
        grace=spec.get("terminationGracePeriodSeconds"),
    )


def port_number(port: Any, container: Mapping[str, Any]) -> int | None:
    """The port an action means: a number, or the name of one of the container's ports; None for an unknown name."""
    if isinstance(port, int):
        return port
    if isinstance(port, str) and port.isdigit():
        return int(port)
    named = (p.get("containerPort") for p in container.get("ports") or () if p.get("name") == port)
    return next(named, None)
