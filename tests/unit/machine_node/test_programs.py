import os
import subprocess

import pytest

from plait.machine.node.programs import script, write_programs
from plait.machine.node.roots import Root


@pytest.fixture
def root(tmp_path):
    """A container's writes over a host that has one program."""
    upper, host = tmp_path / "upper0", tmp_path / "host"
    for folder in (upper, host / "usr" / "bin"):
        folder.mkdir(parents=True)
    (host / "usr" / "bin" / "tool").write_text("the host's")
    (host / "bin").symlink_to("usr/bin")
    return Root(folder=tmp_path, sections=(("/", (upper, host)),))


def test_programs_lie_over_the_hosts_files_and_run_with_their_arguments(root, tmp_path) -> None:
    programs = {"/usr/local/bin/app": ("echo", "it's", "a b"), "/bin/tool": ("python", "-c", "print('own')")}
    write_programs(root, programs, python="/opt/py")
    app = tmp_path / "upper0" / "usr" / "local" / "bin" / "app"
    assert subprocess.run([app, "$HOME", "c  d"], capture_output=True, text=True, check=True).stdout == (
        "it's a b $HOME c  d\n"
    )
    own = tmp_path / "upper0" / "usr" / "bin" / "tool"
    assert os.access(own, os.X_OK)
    assert own.read_text().splitlines()[1].startswith("exec /opt/py -c ")
    assert (tmp_path / "host" / "usr" / "bin" / "tool").read_text() == "the host's"


def test_only_the_first_word_is_the_interpreter() -> None:
    assert script(["python3", "python"], python="/p") == '#!/bin/sh\nexec /p python "$@"\n'
    assert script(["/usr/bin/python", "x"], python="/p") == '#!/bin/sh\nexec /usr/bin/python x "$@"\n'
