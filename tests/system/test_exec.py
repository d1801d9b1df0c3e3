"""Stepping into pods, Jobs and kinds of one's own, as a person with kubectl does them on a real mesh."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import BIN, until

BOX = """
apiVersion: v1
kind: Pod
metadata: {name: box}
spec:
  containers:
  - name: main
    image: busybox
    command: [sleep, infinity]
    env: [{name: WORD, value: "a b"}]
    securityContext: {runAsUser: 1000, runAsGroup: 1000}
  - {name: clock, image: busybox, command: [sh, -c, "while :; do echo tick; sleep 0.2; done"], workingDir: /tmp}
"""
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: parts}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: busybox, command: [sh, -c, "echo part $JOB_COMPLETION_INDEX"]}]
"""


@pytest.fixture(scope="module")
def box(mesh: Any) -> Any:
    """A mesh with the pod `box`, and a namespace whose pods get a sidecar."""
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("create", "namespace", "meshed")
    mesh.kubectl("label", "namespace", "meshed", "istio-injection=enabled")
    mesh.kubectl("apply", "-f", "-", given=BOX)
    mesh.kubectl("wait", "--for=condition=ready", "pod/box", "--timeout=180s")
    return mesh


def test_a_command_runs_as_the_container_does(box: Any, one_uid: bool) -> None:
    done = box.kubectl("exec", "box", "--", "sh", "-c", 'id -u; hostname; echo "$WORD"; echo bad >&2; exit 3', code=3)
    assert done.stdout == ("0" if one_uid else "1000") + "\nbox\na b\n"
    assert "bad\n" in done.stderr
    assert "command terminated with exit code 3" in done.stderr
    there = box.kubectl("exec", "-i", "box", "-c", "clock", "--", "sh", "-c", "cat; pwd", given="hello\n")
    assert there.stdout == "hello\n/tmp\n"
    seen = box.kubectl("exec", "box", "--", "sh", "-c", "cat /proc/[0-9]*/comm")
    assert "sleep" in seen.stdout
    assert "envoy" not in seen.stdout, "processes of other pods show"


def test_a_debugger_joins_a_pod_that_runs(box: Any) -> None:
    begun = box.kubectl("get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[*].containerID}").stdout
    debug = ("debug", "box", "--image=busybox", "--target=main", "--attach=false", "-c")
    box.kubectl(*debug, "looker", "--", "sh", "-c", "cat /proc/[0-9]*/comm; hostname; exec sleep infinity")
    until("the debugger's log", lambda: "box" in box.kubectl("logs", "box", "-c", "looker", code=None).stdout)
    assert "sleep" in box.kubectl("logs", "box", "-c", "looker").stdout
    assert box.kubectl("exec", "box", "-c", "looker", "--", "cat", "/proc/self/comm").stdout == "cat\n"
    box.kubectl(*debug, "brief", "--", "sh", "-c", "exit 5")
    where = "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='brief')].state.terminated.exitCode}"
    until("its end", lambda: box.kubectl("get", "pod", "box", "-o", where).stdout == "5")
    described = box.kubectl("describe", "pod", "box").stdout
    assert "Ephemeral Containers:" in described
    # What was there before has not noticed, and does not depend on it.
    now = box.kubectl("get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[*].containerID}").stdout
    assert now == begun
    assert box.kubectl("get", "pod", "box", "--no-headers").stdout.split()[1:4] == ["2/2", "Running", "0"]


def test_what_is_not_there_is_said(box: Any) -> None:
    done = box.kubectl("exec", "box", "--", "nosuch", code=1)
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr


def test_older_clients_speak_spdy(box: Any) -> None:
    done = subprocess.run(
        [str(BIN / "kubectl"), "exec", "-i", "box", "--", "cat"],
        input=b"through spdy",
        capture_output=True,
        env={**box.environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"},
        timeout=180,
        check=True,
    )
    assert done.stdout == b"through spdy"


def test_a_shell_on_a_terminal(box: Any, tmp_path: Path) -> None:
    command = f"stty rows 33 cols 99; exec {BIN / 'kubectl'} exec -it box -- sh"
    done = subprocess.run(
        ["script", "-qec", command, str(tmp_path / "typescript")],
        # kubectl tells the size once it is connected, so the shell may be there before it.
        input='until stty size | grep -q "33.99"; do sleep 0.1; done; tty; stty size; exit 4\n',
        capture_output=True,
        text=True,
        env={**box.environment, "SHELL": "/bin/sh"},
        timeout=180,
        check=False,
    )
    assert done.returncode == 4, done.stdout
    assert "/dev/pts/" in done.stdout
    assert "33 99" in done.stdout


def test_files_are_copied_both_ways(box: Any, tmp_path: Path, one_uid: bool) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(5_000_000))
    # Where there is one user only, files cannot be given to another.
    box.kubectl("cp", str(sent), "box:/tmp/there", f"--no-preserve={str(one_uid).lower()}")
    box.kubectl("cp", "box:/tmp/there", str(back))
    assert back.read_bytes() == sent.read_bytes()


def test_when_kubectl_is_killed_its_program_ends(box: Any) -> None:
    process = subprocess.Popen(
        [str(BIN / "kubectl"), "exec", "box", "--", "sh", "-c", "trap '' HUP; sleep 4321 & sleep 4322"],
        env=box.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def sleepers() -> str:
        looking = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2>/dev/null | grep '^sleep 432'"
        return box.kubectl("exec", "box", "-c", "clock", "--", "sh", "-c", looking, code=None).stdout

    until("the program runs", lambda: sleepers().count("sleep") == 2)
    process.kill()
    process.wait()
    until("the program has gone", lambda: not sleepers().strip())


def test_attach_shows_what_comes(box: Any) -> None:
    process = subprocess.Popen(
        [str(BIN / "kubectl"), "attach", "box", "-c", "clock"], env=box.environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "tick\n"
    finally:
        process.kill()
        process.communicate()


def test_what_is_piped_into_a_new_pod_is_its_input(box: Any) -> None:
    sent = os.urandom(3_000_000)
    done = subprocess.run(
        [str(BIN / "kubectl"), "run", "sum", "-iq", "--rm", "--image=busybox", "--restart=Never", "--", "sha256sum"],
        input=sent,
        capture_output=True,
        env=box.environment,
        timeout=180,
        check=True,
    )
    assert done.stdout.split()[0].decode() == hashlib.sha256(sent).hexdigest()


def test_a_pod_on_a_terminal_is_joined_again_after_the_node(box: Any, tmp_path: Path) -> None:
    """Init holds the terminal: neither the first user's leaving nor a restart of the node ends the shell on it."""

    def on_terminal(command: str, typed: str, *, code: int) -> str:
        done = subprocess.run(
            ["script", "-qec", f"stty rows 33 cols 99; exec {BIN / 'kubectl'} {command}", str(tmp_path / "typescript")],
            input=typed,
            capture_output=True,
            text=True,
            env={**box.environment, "SHELL": "/bin/sh"},
            timeout=180,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    shell = "run shell -it --image=busybox --restart=Never --rm -- sh -c"
    typed = "[ -t 0 ] && [ -t 1 ] && echo terminal $TERM; stty size; exit 4\n"
    said = on_terminal(f'{shell} \'while [ "$(stty size)" != "33 99" ]; do sleep 0.1; done; exec sh\'', typed, code=4)
    assert "terminal xterm" in said
    assert "33 99" in said

    command = ["sh", "-c", "read a; echo got $a; read b; echo then $b"]
    box.kubectl(
        "run", "held", "-i", "--image=busybox", "--restart=Never", "--attach=false", "--command", "--", *command
    )
    box.kubectl("wait", "--for=condition=ready", "pod/held", "--timeout=180s")
    node = next(process["pid"] for process in box.status()["processes"] if process["name"] == "node")
    os.kill(node, signal.SIGKILL)
    done = until("the node is back", lambda: attached(box, "held", b"one\ntwo\n"))
    assert done == b"got one\nthen two\n"


def attached(box: Any, pod: str, given: bytes) -> bytes:
    done = subprocess.run(
        [str(BIN / "kubectl"), "attach", "-iq", pod],
        input=given,
        capture_output=True,
        env=box.environment,
        timeout=180,
        check=False,
    )
    return done.stdout


def test_a_pod_is_ended_at_its_deadline(box: Any) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "late"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "busybox", "args": ["sleep", "100"]}],
        },
    }
    box.kubectl("apply", "-f", "-", given=json.dumps(pod))
    box.kubectl("wait", "--for=condition=Ready", "pod/late", "--timeout=180s")
    # Set only now: it counts from the start of the pod, and on a busy machine its container begins a second later.
    box.kubectl("patch", "pod", "late", "-p", '{"spec": {"activeDeadlineSeconds": 1}}')
    box.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/late", "--timeout=180s")
    status = box.get("pod", "late")["status"]
    assert status["reason"] == "DeadlineExceeded"
    assert "terminated" in status["containerStatuses"][0]["state"]


def test_jobs_complete_beside_a_sidecar_too(box: Any) -> None:
    box.kubectl("apply", "-f", "-", given=JOB)
    box.kubectl("create", "job", "meshed", "-n", "meshed", "--image=busybox", "--", "echo", "hello")
    box.kubectl("create", "job", "bad", "--image=busybox", "--", "sh", "-c", "exit 1")
    box.kubectl("patch", "job", "bad", "--type=merge", "-p", '{"spec":{"backoffLimit":0}}')
    box.kubectl("wait", "--for=condition=complete", "job/parts", "--timeout=180s")
    box.kubectl("wait", "--for=condition=complete", "job/meshed", "-n", "meshed", "--timeout=180s")
    box.kubectl("wait", "--for=condition=failed", "job/bad", "--timeout=180s")
    assert box.get("job", "parts")["status"]["completedIndexes"] == "0-2"
    logs = box.kubectl("logs", "-l", "job-name=parts", "--tail=-1").stdout.splitlines()
    assert sorted(logs) == ["part 0", "part 1", "part 2"]
    pods = box.get("pods", "-n", "meshed")["items"]
    assert [len(pod["spec"]["containers"]) for pod in pods] == [2]


def test_a_kind_of_ones_own(box: Any) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "boxes", "kind": "Box", "shortNames": ["bx"]}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    definition = {**head, "metadata": {"name": "boxes.example.com"}, "spec": spec}
    box.kubectl("apply", "-f", "-", given=json.dumps(definition))
    box.kubectl("wait", "--for=condition=established", "crd/boxes.example.com", "--timeout=180s")
    one = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 3}}
    box.kubectl("apply", "-f", "-", given=json.dumps(one))
    assert box.get("bx", "b")["spec"] == {"size": 3}
    one["spec"] = {"size": "large"}
    refused = box.kubectl("apply", "-f", "-", given=json.dumps(one), code=1)
    assert "spec.size" in refused.stderr
    box.kubectl("delete", "crd", "boxes.example.com")
    # What kubectl says depends on how fresh its memory of the API is.
    box.kubectl("get", "boxes", code=1)
    assert "boxes" not in box.kubectl("api-resources", "--api-group=example.com", "-o", "name").stdout
