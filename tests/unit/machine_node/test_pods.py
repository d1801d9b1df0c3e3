"""Pods on a real node: namespaces, processes, probes, logs, restarts and their end."""

import asyncio
import os
import signal
import tempfile
from contextlib import aclosing
from pathlib import Path

import pytest

from plait.kube.errors import Unreachable
from plait.kube.kinds import CONFIGMAP, POD, SECRET
from plait.kube.portforward import port_forward
from plait.kube.reflect import reflect

from .conftest import condition, container

pytestmark = pytest.mark.system


@pytest.fixture
def sign():
    """A file by which a test tells a container something, and the volume with it, mounted at /sign."""
    # Not pytest's own folder: what others may not pass is hidden on the node.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        volume = {"name": "sign", "hostPath": {"path": folder}}
        yield Path(folder, "given"), volume, {"name": "sign", "mountPath": "/sign"}


#: In a container: until the test has given its sign.
UNTIL_SIGNED = "until test -e /sign/given; do sleep 0.05; done"


def shell(script, *, name="c", **more):
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}


def web(port=8080, *, name="c", **more):
    command = ["python", "-u", "-m", "http.server", str(port), "--directory", "/srv"]
    return {"name": name, "image": "python:3.12", "command": command, **more}


async def test_a_pod_becomes_ready_when_its_probe_says_so(cluster):
    ports = [{"name": "http", "containerPort": 80}]
    await cluster.start("web", web(80, ports=ports, readinessProbe={"httpGet": {"path": "/", "port": "http"}}))
    pod = await cluster.ready("web")
    assert pod["status"]["phase"] == "Running"
    assert pod["spec"]["nodeName"] == "plait"
    assert pod["status"]["podIP"].startswith("10.42.0.")
    assert container(pod)["restartCount"] == 0
    assert await cluster.http("web", 80) == 200
    assert "GET / HTTP/1.1" in await cluster.log("web")

    async def told():
        return {"Scheduled", "Pulled", "Created", "Started"} <= (await cluster.events("web")).keys()

    await cluster.until("events", told)


async def test_a_pod_sees_what_it_should_and_nothing_else(cluster):
    script = """
      id; hostname; cat /etc/hosts /etc/resolv.conf; echo "home=$(ls /home)"; pwd
      for secret in /etc/shadow /var/lib/dpkg /proc/kcore "$STATE/pki/ca.key" /run/plait; do
        test -s "$secret" -o -d "$secret" && echo "LEAK $secret"
      done
      echo x > /proc/sys/kernel/core_pattern || echo sysctl refused
      mknod /tmp/disk b 8 0 || echo mknod refused
      mount -t tmpfs none /mnt || echo mount refused
      nft list ruleset || echo nft refused
      ls -d /var/run/secrets/kubernetes.io/serviceaccount/token
      echo "processes=$(ls /proc | grep -c '^[0-9]')"
    """
    state = str(cluster.machine.state.root)
    await cluster.start("look", shell(script, env=[{"name": "STATE", "value": state}]), restartPolicy="Never")
    await cluster.phase("look", "Succeeded")
    text = await cluster.log("look")
    assert "LEAK" not in text
    assert "uid=0(root)" in text
    assert "\nlook\n" in text
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in text
    assert "home=\n" in text
    for refused in ("sysctl", "mknod", "mount", "nft"):
        assert f"{refused} refused" in text, text
    assert "/var/run/secrets/kubernetes.io/serviceaccount/token" in text
    # Not its last line: what it says and its errors come by two ways.
    assert int(text.partition("\nprocesses=")[2].split()[0]) < 10


async def test_environment_volumes_and_users(cluster):
    meta = {"namespace": "default"}
    await cluster.client.create(
        CONFIGMAP,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "cfg"}, "data": {"a.txt": "A"}},
    )
    await cluster.client.create(
        SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "sec"}, "stringData": {"pw": "s3"}}
    )
    writer = shell(
        "umask 0; echo prepared > /work/file; id -u", name="first", volumeMounts=[{"name": "w", "mountPath": "/work"}]
    )
    reader = shell(
        'cat /work/file /etc/cfg/a.txt /etc/one; echo; id; echo "$PW $IP $(JOINED) $HOSTNAME"; '
        "touch /x; touch /work/mine",
        env=[
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "pw"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "JOINED", "value": "$(PW)-$(IP)"},
        ],
        securityContext={"runAsUser": 10001, "runAsGroup": 77, "readOnlyRootFilesystem": True},
        volumeMounts=[
            {"name": "w", "mountPath": "/work"},
            {"name": "cfg", "mountPath": "/etc/cfg"},
            {"name": "cfg", "mountPath": "/etc/one", "subPath": "a.txt"},
        ],
    )
    volumes = [{"name": "w", "emptyDir": {}}, {"name": "cfg", "configMap": {"name": "cfg"}}]
    await cluster.start("env", reader, initContainers=[writer], volumes=volumes, restartPolicy="Never")
    pod = await cluster.phase("env", "Succeeded")
    text = await cluster.log("env", container="c")
    ip = pod["status"]["podIP"]
    assert text.startswith("prepared\nAA\nuid=10001 gid=77")
    assert f"s3 {ip} s3-{ip} env" in text
    assert "cannot touch '/x': Read-only file system" in text
    assert "'/work/mine'" not in text
    assert await cluster.log("env", container="first") == "0\n"
    assert container(pod, "first")["state"]["terminated"]["reason"] == "Completed"


async def test_a_config_map_that_comes_later_and_changes(cluster):
    body = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "later", "namespace": "default"}, "data": {"key": "one"},
    }  # fmt: skip
    # A reader that is between the link and the file when the link is changed finds nothing, as under a kubelet.
    follow = 'while :; do new=$(cat /cfg/key) && [ "$new" != "$old" ] && echo "$new" && old=$new; sleep 0.05; done'
    volumes = [{"name": "v", "configMap": {"name": "later"}}]
    await cluster.start("later", shell(follow, volumeMounts=[{"name": "v", "mountPath": "/cfg"}]), volumes=volumes)

    async def failing():
        return "FailedMount" in await cluster.events("later")

    await cluster.until("FailedMount", failing)
    await cluster.client.create(CONFIGMAP, body)
    await cluster.ready("later")

    async def first():
        return await cluster.log("later") == "one\n"

    await cluster.until("the first value", first)
    await cluster.client.patch(CONFIGMAP, "later", "default", {"data": {"key": "two"}})

    async def both():
        return await cluster.log("later") == "one\ntwo\n"

    await cluster.until("both values", both)


async def test_a_failing_container_is_restarted_with_growing_waits(cluster):
    await cluster.start("crash", shell("echo run $$; echo why > /dev/termination-log; exit 7"))
    await cluster.when("crash", lambda p: container(p).get("restartCount", 0) >= 2)

    def waits(pod):
        return container(pod).get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"

    status = container(await cluster.when("crash", waits))
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (7, "Error", "why")
    assert (await cluster.log("crash", previous=True)).startswith("run ")

    async def told():
        return "BackOff" in await cluster.events("crash")

    await cluster.until("event", told)


async def test_a_container_that_is_restarted_says_so_until_it_runs(cluster):
    seen = []
    await cluster.start("again", shell("exit 3"))
    async with aclosing(reflect(cluster.client, [POD], namespace="default", fields="metadata.name=again")) as batches:
        async for batch in batches:
            seen += [container(pod) for pod in batch.upserts if pod.get("status", {}).get("containerStatuses")]
            if seen and seen[-1]["restartCount"] >= 2:
                break
    states = [each["state"] for each in seen]
    first = next(index for index, state in enumerate(states) if "waiting" not in state)
    later = {state["waiting"]["reason"] for state in states[first:] if "waiting" in state}
    assert later == {"CrashLoopBackOff"}
    counts = [each["restartCount"] for each in seen]
    assert counts == sorted(counts)


async def test_a_container_is_restarted_though_its_config_map_is_gone(cluster):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone", "namespace": "default"}, "data": {}}
    await cluster.client.create(CONFIGMAP, body)
    volumes = [{"name": "v", "configMap": {"name": "gone"}}, {"name": "w", "emptyDir": {}}]
    mounts = [{"name": "v", "mountPath": "/cfg"}, {"name": "w", "mountPath": "/w"}]
    await cluster.start("lacks", shell("sleep 2; exit 3", volumeMounts=mounts), volumes=volumes)
    await cluster.ready("lacks")
    await cluster.client.delete(CONFIGMAP, "gone", "default")
    seen = []
    async with aclosing(reflect(cluster.client, [POD], namespace="default", fields="metadata.name=lacks")) as batches:
        async for batch in batches:
            seen += [container(pod) for pod in batch.upserts if pod.get("status", {}).get("containerStatuses")]
            if seen and seen[-1]["restartCount"] >= 1:
                break
    waits = {each["state"]["waiting"]["reason"] for each in seen if "waiting" in each["state"]}
    assert waits <= {"CrashLoopBackOff"}


async def test_what_a_container_leaves_running_ends_with_it(cluster):
    await cluster.start(
        "leaver",
        shell("sleep 7654321 & echo started; exit 0"),
        shell("sleep 1234567", name="stays"),
        restartPolicy="Never",
    )
    await cluster.when("leaver", lambda p: "terminated" in container(p).get("state", {}))

    async def ended():
        return "sleep 7654321" not in cluster.machine.command_lines()

    await cluster.until("left-over process ended", ended)

    async def stays():
        return "sleep 1234567" in cluster.machine.command_lines()

    await cluster.until("the other container runs", stays)


async def test_liveness_and_startup_probes(cluster):
    start = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    live = {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "sleep 0.5; touch /tmp/up; sleep 1; touch /tmp/dead; sleep 1000"
    await cluster.start("live", shell(script, startupProbe=start, livenessProbe=live))
    pod = await cluster.when("live", lambda p: container(p).get("restartCount", 0) >= 1)
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 143

    async def told():
        events = await cluster.events("live")
        killing, unhealthy = events.get("Killing", ()), events.get("Unhealthy", ())
        return "Container c failed liveness probe, will be restarted" in killing and any(
            message.startswith("Liveness probe failed") for message in unhealthy
        )

    await cluster.until("events", told)


async def test_a_probe_may_have_a_grace_of_its_own(cluster):
    sick = {
        "exec": {"command": ["sh", "-c", "! test -e /tmp/deaf"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    }
    script = "trap '' TERM; touch /tmp/deaf; while :; do sleep 0.1; done"
    await cluster.start("stubborn", shell(script, livenessProbe=sick), terminationGracePeriodSeconds=100_000)
    pod = await cluster.when("stubborn", lambda p: container(p).get("restartCount", 0) >= 1)
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 137


async def test_a_sidecar_without_probes_is_up_when_it_runs_and_ends_after_the_work(cluster):
    # The work waits for its first words: that it runs says only that it has been started.
    mounts = {"volumeMounts": [{"name": "w", "mountPath": "/sign"}]}
    script = "echo beside; touch /sign/given; exec sleep 1000"
    beside = shell(script, name="beside", restartPolicy="Always", **mounts)
    work = shell(f"{UNTIL_SIGNED}; echo done", **mounts)
    volumes = [{"name": "w", "emptyDir": {}}]
    await cluster.start("work", work, initContainers=[beside], volumes=volumes, restartPolicy="Never")
    pod = await cluster.phase("work", "Succeeded")
    assert container(pod)["state"]["terminated"]["reason"] == "Completed"
    assert "terminated" in container(pod, "beside")["state"]
    assert await cluster.log("work", container="beside") == "beside\n"


async def test_a_pod_that_stops_being_ready_says_so(cluster, sign):
    given, volume, mount = sign
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"python -m http.server 8080 & {UNTIL_SIGNED}; kill $!; sleep 1000"
    await cluster.start("unready", shell(script, readinessProbe=probe, volumeMounts=[mount]), volumes=[volume])
    await cluster.ready("unready")
    given.touch()
    pod = await cluster.when("unready", lambda p: condition(p, "Ready") == "False")
    assert container(pod)["restartCount"] == 0


@pytest.mark.parametrize(
    ("name", "spec", "reason", "text"),
    [
        ("image", {"image": "nobody/knows:1"}, "ErrImagePull", "plait image add nobody/knows:1"),
        ("root", {"image": "busybox", "securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError", "root"),
        (
            "map",
            {"image": "busybox", "envFrom": [{"configMapRef": {"name": "no"}}]},
            "CreateContainerConfigError",
            '"no"',
        ),
    ],
)
async def test_a_container_that_cannot_start_says_why(cluster, name, spec, reason, text):
    await cluster.start(f"bad-{name}", {"name": "c", **spec})
    pod = await cluster.when(
        f"bad-{name}",
        lambda p: "waiting" in container(p).get("state", {}) and container(p)["state"]["waiting"].get("message"),
    )
    waiting = container(pod)["state"]["waiting"]
    assert waiting["reason"] in {reason, "ImagePullBackOff"}
    assert text in waiting["message"]


async def test_a_program_that_is_not_there(cluster):
    await cluster.start("nothing", {"name": "c", "image": "busybox", "command": ["/no/such"]}, restartPolicy="Never")
    pod = await cluster.phase("nothing", "Failed")
    ended = container(pod)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "/no/such: no such file or directory" in ended["message"]


async def test_a_pod_ends_gracefully(cluster, sign):
    log, volume, mount = sign
    finish = "trap 'echo term >> /sign/given; sleep 0.2; echo done >> /sign/given; exit 0' TERM"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /sign/given"]}}}
    script = f"{finish}; echo up; while :; do sleep 0.05; done"
    # As much time as it likes: what is asked is the order.
    await cluster.start(
        "end", shell(script, lifecycle=hook, volumeMounts=[mount]), volumes=[volume], terminationGracePeriodSeconds=100
    )
    await cluster.ready("end")

    async def up():
        return "up" in await cluster.log("end")

    await cluster.until("trap set", up)
    await cluster.client.delete(POD, "end", "default")
    await cluster.gone("end")
    assert log.read_text() == "hook\nterm\ndone\n"


async def test_a_stubborn_pod_is_killed_after_its_grace_and_nothing_stays(cluster):
    await cluster.start("stubborn", shell("trap '' TERM; echo up; while :; do sleep 0.05; done"))
    pod = await cluster.ready("stubborn")
    await cluster.client.delete(POD, "stubborn", "default", grace_seconds=1)
    await cluster.gone("stubborn")
    uid = pod["metadata"]["uid"]
    root = Path(f"/proc/{cluster.machine.init}/root")

    async def nothing():
        left = (root / "run/plait/pods" / uid).exists() or "trap ''" in cluster.machine.command_lines()
        return not left and not list((cluster.machine.state.logs / "pods").glob(f"*{uid}*"))

    await cluster.until("nothing left", nothing)


async def test_a_forced_delete_is_at_once(cluster):
    await cluster.start(
        "forced", shell("trap '' TERM; while :; do sleep 0.05; done"), terminationGracePeriodSeconds=600
    )
    await cluster.ready("forced")
    await cluster.client.delete(POD, "forced", "default", grace_seconds=0)
    await cluster.gone("forced")

    async def ended():
        return "trap ''" not in cluster.machine.command_lines()

    await cluster.until("processes ended", ended)


async def test_pods_survive_the_death_of_the_node(cluster, sign):
    given, volume, mount = sign
    mortal = shell(f"echo up; {UNTIL_SIGNED}; exit 5", volumeMounts=[mount])
    await cluster.start("survivor", web(readinessProbe={"httpGet": {"path": "/", "port": 8080}}))
    await cluster.start("mortal", mortal, volumes=[volume], restartPolicy="Never")
    before = await cluster.ready("survivor")
    await cluster.ready("mortal")
    os.kill(cluster.machine.service("node"), signal.SIGKILL)
    given.touch()

    async def again():
        return cluster.machine.service("node")

    await cluster.until("node started again", again)
    pod = await cluster.phase("mortal", "Failed")
    assert container(pod)["state"]["terminated"]["exitCode"] == 5
    after = await cluster.pod("survivor")
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert after["status"]["podIP"] == before["status"]["podIP"]

    async def answers():
        return await cluster.http("survivor", 8080) == 200

    await cluster.until("port-forward works again", answers)


async def test_a_pod_deleted_while_the_node_was_away_is_ended(cluster):
    await cluster.start("stranger", shell("sleep 9876543"))
    await cluster.ready("stranger")
    node = cluster.machine.service("node")
    os.kill(node, signal.SIGSTOP)
    await cluster.client.delete(POD, "stranger", "default", grace_seconds=0)
    os.kill(node, signal.SIGKILL)

    async def ended():
        return "sleep 9876543" not in cluster.machine.command_lines()

    await cluster.until("processes ended", ended)


async def test_a_pod_whose_namespaces_are_lost_is_made_anew(cluster):
    pod = await cluster.start("reborn", shell("sleep 5555555"))
    pod = await cluster.ready("reborn")
    [pause] = pauses(cluster.machine, pod["status"]["podIP"])
    os.kill(pause, signal.SIGKILL)
    pod = await cluster.when(
        "reborn", lambda p: container(p).get("restartCount", 0) == 1 and condition(p, "Ready") == "True"
    )

    async def told():
        return "SandboxChanged" in await cluster.events("reborn")

    await cluster.until("event", told)


async def test_a_closed_port_and_a_missing_container_are_told(cluster):
    await cluster.start("shut", shell("sleep 1000"))
    await cluster.ready("shut")
    with pytest.raises(Unreachable):
        async with port_forward(cluster.client, "default", "shut", 9) as (reader, _):
            await reader.read()


async def test_many_pods_start_at_the_same_time(cluster):
    probe = {"tcpSocket": {"port": 8080}}
    names = [f"many-{number}" for number in range(12)]
    await asyncio.gather(
        *(cluster.start(name, web(readinessProbe=probe), shell("sleep 1000", name="side")) for name in names)
    )
    pods = await asyncio.gather(*(cluster.ready(name) for name in names))
    assert len({pod["status"]["podIP"] for pod in pods}) == len(names)


def pauses(machine, ip):
    """Pause processes of the pod with this address: the first process of its pid namespace."""
    found = []
    for pid in machine.processes():
        try:
            addresses = Path(f"/proc/{pid}/net/fib_trie").read_text()
            words = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        spaces = next(line for line in words.splitlines() if line.startswith("NSpid:")).split()[1:]
        if ip in addresses.split() and spaces[-1] == "1" and len(spaces) > 2:
            found.append(pid)
    return found
