"""A pod's identity: the token by which its proxy is known, and the socket on which it gets its certificate.

Both belong to the pod and not to a container: a proxy that is restarted finds them as they were.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plait.api.durations import parse_duration
from plait.machine.node.roots import Mount
from plait.machine.node.tokens import PROXY_SECONDS, request_token

if TYPE_CHECKING:
    from plait.machine.node.context import PodContext
    from plait.machine.node.host import Host

#: Where Istio's proxies find the folder with the socket.
WORKLOAD_FOLDER: Final = "/var/run/secrets/workload-spiffe-uds"
#: The variable of Istio's agent that says how long certificates shall last.
LIFETIME: Final = "SECRET_TTL"
#: The ConfigMap with the roots of the mesh, and the key in it.
ROOTS: Final = ("ConfigMap", "istio-system", "istio-ca-root-cert")
ROOTS_KEY: Final = "root-cert.pem"


class PodIdentity:
    """See the module. Only pods with a proxy have one, on a machine with an agent."""

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._token = ""
        self._asking = asyncio.Lock()

    @property
    def wanted(self) -> bool:
        """Whether the pod has a proxy that can be given a certificate."""
        return self._pod.host.identities is not None and self._proxy() is not None

    @property
    def folder(self) -> Path:
        """Where the socket is, seen from the node."""
        return self._pod.host.folders.agent / self._pod.record.uid

    @property
    def mount(self) -> Mount:
        """The same, for the proxy's container."""
        return Mount(source=str(self.folder), target=WORKLOAD_FOLDER, options="bind,ro")

    async def token(self) -> str:
        """The token, asked for once. Raises ApiError."""
        async with self._asking:
            if not self._token:
                pod = self._pod
                found = await request_token(pod.host.client, pod.object, seconds=PROXY_SECONDS, now=time.time())
                self._token = found.text
            return self._token

    async def claim(self) -> None:
        """Have a certificate made, if the pod needs one. Raises ApiError, OSError."""
        pod, identities = self._pod, self._pod.host.identities
        proxy = self._proxy()
        if identities is None or proxy is None:
            return
        token = await self.token()
        uid = pod.host.settings.agent_uid
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        os.chown(self.folder, uid, uid)
        name = f"{pod.record.namespace}/{pod.record.name}"
        identities.begin(pod.record.uid, name=name, token=token, folder=self.folder, seconds=self._seconds(proxy))

    def _proxy(self) -> Mapping[str, Any] | None:
        spec, images = self._pod.object["spec"], self._pod.host.images
        containers: tuple[Mapping[str, Any], ...] = (*spec["containers"], *(spec.get("initContainers") or ()))
        for container in containers:
            if images.role(container) == "proxy":
                return container
        return None

    def _seconds(self, proxy: Mapping[str, Any]) -> int:
        text = next((each.get("value", "") for each in proxy.get("env") or () if each.get("name") == LIFETIME), "")
        if not text:
            return 0
        life = parse_duration(text)
        if life is None or life.total_seconds() < 1:
            told = f"{LIFETIME} {text!r} of {proxy['name']} is no duration such as 24h; the usual time is taken"
            self._pod.warn("InvalidSetting", told)
            return 0
        return int(life.total_seconds())


def give_up(host: Host, uid: str) -> None:
    """The pod is gone, or will not run again."""
    if host.identities is not None:
        host.identities.end(uid)
