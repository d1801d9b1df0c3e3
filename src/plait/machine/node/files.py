"""The files that tell a pod who it is: hosts, hostname, resolv.conf."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOMAIN = "cluster.local"


def write_pod_files(folder: Path, pod: Mapping[str, Any], *, ip: str, hostname: str, nameserver: str) -> None:
    """Write them in place: containers see the files by bind mounts, which follow the inode, not the name."""
    _in_place(folder / "hosts", hosts(pod, ip=ip, hostname=hostname))
    _in_place(folder / "hostname", hostname + "\n")
    _in_place(folder / "resolv.conf", resolv_conf(pod, nameserver=nameserver))
    memory = folder / "shm"
    memory.mkdir(exist_ok=True)
    memory.chmod(0o1777)


def hosts(pod: Mapping[str, Any], *, ip: str, hostname: str) -> str:
    """/etc/hosts: localhost, the pod itself, and its hostAliases."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    names = [hostname]
    if spec.get("subdomain"):
        names.insert(0, f"{hostname}.{spec['subdomain']}.{namespace}.svc.{DOMAIN}")
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", f"{ip}\t" + "\t".join(names)]
    lines += [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) for alias in spec.get("hostAliases") or ()]
    return "# Managed by plait.\n" + "\n".join(lines) + "\n"


def resolv_conf(pod: Mapping[str, Any], *, nameserver: str) -> str:
    """/etc/resolv.conf by the pod's dnsPolicy and dnsConfig; `Default` and `ClusterFirst` are the same here."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    config = spec.get("dnsConfig") or {}
    servers, search, options = [nameserver], [f"{namespace}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN], {"ndots": "5"}
    if spec.get("dnsPolicy") == "None":
        servers, search, options = [], [], {}
    servers += [server for server in config.get("nameservers") or () if server not in servers]
    search += [domain for domain in config.get("searches") or () if domain not in search]
    options |= {option["name"]: option.get("value") for option in config.get("options") or ()}
    lines = [f"nameserver {server}" for server in servers[:3]]
    if search:
        lines.append("search " + " ".join(search))
    if options:
        words = (f"{name}:{value}" if value is not None else name for name, value in options.items())
        lines.append("options " + " ".join(words))
    return "\n".join(lines) + "\n"


def _in_place(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
    path.chmod(0o644)
