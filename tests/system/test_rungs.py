"""Meshes of those who are not root of the machine: the same pods, capture and isolation on every rung."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import BIN, Mesh, until
from .manifests import READY, listed, namespace, pod, service
from .programs import BURGLAR, CALL_V6, LISTEN_V6, SERVER

pytestmark = pytest.mark.system

#: A uid that has no name, no home and no subordinate ids.
STRANGER = 54321
CALL = """
import socket, urllib.request
with urllib.request.urlopen("http://server", timeout=60) as answer:
    print(answer.read().decode(), answer.headers.get("server"))
print(socket.gethostbyname("server.apps.svc.cluster.local").startswith("10."))
"""
#: Looks into the memory of the sidecar beside it, whose pid it sees.
SPY = """
import os, pathlib
found = [p for p in os.listdir("/proc") if p.isdigit() and "envoy" in pathlib.Path("/proc", p, "comm").read_text()]
assert found, "no sidecar beside"
for name in ("mem", "environ", "root/etc/hostname"):
    try: open(f"/proc/{found[0]}/{name}", "rb").read(1); print(name, "open")
    except OSError: print(name, "shut")
"""


@dataclass(frozen=True)
class Confined(Mesh):
    """A mesh whose plait runs behind `prefix`."""

    prefix: tuple[str, ...]

    def plait(self, *arguments: str, given: str = "", code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self._run(
            [*self.prefix, str(BIN / "python"), "-m", "plait.cli.main", "--name", self.name, *arguments], code, given
        )


def prefixes() -> dict[str, tuple[str, ...]]:
    """What takes from whoever runs the tests all that the better rungs need."""
    if os.geteuid() != 0:
        return {"one-uid": ("setpriv", "--no-new-privs")}
    become = ("unshare", "--mount", sys.executable, str(Path(__file__).with_name("as_uid.py")))
    return {
        "one-uid": (*become, str(STRANGER)),
        "subuid": (*become, "--named", str(STRANGER)),
        "user-namespace": ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"),
    }


@pytest.fixture(scope="module", params=["one-uid", "subuid", "user-namespace"])
def rung(request: pytest.FixtureRequest, lacking: Callable[[str], None]) -> Iterator[Confined]:
    prefix = prefixes().get(request.param)
    if prefix is None:
        lacking("only root can be other users, or do without CAP_SYS_ADMIN alone")
    if request.param == "subuid" and shutil.which("newuidmap") is None:
        lacking("uidmap is not installed, which writes the maps of an ordinary user")
    # Not below pytest's folders, which are shut for others.
    home = Path(tempfile.mkdtemp(prefix="plait-rung-"))
    if request.param in {"one-uid", "subuid"} and os.geteuid() == 0:
        os.chown(home, STRANGER, STRANGER)
    mesh = Confined(f"t-{request.param}", home, prefix)
    doctor = mesh.plait("doctor", code=None)
    if doctor.returncode:
        lacking(f"no mesh can run here:\n{doctor.stdout}{doctor.stderr}")
    mesh.plait("up", "--ports", "auto")
    yield mesh
    mesh.plait("down", "--wipe", code=None)
    assert not mesh.state.exists(), "everything in the state folder can be deleted by whoever made the mesh"
    shutil.rmtree(home)


SERVING = {"readinessProbe": READY, "securityContext": {"runAsUser": 1000}}
OBJECTS = (
    namespace("apps"),
    service("server", "apps"),
    pod("server", "apps", "python", "-c", SERVER, container=SERVING),
    pod("target", "apps", "python", "-uc", LISTEN_V6),
    pod("burglar", "apps", "python", "-uc", BURGLAR, restartPolicy="Never"),
)


@pytest.fixture(scope="module")
def apps(rung: Confined) -> Confined:
    rung.kubectl("apply", "-f", "-", given=listed(*OBJECTS))
    rung.kubectl("wait", "-n", "apps", "pod/server", "pod/target", "--for=condition=Ready", "--timeout=180s")
    return rung


def in_target(mesh: Mesh, program: str, *arguments: str) -> str:
    return mesh.kubectl("exec", "-n", "apps", "target", "-c", "c", "--", "python", "-c", program, *arguments).stdout


def in_server(mesh: Mesh, program: str, *arguments: str) -> str:
    return mesh.kubectl("exec", "-n", "apps", "server", "-c", "c", "--", "python", "-c", program, *arguments).stdout


def test_pods_are_captured_and_kept_apart_whoever_runs_the_mesh(apps: Confined) -> None:
    def reached() -> str:
        return apps.kubectl("logs", "-n", "apps", "target", "-c", "c").stdout.strip()

    v6 = until("the target reaches itself", reached)
    with ThreadPoolExecutor() as pool:
        called = pool.submit(in_target, apps, CALL)
        spied = pool.submit(in_target, apps, SPY)
        past = pool.submit(in_server, apps, CALL_V6, v6)
        assert called.result().splitlines() == ["server envoy", "True"]
        assert spied.result().splitlines() == ["mem shut", "environ shut", "root/etc/hostname shut"]
        assert past.result() == "shut\n"

    secrets = apps.plait("proxy-config", "secret", "server", "-n", "apps").stdout
    assert "spiffe://cluster.local/ns/apps/sa/default" in secrets

    def burgled() -> str:
        done = apps.get("pod", "burglar", "-n", "apps")["status"]["phase"] in {"Succeeded", "Failed"}
        return apps.kubectl("logs", "-n", "apps", "burglar", "-c", "c").stdout if done else ""

    said = dict(line.split(" ", 1) for line in until("the burglar has tried", burgled).splitlines())
    for name in ("shadow", "pause", "raw", "ping", "mark", "mount", "disk", "kernel"):
        assert said[name] == "refused", name
    assert said["homes"] == said["run"] == said["chroot"] == "[]"
    everybody = apps.kubectl("exec", "-n", "apps", "server", "-c", "c", "--", "id", "-u").stdout.strip()
    assert everybody == ("0" if "one-uid" in apps.name else "1000")


def test_a_new_pod_reads_what_is_typed(apps: Confined) -> None:
    """Its pipe or terminal is opened by init, in the user namespace."""
    run = ("run", "reader", "-q", "--rm", "--image=busybox", "--restart=Never")
    assert apps.kubectl(*run, "-i", "--", "cat", given="typed").stdout == "typed"
    terminal = f"{BIN / 'kubectl'} {' '.join(run)} -it -- sh -c '[ -t 0 ] && read word && echo seen $word'"
    done = subprocess.run(
        ["script", "-qec", terminal, "/dev/null"],
        input="this\n",
        capture_output=True,
        text=True,
        env=apps.environment,
        timeout=180,
        check=True,
    )
    assert "seen this" in done.stdout


def test_doctor_says_which_rung_it_is(apps: Confined) -> None:
    said = apps.plait("doctor").stdout
    rungs = {"one-uid": "as one uid", "subuid": "with subordinate ids", "user-namespace": "without CAP_SYS_ADMIN"}
    assert rungs[apps.name.removeprefix("t-")] in said
    if apps.prefix[-1] == str(STRANGER) and "--named" not in apps.prefix:
        assert f"useradd --no-create-home --uid {STRANGER}" in said
        assert "usermod" not in said, "nobody can change a user that has no name"
    limits = {line for line in said.splitlines() if " limits: " in line}
    assert limits, "whether memory and CPU can be limited is another question"
    limited = pod("limited", "apps", "true")
    limited["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi", "cpu": "100m"}}
    told = apps.kubectl("create", "-f", "-", given=json.dumps(limited)).stderr
    for resource in ("memory", "cpu"):
        problem = next((line for line in limits if line.startswith("! ") and resource in line), None)
        why = f"resources.limits.{resource}: is not enforced: "
        assert (why in told) == (problem is not None)
        assert problem is None or problem.partition("cannot be limited: ")[2] in told.partition(why)[2]


def test_without_user_namespaces_up_and_doctor_say_the_same(tmp_path: Path) -> None:
    """A user namespace that allows no other below it is a machine that forbids them."""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        forbid,
        "sh",
        str(BIN / "python"),
        "-m",
        "plait.cli.main",
    ]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = [
        subprocess.run([*command, verb], capture_output=True, text=True, check=False, env=environment)
        for verb in ("doctor", "up")
    ]
    assert [each.returncode for each in done] == [4, 4]
    fix = "fix: allow user namespaces, as root: sysctl -w user.max_user_namespaces=15000"
    assert fix in done[0].stdout
    assert fix in done[1].stderr
