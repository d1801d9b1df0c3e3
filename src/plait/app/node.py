"""`python -m plait.app.node`: the machine's node, with the controllers and the DNS server beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import plait
from plait.app import images, pki
from plait.app.processes import run
from plait.inject import closed_ipv6
from plait.kube.access import Access
from plait.kube.client import Client
from plait.machine.controllers import run as controllers_run
from plait.machine.init.client import InitClient
from plait.machine.node import dns, hostports
from plait.machine.node.dns_names import Names
from plait.machine.node.gateway import Gateway
from plait.machine.node.images import Table
from plait.machine.node.layers import Layers
from plait.machine.node.layers_fetched import FetchedLayers
from plait.machine.node.node import Node
from plait.machine.node.sandbox import BRIDGE
from plait.machine.node.services import Services
from plait.machine.node.vips import Vip, Vips
from plait.machine.settings import RUN, MachineSettings

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


async def serve(machine: MachineSettings) -> None:
    """Run all parts until cancelled."""
    names = Names(network=machine.network)
    fixed = Vip(
        address=machine.api_vip, protocol="tcp", port=VIP_PORT, endpoints=((IPv4Address(machine.bridge_ip), API_PORT),)
    )
    vips = Vips(machine.service_network, fixed=[fixed])
    services = Services(names, vips)
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
        node = Node(machine, client, init, table, layers, visible=visible(machine), plain_rules=plain_rules)
        gateway = Gateway(vips.node_ruleset)
        await gateway.open(BRIDGE)
        async with asyncio.TaskGroup() as tasks:
            udp, tcp = dns.bind(str(machine.bridge_ip))
            tasks.create_task(dns.DnsServer(names).run(udp, tcp), name="dns")
            known = asyncio.Event()
            tasks.create_task(_services(services, client, node, gateway, known), name="services")
            tasks.create_task(hostports.publish(client, RUN / "relay.json"), name="host ports")
            told = partial(log.info, "controllers: started")
            tasks.create_task(controllers_run.run(controlling, started=told, host="plait"), name="controllers")
            # Pods that run already get the rules of all Services anew: these must be known by then.
            await known.wait()
            tasks.create_task(node.run(started=partial(log.info, "node: started")), name="node")


async def _services(services: Services, client: Client, node: Node, gateway: Gateway, known: asyncio.Event) -> None:
    async with aclosing(services.follow(client, started=known.set)) as changes:
        async for rules in changes:
            await gateway.change(rules)
            await node.load_plain(rules)


def main() -> None:
    """Serve until SIGTERM."""
    run("node", serve(MachineSettings.read()))


if __name__ == "__main__":
    main()
