"""What dies comes back by itself, at random and in pairs, and whoever is not concerned does not notice.

Some rounds in CI; minutes of it with `PLAIT_HEALING_ROUNDS=100`, another course with `PLAIT_HEALING_SEED=7`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import Mesh, until
from .manifests import READY, deployment, listed, namespace, python, service
from .programs import SERVER

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("PLAIT_HEALING_ROUNDS", "10"))
#: Of this one ten rounds reach every process of the control plane, the gateway, the caller's sidecar, and of a server
#: both the application and the sidecar.
SEED = int(os.environ.get("PLAIT_HEALING_SEED", "3"))

#: Calls for ever, and says how each call went, numbered: a gap is a lost line, a word other than 200 a failure.
CALLER = """
import http.client, itertools, time
for number in itertools.count():
    try:
        connection = http.client.HTTPConnection("web", timeout=60)
        connection.request("GET", "/")
        word = connection.getresponse().status
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        word = type(error).__name__
    print(number, word, flush=True)
    time.sleep(0.02)
"""
CONTROL = ("agent", "api", "node", "relay", "discovery", "discovery/delivery")
GATEWAY = "pod/istio-system/istio-ingressgateway-"


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    """A server with two pods, and a caller."""
    mesh.plait("up", "--ports", "auto")
    objects = [
        namespace("heal"),
        service("web", "heal"),
        deployment("web", "heal", python(SERVER, name="web", readinessProbe=READY), replicas=2),
        deployment("caller", "heal", python(CALLER, name="caller")),
    ]
    mesh.kubectl("apply", "-f", "-", given=listed(*objects))
    mesh.kubectl("-n", "heal", "rollout", "status", "deployment/web", "deployment/caller", "--timeout=180s")
    until("calls succeed", lambda: [word for _, word in calls(mesh)[-5:]] == ["200"] * 5)
    return mesh


def calls(mesh: Mesh) -> list[tuple[int, str]]:
    """What the caller has said since it started; empty while the API or the node is away."""
    done = mesh.kubectl("-n", "heal", "logs", "deployment/caller", "-c", "caller", code=None)
    if done.returncode:
        return []
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(int(number), word) for number, word in lines]


def processes(mesh: Mesh) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in mesh.status().get("processes", [])}


def uids(mesh: Mesh) -> dict[str, str]:
    kinds = "namespaces,services,deployments,replicasets,pods,configmaps,serviceaccounts"
    items = mesh.get(kinds, "-A")["items"]
    return {
        f"{i['kind']} {i['metadata'].get('namespace')}/{i['metadata']['name']}": i["metadata"]["uid"] for i in items
    }


def is_whole(mesh: Mesh, names: set[str]) -> bool:
    """Every process there again, and every pod ready."""
    status = mesh.status()
    if not status.get("ready") or names - {process["name"] for process in status["processes"]}:
        return False
    done = mesh.kubectl("get", "pods", "-A", "-o", "json", code=None)
    if done.returncode:
        return False
    conditions = [
        {c["type"]: c["status"] for c in each["status"].get("conditions", ())}
        for each in json.loads(done.stdout)["items"]
    ]
    return all(condition.get("Ready") == "True" for condition in conditions)


def test_whatever_dies_comes_back_and_only_its_own_pod_notices(up: Mesh) -> None:
    chance = random.Random(SEED)
    objects = uids(up)
    names = set(processes(up))
    control = sorted(name for name in names if name.endswith(CONTROL))
    assert len(control) == len(CONTROL)
    control += [name for name in names if name.startswith(GATEWAY) and name.endswith("/istio-proxy")]
    served = sorted(name for name in names if name.startswith("pod/heal/web-") and not name.endswith("/pause"))
    assert len(served) == 4
    (own,) = (name for name in names if name.startswith("pod/heal/caller-") and name.endswith("/istio-proxy"))
    story = []
    for number in range(ROUNDS):
        before = len(until("the caller's log", lambda: calls(up)))
        # Of the server's processes one at most: two pods are all it has.
        victims = chance.sample(control, chance.choice((1, 2)))
        if number % 3 == 2:
            victims[-1] = chance.choice([*served, own])
        story.append(victims)
        now = until("all are there", lambda: names <= (found := processes(up)).keys() and found)
        up.kubectl("-n", "heal", "create", "configmap", f"round-{number}")
        objects |= {(kept := f"ConfigMap heal/round-{number}"): uids(up)[kept]}
        for victim in victims:
            os.kill(now[victim], signal.SIGKILL)
        until(
            f"round {number}: {victims} are back",
            lambda victims=victims, now=now: (
                is_whole(up, names) and all(processes(up).get(victim) not in {None, now[victim]} for victim in victims)
            ),
        )
        since = until("calls go on", lambda before=before: len(all_ := calls(up)) > before + 20 and all_[before:])
        failed = [word for _, word in since if word != "200"]
        if not {*victims} & {*served, own}:
            assert not failed, f"round {number} of seed {SEED}: {failed} after {story}"
        else:
            # Without its own sidecar nobody calls at all.
            most = len(since) if own in victims else len(since) / 4
            assert len(failed) <= most, f"round {number} of seed {SEED}: {failed} after {story}"
            until("calls succeed again", lambda: [word for _, word in calls(up)[-20:]] == ["200"] * 20)
    assert uids(up) == objects, f"after {story}"
    numbers = [number for number, _ in calls(up)]
    assert numbers == list(range(len(numbers))), "no line of the log was lost"


def test_a_damaged_store_is_told_and_there_is_a_way_back(up: Mesh) -> None:
    up.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    up.plait("down")
    up.plait("up", "--ports", "auto")
    up.plait("down")
    store = up.state / "store.db"
    with closing(sqlite3.connect(store)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * 20_000)
    done = up.plait("up", "--ports", "auto", code=1)
    assert f"the store {store} is damaged" in done.stderr
    assert f"plait --name {up.name} up --restore" in done.stderr
    up.plait("up", "--ports", "auto", "--restore")
    assert up.get("configmap", "kept")["data"] == {"a": "b"}
    assert (up.state / "store.db.damaged").exists()


@pytest.fixture
def small_disk(tmp_path: Path, lacking) -> Iterator[Path]:
    """A folder on a file system of 48 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lacking(f"no file system can be mounted here: {done.stderr}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


TICKING = """
import itertools, time
for number in itertools.count():
    print(number)
    time.sleep(0.1)
"""


def ticks(mesh: Mesh) -> list[str]:
    return mesh.kubectl("logs", "clock").stdout.splitlines()


def test_a_full_disk_loses_nothing_that_was_stored_and_stops_nothing_that_runs(small_disk: Path, capable: None) -> None:
    small = Mesh("t-full", small_disk)
    try:
        small.plait("up", "--ports", "auto")
        small.kubectl("create", "configmap", "before", "--from-literal=a=b")
        small.kubectl("run", "clock", "--image=python:3", "--restart=Never", "--", "python", "-uc", TICKING)
        small.kubectl("wait", "--for=condition=Ready", "pod/clock", "--timeout=180s")
        until("it ticks", lambda: len(ticks(small)) > 3)
        stone = small_disk / "stone"
        with stone.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        # Pages of the log that are there already still take a few small writes.
        big = json.dumps(
            {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "big"}, "data": {"x": "y" * 900_000}}
        )
        done = small.kubectl("create", "-f", "-", given=big, code=1)
        assert "the store cannot be written" in done.stderr
        assert "full" in done.stderr
        assert small.get("configmap", "before")["data"] == {"a": "b"}
        assert small.status()["ready"]
        # Not all lines of a program find room now, but it goes on, and so do its lines when there is room.
        stone.unlink()
        before = ticks(small)
        until("it goes on", lambda: len(ticks(small)) > len(before) + 3)
        assert ticks(small)[: len(before)] == before
        assert small.get("pod", "clock")["status"]["phase"] == "Running"
        small.kubectl("create", "-f", "-", given=big)
        small.plait("down")
        small.plait("up", "--ports", "auto")
        assert small.get("configmap", "before")["data"] == {"a": "b"}
        assert len(small.get("configmap", "big")["data"]["x"]) == 900_000
    finally:
        small.plait("down", code=None)
        shutil.rmtree(small_disk / "plait", ignore_errors=True)
