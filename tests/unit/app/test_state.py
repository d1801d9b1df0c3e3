"""One command at a time starts, stops or deletes a mesh."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from plait.app.state import State


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
