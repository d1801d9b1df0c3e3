"""What Istio demands of a Sidecar beyond its shape."""

from __future__ import annotations

from collections.abc import Iterable

from plait.api.gateway import ServerTLS
from plait.api.names import is_dns_label, is_hostname, is_ip, is_port
from plait.api.sidecar import EgressListener, IngressListener, Sidecar, SidecarPort
from plait.api.validate.destinationrule import validate_connection_pool
from plait.api.validate.findings import UNIX, Findings
from plait.api.validate.gateway import TLS_PROTOCOLS, validate_host_entry, validate_server_tls
from plait.api.validate.selection import validate_selector

_LOOPBACK = frozenset({"", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104  (compared, not bound)
_HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", "HTTPS"})


def validate_sidecar(sidecar: Sidecar, findings: Findings) -> None:
    """Add what is wrong with `sidecar` to `findings`."""
    spec = sidecar.spec
    if spec.workload_selector is not None:
        validate_selector("spec.workloadSelector.labels", spec.workload_selector.labels, findings)
    if not (spec.egress or spec.ingress or spec.outbound_traffic_policy or spec.inbound_connection_pool):
        findings.error("spec", "nothing is configured", fix="egress, ingress or outboundTrafficPolicy")
    for index, listener in enumerate(spec.ingress):
        _ingress(f"spec.ingress[{index}]", listener, findings)
    _once(((f"spec.ingress[{i}].port.number", item.port, item.bind) for i, item in enumerate(spec.ingress)), findings)
    for index, each in enumerate(spec.egress):
        _egress(f"spec.egress[{index}]", each, findings)
        if each.port is None and index < len(spec.egress) - 1:
            findings.error(
                f"spec.egress[{index}]", "a listener without a port is for all the rest, so it comes last",
                fix="move it to the end",
            )  # fmt: skip
    _once(((f"spec.egress[{i}].port.number", item.port, item.bind) for i, item in enumerate(spec.egress)), findings)
    _egress_hosts(spec.egress, sidecar.metadata.namespace, findings)
    policy = spec.outbound_traffic_policy
    if policy is not None and policy.egress_proxy is not None:
        path = "spec.outboundTrafficPolicy.egressProxy"
        if policy.mode != "ALLOW_ANY":
            findings.error(path, "an egress proxy is for destinations that nobody knows", fix="mode: ALLOW_ANY")
        if not is_hostname(policy.egress_proxy.host):
            findings.error(
                f"{path}.host", f"{policy.egress_proxy.host!r} is not a DNS name", fix="the proxy's full name"
            )
        if policy.egress_proxy.subset and not is_dns_label(policy.egress_proxy.subset):
            findings.error(f"{path}.subset", f"{policy.egress_proxy.subset!r} is not a name", fix="a subset's name")
        if policy.egress_proxy.port is None:
            findings.error(f"{path}.port", "a port is missing", fix="port: {number: N}")
        else:
            findings.port(f"{path}.port.number", policy.egress_proxy.port.number)
    if spec.inbound_connection_pool is not None:
        validate_connection_pool("spec.inboundConnectionPool", spec.inbound_connection_pool, findings)


def _once(ports: Iterable[tuple[str, SidecarPort | None, str]], findings: Findings) -> None:
    """No two listeners at one place."""
    seen: set[int | str] = set()
    for path, port, bind in ports:
        place: int | str | None = bind if bind.startswith(UNIX) else port.number if port is not None else None
        if place is None:
            continue
        if place in seen:
            findings.error(path, f"a second listener on {place}", fix="another port", value=place)
        seen.add(place)


def _port(path: str, port: SidecarPort, bind: str, findings: Findings) -> None:
    if bind.startswith(UNIX):
        if port.number:
            findings.error(f"{path}.number", "a unix socket has no port number", fix="0, or none", value=port.number)
    else:
        findings.port(f"{path}.number", port.number)
    if port.name:
        findings.port_name(f"{path}.name", port.name)
    findings.protocol(f"{path}.protocol", port.protocol, empty=True)
    if port.target_port:
        findings.error(f"{path}.targetPort", "has no meaning here", fix="defaultEndpoint of an ingress listener")


def _ingress(path: str, listener: IngressListener, findings: Findings) -> None:
    port = listener.port
    if port is None:
        findings.error(f"{path}.port", "a port is missing", fix="port: {number: 8080, protocol: HTTP, name: http}")
        return
    _port(f"{path}.port", port, "", findings)
    if listener.bind:
        findings.address(f"{path}.bind", listener.bind)
    if listener.default_endpoint:
        _endpoint(f"{path}.defaultEndpoint", listener.default_endpoint, findings)
    protocol = port.protocol.upper()
    if listener.tls is not None:
        _tls(f"{path}.tls", protocol, listener.tls, findings)
    if listener.connection_pool is not None:
        validate_connection_pool(f"{path}.connectionPool", listener.connection_pool, findings)
        if listener.connection_pool.http is not None and protocol not in _HTTP:
            findings.warn(f"{path}.connectionPool.http", f"has no effect on a port that speaks {protocol}", fix="tcp")


def _endpoint(path: str, text: str, findings: Findings) -> None:
    if text.startswith(UNIX):
        findings.socket(path, text)
        return
    address, colon, number = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        address = "?"
    if not colon or not number.isascii() or not number.isdigit() or not is_port(int(number)):
        findings.error(path, f"{text!r} has no port", fix="127.0.0.1:8080, 0.0.0.0:8080 or unix:///path", value=text)
    elif address not in _LOOPBACK:
        findings.error(
            path, f"{text!r} is not this workload", fix="127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT or :PORT", value=text
        )


def _tls(path: str, protocol: str, tls: ServerTLS, findings: Findings) -> None:
    if protocol not in TLS_PROTOCOLS:
        findings.error(path, f"a port that speaks {protocol} has no TLS", fix="protocol HTTPS or TLS")
    if tls.mode in {"ISTIO_MUTUAL", "AUTO_PASSTHROUGH"}:
        findings.error(f"{path}.mode", f"{tls.mode} is not possible here", fix="SIMPLE or MUTUAL", value=tls.mode)
    for name, given in (
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", tls.credential_name),
        ("credentialNames", tls.credential_names),
        ("tlsCertificates", tls.tls_certificates),
        ("subjectAltNames", tls.subject_alt_names),
        ("caCertCredentialName", tls.ca_cert_credential_name),
    ):
        if given:
            findings.error(f"{path}.{name}", "is not possible in a Sidecar", fix="files: serverCertificate, privateKey")
    validate_server_tls(path, tls, findings)


def _egress(path: str, listener: EgressListener, findings: Findings) -> None:
    if listener.port is not None:
        _port(f"{path}.port", listener.port, listener.bind, findings)
    elif listener.bind:
        findings.warn(f"{path}.bind", "has no effect without a port", fix="a port, or no bind", value=listener.bind)
    if listener.port is None:
        # Istio: what stands beside it is not looked at.
        pass
    elif listener.bind.startswith(UNIX):
        findings.socket(f"{path}.bind", listener.bind)
        if listener.capture_mode not in {"DEFAULT", "NONE"}:
            findings.error(f"{path}.captureMode", "a unix socket is called by name, not captured", fix="NONE or none")
    elif listener.bind and not is_ip(listener.bind):
        findings.error(f"{path}.bind", f"{listener.bind!r} is not an address", fix="an IP address or unix:///path")
    if not listener.hosts:
        findings.error(f"{path}.hosts", "a host is missing", fix='for example ["./*", "istio-system/*"]')
    for index, host in enumerate(listener.hosts):
        validate_host_entry(f"{path}.hosts[{index}]", host, findings, sidecar=True)
    if listener.hosts and "~/*" not in listener.hosts and all(host.startswith("~") for host in listener.hosts):
        findings.warn(
            f"{path}.hosts", "nothing is let in that could be taken out", fix='"*/*" beside it for all the others'
        )


def _egress_hosts(listeners: tuple[EgressListener, ...], own: str, findings: Findings) -> None:
    """Hosts that another entry of their listener includes; `own` is the Sidecar's namespace."""
    for index, listener in enumerate(listeners):
        entries = [own + host[1:] if host.startswith("./") else host for host in listener.hosts]
        wide = {host.partition("/")[0] for host in entries if host.partition("/")[2] == "*"}
        seen: set[str] = set()
        for number, host in enumerate(entries):
            namespace, _, name = host.partition("/")
            path = f"spec.egress[{index}].hosts[{number}]"
            if host in seen:
                findings.warn(path, f"{host!r} is named twice", fix="remove one", value=host)
            elif not host.startswith("~") and (
                (name != "*" and {namespace, "*"} & wide) or (name == "*" and namespace != "*" and "*" in wide)
            ):
                findings.warn(path, f"{host!r} is included already", fix="remove it, or the wider one", value=host)
            seen.add(host)
