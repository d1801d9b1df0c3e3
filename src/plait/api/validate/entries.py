"""What Istio demands of ServiceEntry, WorkloadEntry and WorkloadGroup beyond their shape."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from plait.api.names import is_hostname, is_ip, is_subnet
from plait.api.serviceentry import EntryPort, ServiceEntry, ServiceEntrySpec
from plait.api.validate.findings import UNIX, Findings
from plait.api.validate.selection import is_label_name, validate_labels, validate_selector
from plait.api.workloadentry import ReadinessProbe, WorkloadEntry, WorkloadEntrySpec, WorkloadGroup

_DATABASES: Final = ("MONGO", "REDIS", "MYSQL")
#: Whose calls tell the proxy a name that it can look up.
_ASKED_FOR: Final = ("HTTP", "HTTP2", "GRPC", "TLS")
_WAYPOINT: Final = "istio.io/use-waypoint"


def validate_serviceentry(entry: ServiceEntry, findings: Findings) -> None:
    """Add what is wrong with `entry` to `findings`."""
    spec = entry.spec
    findings.export_to("spec.exportTo", spec.export_to, none=True)
    if spec.workload_selector is not None:
        validate_selector("spec.workloadSelector.labels", spec.workload_selector.labels, findings)
        if spec.endpoints:
            findings.error("spec", "workloadSelector and endpoints exclude each other", fix="one of them")
        if spec.resolution == "NONE":
            findings.warn(
                "spec.workloadSelector",
                "with resolution NONE only gateways call what it selects",
                fix="resolution STATIC or DNS",
            )
    _hosts(spec, findings)
    for index, address in enumerate(spec.addresses):
        if not is_subnet(address):
            findings.error(
                f"spec.addresses[{index}]", f"{address!r} is not an address or range", fix="10.0.0.0/8", value=address
            )
        elif "/" in address and spec.resolution not in {"NONE", "STATIC"}:
            findings.error(
                f"spec.addresses[{index}]",
                f"a range of addresses cannot be resolved by {spec.resolution}",
                fix="resolution NONE or STATIC, or single addresses",
                value=address,
            )
    _ports(entry, findings)
    _many_hosts(spec, findings)
    _resolution(spec, findings)
    waypoint = entry.metadata.labels.get(_WAYPOINT, "")
    if spec.resolution == "DYNAMIC_DNS" and spec.location == "MESH_INTERNAL" and waypoint.lower() not in {"", "none"}:
        findings.error(
            "spec.location", "a waypoint resolves names of outside the mesh only", fix="MESH_EXTERNAL, or no label "
            f"{_WAYPOINT}", value=spec.location,
        )  # fmt: skip


def _hosts(spec: ServiceEntrySpec, findings: Findings) -> None:
    if not spec.hosts:
        findings.error("spec.hosts", "a host is missing", fix="for example [api.example.com]")
    for index, host in enumerate(spec.hosts):
        path = f"spec.hosts[{index}]"
        if host == "*":
            findings.error(path, "'*' is too much for a host", fix="a name, or *.domain", value=host)
            continue
        findings.host(path, host, wildcard=True)
        if host.startswith("*") and not host.startswith("*."):
            findings.warn(
                path, f"{host!r} holds for HTTP only: connections of TLS are told by whole labels", fix="*.domain",
                value=host,
            )  # fmt: skip


def _ports(entry: ServiceEntry, findings: Findings) -> None:
    spec = entry.spec
    names: set[str] = set()
    numbers: set[int] = set()
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        if port.name in names:
            findings.error(f"{path}.name", f"a second port {port.name!r}", fix="a name of its own", value=port.name)
        if port.number in numbers:
            findings.error(f"{path}.number", f"a second port {port.number}", fix="another number", value=port.number)
        names.add(port.name)
        numbers.add(port.number)
        findings.port_name(f"{path}.name", port.name)
        findings.protocol(f"{path}.protocol", port.protocol, empty=True)
        findings.port(f"{path}.number", port.number)
        if port.target_port:
            findings.port(f"{path}.targetPort", port.target_port)
            if spec.resolution == "NONE":
                findings.warn(
                    f"{path}.targetPort", "takes the place of the port that the caller chose, of whatever address",
                    fix="resolution STATIC or DNS, if it is meant for endpoints", value=port.target_port,
                )  # fmt: skip
        if not spec.addresses and not _allocates(entry) and _needs_address(port):
            findings.warn(
                f"{path}.protocol",
                f"port {port.number} speaks {port.protocol or 'nothing that is known'}, so connections can be told by "
                "their address only, and there is none",
                fix="addresses, or protocol HTTP or TLS",
            )


def _many_hosts(spec: ServiceEntrySpec, findings: Findings) -> None:
    """Istio: a connection of plain TCP does not tell which of several hosts it is for."""
    plain = [port.protocol or "nothing that is known" for port in spec.ports if not _tells_host(port.protocol)]
    if len(spec.hosts) > 1 and spec.resolution != "NONE" and plain:
        findings.error(
            "spec.hosts", f"of {len(spec.hosts)} hosts none can be told by a port that speaks {plain[0]}",
            fix="a ServiceEntry for each host",
        )  # fmt: skip
    by_address = [port.protocol for port in spec.ports if port.protocol.upper() in {"TCP", "TLS", "HTTPS", *_DATABASES}]
    if len(spec.hosts) > 1 and spec.resolution.startswith("DNS") and spec.addresses and by_address:
        findings.warn(
            "spec.hosts", f"{len(spec.hosts)} hosts share the addresses of a port that speaks {by_address[0]}",
            fix="a ServiceEntry for each host",
        )  # fmt: skip


def _tells_host(protocol: str) -> bool:
    return protocol.upper() in {"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", "HTTPS", "TLS"}


def _allocates(entry: ServiceEntry) -> bool:
    """Istio: an entry without addresses is given some, unless nothing is resolved, or its label says not to."""
    if entry.metadata.labels.get("networking.istio.io/enable-autoallocate-ip", "true").lower() == "false":
        return False
    return entry.spec.resolution != "NONE" and not any(host.startswith("*") for host in entry.spec.hosts)


def _needs_address(port: EntryPort) -> bool:
    return port.protocol.upper() in {"", "TCP", *_DATABASES}


def _resolution(spec: ServiceEntrySpec, findings: Findings) -> None:
    names = {port.name for port in spec.ports}
    resolution = spec.resolution
    if spec.endpoints and resolution in {"NONE", "DYNAMIC_DNS"}:
        findings.error("spec.endpoints", f"resolution {resolution} has no endpoints", fix="STATIC or DNS")
    if resolution == "DYNAMIC_DNS":
        _asked_for(spec, findings)
    if resolution in {"DNS", "DNS_ROUND_ROBIN"} and not spec.endpoints:
        for index, host in enumerate(spec.hosts):
            if host != "*" and not is_hostname(host):
                findings.error(
                    f"spec.hosts[{index}]",
                    f"{host!r} cannot be resolved, and there are no endpoints",
                    fix="a name without wildcard, endpoints, or resolution DYNAMIC_DNS or NONE",
                    value=host,
                )
    if resolution == "DNS_ROUND_ROBIN" and len(spec.endpoints) > 1:
        findings.error("spec.endpoints", "DNS_ROUND_ROBIN has one endpoint at most", fix="resolution DNS")
    sockets = 0
    for index, endpoint in enumerate(spec.endpoints):
        path = f"spec.endpoints[{index}]"
        sockets += endpoint.address.startswith(UNIX)
        if resolution in {"DNS", "DNS_ROUND_ROBIN"}:
            if endpoint.address.startswith(UNIX):
                findings.error(f"{path}.address", "a unix socket has no name to resolve", fix="resolution STATIC")
            elif not endpoint.address and endpoint.network:
                findings.error(f"{path}.address", "there is no name to resolve", fix="an address, or resolution STATIC")
        validate_workload(path, endpoint, findings, ports=names, names=resolution != "STATIC")
    if sockets and len(spec.ports) != 1:
        findings.error("spec.ports", "an endpoint that is a socket serves one port", fix="exactly one port")


def _asked_for(spec: ServiceEntrySpec, findings: Findings) -> None:
    """Istio: resolved is the name that a call asks for, so a host stands for many, and a port tells the name."""
    if spec.addresses:
        findings.error("spec.addresses", "resolution DYNAMIC_DNS has no addresses", fix="STATIC or DNS")
    for index, host in enumerate(spec.hosts):
        if host and not host.startswith("*"):
            findings.error(
                f"spec.hosts[{index}]", f"with DYNAMIC_DNS {host!r} is not looked up, but what calls ask for",
                fix="*.domain, or resolution DNS", value=host,
            )  # fmt: skip
    for index, port in enumerate(spec.ports):
        if port.protocol.upper() not in _ASKED_FOR:
            findings.error(
                f"spec.ports[{index}].protocol", f"{port.protocol or 'no protocol'!r} does not tell what name is asked "
                "for", fix=", ".join(_ASKED_FOR), value=port.protocol,
            )  # fmt: skip


def validate_workloadentry(entry: WorkloadEntry, findings: Findings) -> None:
    """Add what is wrong with `entry` to `findings`."""
    validate_workload("spec", entry.spec, findings)


def validate_workload(
    path: str,
    workload: WorkloadEntrySpec,
    findings: Findings,
    *,
    ports: Collection[str] | None = None,
    names: bool = True,
    template: bool = False,
) -> None:
    """One endpoint. `ports` are the service's, `names` says that DNS names may stand for addresses."""
    address = workload.address
    if not address:
        if not workload.network and not template:
            findings.error(f"{path}.address", "an address is missing", fix="an IP address, a DNS name or unix:///path")
        elif workload.network and not template:
            findings.warn(
                f"{path}.address", f"without one it is reached by the gateways of network {workload.network!r}",
                fix="an address, unless that is meant",
            )  # fmt: skip
    elif address.startswith(UNIX):
        findings.socket(f"{path}.address", address)
        if workload.ports:
            findings.error(f"{path}.ports", "a unix socket has no ports", fix="remove them")
    elif not is_ip(address) and not (names and is_hostname(address)):
        kind = "an IP address or DNS name" if names else "an IP address"
        findings.error(f"{path}.address", f"{address!r} is not {kind}", fix="for example 10.0.0.1", value=address)
    for name, number in workload.ports.items():
        where = f"{path}.ports[{name}]"
        if ports is not None and name not in ports:
            findings.error(where, f"the service has no port {name!r}", fix=f"one of {', '.join(sorted(ports))}")
        findings.port_name(where, name)
        findings.port(where, number)
    findings.integer(f"{path}.weight", workload.weight, low=0, high=2**32 - 1)
    validate_labels(f"{path}.labels", workload.labels, findings)


def validate_workloadgroup(group: WorkloadGroup, findings: Findings) -> None:
    """Add what is wrong with `group` to `findings`."""
    if group.spec.template is None:
        findings.error("spec.template", "a template is missing", fix="template: {serviceAccount: NAME}")
    else:
        _template(group.spec.template, findings)
        account = group.spec.template.service_account
        if account and not (is_hostname(account) and account == account.lower()):
            findings.warn(
                "spec.template.serviceAccount", f"{account!r} is not the name of a service account: no program joins",
                fix="its name", value=account,
            )  # fmt: skip
    validate_labels("spec.metadata.labels", group.spec.metadata.labels, findings)
    for name in group.spec.metadata.annotations:
        if not is_label_name(name):
            findings.warn(
                f"spec.metadata.annotations[{name}]", f"{name!r} is not the name of an annotation: no program joins",
                fix="letters, digits, - _ .", value=name,
            )  # fmt: skip
    if group.spec.probe is not None:
        _probe("spec.probe", group.spec.probe, findings)


def _template(template: WorkloadEntrySpec, findings: Findings) -> None:
    """Istio takes any: what an entry could not be is told, since no program joins then."""
    found = Findings(findings.key)
    validate_workload("spec.template", template, found, template=True)
    for problem in found.problems:
        findings.warn(problem.path, f"{problem.message}: no program joins", fix=problem.fix, value=problem.value)


def _probe(path: str, probe: ReadinessProbe, findings: Findings) -> None:
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        field = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
        findings.integer(f"{path}.{name}", getattr(probe, field), low=0, high=0x7FFFFFFF)
    methods = [name for name in ("http_get", "tcp_socket", "exec", "grpc") if getattr(probe, name) is not None]
    if len(methods) != 1:
        findings.error(path, "a probe asks in one way", fix="one of httpGet, tcpSocket, exec, grpc")
    if probe.http_get is not None:
        findings.port(f"{path}.httpGet.port", probe.http_get.port)
        if probe.http_get.scheme not in {"", "HTTP", "HTTPS"}:
            findings.error(f"{path}.httpGet.scheme", f"{probe.http_get.scheme!r}", fix="HTTP or HTTPS")
        for name, text in (("path", probe.http_get.path), ("host", probe.http_get.host)):
            if text and text != "".join(text.split()):
                what = "has blanks" if text.strip() else "is blank"
                findings.warn(f"{path}.httpGet.{name}", f"{text!r} {what}: the probe fails", fix=f"a {name}, or none",
                              value=text)  # fmt: skip
        for index, header in enumerate(probe.http_get.http_headers):
            findings.header_name(f"{path}.httpGet.httpHeaders[{index}].name", header.name)
    if probe.tcp_socket is not None:
        findings.port(f"{path}.tcpSocket.port", probe.tcp_socket.port)
    if probe.grpc is not None and probe.grpc.port:
        findings.port(f"{path}.grpc.port", probe.grpc.port)
    if probe.exec is not None and not any(probe.exec.command):
        findings.error(f"{path}.exec.command", "a command is missing", fix='for example ["/bin/true"]')
