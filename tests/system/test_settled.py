"""Settled on the running shop: what kubectl wait and plait apply --wait say is so, and asking leaves no trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Mesh, until

pytestmark = pytest.mark.system

NAMESPACE = ("-n", "sock-shop")


def payment(status: int, name: str = "settled") -> str:
    """Calls for a host that nobody else uses are answered with a status."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: sock-shop}}
spec:
  hosts: [{name}.example]
  http:
  - fault: {{abort: {{httpStatus: {status}, percentage: {{value: 100}}}}}}
    route: [{{destination: {{host: payment}}}}]
"""


#: What only the proxy itself can find out: that a file is not there.
BROKEN = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: unsettled, namespace: sock-shop}
spec:
  workloadSelector: {labels: {name: payment}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_BEFORE
      value:
        name: lua
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          default_source_code: {filename: /absent.lua}
"""


@pytest.fixture
def answer(lesson: Mesh) -> Iterator[Callable[[str], str]]:
    """What the front end is answered by a host."""

    def ask(host: str) -> str:
        return lesson.kubectl(
            "exec", *NAMESPACE, "deploy/front-end-v1", "-c", "front-end", "--",
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {host}", "http://payment/health",
        ).stdout  # fmt: skip

    yield ask
    lesson.kubectl("delete", *NAMESPACE, "--ignore-not-found", "virtualservice/settled", "virtualservice/beside",
                   "envoyfilter/unsettled")  # fmt: skip


def wait(lesson: Mesh, name: str = "settled") -> None:
    lesson.kubectl("wait", *NAMESPACE, "--for=condition=Settled", f"virtualservice/{name}", "--timeout=180s")


def trace(lesson: Mesh) -> tuple[str, str]:
    """The access log and the log of an application that nobody calls."""
    logs = [
        lesson.kubectl("logs", *NAMESPACE, "deploy/queue-master", "-c", c).stdout
        for c in ("istio-proxy", "queue-master")
    ]
    return logs[0], logs[1]


def test_settled_is_in_effect_and_leaves_no_trace(lesson: Mesh, answer: Callable[[str], str]) -> None:
    # A proxy writes its access log once a second: what others have asked may still be on its way.
    seen: list[tuple[str, str]] = []

    def quiet() -> bool:
        seen.append(trace(lesson))
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    until("nobody calls it", quiet)
    before = seen[-1]
    for status in (418, 451, 429):
        lesson.kubectl("apply", "-f", "-", given=payment(status))
        wait(lesson)
        assert answer("settled.example") == str(status)
    status = lesson.get("virtualservice", "settled", *NAMESPACE)["status"]
    assert status["observedGeneration"] == 3
    assert status["proxies"]["settled"] == status["proxies"]["concerned"] > 10
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Accepted": "True", "Settled": "True"}
    # Every proxy was asked three times; neither its access log nor its application heard of it.
    assert trace(lesson) == before

    def all_settled() -> bool:
        return all(line.rstrip().endswith("YES") for line in lesson.plait("proxy-status").stdout.splitlines()[1:])

    until("all proxies have all there is", all_settled)


def test_a_refusal_ends_the_wait_and_harms_nothing_beside_it(
    lesson: Mesh, answer: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "both.yaml"
    file.write_text(f"{payment(418, 'beside')}---{BROKEN}")
    done = lesson.plait("apply", "--no-trial", "--wait", "-f", str(file), code=1)
    assert "virtualservice.networking.istio.io/beside created" in done.stdout
    said = next(line for line in done.stderr.splitlines() if line.startswith(str(file)))
    # File and line of the patch, object, path, and Envoy's reason.
    assert said.startswith(f"{file}:{file.read_text().splitlines().index('  - applyTo: HTTP_FILTER') + 1}: ")
    assert "EnvoyFilter sock-shop/unsettled: refused by 1 of" in said
    assert "spec.configPatches[0]: " in said
    assert "/absent.lua" in said
    wait(lesson, "beside")
    assert answer("beside.example") == "418"

    def conditions() -> set[tuple[str, str]]:
        status = lesson.get("envoyfilter", "unsettled", *NAMESPACE).get("status") or {}
        return {(c["type"], c["reason"]) for c in status.get("conditions") or ()}

    until("its conditions say so", lambda: conditions() == {("Accepted", "Valid"), ("Settled", "Rejected")})

    def paths() -> set[str]:
        events = lesson.get("events", *NAMESPACE, "--field-selector", "involvedObject.name=unsettled")["items"]
        return {event["involvedObject"].get("fieldPath", "") for event in events}

    until("the Event names the path", lambda: "spec.configPatches[0]" in paths())
    mended = BROKEN.replace("filename: /absent.lua", 'inline_string: "function envoy_on_request(handle) end"')
    done = lesson.plait("apply", "--wait", "-f", "-", given=mended)
    # It selects one workload: nobody else's configuration is different because of it.
    assert "EnvoyFilter sock-shop/unsettled: in effect in the 1 proxy concerned" in done.stderr


def test_a_proxy_that_does_not_answer_is_waited_for_and_named(lesson: Mesh, answer: Callable[[str], str]) -> None:
    def signal(name: str) -> None:
        lesson.kubectl("exec", *NAMESPACE, "deploy/user", "-c", "istio-proxy", "--",
                       "sh", "-c", f"kill -{name} $(pidof envoy)")  # fmt: skip

    signal("STOP")
    try:

        def told() -> bool:
            done = lesson.plait("apply", "--wait", "--timeout", "2", "-f", "-", given=payment(418), code=5)
            said = "VirtualService sock-shop/settled: not in effect after 2 s: acknowledged by" in done.stderr
            return said and "waiting for user-" in done.stderr

        until("who is waited for is named", told)
        until("it is in effect elsewhere", lambda: answer("settled.example") == "418")
    finally:
        signal("CONT")
    wait(lesson)


def test_the_shops_objects_say_what_plait_analyze_says(lesson: Mesh) -> None:
    kinds = "virtualservices,destinationrules,gateways.networking.istio.io"

    def analyzed() -> set[tuple[str, str, str]]:
        told = json.loads(lesson.plait("analyze", "-n", "sock-shop", "-o", "json", code=None).stdout)
        about = ("VirtualService", "DestinationRule", "Gateway")
        return {(one["origin"], one["code"], one.get("path", "")) for one in told if one["origin"].startswith(about)}

    def said() -> set[tuple[str, str, str]]:
        items = lesson.get(*NAMESPACE, kinds)["items"]
        assert len(items) > 5
        return {
            (f"{item['kind']} sock-shop/{item['metadata']['name']}", message["type"]["code"], message.get("path", ""))
            for item in items
            for message in (item.get("status") or {}).get("validationMessages") or ()
        }

    until("the status of the shop's objects says the same", lambda: said() == analyzed())
