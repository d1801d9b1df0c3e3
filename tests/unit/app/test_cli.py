"""The command line without a mesh: help, usage errors, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from plait.cli.context import seconds
from plait.cli.group import CommandGroup
from plait.cli.istioctl import main as istioctl
from plait.cli.main import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), prog_name="plait")

    return invoke


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", [path for path, _ in commands(main)], ids=" ".join)
def test_every_command_says_what_it_is_for(run, path: tuple[str, ...]) -> None:
    done = run(*path, "--help")
    assert done.exit_code == 0
    assert done.output.startswith("Usage: plait " + " ".join(path))
    text = done.output.split("\n\n")[1].strip()
    assert text.endswith((".", ":")), text


def test_the_top_help_has_examples(run) -> None:
    assert "plait up --demo sock-shop" in run("--help").output


def test_help_and_completion_wait_for_no_command() -> None:
    program = (
        "import sys; from click.shell_completion import BashComplete; from plait.cli.main import main\n"
        "main(['--help'], prog_name='plait', standalone_mode=False)\n"
        "found = BashComplete(main, {}, 'plait', 'X').get_completions([], 'proxy-')\n"
        "print('completes', *(item.value for item in found))\n"
        "print('imported', sorted(name for name in sys.modules if name in {'aiohttp', 'plait.cli.objects'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["completes proxy-status proxy-config", "imported []"]
    assert max(map(len, lines)) <= 80
    assert not any(line.startswith(" " * 16) for line in lines), "each command has one line"


def test_status_without_a_mesh_is_3_and_still_json(run) -> None:
    done = run("status", "-o", "json")
    assert done.exit_code == 3
    assert json.loads(done.stdout) == {
        "name": "default",
        "ready": False,
        "urls": {},
        "ports": {},
        "processes": [],
        "proxies": {"total": 0, "synced": 0},
    }


@pytest.mark.parametrize("arguments", [("kubeconfig", "--path"), ("proxy-status",), ("proxy-config", "route", "a.b")])
def test_what_needs_a_mesh_says_how_to_get_one(run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 3
    assert "plait up" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "Not A Name", "status"),
        ("up", "--port", "http=99999"),
        ("up", "--port", "nonsense=1"),
        ("up", "--demo", "none"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_2(run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Usage: plait" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("upp",), "no command 'upp'; did you mean 'up'?"),
        (("proxy",), "no command 'proxy'; did you mean 'proxy-config' or 'proxy-status'?"),
        (("proxy-config", "rout", "a"), "no command 'rout'; did you mean 'route'?"),
        (("image", "zzz"), "no command 'zzz'; there are add, list, remove"),
        (("validate",), "say what to check: -f FILE, -f DIR or -f -"),
    ],
)
def test_wrong_usage_says_what_to_write(run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_short_names_of_istios_tool_are_known(run) -> None:
    assert run("ps", "--help").output == run("proxy-status", "--help").output.replace("proxy-status ", "ps ", 1)
    assert "Usage: plait pc" in run("pc", "--help").output


def test_ctrl_c_is_130_in_every_command() -> None:
    @click.command()
    def wait() -> None:
        raise KeyboardInterrupt

    group = CommandGroup(commands={"wait": wait})
    done = CliRunner().invoke(group, ["wait"])
    assert (done.exit_code, done.output) == (130, "plait: interrupted\n")


def test_ctrl_c_among_the_imports_is_130_too() -> None:
    program = (
        "import builtins\n"
        "from plait.cli import entry\n"
        "import_ = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'plait.cli.main': raise KeyboardInterrupt\n"
        "    return import_(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "entry.plait()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_kubeconfig_that_cannot_be_read_is_said(run, tmp_path: Path) -> None:
    done = run("--kubeconfig", str(tmp_path / "none"), "proxy-status")
    assert done.stderr == f"plait: the kubeconfig {tmp_path / 'none'} cannot be read: No such file or directory\n"


def test_nothing_is_ticked_off_that_could_not_be_read(run, tmp_path: Path) -> None:
    done = run("analyze", "--files-only", "-f", str(tmp_path / "none.yaml"))
    assert done.exit_code == 1
    assert done.stdout == "nothing found in what could be read\n"


def test_down_without_a_mesh_is_fine(run) -> None:
    done = run("down")
    assert done.exit_code == 0
    assert "not running" in done.stderr


def test_images_are_added_listed_and_removed(run) -> None:
    added = run("image", "add", "me/app:*", "--env", "A=b", "--package", "redis-server", "--", "python", "-m", "app")
    assert added.output == "me/app:* -> python -m app\n"
    listed = run("image", "list").output
    assert "me/app:*" in listed
    assert "plait/pilot:*" in listed
    assert run("image", "remove", "me/app:*").exit_code == 0
    again = run("image", "remove", "me/app:*")
    assert again.exit_code == 1
    assert "plait image list" in again.stderr


def test_completion_is_printed(run) -> None:
    assert "_PLAIT_COMPLETE" in run("completion", "bash").output


def test_a_state_folder_that_cannot_be_made_is_said(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    done = run("up", "--ports", "auto")
    assert done.exit_code == 1
    assert "cannot be used" in done.output
    assert "XDG_STATE_HOME" in done.output


def test_a_folder_that_cannot_be_made_is_named_once(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plait").mkdir()
    (tmp_path / "plait" / "default").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = run("up", "--ports", "auto")
    assert done.exit_code == 1
    assert done.output.count(str(tmp_path)) == 1, done.output
    assert "Errno" not in done.output


@pytest.mark.parametrize(("text", "wanted"), [("3", 3), ("0.5", 0.5), ("3s", 3), ("1m30s", 90)])
def test_seconds_are_written_as_a_number_or_as_for_kubectl(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "soon", "-1", "-1s", "nan", "inf", "3 s"])
def test_other_seconds_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write seconds"):
        seconds(text)


@pytest.mark.parametrize("arguments", [("--help",), ("image", "list")])
def test_output_that_cannot_be_written_is_said_in_a_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "plait.cli.main", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "plait: No space left on device\n")


def test_a_workload_group_is_written_from_words(run) -> None:
    words = ("--name", "ledger", "-n", "shop", "-l", "app=ledger,tier=back", "--ports", "http=5400", "-p", "tcp=5401")
    done = run("workload", "group", "create", *words, "--annotations", "a=b", "--serviceAccount", "robot")
    assert yaml.safe_load(done.output) == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "ledger", "namespace": "shop"},
        "spec": {
            "metadata": {"labels": {"app": "ledger", "tier": "back"}, "annotations": {"a": "b"}},
            "template": {"ports": {"http": 5400, "tcp": 5401}, "serviceAccount": "robot"},
        },
    }
    same = CliRunner().invoke(istioctl, ["x", "workload", "group", "create", *words], prog_name="istioctl")
    assert same.exit_code == 0, same.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ports", "http=0"), "http=0: a port is a number from 1 to 65535"),
        (("--ports", "http"), "'http' is not NAME=VALUE"),
        (("--labels", "a=b c"), "spec.metadata.labels"),
    ],
)
def test_a_workload_group_that_would_be_refused_is_not_written(run, words: tuple[str, ...], said: str) -> None:
    done = run("workload", "group", "create", "--name", "ledger", "-n", "shop", *words)
    assert done.exit_code != 0
    assert said in done.output
    assert "kind: WorkloadGroup" not in done.output


def test_files_of_a_program_need_a_group_and_one_address(run, tmp_path: Path) -> None:
    out = ("-o", str(tmp_path / "out"))
    assert "say a file with a WorkloadGroup" in run("workload", "entry", "configure", *out).output
    both = ("--internalIP", "10.0.0.1", "--externalIP", "10.0.0.2")
    assert "exclude each other" in run("workload", "entry", "configure", "-f", "x", *both, *out).output


def test_what_a_terminal_cannot_show_is_written_as_a_number(tmp_path: Path) -> None:
    file = tmp_path / "ä.yaml"
    file.write_text("kind: [", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "plait.cli.main", "validate", "-f", str(file)],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii", "XDG_STATE_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    assert b"\\xe4.yaml:" in done.stdout
    assert b"Traceback" not in done.stderr
