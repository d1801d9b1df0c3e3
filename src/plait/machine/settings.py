"""What every process of the one-machine cluster is told: one frozen value, read once from a file.

The launcher writes it, init places it in `RUN` inside the node namespace, each process reads it in
`plait.app` and passes on the fields a part needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

import msgspec

from plait.machine.cgroups.ground import Ground
from plait.machine.host_sockets import Reach

#: How the node namespace is made. `root`: by root, without a user namespace. The others are root in a user namespace:
#: `user-namespace` is root outside too, but without CAP_SYS_ADMIN; `subuid` an ordinary user with subordinate ids;
#: `one-uid` a user without: uid 0 is then the only one inside, so a sidecar is told from an application by marks.
RungName = Literal["root", "user-namespace", "subuid", "one-uid"]

#: Unprivileged uid and gid of the API server: outside the ranges Debian allocates, inside a 65,536-wide user namespace.
API_UID = 65001
#: The relay's: it copies bytes and needs no right.
RELAY_UID = 65002
#: The agent's: it holds the private keys of all workloads, and nobody else may look at them.
AGENT_UID = 65003
#: Istio's uid of the sidecar; capture exempts it.
PROXY_UID = 1337
#: The Kubernetes release whose API and kubelet this machine has, for clients that compare.
KUBERNETES = "v1.36.0"

#: PATH of the programs that the machine itself calls.
TOOLS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

RUN = Path("/run/plait")
"""A tmpfs that only the node namespace sees (mode 0711)."""
AGENT_RUN = RUN / "agent"
"""Below it: the agent's control socket, and a folder for the socket of each workload (mode 0700, the agent's)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """One mesh on one machine.

    `ports` are host ports by name (`http`, `https`, `api`, `console`). `state` is the mesh's state folder, the same
    path inside and outside the node namespace (ancestors that others may not pass are replaced by an empty tmpfs
    inside). `boot` is new at every start of the mesh: the node shows it as its bootID once what it says of its pods is
    true of this start. `python` is the interpreter of the virtual environment; `envoy` the Envoy binary. `outside` says
    how far pods reach beyond the mesh; `rung` is how the node namespace is made; `ground` where control groups
    may be made. `agent` says that one gives proxies certificates; init of an earlier version starts none.
    """

    name: str
    state: str
    python: str
    envoy: str
    ports: dict[str, int]
    boot: str = ""
    cidr: str = "10.42.0.0/16"
    trust_domain: str = "cluster.local"
    outside: Reach = "network"
    image_tables: tuple[str, ...] = field(default=())
    rung: RungName = "root"
    ground: Ground = field(default_factory=Ground)
    agent: bool = False

    @property
    def one_uid(self) -> bool:
        """Whether everything on the node has to run as uid 0, because there is no other."""
        return self.rung == "one-uid"

    @property
    def api_uid(self) -> int:
        """The uid and gid of the API server."""
        return 0 if self.one_uid else API_UID

    @property
    def agent_uid(self) -> int:
        """The uid and gid of the agent."""
        return 0 if self.one_uid else AGENT_UID

    @property
    def network(self) -> IPv4Network:
        """The mesh range: lower half bridge and pods, upper half Service VIPs."""
        return IPv4Network(self.cidr)

    @property
    def pod_network(self) -> IPv4Network:
        """Bridge and pods, for example 10.42.0.0/17."""
        return next(self.network.subnets(prefixlen_diff=1))

    @property
    def service_network(self) -> IPv4Network:
        """Service VIPs, for example 10.42.128.0/17; they are on no interface."""
        return list(self.network.subnets(prefixlen_diff=1))[1]

    @property
    def bridge_ip(self) -> IPv4Address:
        """The node's address on the bridge: gateway, DNS server and API server of the pods."""
        return self.pod_network.network_address + 1

    @property
    def api_vip(self) -> IPv4Address:
        """ClusterIP of `kubernetes.default`."""
        return self.service_network.network_address + 1

    def write(self, path: Path) -> None:
        """Write the value for `read`."""
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, path: Path = RUN / "machine.json") -> MachineSettings:
        """Read what the launcher wrote; raises OSError or msgspec.DecodeError."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
