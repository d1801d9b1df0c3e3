"""What callers see: exportTo of Services and rules, and what a Sidecar leaves of it. Callers are in `here`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plait.api.meta import ObjectKey
from plait.mesh.egress import scope_ports, scope_rules
from plait.mesh.scope import Scope
from plait.snapshot.keys import HostPort
from plait.snapshot.reader import Reader

from .views import full, istio, reader_of, service

SIDECAR = ObjectKey("Sidecar", "here", "s")


def sidecar(*hosts: str, **listener: Any) -> dict[str, Any]:
    return istio("Sidecar", "s", "here", egress=[{"hosts": list(hosts), **listener}])


def ports_in(reader: Reader) -> Callable[[str], tuple[HostPort, ...]]:
    """What callers see of each namespace."""
    return lambda owner: tuple(sorted((*reader.public_ports(owner), *reader.private_ports(owner, "here"))))


def hosts(*objects: dict[str, Any], limited: bool = False) -> list[str]:
    reader = reader_of(*objects)
    scope = Scope("here", SIDECAR if limited else None)
    seen = scope_ports(reader, scope, ports_in(reader))
    return sorted({port.host.removesuffix(".svc.cluster.local") for port in seen})


def rules(*objects: dict[str, Any], limited: bool = False) -> list[str]:
    scope = Scope("here", SIDECAR if limited else None)
    return [entry.key.name for entry in scope_rules(reader_of(*objects), scope)]


@pytest.mark.parametrize(
    ("exported", "own", "web"),
    [
        ("", True, True),
        ("*", True, True),
        (".", True, False),
        ("~", False, False),
        ("here", True, True),
        ("there", False, False),
        ("there, here", True, True),
        ("bank", False, False),
    ],
)
def test_who_sees_a_service(exported: str, own: bool, web: bool) -> None:
    """`own` is in the callers' namespace, `web` in another."""
    assert hosts(service("own", "here", exported=exported)) == (["own.here"] if own else [])
    assert hosts(service("web", "there", exported=exported)) == (["web.there"] if web else [])


WEB, DB = service("web", "there"), service("db", "there")
OWN, FAR = service("own", "here"), service("far", "bank")
ALL = (WEB, DB, OWN, FAR)


@pytest.mark.parametrize(
    ("imported", "seen"),
    [
        (["*/*"], ["db.there", "far.bank", "own.here", "web.there"]),
        (["./*"], ["own.here"]),
        (["there/*"], ["db.there", "web.there"]),
        (["./*", "bank/*"], ["far.bank", "own.here"]),
        ([f"there/{full('web', 'there')}"], ["web.there"]),
        ([f"*/{full('web', 'there')}"], ["web.there"]),
        (["*/*.there.svc.cluster.local"], ["db.there", "web.there"]),
        (["bank/*.there.svc.cluster.local"], []),
        (["~/*"], []),
        (["*/*", "~there/*"], ["far.bank", "own.here"]),
        (["*/*", f"~there/{full('web', 'there')}"], ["db.there", "far.bank", "own.here"]),
        (["*/*", f"~/{full('web', 'there')}", "~./*"], ["db.there", "far.bank"]),
        (["there/*", "~*/*.there.svc.cluster.local"], []),
        (["./*", "~there/*"], ["own.here"]),
        ([f"there/{full('web', 'there')}", f"~bank/{full('web', 'there')}"], ["web.there"]),
        (["there/*", "~/*"], ["db.there", "web.there"]),
        (["*/*", "~*/*"], []),
        (["~there/*"], []),
        ([f"there/{full('web', 'there')}", "there/*"], ["db.there", "web.there"]),
    ],
)
def test_a_sidecar_leaves_the_hosts_that_it_names(imported: list[str], seen: list[str]) -> None:
    assert hosts(*ALL, sidecar(*imported), limited=True) == seen


def test_what_is_not_exported_cannot_be_imported() -> None:
    hidden = service("web", "there", exported=".")
    assert hosts(hidden, OWN, sidecar("*/*", "there/*"), limited=True) == ["own.here"]
    shown = service("web", "there", exported="here")
    assert hosts(shown, OWN, sidecar("there/*"), limited=True) == ["web.there"]


def virtual(name: str, namespace: str, host: str, **spec: Any) -> dict[str, Any]:
    http = [{"route": [{"destination": {"host": host}}]}]
    return istio("VirtualService", name, namespace, hosts=[host], http=http, **spec)


@pytest.mark.parametrize(
    ("exported", "seen"),
    [([], True), (["*"], True), (["."], False), (["here"], True), (["there", "here"], True), (["bank"], False)],
)
def test_who_sees_a_rule(exported: list[str], seen: bool) -> None:
    assert rules(WEB, virtual("r", "there", "web", exportTo=exported)) == (["r"] if seen else [])


@pytest.mark.parametrize(
    ("imported", "seen"),
    [
        (["*/*"], ["far", "own", "web"]),
        (["./*"], ["own"]),
        (["there/*"], ["web"]),
        # The rule's namespace counts, not that of its host.
        ([f"here/{full('web', 'there')}"], []),
        ([f"there/{full('web', 'there')}"], ["web"]),
        # A wildcard compares from both sides.
        (["*/*.there.svc.cluster.local"], ["web"]),
        (["*/*.local"], ["far", "own", "web"]),
        (["*/*", "~there/*"], ["far", "own"]),
        (["*/*", f"~/{full('web', 'there')}"], ["far", "own"]),
        # A host that is out takes only its own kind along: what is wider stays.
        (["there/*", f"~there/{full('db', 'there')}"], ["web"]),
    ],
)
def test_a_sidecar_leaves_the_rules_for_the_hosts_that_it_names(imported: list[str], seen: list[str]) -> None:
    made = (
        virtual("own", "here", "own"),
        virtual("web", "there", "web"),
        virtual("far", "bank", "far"),
    )
    assert sorted(rules(*ALL, *made, sidecar(*imported), limited=True)) == seen


@pytest.mark.parametrize(
    ("out", "seen"),
    [("~there/web.there.svc.cluster.local", True), ("~there/*", False), ("~here/*", True), ("~/*.local", False)],
)
def test_a_rule_stays_while_one_of_its_hosts_does(out: str, seen: bool) -> None:
    rule = virtual("r", "there", "web")
    rule["spec"]["hosts"] = ["web", "db"]
    assert rules(*ALL, rule, sidecar("*/*", out), limited=True) == (["r"] if seen else [])


def test_a_listener_takes_out_of_its_own_hosts_alone() -> None:
    wide = service("wide", "there", port=9080)
    objects = (
        WEB,
        wide,
        istio("Sidecar", "s", "here", egress=[
            {"port": {"number": 9080, "protocol": "HTTP", "name": "a"}, "hosts": ["*/*", "~there/*"]},
            {"hosts": ["*/*"]},
        ]),
    )  # fmt: skip
    assert hosts(*objects, limited=True) == ["web.there", "wide.there"]


def test_rules_for_gateways_alone_are_none_of_a_sidecars() -> None:
    assert rules(WEB, virtual("r", "there", "web", gateways=["edge"])) == []
    assert rules(WEB, virtual("r", "there", "web", gateways=["edge", "mesh"])) == ["r"]


def test_a_listener_with_a_port_of_its_own_speaks_of_that_port() -> None:
    wide = service("wide", "there", port=9080)
    objects = (
        WEB,
        wide,
        istio("Sidecar", "s", "here", egress=[
            {"port": {"number": 9080, "protocol": "HTTP", "name": "a"}, "hosts": ["there/*"]},
            {"hosts": ["./*"]},
        ]),
    )  # fmt: skip
    reader = reader_of(*objects)

    def seen(listener: int | None) -> list[str]:
        scope = Scope("here", SIDECAR, listener)
        return [port.host for port in scope_ports(reader, scope, ports_in(reader))]

    assert seen(0) == [full("wide", "there")]
    assert seen(None) == []
