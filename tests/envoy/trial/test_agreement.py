"""The simulator says what a real Envoy does: for each world of the goldens, and calls made up from what is in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from tests.envoy.trial.calls import Calls
from tests.envoy.trial.worlds import GOLDENS, Routes, golden

from plait.app.conformance.routing import calls_of
from plait.simulate.call import Call
from plait.simulate.configuration import Configuration
from plait.simulate.routes import virtual_host
from plait.trial.agreement import expected
from plait.trial.trial import trial

pytestmark = pytest.mark.envoy

#: For each world; all goldens together are more than 10,000.
CALLS = 250


async def agree(configuration: Configuration, calls: list[Call], *, gateway: bool) -> None:
    (mesh_certificate,) = {call.mesh_certificate for call in calls}
    async with trial(configuration, gateway=gateway, mesh_certificate=mesh_certificate) as scratch:
        found = await scratch.ask(calls)
    wrong = [
        f"{call}\n  said    {said[0]}\n  but was {place}"
        for call, place in zip(calls, found, strict=True)
        if place not in (said := expected(configuration, call, gateway=gateway))
    ]
    assert not wrong, f"{len(wrong)} of {len(calls)}\n" + "\n".join(wrong[:5])


@pytest.mark.parametrize("name", GOLDENS)
async def test_the_simulator_agrees_with_envoy(name: str) -> None:
    configuration, gateway = golden(name)
    made = Calls(configuration, gateway=gateway, seed=crc32(name.encode()))
    assert made.places, "a world without listeners"
    await agree(configuration, [made.one() for _ in range(CALLS)], gateway=gateway)


@pytest.mark.parametrize("seed", range(12))
async def test_routes_of_all_kinds(seed: int) -> None:
    configuration = Routes(seed).configuration()
    made = Calls(configuration, gateway=True, seed=seed)
    made.secure = False
    await agree(configuration, [made.one() for _ in range(2 * CALLS)], gateway=True)


async def test_the_routing_conformance_set(shared: Path) -> None:
    file = shared / "conformance" / "routing.json"
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    for case in json.loads(file.read_text())["cases"]:
        if case["kind"] == "traffic-simulation":
            configuration, gateway, calls = calls_of(case)
            # A case may leave the host out; HTTP/2 cannot.
            calls = [replace(call, host=call.host or call.address) for call in calls]
            for name in sorted({call.mesh_certificate for call in calls}):
                mine = [call for call in calls if call.mesh_certificate == name]
                await agree(configuration, mine, gateway=gateway)


def test_virtual_hosts_are_found_as_envoy_finds_them() -> None:
    routes = RouteConfiguration(ignore_port_in_host_matching=True)
    for name, domains in {
        "exact": ["a.b"],
        "suffix": ["*.b"],
        "long": ["*.a.b"],
        "prefix": ["c.*"],
        "any": ["*"],
    }.items():
        routes.virtual_hosts.add(name=name, domains=domains)
    wanted = {
        "a.b": "exact",
        "A.B:80": "exact",
        "x.b": "suffix",
        "x.a.b": "long",
        "c.d": "prefix",
        "c.b": "suffix",
        "z": "any",
    }
    found = {host: virtual_host(routes, host) for host in wanted}
    assert {host: each.name for host, each in found.items() if each is not None} == wanted
