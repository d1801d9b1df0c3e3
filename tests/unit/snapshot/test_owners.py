"""Of several ServiceEntries of one host, how addresses are found the first says that has a port which proxies serve."""

from __future__ import annotations

from plait.snapshot.keys import SERVICE_ENTRY, HostProvider, Resolution, ServiceHost
from plait.snapshot.owners import chosen_host, undisputed
from plait.snapshot.protocols import Protocol


def provider(name: str, resolution: Resolution, *ports: int) -> HostProvider:
    known = tuple((number, Protocol.TCP, f"p{number}") for number in ports)
    facts = ServiceHost("shop", name, known, headless=False, kind=SERVICE_ENTRY, resolution=resolution, entries=(name,))
    return HostProvider(1, "2026-01-01T00:00:00Z", "shop", name, ("*",), facts)


def test_one_without_ports_says_nothing_of_them() -> None:
    providers = (
        provider("a", Resolution.DNS),
        provider("b", Resolution.ENDPOINTS, 80),
        provider("c", Resolution.DNS, 81),
    )
    host = chosen_host(providers, "", "other")
    assert host is not None
    assert (host.resolution, host.service, host.entries) == (Resolution.ENDPOINTS, "b", ("a", "b", "c"))
    assert [number for number, _, _ in host.ports] == [80, 81]
    listed = tuple(port for each in providers for port in each.ports("x.example"))
    assert [(port.port, port.resolution) for port in undisputed(listed, "other")] == [
        (80, Resolution.ENDPOINTS),
        (81, Resolution.ENDPOINTS),
    ]


def test_of_one_port_the_older_holds() -> None:
    first, second = provider("a", Resolution.DNS, 80, 81), provider("b", Resolution.ENDPOINTS, 81, 79)
    host = chosen_host((first, second), "", "other")
    assert host is not None
    assert [(number, name) for number, _, name in host.ports] == [(80, "p80"), (81, "p81"), (79, "p79")]
    assert chosen_host((second,), "elsewhere", "other") is None
