"""One command at a time starts, stops or deletes a mesh."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from plait.app.state import State, StateHomeError


def test_a_second_command_waits_and_sees_what_the_first_has_left(tmp_path: Path) -> None:
    state, seen = State("a", tmp_path / "a"), []

    def second() -> None:
        with state.alone():
            seen.append((state.root / "launcher.pid").exists())

    with state.alone():
        thread = threading.Thread(target=second)
        thread.start()
        assert not seen
        (state.root / "launcher.pid").touch()
    thread.join()
    assert seen == [True]


def test_whoever_waited_for_a_folder_that_is_deleted_gets_the_new_one(tmp_path: Path) -> None:
    state = State("a", tmp_path / "a")

    def second() -> None:
        with state.alone():
            (state.root / "kubeconfig").touch()

    with state.alone():
        thread = threading.Thread(target=second)
        thread.start()
        shutil.rmtree(state.root)
    thread.join()
    assert (state.root / "kubeconfig").exists()


def test_nothing_is_left_of_a_mesh_that_did_not_begin(tmp_path: Path) -> None:
    state = State("a", tmp_path / "a")
    with pytest.raises(ValueError, match="no"), state.alone():
        raise ValueError("no")
    assert not state.root.exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError), State("a", tmp_path / "file" / "a").alone():  # noqa: PT011
        pass


def test_a_place_that_changes_with_the_folder_one_is_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    with pytest.raises(StateHomeError, match="not an absolute path"):
        State.of("a")


def test_a_folder_too_deep_for_sockets_is_said_before_anything_is_made(tmp_path: Path) -> None:
    state = State("a", tmp_path / ("x" * 120))
    with pytest.raises(OSError, match="107 are possible"):
        state.make()
    assert list(tmp_path.iterdir()) == []


def test_only_a_launcher_of_this_mesh_counts_as_one(tmp_path: Path) -> None:
    state, other = State("a", tmp_path / "a"), State("b", tmp_path / "b")
    state.make()
    assert state.launcher_pid() is None
    state.pid_file.write_text("no number")
    assert state.launcher_pid() is None
    for program, counts in (
        (["plait.app.launcher", str(state.plan)], True),
        (["plait.app.launcher", str(other.plan)], False),
        (["something", str(state.plan)], False),
    ):
        command = ["sh", "-c", "echo here; read line", *program]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            state.pid_file.write_text(f"{process.pid}\n")
            assert state.launcher_pid() == (process.pid if counts else None)
            process.kill()
        assert state.launcher_pid() is None


def test_what_is_told_to_write_is_about_this_mesh_and_no_other(tmp_path: Path) -> None:
    assert State("default", tmp_path).command == "plait"
    assert State("two", tmp_path).command == "plait --name two"
