"""The orderly end of a pod's containers, and of its object."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from plait.kube.errors import ApiError, Conflict, NotFound
from plait.kube.kinds import POD
from plait.machine.node.drain import drain
from plait.machine.node.tries import Tries

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.machine.node.container import Container
    from plait.machine.node.record import PodRecord

log = logging.getLogger(__name__)

#: How long others have to learn that a pod takes no more requests, before its processes are told to end
#: (a time and not a proof: docs/decisions/0027-farewell.md).
_FAREWELL = 0.5
_PROXY_GRACE = 2.0


async def stop_containers(live: Sequence[Container], pause: int | None, *, grace: float, known: bool) -> None:
    """Applications first, with all the time there is, then proxies, which end what they have begun.

    `known` says that others may be sending requests to this pod.
    """
    deadline = asyncio.get_running_loop().time() + grace
    proxies = [container for container in live if container.role == "proxy"]
    if known and proxies and grace > 2 * _FAREWELL:
        await asyncio.sleep(_FAREWELL)

    def left() -> float:
        return max(0.0, deadline - asyncio.get_running_loop().time())

    await asyncio.gather(*(container.stop(grace=left()) for container in live if container not in proxies))
    if pause is not None and grace > 0:
        gateway = len(proxies) == len(live)
        await asyncio.gather(*(drain(pause, max(0.0, left() - _PROXY_GRACE), gateway=gateway) for _ in proxies))
    await asyncio.gather(*(container.stop(grace=min(_PROXY_GRACE, grace)) for container in proxies))


async def delete_object(client: Client, record: PodRecord, gone: Callable[[], bool]) -> None:
    """Tell the API that the pod has ended, which removes its object; tried until the object is `gone`."""
    tries = Tries()
    while not gone():
        try:
            await client.delete(POD, record.name, record.namespace, grace_seconds=0, uid=record.uid)
        except (NotFound, Conflict):
            return
        except ApiError as error:
            log.warning("cannot delete pod %s/%s: %s", record.namespace, record.name, error)
        else:
            return
        await tries.wait()
