"""What the launcher's log ends with."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from plait.app.launcher import last_words, put_away


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0, ""),
        (-signal.SIGTERM, ""),
        (-signal.SIGKILL, "was ended by signal 9"),
        (1, "was killed, or failed as told above"),
    ],
)
def test_the_end_of_init_is_told_unless_it_was_asked_for(code: int, how: str) -> None:
    said = last_words(code, "plait --name two")
    assert bool(said) is bool(how)
    assert how in said
    assert not how or "; plait --name two up starts the mesh again" in said


@pytest.mark.parametrize("left", [b"", b"written and not folded in"])
def test_side_files_of_the_store_go_when_nothing_is_in_them(tmp_path: Path, left: bytes) -> None:
    store, log, index = (tmp_path / f"store.db{suffix}" for suffix in ("", "-wal", "-shm"))
    for file, content in ((store, b"objects"), (log, left), (index, b"index")):
        file.write_bytes(content)
    put_away(store)
    assert {file.name for file in tmp_path.iterdir()} == ({store.name, log.name, index.name} if left else {store.name})
    put_away(tmp_path / "none.db")
