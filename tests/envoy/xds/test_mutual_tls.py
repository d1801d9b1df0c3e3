"""Mutual TLS between two real Envoys: what a sidecar sends and what another takes, in every mode and protocol."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from tests.envoy.xds.agents import GREETING, Agents

pytestmark = pytest.mark.envoy
PORTS = {"http": 8001, "tcp": 8002, "odd": 8003}
WEB = "spiffe://cluster.local/ns/shop/sa/web"
CALLER = "spiffe://cluster.local/ns/shop/sa/caller"


def obj(group: str, kind: str, name: str, spec: Any, namespace: str = "shop", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **({"spec": spec} if spec else {}), **more}


def serving(application: dict[str, int], mode: str) -> list[dict[str, Any]]:
    """A workload whose proxy listens on three ports: HTTP, bytes and one that says nothing of its protocol."""
    ingress = [
        {
            "port": {"number": number, "name": name, "protocol": protocol},
            "captureMode": "NONE",
            "bind": "0.0.0.0",
            "defaultEndpoint": f"127.0.0.1:{application['tcp' if name == 'tcp' else 'http']}",
        }
        for (name, number), protocol in zip(PORTS.items(), ("HTTP", "TCP", ""), strict=True)
    ]
    rule = {"workloadSelector": {"labels": {"app": "web"}}, "ingress": ingress, "egress": [{"hosts": ["~/*"]}]}
    return [
        obj("networking.istio.io/v1", "Sidecar", "web", rule),
        obj("security.istio.io/v1", "PeerAuthentication", "default", {"mtls": {"mode": mode}}),
    ]


def calling(ports: dict[str, int], *rules: dict[str, Any], label: bool = True, http: str = "http") -> Any:
    """What a caller sees: a Service with these ports, one pod behind it. Its listeners are `LISTENERS`."""
    names = {"http": http, "tcp": "tcp-db", "odd": "odd"}
    labels = {"app": "web", **({"security.istio.io/tlsMode": "istio"} if label else {})}
    found = [obj("v1", "Namespace", "shop", None)]
    for index, (kind, number) in enumerate(ports.items()):
        name = f"web-{kind}"
        port = {"name": names[kind], "port": PORTS[kind]}
        found += [
            obj("v1", "Service", name, {"clusterIP": f"10.42.128.{index + 1}", "ports": [port]}),
            obj(
                "discovery.k8s.io/v1", "EndpointSlice", name, None,
                metadata={"labels": {"kubernetes.io/service-name": name}},
                addressType="IPv4", ports=[{"name": names[kind], "port": number, "protocol": "TCP"}],
                endpoints=[
                    {
                        "addresses": ["127.0.0.1"], "conditions": {"ready": True},
                        "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop"},
                    }
                ],
            ),
        ]  # fmt: skip
    pod = obj("v1", "Pod", "web-1", {"serviceAccountName": "web", "containers": []}, metadata={"labels": labels})
    pod["status"] = {"podIP": "127.0.0.1", "phase": "Running"}
    return [*found, pod, *rules]


LISTENERS = {"http": "0.0.0.0_8001", "tcp": "10.42.128.2_8002", "odd": "10.42.128.3_8003"}


class Pair:
    """Two sidecars: `there` are the ports of the one that serves, `here` those of the one that calls."""

    def __init__(self, there: dict[str, int], here: dict[str, int]) -> None:
        self.there, self.here = there, here

    def stat(self, name: str) -> int:
        """A counter of the serving proxy, of all its listeners together."""
        with urlopen(f"http://127.0.0.1:{self.there['admin']}/stats?format=json&filter={name}", timeout=60) as answer:
            return sum(each["value"] for each in json.load(answer)["stats"] if "value" in each)


Start = Callable[..., Pair]


@pytest.fixture
def pair(mesh: SimpleNamespace, run_envoy: Any, agents: Agents, application: dict[str, int]) -> Start:
    def start(
        mode: str,
        *rules: dict[str, Any],
        account: str = "web",
        label: bool = True,
        policies: tuple[dict[str, Any], ...] = (),
        **more: Any,
    ) -> Pair:
        node = {"kind": "sidecar", "ip": "127.0.0.1", "namespace": "shop", "certificates": True}
        server = mesh.proxy(
            [*serving(application, mode), *policies], mesh.node(pod="web-1", labels=(("app", "web"),), **node)
        )
        names = {kind: f"0.0.0.0_{number}" for kind, number in PORTS.items()}
        found = run_envoy(server, list(names.values()), agents.socket(account))
        there = {"admin": found["admin"], **{kind: found[name] for kind, name in names.items()}}
        targets = {kind: there[kind] for kind in PORTS}
        client = mesh.proxy(
            calling(targets, *rules, label=label, **more), mesh.node(pod="caller-1", labels=(("app", "c"),), **node)
        )
        found = run_envoy(client, list(LISTENERS.values()), agents.socket("caller"))
        return Pair(there, {kind: found[name] for kind, name in LISTENERS.items()})

    return start


def get(port: int, host: str = "web-http", *, tls: ssl.SSLContext | None = None, sni: str = "x") -> tuple[int, Any]:
    """A request over a plain connection or one in TLS: status and what the application saw of the caller."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    if tls is not None:
        connection.sock = tls.wrap_socket(connection.sock, server_hostname=sni)
    try:
        connection.request("GET", "/", headers={"host": host, "x-forwarded-client-cert": "forged"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.status == 200 else text
    finally:
        connection.close()


def greeting(port: int, tls: ssl.SSLContext | None = None) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        connection = tls.wrap_socket(plain, server_hostname="x") if tls is not None else plain
        try:
            return connection.recv(100)
        except ConnectionResetError:
            return b""
        finally:
            connection.close()


def refused(call: Callable[[], Any]) -> None:
    """No answer of the application: the connection ends, in whatever way."""
    try:
        answer = call()
    except TimeoutError:
        raise
    except (OSError, HTTPException):
        return
    assert answer == b"" or answer[0] != 200


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
def test_between_sidecars_everything_is_in_mutual_tls(pair: Start, mode: str) -> None:
    both = pair(mode)
    for kind in ("http", "odd"):
        status, said = get(both.here[kind], f"web-{kind}")
        assert status == 200
        assert CALLER in said["cert"]
        assert f"By={WEB}" in said["cert"]
        assert "forged" not in said["cert"]
    assert greeting(both.here["tcp"]) == GREETING
    assert both.stat("ssl.handshake") >= 3
    assert both.stat("ssl.connection_error") == 0


def test_bytes_to_a_port_without_a_protocol_arrive_as_bytes(pair: Start) -> None:
    both = pair("STRICT")
    with socket.create_connection(("127.0.0.1", both.here["odd"]), timeout=60) as connection:
        connection.sendall(b"\x00 no HTTP\r\n\r\n")
        assert b"400" in connection.recv(1000), "the application's own answer"
    assert both.stat("^tcp.inbound.8003.*downstream_cx_total") == 1
    assert both.stat("^http.inbound_0.0.0.0_8003.downstream_cx_total") == 0


def test_http2_stays_http2(pair: Start) -> None:
    both = pair("STRICT", http="http2")
    status, said = get(both.here["http"])
    assert status == 200
    assert CALLER in said["cert"]
    assert both.stat("downstream_cx_http2_total") == 1


def test_permissive_takes_plain_callers_too_and_hides_what_they_forge(pair: Start, agents: Agents) -> None:
    there = pair("PERMISSIVE").there
    for kind in ("http", "odd"):
        assert get(there[kind]) == (200, {"cert": None, "asked": "/"})
    assert greeting(there["tcp"]) == GREETING
    # TLS of somebody else's passes on as it is, where it may: the application here speaks none.
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other.check_hostname, other.verify_mode = False, ssl.CERT_NONE
    for kind in ("http", "odd"):
        refused(lambda kind=kind: get(there[kind], tls=other))  # type: ignore[misc]


def test_strict_takes_nobody_without_a_certificate_of_the_mesh(pair: Start, agents: Agents) -> None:
    there = pair("STRICT").there
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    for alpn in ((), ("http/1.1",), ("istio",), ("istio-http/1.1", "http/1.1")):
        if alpn:
            bare.set_alpn_protocols(list(alpn))
        for kind in ("http", "odd"):
            refused(lambda kind=kind: get(there[kind], tls=bare))  # type: ignore[misc]
        refused(lambda: greeting(there["tcp"], bare))
    for kind in ("http", "odd"):
        refused(lambda kind=kind: get(there[kind]))  # type: ignore[misc]
    refused(lambda: greeting(there["tcp"]))
    assert get(there["http"], tls=agents.client("other", "istio-http/1.1", "http/1.1"))[0] == 200


def test_disable_speaks_plainly(pair: Start) -> None:
    # The caller has not heard of it, as where its own rule says so: it sends what the endpoint takes.
    both = pair("DISABLE", label=False)
    assert get(both.here["http"]) == (200, {"cert": None, "asked": "/"})
    assert greeting(both.here["tcp"]) == GREETING
    assert both.stat("ssl.handshake") == 0


def rule(host: str, tls: dict[str, Any]) -> dict[str, Any]:
    return obj("networking.istio.io/v1", "DestinationRule", host, {"host": host, "trafficPolicy": {"tls": tls}})


def test_a_rule_that_says_disable_is_refused_by_strict(pair: Start) -> None:
    both = pair("STRICT", rule("web-http", {"mode": "DISABLE"}))
    status, _ = get(both.here["http"])
    assert status == 503
    assert get(both.here["odd"], "web-odd")[0] == 200


def test_a_rule_that_says_istio_mutual_needs_no_label(pair: Start) -> None:
    both = pair("STRICT", rule("web-http", {"mode": "ISTIO_MUTUAL"}), label=False)
    status, said = get(both.here["http"])
    assert (status, CALLER in said["cert"]) == (200, True)
    assert get(both.here["odd"], "web-odd")[0] == 503


def test_a_server_with_another_identity_is_not_believed(pair: Start) -> None:
    both = pair("STRICT", account="impostor")
    assert get(both.here["http"])[0] == 503
    assert greeting(both.here["tcp"]) == b""


def test_from_permissive_to_strict_connections_live_on(
    mesh: SimpleNamespace, application: dict[str, int], agents: Agents, tmp_path: Path
) -> None:
    """The chains for mutual TLS are equal in both modes, byte by byte: Envoy then keeps what runs through them."""
    node = mesh.node(
        kind="sidecar", ip="127.0.0.1", pod="web-1", namespace="shop", labels=(("app", "web"),), certificates=True
    )
    chains = []
    for mode in ("PERMISSIVE", "STRICT"):
        proxy = mesh.proxy(serving(application, mode), node)
        listeners = next(found for url, found in proxy.messages.items() if url.endswith("Listener"))
        kept = {}
        for listener in listeners.values():
            for chain in listener.filter_chains:
                if chain.HasField("transport_socket") and chain.filter_chain_match.application_protocols:
                    key = (listener.name, chain.name, *chain.filter_chain_match.application_protocols)
                    kept[key] = chain.SerializeToString(deterministic=True)
            del listener.filter_chains[:]
            kept[listener.name, "", ""] = listener.SerializeToString(deterministic=True)
        chains.append(kept)
    assert chains[0] == chains[1]
    assert len(chains[0]) > 8


def allowing(*accounts: str, port: str = "") -> dict[str, Any]:
    """Only these accounts, and only at this port."""
    rule: dict[str, Any] = {"from": [{"source": {"serviceAccounts": list(accounts)}}]}
    if port:
        rule["to"] = [{"operation": {"ports": [port]}}]
    return obj("security.istio.io/v1", "AuthorizationPolicy", f"only-{'-'.join(accounts)}", {"rules": [rule]})


def first_words(port: int, tls: ssl.SSLContext | None = None) -> bytes:
    """All that a caller hears who says something before it listens, whether it is let through or not."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        connection = tls.wrap_socket(plain, server_hostname="x") if tls is not None else plain
        try:
            connection.sendall(b"hello\n")
            return connection.recv(100)
        except OSError:
            return b""
        finally:
            connection.close()


def test_a_server_that_speaks_first_does_not_speak_to_whom_no_policy_allows(pair: Start) -> None:
    both = pair("PERMISSIVE", policies=(allowing("caller"),))
    assert greeting(both.here["tcp"]) == GREETING
    assert get(both.here["http"])[0] == 200
    # A plain caller has no identity, so nobody is called for it.
    assert first_words(both.there["tcp"]) == b""
    assert get(both.there["http"]) == (403, b"RBAC: access denied")


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
def test_mutual_tls_of_bytes_ends_before_the_server_is_asked(pair: Start, mode: str) -> None:
    both = pair(mode, policies=(allowing("other"), allowing("caller", port=str(PORTS["odd"]))))
    assert greeting(both.here["tcp"]) == b""
    assert both.stat("ssl.fail_verify_san") == 1
    # What can be read is answered.
    assert get(both.here["http"]) == (403, b"RBAC: access denied")
