"""As whom a container runs and what it may do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

#: What a container may do unless it says otherwise: what container runtimes give, without raw sockets (they permit
#: SO_MARK and spoofing) and device nodes (they would open the host's disks).
DEFAULT_CAPABILITIES = frozenset(
    {
        "audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service",
        "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
    }
)  # fmt: skip
#: What no container gets on this machine, whatever it asks for: each would let it out of its pod or round its sidecar.
WITHHELD = frozenset(
    {
        "bpf", "dac_read_search", "mac_admin", "mac_override", "mknod", "net_admin", "net_raw", "perfmon",
        "sys_admin", "sys_boot", "sys_module", "sys_ptrace", "sys_rawio", "sys_time", "syslog",
    }
)  # fmt: skip
_KNOWN = DEFAULT_CAPABILITIES | WITHHELD | {
    "audit_control", "audit_read", "block_suspend", "checkpoint_restore", "ipc_lock", "ipc_owner", "lease",
    "linux_immutable", "net_broadcast", "sys_nice", "sys_pacct", "sys_resource", "sys_tty_config", "wake_alarm",
}  # fmt: skip


class SecurityError(ValueError):
    """The pod's wishes contradict each other; the text is the kubelet's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The user, groups and capabilities of a container. `withheld` is what it asked for and does not get."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    fs_group: int | None = None
    capabilities: frozenset[str] = DEFAULT_CAPABILITIES
    no_new_privileges: bool = False
    read_only_root: bool = False
    withheld: tuple[str, ...] = ()
    #: The node has no other uid than 0, and so this is not changed.
    one_uid: bool = False

    def setpriv(self) -> tuple[str, ...]:
        """Words for setpriv that make a process so, and let it die with the one that started it."""
        words = []
        if not self.one_uid:
            words = ["--reuid", str(self.uid), "--regid", str(self.gid)]
            words += ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        words += ["--inh-caps=-all", "--bounding-set=" + ",".join(("-all", *(f"+{c}" for c in self._sorted())))]
        if self.no_new_privileges:
            words.append("--no-new-privs")
        # A change of uid clears it, so setpriv sets it last.
        return (*words, "--pdeathsig", "KILL")

    def _sorted(self) -> list[str]:
        return sorted(self.capabilities)


def identity(pod: Mapping[str, Any], container: Mapping[str, Any], *, image_user: int) -> Identity:
    """Who a container is: its own securityContext, then the pod's, then the image's user.

    Raises SecurityError where `runAsNonRoot` meets uid 0.
    """
    of_pod = (pod.get("spec") or {}).get("securityContext") or {}
    own = container.get("securityContext") or {}

    def chosen(name: str) -> Any:
        value = own.get(name)
        return of_pod.get(name) if value is None else value

    uid = image_user if chosen("runAsUser") is None else int(chosen("runAsUser"))
    # As with a container runtime, a bare runAsUser runs with the root group; the image's user brings its own.
    gid = (image_user if chosen("runAsUser") is None else 0) if chosen("runAsGroup") is None else chosen("runAsGroup")
    if chosen("runAsNonRoot") and uid == 0:
        if chosen("runAsUser") is None:
            raise SecurityError("container has runAsNonRoot and image will run as root")
        raise SecurityError("container's runAsUser breaks non-root policy")
    fs_group = of_pod.get("fsGroup")
    groups = {int(g) for g in of_pod.get("supplementalGroups") or ()} | ({int(fs_group)} if fs_group else set())
    granted, withheld = _capabilities(own.get("capabilities") or {})
    if own.get("privileged"):
        withheld = ("privileged", *withheld)
    return Identity(
        uid=uid,
        gid=int(gid),
        groups=tuple(sorted(groups)),
        fs_group=int(fs_group) if fs_group else None,
        capabilities=granted,
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        withheld=withheld,
    )


def on_one_uid(who: Identity, *, marks: bool) -> Identity:
    """The identity on a node whose only uid is 0: as close as it gets to what was asked for.

    A user other than root keeps no capability, root keeps its own. `marks` says that it is a sidecar, which marks its
    connections so that they are not captured: that takes CAP_NET_ADMIN, and whoever has none can neither mark nor
    trace the sidecar.
    """
    capabilities = who.capabilities if who.uid == 0 else frozenset()
    return replace(
        who,
        uid=0,
        gid=0,
        groups=(),
        fs_group=None,
        capabilities=frozenset({"net_admin"}) if marks else capabilities,
        no_new_privileges=True,
        one_uid=True,
    )


def _capabilities(wanted: Mapping[str, Any]) -> tuple[frozenset[str], tuple[str, ...]]:
    drop = {_name(word) for word in wanted.get("drop") or ()}
    add = {_name(word) for word in wanted.get("add") or ()}
    kept = frozenset() if "all" in drop else DEFAULT_CAPABILITIES - drop
    if "all" in add:
        return _KNOWN - WITHHELD, ("ALL",)
    refused = tuple(sorted(word.upper() for word in add if word in WITHHELD or word not in _KNOWN))
    return kept | (add & _KNOWN - WITHHELD), refused


def _name(word: str) -> str:
    return word.lower().removeprefix("cap_")
