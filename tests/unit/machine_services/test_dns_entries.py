"""Names of ServiceEntries: who is answered, and with what."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from plait.machine.services.dns import DnsServer
from plait.machine.services.dns_entries import EntryNames
from plait.machine.services.dns_message import Question, Type
from plait.machine.services.dns_names import Names


def entry(name: str, *hosts: str, namespace: str = "shop", created: str = "", **more: Any) -> dict[str, Any]:
    spec = {"hosts": list(hosts), **more.pop("spec", {})}
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"kind": "ServiceEntry", "metadata": metadata, "spec": spec, **more}


def ask(name: str, type_: Type = Type.A) -> Question:
    return Question(id=1, labels=tuple(part.encode() for part in name.split(".")), type=type_)


def addresses(answer: Any) -> list[str]:
    return [str(record.data) for record in answer.records]


@pytest.fixture
def names() -> EntryNames:
    found = EntryNames()
    given = {
        "addresses": [{"host": "api.example", "value": "240.240.0.1"}, {"host": "api.example", "value": "2001:2::1"}]
    }
    found.update(entry("api", "API.example", status=given))
    found.update(entry("wild", "*.files.example", spec={"addresses": ["192.0.2.7", "10.0.0.0/8"]}))
    found.update(entry("own", "own.example", namespace="bank", spec={"addresses": ["192.0.2.8"], "exportTo": ["."]}))
    return found


def test_an_entry_answers_with_its_single_addresses(names: EntryNames) -> None:
    assert addresses(names.resolve(ask("api.example"), "shop")) == ["240.240.0.1"]
    assert addresses(names.resolve(ask("one.files.example"), "shop")) == ["192.0.2.7"]
    assert names.resolve(ask("files.example"), "shop") is None


def test_a_known_name_has_no_data_of_other_types(names: EntryNames) -> None:
    answer = names.resolve(ask("api.example", Type.AAAA), "shop")
    assert answer is not None
    assert answer.records == ()


def test_only_those_whom_an_entry_is_exported_to_are_answered(names: EntryNames) -> None:
    assert names.resolve(ask("own.example"), "shop") is None
    assert addresses(names.resolve(ask("own.example"), "bank")) == ["192.0.2.8"]


def test_the_oldest_entry_has_the_name(names: EntryNames) -> None:
    names.update(entry("late", "api.example", created="2026-02-01", spec={"addresses": ["192.0.2.9"]}))
    assert addresses(names.resolve(ask("api.example"), "shop")) == ["240.240.0.1"]
    names.remove("shop", "api")
    assert addresses(names.resolve(ask("api.example"), "shop")) == ["192.0.2.9"]
    names.remove("shop", "late")
    assert not names.knows(("api", "example"))


def test_the_server_answers_entries_behind_a_sidecar_and_services_before_them(names: EntryNames) -> None:
    services = Names()
    services.update(
        {"metadata": {"name": "a", "namespace": "shop"}, "spec": {"clusterIP": "10.42.128.9", "ports": [{"port": 80}]}}
    )
    names.update(
        entry("thief", "a.shop.svc.cluster.local", "b.shop.svc.cluster.local", spec={"addresses": ["192.0.2.6"]})
    )
    behind = {"10.42.0.5": "shop"}.get
    server = DnsServer(services, entries=names, behind=behind)
    assert addresses(server.answer(ask("api.example"), "10.42.0.5")) == ["240.240.0.1"]
    assert server.answer(ask("api.example"), "10.42.0.6") is None
    assert addresses(server.answer(ask("a.shop.svc.cluster.local"), "10.42.0.5")) == [str(IPv4Address("10.42.128.9"))]
    assert addresses(server.answer(ask("b.shop.svc.cluster.local"), "10.42.0.5")) == ["192.0.2.6"]


def test_an_external_name_of_an_entrys_host_is_answered_to_those_who_see_the_entry(names: EntryNames) -> None:
    services = Names()
    spec = {"type": "ExternalName", "externalName": "api.example"}
    services.update({"metadata": {"name": "books", "namespace": "shop"}, "spec": spec})
    server = DnsServer(services, entries=names, behind={"10.42.0.5": "shop"}.get)
    question = ask("books.shop.svc.cluster.local")
    found = server.answer(question, "10.42.0.5")
    assert found is not None
    assert [(record.name, str(record.data)) for record in found.records] == [
        (None, "api.example"),
        ("api.example", "240.240.0.1"),
    ]
    outside = server.answer(question, "10.42.0.6")
    assert outside is not None
    assert [str(record.data) for record in outside.records] == ["api.example"]
