"""The third lesson, by the documentation's own files: too many connections are refused by the caller's own proxy."""

from __future__ import annotations

import json
import re

import pytest

from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

CALLS = 1000
COUNTER = "upstream_rq_pending_overflow"
HOST = "front-end.sock-shop.svc.cluster.local"


def load(mesh: Mesh, calls: int) -> dict[int, int]:
    """What fortio in the mesh was answered, by status."""
    command = ("/usr/local/bin/fortio", "load", "-c", "3", "-qps", "0", "-n", str(calls), "-loglevel", "Error")
    # By itself fortio gives a call three seconds.
    command += ("-timeout", "60s")
    target = ("exec", "-n", "sock-shop", "deploy/fortio-deploy", "-c", "fortio", "--")
    done = mesh.kubectl(*target, *command, "http://front-end:80/index.html")
    text = done.stdout + done.stderr
    return {int(code): int(count) for code, count in re.findall(r"^Code +(-?\d+) : (\d+) ", text, re.MULTILINE)}


def overflows(mesh: Mesh) -> int:
    """What the proxy of fortio's pod has counted for the front end."""
    target = ("exec", "-n", "sock-shop", "deploy/fortio-deploy", "-c", "fortio", "--")
    url = f"http://127.0.0.1:15000/stats?filter={COUNTER}"
    said = mesh.kubectl(*target, "curl", "-s", url).stdout
    lines = rf"^cluster\.outbound\|80\|\|{re.escape(HOST)}\.{COUNTER}: (\d+)$"
    return sum(int(count) for count in re.findall(lines, said, re.MULTILINE))


def limit(mesh: Mesh) -> int | None:
    """How many connections to the front end fortio's proxy makes at most."""
    target = ("proxy-config", "cluster", "deploy/fortio-deploy", "-n", "sock-shop", "-o", "json", "--fqdn", HOST)
    clusters = json.loads(mesh.plait(*target).stdout)
    plain = next((cluster for cluster in clusters if cluster["name"].startswith("outbound|80||")), {})
    thresholds = plain.get("circuit_breakers", {}).get("thresholds", [{}])
    return thresholds[0].get("max_connections")


def test_with_the_rule_a_share_overflows(lesson: Mesh) -> None:
    lesson.kubectl("apply", "-f", str(LESSONS / "fortio.yaml"))
    lesson.kubectl("rollout", "status", "-n", "sock-shop", "deploy/fortio-deploy", "--timeout=180s")
    until("no limit", lambda: limit(lesson) != 1)
    assert load(lesson, 20) == {200: 20}, "all pass without the rule"
    assert overflows(lesson) == 0
    lesson.kubectl("apply", "-f", str(LESSONS / "circuit-breaker.yaml"))
    until("one connection at most", lambda: limit(lesson) == 1)
    codes = load(lesson, CALLS)
    assert set(codes) == {200, 503}
    assert 0.1 * CALLS < codes[503] < 0.9 * CALLS, codes
    assert overflows(lesson) == codes[503], "each 503 is an overflow, counted by the caller's own proxy"
    log = ("logs", "-n", "sock-shop", "deploy/fortio-deploy", "-c", "istio-proxy", f"--tail={2 * CALLS}")
    until("flag UO", lambda: lesson.kubectl(*log).stdout.count('" 503 UO ') == codes[503])
