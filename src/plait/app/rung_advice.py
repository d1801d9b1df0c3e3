"""What to say about the rung a mesh stands on, and how to get onto a better one."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from plait.app.findings import Finding
from plait.app.rungs import Rung
from plait.machine.settings import RungName

_MEANING: Final[dict[RungName, str]] = {
    "root": "as root",
    "user-namespace": "as root without CAP_SYS_ADMIN, in a user namespace",
    "subuid": "as an ordinary user with subordinate ids, in a user namespace",
    "one-uid": "as one uid, in a user namespace",
}
#: Switches that forbid user namespaces: file, the value that does, and the line that turns it.
_SWITCHES: Final = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
_CONTAINER: Final = (
    "give the container what namespaces need: --cap-add SYS_ADMIN,NET_ADMIN --security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined"
)


def findings(rung: Rung | None, refused: Mapping[RungName, str]) -> tuple[Finding, ...]:
    """One about namespaces, and one about uids where there could be more of them."""
    if rung is None:
        name, problem = list(refused.items())[-1]
        tried = f"cannot be made {_MEANING[name]}: {problem}"
        return (Finding("namespaces", tried, _way_in(problem)),)
    found = [Finding("namespaces", None, "", found=_MEANING[rung.name])]
    if rung.one_uid:
        better, why = next(iter(refused.items()), ("subuid", "not tried"))
        text = f"{_MEANING[better]} it does not work ({why}); containers cannot be told apart by uid"
        found.append(Finding("uids", text, _more_uids(why), required=False))
    return tuple(found)


def _way_in(problem: str) -> str:
    if "/proc" in problem:
        return "show the container the whole of /proc: --security-opt systempaths=unconfined"
    for place, shut, line in _SWITCHES:
        try:
            value = Path("/proc/sys", place).read_text().strip()
        except OSError:
            continue  # this kernel has no such switch
        if value == shut:
            return f"allow user namespaces, as root: {line}"
    return _CONTAINER if os.geteuid() == 0 else "run as root: sudo .venv/bin/plait up"


def _more_uids(why: str) -> str:
    if "is missing" in why:
        return "as root: apt-get install -y uidmap"
    if os.geteuid() == 0:
        return _CONTAINER
    if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        return "start plait without no_new_privs (systemd: NoNewPrivileges=no): newuidmap cannot work under it"
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # newuidmap does nothing for a uid without a name, nor does usermod know it
        return f"as root, give the uid a name, and with it subordinate ids: useradd --no-create-home --uid {uid} plait"
    return f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
