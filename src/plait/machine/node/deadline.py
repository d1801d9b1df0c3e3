"""How long a pod may run: `spec.activeDeadlineSeconds`, counted from the pod's start as the kubelet does.

A clock that is set meanwhile makes it neither longer nor shorter.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from plait.machine.node.record import running_time

if TYPE_CHECKING:
    from plait.machine.node.context import PodContext

DEADLINE_MESSAGE: Final = "Pod was active on the node longer than the specified deadline"
#: The deadline of a pod that runs may be set, or be made shorter: it is looked at again after so many seconds.
_LOOK: Final = 5.0


async def deadline(pod: PodContext) -> None:
    """Return when the pod has had its time."""
    while True:
        seconds = pod.object["spec"].get("activeDeadlineSeconds")
        left = _LOOK if seconds is None else pod.record.began + float(seconds) - running_time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _LOOK))
