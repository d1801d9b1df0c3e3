"""Two meshes of one user side by side, and what of a mesh outlives it."""

from __future__ import annotations

import json
import os
import random
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from .conftest import Mesh, until

pytestmark = pytest.mark.system

KEEPER = "if [ ! -e /data/first ]; then hostname > /data/first; fi; hostname > /scratch/last; sleep infinity"
#: Its address follows from its name: another run of these tests on this machine may have that of the same.
BALANCED = f"web-{os.getpid()}"
OBJECTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: keeper}
spec:
  selector: {matchLabels: {app: keeper}}
  template:
    metadata: {labels: {app: keeper}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: c, image: keeper, volumeMounts: [{name: scratch, mountPath: /scratch}]}
      volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: BALANCED}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 8000}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: python:3
    args: [python, -m, http.server, "8000"]
    readinessProbe: {tcpSocket: {port: 8000}, periodSeconds: 1}
""".replace("BALANCED", BALANCED)


#: Collection, namespace, name, version and body of each object, from a mesh of an early plait with its control plane
#: running, an empty namespace `kept`, and in it the ConfigMap `of-old` and the Service `old`.
OLD_OBJECTS = [
    json.loads(line) for line in (Path(__file__).parent / "testdata/store-format-0.jsonl").read_text().splitlines()
]
OLD_TABLES = """
CREATE TABLE objects(
  grp TEXT, plural TEXT, namespace TEXT, name TEXT, version INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (grp, plural, namespace, name)) WITHOUT ROWID;
CREATE TABLE counter(id INTEGER PRIMARY KEY CHECK (id = 0), version INTEGER NOT NULL);
INSERT INTO counter VALUES (0, 1000500);
"""


def as_an_old_plait_left_it(store: Path) -> None:
    """Write the store of a mesh that was stopped."""
    store.parent.mkdir(parents=True)
    store.parent.chmod(0o711)
    with closing(sqlite3.connect(store)) as database, database:
        database.executescript(OLD_TABLES)
        rows = ((*key, json.dumps(body).encode()) for *key, body in OLD_OBJECTS)
        database.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)", rows)
    store.chmod(0o600)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, capable: None) -> Iterator[tuple[Mesh, Mesh]]:
    home = tmp_path_factory.mktemp("both")
    one, two = Mesh("t-one", home), Mesh("t-two", home)
    as_an_old_plait_left_it(two.state / "store.db")
    with ThreadPoolExecutor() as pool:
        [*pool.map(lambda mesh: mesh.plait("up", "--ports", "auto"), (one, two))]
    assert two.status()["ready"], "what an older plait left goes on"
    yield one, two
    with ThreadPoolExecutor() as pool:
        [*pool.map(lambda mesh: mesh.plait("down", "--wipe"), (one, two))]
    assert not one.state.exists()
    assert not two.state.exists()


def test_what_an_older_plait_left_goes_on(pair: tuple[Mesh, Mesh]) -> None:
    """Its objects, with their identities; its control plane, brought to what this plait wants."""
    _, two = pair
    assert two.get("configmap", "-n", "kept", "of-old")["data"] == {"a": "b"}
    uids = {(plural, namespace, name): body["metadata"]["uid"] for _, plural, namespace, name, _, body in OLD_OBJECTS}
    for plural, namespace, name in (
        ("namespaces", "", "kept"),
        ("services", "kept", "old"),
        ("deployments", "istio-system", "istiod"),
        ("serviceaccounts", "kept", "default"),
    ):
        scope = ["-n", namespace] if namespace else []
        assert two.get(plural, name, *scope)["metadata"]["uid"] == uids[plural, namespace, name]
    two.kubectl("-n", "kept", "create", "configmap", "of-new")


def test_two_meshes_share_nothing_but_the_machine(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    for mesh in pair:
        mesh.kubectl("create", "configmap", f"of-{mesh.name}")
        mesh.kubectl("apply", "-f", "-", given=OBJECTS)
        mesh.kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=180s")
        if mesh is one:
            address = until("an address", lambda: addresses(one))
    assert not set(one.status()["ports"].values()) & set(two.status()["ports"].values())
    assert "of-t-two" not in one.kubectl("get", "configmaps").stdout
    # Both have the same address for a Service of that name; where it is taken, it stays pending.
    until("why it is pending", lambda: "Address already in use" in pending(two))
    assert not addresses(two)
    url = f"http://{address[0]['ip']}:8000/"
    done = one._run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url], 0)
    assert done.stdout == "200"


def test_node_ports_of_which_another_has_the_number_are_told(pair: tuple[Mesh, Mesh]) -> None:
    gateway = "Service istio-system/istio-ingressgateway: node ports not open on 127.0.0.1: "
    late = until("a gateway's node ports are another's", lambda: next((m for m in pair if closed(m, gateway)), None))
    assert f"  closed    {gateway}" in late.plait("status", code=None).stdout
    assert f"Warning: {gateway}" in late.plait("up").stderr

    with free_node_port() as taken:
        number = taken.getsockname()[1]
        ports = f"[{{port: 80, nodePort: {number}}}]"
        one = pair[0]
        text = f"{{apiVersion: v1, kind: Service, metadata: {{name: taken}}, spec: {{type: NodePort, ports: {ports}}}}}"
        one.kubectl("apply", "-f", "-", given=text)
        mine = f"Service default/taken: node ports not open on 127.0.0.1: {number}: Address already in use"
        until("it is told", lambda: closed(one, mine))
    until("it is open", lambda: not closed(one, "Service default/taken"))
    one.kubectl("delete", "service", "taken")


def closed(mesh: Mesh, beginning: str) -> bool:
    """Whether the mesh tells of node ports that are not open."""
    return any(text.startswith(beginning) for text in mesh.status().get("closed", ()))


def free_node_port() -> socket.socket:
    """A node port that somebody else has."""
    for number in random.sample(range(30000, 32768), 100):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", number))
    raise AssertionError("no free port")


def addresses(mesh: Mesh) -> list[dict[str, str]]:
    """Where the load balancer is, if it is anywhere."""
    return mesh.get("svc", BALANCED)["status"].get("loadBalancer", {}).get("ingress") or []


def pending(mesh: Mesh) -> str:
    """What is told of it."""
    about = f"--field-selector=reason=LoadBalancerPending,involvedObject.name={BALANCED}"
    return mesh.kubectl("get", "events", about).stdout


def test_objects_and_kept_paths_survive_and_the_rest_does_not(pair: tuple[Mesh, Mesh]) -> None:
    one, two = pair
    one.plait("image", "add", "keeper", "--persist", "/data", "--", "sh", "-c", KEEPER)
    one.kubectl("apply", "-f", "-", given=OBJECTS)
    first = until("the keeper has written", lambda: kept(one)["first"])
    one.plait("down")
    assert two.kubectl("get", "--raw", "/readyz").stdout == "ok", "the other goes on"

    store = one.state / "store.db"
    with closing(sqlite3.connect(store)) as database:
        (current,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {current + 1}")
    done = one.plait("up", "--ports", "auto", code=1)
    assert "a newer plait has written it" in done.stderr
    with closing(sqlite3.connect(store)) as database:  # an older plait counted nothing
        database.execute("PRAGMA user_version = 0")
    one.plait("up", "--ports", "auto")
    found = until("the keeper is back", lambda: kept(one) if kept(one)["last"] else None)
    assert found["first"] == first, "what is kept is as the first pod left it"
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (current,)

    one.kubectl("delete", "deployment", "keeper")
    until("its data is forgotten", lambda: not [*(one.state / "volumes").glob("*/*keeper*")])


def kept(mesh: Mesh) -> dict[str, str]:
    script = "cat /data/first; echo; cat /scratch/last"
    done = mesh.kubectl("exec", "deploy/keeper", "--", "sh", "-c", script, code=None)
    first, _, last = done.stdout.partition("\n\n") if not done.returncode else ("", "", "")
    return {"first": first.strip(), "last": last.strip()}
