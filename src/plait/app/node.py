"""`python -m plait.app.node CHANNEL UDP TCP`: the machine's node, with the controllers and the DNS server beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import plait
from plait.agent.client import AgentClient
from plait.agent.protocol import SOCKET as CONTROL
from plait.app import images, pki
from plait.app.identities import Identities
from plait.app.processes import run
from plait.inject import closed_ipv6
from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.recorder import Recorder
from plait.machine.controllers import run as controllers_run
from plait.machine.host_sockets import HostSockets, host_alias
from plait.machine.images.fetched import FetchedLayers
from plait.machine.images.layers import Layers
from plait.machine.images.table import Table
from plait.machine.init.client import InitClient
from plait.machine.node.host import NODE_NAME
from plait.machine.node.node import Node
from plait.machine.node.proxy import PROXY_DNS_PORT
from plait.machine.node.sandbox import BRIDGE
from plait.machine.services import dns
from plait.machine.services.dns_entries import EntryNames
from plait.machine.services.dns_names import Names
from plait.machine.services.gateway import Gateway
from plait.machine.services.hostports import HostPorts
from plait.machine.services.services import Services
from plait.machine.services.vips import Vip, Vips
from plait.machine.settings import AGENT_RUN, RUN, MachineSettings

log = logging.getLogger(__name__)

#: Where the API server listens on the bridge, and its port on the VIP.
API_PORT, VIP_PORT = 6443, 443


def access(machine: MachineSettings) -> Access:
    """The node's own way to the API server."""
    folder = Path(machine.state) / "pki"
    return Access(
        server=f"https://{machine.bridge_ip}:{API_PORT}",
        ca=(folder / "ca.crt").read_text(),
        token=pki.token(folder, "node"),
    )


def visible(machine: MachineSettings) -> tuple[Path, ...]:
    """Folders that every pod may read: plait's own code, for istiod, and that of the demos."""
    return (Path(plait.__file__).parent, *(Path(table).parent for table in machine.image_tables))


async def serve(machine: MachineSettings, door: socket.socket, udp: socket.socket, tcp: socket.socket) -> None:
    """Run all parts until cancelled; `door` is the channel for sockets of the host, DNS is on `udp` and `tcp`."""
    host = HostSockets(door)
    alias = host_alias(machine.pod_network) if machine.outside == "host" else None
    names = Names(network=machine.network, host=alias)
    fixed = Vip(
        address=machine.api_vip, protocol="tcp", port=VIP_PORT, endpoints=((IPv4Address(machine.bridge_ip), API_PORT),)
    )
    vips = Vips(machine.service_network, fixed=[fixed])
    entries = EntryNames()
    services = Services(names, vips, entries)
    state = Path(machine.state)
    table = Table.load(images.ordered(map(Path, machine.image_tables), state / "images"))
    layers = FetchedLayers(Layers(state / "images" / "layers"), state / "fetch.sock")

    def plain_rules(_: Mapping[str, Any]) -> str:
        return closed_ipv6() + vips.ruleset()

    async with (
        Client(access(machine), user_agent="plait-node") as client,
        Client(access(machine), user_agent="plait-controllers") as controlling,
        InitClient(RUN / "init.sock") as init,
    ):
        agent = AgentClient(AGENT_RUN / CONTROL)
        identities = Identities(agent, names)
        node = Node(
            machine,
            client,
            init,
            table,
            layers,
            visible=visible(machine),
            plain_rules=plain_rules,
            identities=identities if machine.agent else None,
        )
        gateway = Gateway(vips.node_ruleset)
        await gateway.open(BRIDGE)
        async with asyncio.TaskGroup() as tasks:
            known = asyncio.Event()
            if machine.agent:
                tasks.create_task(agent.run(node.uncertified), name="agent")
            told = partial(_told, node, gateway, identities)
            tasks.create_task(_services(services, client, told, known), name="services")
            recorder = Recorder(client, "plait-node", host=NODE_NAME)
            tasks.create_task(recorder.run(), name="events")
            ports = HostPorts(client, RUN / "relay.json", host=host, relay=init, recorder=recorder)
            tasks.create_task(ports.publish(), name="host ports")
            begun = partial(log.info, "controllers: started")
            tasks.create_task(controllers_run.run(controlling, started=begun, host="plait"), name="controllers")
            # Pods that run already get the rules of all Services anew: these must be known by then.
            await known.wait()
            # Not before: a name that is not known yet is not a name that does not exist.
            upstream = host if machine.outside != "off" else None
            server = dns.DnsServer(names, upstream=upstream, entries=entries, behind=node.behind_sidecar)
            tasks.create_task(server.run(udp, tcp), name="dns")
            plain = dns.DnsServer(names, upstream=upstream)
            tasks.create_task(plain.run(*dns.bind(str(machine.bridge_ip), PROXY_DNS_PORT)), name="dns of proxies")
            tasks.create_task(node.run(started=partial(log.info, "node: started")), name="node")


async def _services(
    services: Services, client: Client, told: Callable[[str], Awaitable[None]], known: asyncio.Event
) -> None:
    async with aclosing(services.follow(client, started=known.set)) as changes:
        async for rules in changes:
            await told(rules)


async def _told(node: Node, gateway: Gateway, identities: Identities, rules: str) -> None:
    """Services have changed; so have the rules, where there are any."""
    identities.find()
    if rules:
        await gateway.change(rules)
        await node.load_plain(rules)


def main() -> None:
    """Serve until SIGTERM."""
    # Copies: init holds the descriptors open for the next start.
    door, udp, tcp = (socket.socket(fileno=os.dup(int(number))) for number in sys.argv[1:])
    for each in (udp, tcp):
        each.setblocking(False)
    run("node", serve(MachineSettings.read(), door, udp, tcp))


if __name__ == "__main__":
    main()
