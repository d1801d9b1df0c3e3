"""A damaged key is said before a start, with the way back, which works."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from plait.app import pki
from plait.app.pki_examination import DamagedKeysError, examine

FILES = ("ca.crt", "ca.key", "server.crt", "server.key", "sa.key", "tokens.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pki"
    made.mkdir()
    pki.ensure(made, ["127.0.0.1"], ["localhost"])
    return made


def test_what_was_made_and_what_is_not_there_yet_is_fine(folder: Path, tmp_path: Path) -> None:
    examine(folder, "plait --name two")
    examine(tmp_path / "none", "plait")


#: What cannot be missing: it is made anew by itself.
ALWAYS = {"sa.key", "tokens.json"}


@pytest.mark.parametrize(
    ("name", "rubbish"),
    [
        (name, rubbish)
        for name in FILES
        for rubbish in (b"", b"\xae\x05\xff", b"[]", None)
        if rubbish is not None or name not in ALWAYS
    ],
)
def test_what_is_damaged_is_named_and_the_advice_mends_it(folder: Path, name: str, rubbish: bytes | None) -> None:
    if rubbish is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(rubbish)
    with pytest.raises(DamagedKeysError, match=name) as caught:
        examine(folder, "plait --name two")
    advice, _, then = str(caught.value).splitlines()[-1].partition(",")
    assert then.startswith(" and plait --name two up makes new ones")
    subprocess.run(shlex.split(advice), check=True)
    folder.mkdir(exist_ok=True)
    pki.ensure(folder, ["127.0.0.1"], ["localhost"])
    examine(folder, "plait --name two")


def test_a_certificate_of_another_key_is_found(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    pki.ensure(other, ["127.0.0.1"], ["localhost"])
    (other / "server.crt").replace(folder / "server.crt")
    with pytest.raises(DamagedKeysError, match="do not belong together"):
        examine(folder, "plait --name two")
