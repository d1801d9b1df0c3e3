"""A container's file system as its process sees it, made by the real start script."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from plait.machine.node.fstab import fstab, overlay_mounts, place_mounts
from plait.machine.node.roots import make_base, make_root, python_folders
from plait.machine.node.script import FAILED, start_script
from plait.machine.node.security import Identity
from plait.machine.settings import TOOLS

pytestmark = pytest.mark.system


@pytest.fixture
def memory():
    """A folder on a tmpfs, as the node has it: an overlay's upper layer may not lie within a lower one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def run(memory, as_root):
    """Run a command in a container of its own; returns what subprocess.run does."""
    count = iter(range(100))

    def run(*argv, layers=(), visible=(), uid=0, read_only=False, workdir="/", env=None):
        folder, links = memory / f"container{next(count)}", memory / "links"
        links.mkdir(exist_ok=True)
        python = Path(sys.executable)
        base = make_base(memory / "base", python=python, visible=[*python_folders(python), *visible])
        root = make_root(folder, base, layers, links)
        mounts = place_mounts(root, base.mounts)
        (folder / "fstab").write_text(fstab(root, [*overlay_mounts(root, read_only=read_only), *mounts]))
        who = Identity(uid=uid, gid=uid)
        text = start_script(folder, argv=argv, env=env or {"PATH": TOOLS}, workdir=workdir, setpriv=who.setpriv())
        (folder / "start.sh").write_text(text)
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", str(folder / "start.sh")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        done.problem = (folder / "start.err").read_text()
        return done

    return run


@pytest.fixture
def layers(tmp_path):
    """Two image layers, topmost first."""
    top, bottom = tmp_path / "layer-top", tmp_path / "layer-bottom"
    for layer, text in ((top, "top"), (bottom, "bottom")):
        (layer / "usr" / "share" / "greeting").mkdir(parents=True)
        (layer / "usr" / "share" / "greeting" / text).write_text(text)
        (layer / "usr" / "share" / "greeting" / "both").write_text(text)
    return [top, bottom]


def test_layers_lie_over_the_host_in_order(run, layers):
    done = run("sh", "-c", "cd /usr/share/greeting; cat both top bottom; ls /usr/bin | head -1", layers=layers)
    assert done.stdout.startswith("toptopbottom"), done.problem
    assert not list(layers[0].glob("usr/bin"))


def test_python_runs_as_any_user_wherever_it_is_installed(run):
    done = run("python", "-c", "import plait, os; print(os.getuid(), plait.__file__)", uid=10001)
    assert done.stdout.startswith("10001 /"), (done.stderr, done.problem)


def test_what_is_visible_shows_below_closed_folders_and_nothing_else_does(run, tmp_path):
    closed = tmp_path / "closed"
    (closed / "shown").mkdir(parents=True)
    (closed / "shown" / "file").write_text("seen")
    (closed / "secret").write_text("hidden")
    closed.chmod(0o700)
    done = run(
        "sh", "-c", f"cat {closed}/shown/file; ls {closed}; touch {closed}/shown/x", visible=[closed / "shown"], uid=7
    )
    assert done.stdout == "seenshown\n", (done.stderr, done.problem)
    assert "Read-only file system" in done.stderr


def test_writes_stay_in_the_container(run):
    assert (
        run("sh", "-c", "echo x > /usr/bin/x-of-a-test && rm -rf /usr/share/doc && ls /usr/bin/x-of-a-test").returncode
        == 0
    )
    assert not Path("/usr/bin/x-of-a-test").exists()
    assert run("ls", "/usr/bin/x-of-a-test").returncode == 2


def test_a_read_only_root(run):
    done = run("sh", "-c", "touch /usr/x || touch /tmp/x || touch /x", read_only=True)
    assert done.stderr.count("Read-only file system") == 3


def test_a_working_directory_is_made(run):
    assert run("pwd", workdir="/srv/new/place").stdout == "/srv/new/place\n"


def test_a_program_is_found_on_the_containers_own_path(run):
    assert run("sh", "-c", "echo $PATH", env={"PATH": "/bin:/nowhere"}).stdout == "/bin:/nowhere\n"
    done = run("sh", env={"PATH": "/nowhere"})
    assert done.returncode == FAILED
    assert done.problem == 'exec: "sh": executable file not found in $PATH\n'


def test_what_of_the_host_is_private_is_not_there(run):
    done = run("sh", "-c", "ls /etc/shadow /etc/sudoers /var/lib/dpkg /root /home/* /tmp/* /sys/kernel/debug/*")
    assert "/etc/shadow" not in done.stdout
    assert "dpkg" not in done.stdout
