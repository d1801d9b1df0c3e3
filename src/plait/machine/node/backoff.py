"""When an ended container runs again: the kubelet's rules with shorter waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartBackoff:
    """Waits in seconds that double from `first` to `most`; a run of `healthy` seconds begins anew."""

    first: float = 1.0
    most: float = 30.0
    healthy: float = 600.0

    def failures(self, before: int, ran: float) -> int:
        """Ends in a row, after one more that followed `ran` seconds of running."""
        return 1 if ran >= self.healthy else before + 1

    def wait(self, failures: int) -> float:
        """The wait before the next start, after so many ends in a row; 0 for none."""
        return 0.0 if failures <= 0 else min(self.most, self.first * 2.0 ** min(failures - 1, 32))


def remaining(wait: float, since: float, now: float) -> float:
    """What a node that was away still has to wait, by the wall clock; never more than all of it."""
    return min(wait, max(0.0, since + wait - now))


def restarts(policy: str, exit_code: int) -> bool:
    """Whether a container that ended with this code is to run again under the pod's `restartPolicy`."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def init_policy(policy: str) -> str:
    """The policy for init containers: success is what they are for, so `Always` means `OnFailure` to them."""
    return "OnFailure" if policy == "Always" else policy
