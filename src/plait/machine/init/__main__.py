"""`python -m plait.machine.init PLAN`: PID 1 of a node namespace, started by the launcher."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from plait.machine.host_sockets import host_alias
from plait.machine.init import outside
from plait.machine.init.exposure import expose, mount
from plait.machine.init.plan import Plan
from plait.machine.init.server import Init
from plait.machine.settings import AGENT_RUN, RUN

#: A bridge without an address of its own takes the lowest of its ports', so it would change as pods come and go, and
#: pods that know the old one would lose their way to DNS and the API until their neighbour entry runs out (20 s).
#: Locally administered; no other bridge is on this link.
BRIDGE_ADDRESS: Final = "02:00:70:6c:61:69"
DNS_PORT: Final = 53
DNS_BACKLOG: Final = 128


def prepare(plan: Plan) -> None:
    """Lay out the node namespace: file system, loopback, bridge. Raises OSError or CalledProcessError."""
    expose([Path(path) for path in plan.readable])
    # The host's /run holds sockets of its daemons: nothing in the mesh has business there.
    mount("tmpfs", Path("/run"), kind="tmpfs", data="mode=0755,size=64m")
    RUN.mkdir(mode=0o711)
    AGENT_RUN.mkdir(mode=0o700)
    os.chown(AGENT_RUN, plan.settings.agent_uid, plan.settings.agent_uid)
    plan.settings.write(RUN / "machine.json")
    network = plan.settings.pod_network
    batch = (
        "link set lo up\n"
        f"link add plait0 address {BRIDGE_ADDRESS} type bridge\n"
        f"addr add {plan.settings.bridge_ip}/{network.prefixlen} dev plait0\n"
        "link set plait0 up\n"
    )
    if plan.settings.outside == "host":
        batch += f"addr add {host_alias(network)}/32 dev plait0\n"
    subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True, capture_output=True)
    if way_out := outside.rules(plan.settings):
        subprocess.run(["nft", "-f", "-"], input=way_out.encode(), check=True, capture_output=True)


def with_dns(plan: Plan) -> Plan:
    """The plan with the cluster's DNS sockets for the node, which get two words more on its command line.

    Init holds them open: while a node that died is started again, questions wait in the socket instead of being
    refused, and programs in pods see a slow answer and no error. Raises OSError.
    """
    sockets = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind((str(plan.settings.bridge_ip), DNS_PORT))
    sockets[1].listen(DNS_BACKLOG)
    held = tuple(each.detach() for each in sockets)
    services = tuple(
        msgspec.structs.replace(service, argv=(*service.argv, *map(str, held)), fds=(*service.fds, *held))
        if service.name == "node"
        else service
        for service in plan.services
    )
    return msgspec.structs.replace(plan, services=services)


def main() -> None:
    """Prepare the namespace, then serve until SIGTERM."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    try:
        prepare(plan)
        plan = with_dns(plan)
    except subprocess.CalledProcessError as error:
        sys.exit(f"init: {' '.join(error.cmd)}: {error.stderr.decode().strip()}")
    except OSError as error:
        sys.exit(f"init: {error}")
    Init(plan.services, [RUN / "init.sock", Path(plan.settings.state) / "init.sock"]).run()


if __name__ == "__main__":
    main()
