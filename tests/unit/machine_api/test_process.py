"""The server as a process: what it gives up, what it clears away, what a restart completes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from plait.machine.api.expiry import LIFETIME, MOST, old_events
from plait.machine.api.store import Entry, Key
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from pathlib import Path

    from plait.machine.api.schema import Schemas

NOW = 1_000_000_000.0


def event(name: str, seen: float) -> Entry:
    obj = {"metadata": {"name": name, "namespace": "a"}, "lastTimestamp": timestamp(seen)}
    return Entry(Key("a", name), 1, obj, b"")


def test_old_events_go() -> None:
    entries = [event("old", NOW - LIFETIME - 1), event("new", NOW - LIFETIME + 1)]
    assert [entry.key.name for entry in old_events(entries, NOW)] == ["old"]


def test_too_many_events_lose_the_oldest() -> None:
    entries = [event(f"e{number}", NOW - number % 100) for number in range(MOST + 2)]
    gone = old_events(entries, NOW)
    assert len(gone) == 2
    assert {entry.obj["lastTimestamp"] for entry in gone} == {timestamp(NOW - 99)}


def test_privileges_are_gone_for_good(lacking: Any) -> None:
    if os.geteuid() != 0:
        lacking("only root can give up root")
    program = (
        "import os, pathlib\n"
        "from plait.machine.api.privileges import drop_privileges\n"
        "drop_privileges(65001)\n"
        "print(pathlib.Path('/proc/self/status').read_text())\n"
        "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('refused')\n"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    fields = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == fields["Gid"].split() == ["65001"] * 4
    assert fields["Groups"].strip() == ""
    assert all(int(fields[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert fields["NoNewPrivs"].strip() == "1"
    assert out.endswith("refused\n")


async def test_what_every_cluster_has(cluster: Any) -> None:
    _, spaces, _ = await cluster.ask("GET", "/api/v1/namespaces")
    names = [item["metadata"]["name"] for item in spaces["items"]]
    assert names == ["default", "istio-system", "kube-node-lease", "kube-public", "kube-system"]
    _, service, _ = await cluster.ask("GET", "/api/v1/namespaces/default/services/kubernetes")
    assert service["spec"]["clusterIP"] == "10.42.128.1"
    _, endpoints, _ = await cluster.ask("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert (endpoints["endpoints"][0]["addresses"], endpoints["ports"][0]["port"]) == (["10.42.0.1"], 6443)
    _, roots, _ = await cluster.ask("GET", "/api/v1/namespaces/istio-system/configmaps/kube-root-ca.crt")
    assert roots["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")


async def test_a_restart_keeps_and_completes(tmp_path: Path, pki: Path, schemas: Schemas, run_cluster: Any) -> None:
    async with run_cluster(tmp_path, pki, schemas) as cluster:
        made = await cluster.made("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
        await cluster.ask("DELETE", "/api/v1/namespaces/default/services/kubernetes")
    assert (tmp_path / "store.db").stat().st_mode & 0o077 == 0
    async with run_cluster(tmp_path, pki, schemas) as cluster:
        _, kept, _ = await cluster.ask("GET", "/api/v1/namespaces/default/secrets/s")
        assert kept == made
        assert (await cluster.ask("GET", "/api/v1/namespaces/default/services/kubernetes"))[0] == 200
        later = await cluster.made("/api/v1/namespaces/default/secrets", {"metadata": {"name": "t"}})
        assert int(later["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"]) + 900_000


async def test_kinds_that_do_not_act_are_said_to(cluster: Any) -> None:
    path = "/apis/extensions.istio.io/v1alpha1/namespaces/default/wasmplugins"
    body = {"metadata": {"name": "w"}, "spec": {"url": "oci://example.com/w"}}
    status, _, response = await cluster.ask("POST", path, body)
    assert status == 201
    assert "has no effect" in response.headers["Warning"]
