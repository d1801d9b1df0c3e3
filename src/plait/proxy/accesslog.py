"""Reads lines of Istio's access log, and puts their response flags into words.

A line is Istio's text format (`[time] "METHOD path PROTOCOL" code flags details …`) or its JSON form. Anything else in
the same stream, such as Envoy's own log, is no record and is passed by; a record with fields more or less than expected
is still read as far as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from plait.proxy.flags import DETAILS, FLAGS, RBAC
from plait.xds.authorization.filters import origin_of_rule

_HEAD: Final = re.compile(
    r'^\[(?P<time>\d{4}-\d\d-\d\dT[^\]]*)\] "(?P<request>.*?)" (?P<code>\d{1,3}|-) (?P<flags>[A-Za-z0-9_,]+|-)'
    r"(?: (?P<details>\S+))?(?: (?P<rest>.*))?$"
)
_TOKEN: Final = re.compile(r'"[^"]*"|\S+')
#: What follows the response code details, in order.
_REST: Final = (
    "connection_termination_details",
    "upstream_transport_failure_reason",
    "bytes_received",
    "bytes_sent",
    "duration",
    "upstream_service_time",
    "x_forwarded_for",
    "user_agent",
    "request_id",
    "authority",
    "upstream_host",
    "upstream_cluster",
)
_CLUSTER: Final = re.compile(r"(?:outbound|inbound)\|\d*\|[^|]*\|(?P<host>.*)")
#: plait's addition at the end of a line: the object that made the route, and the path in it.
_ORIGIN: Final = re.compile(r"[A-Z]\w+/\S+(?: \S+)?")
_UNKNOWN: Final = {
    "BlackHoleCluster": "to no host the mesh knows, and outboundTrafficPolicy is REGISTRY_ONLY: define a ServiceEntry",
    "AllowAnyDynamicDNSCluster": "to no host the mesh knows: the proxy looked its name up itself",
    "PassthroughCluster": "to no host the mesh knows: passed through to the address the application dialled",
}
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The part of a line that its explanation needs; what the line does not tell is empty."""

    code: int
    flags: tuple[str, ...]
    details: str = ""
    failure: str = ""
    authority: str = ""
    cluster: str = ""
    origin: str = ""

    @property
    def host(self) -> str:
        """The host behind the upstream cluster, else the one the caller asked for."""
        match = _CLUSTER.fullmatch(self.cluster)
        return (match["host"] if match else "") or self.authority


def read_record(line: str) -> Record | None:
    """The record of a line; None if it is not a line of an access log."""
    if line.startswith("{"):
        return _from_json(line)
    match = _HEAD.match(line)
    if match is None:
        return None
    values = [token.strip('"') for token in _TOKEN.findall(match["rest"] or "")]
    fields: dict[str, Any] = dict(zip(_REST, values, strict=False))
    # A quote in a header (a user agent may have one) shifts what follows: the cluster is known by its form.
    cluster = next((value for value in values if _CLUSTER.fullmatch(value) or value in _UNKNOWN), None)
    if cluster is not None and fields.get("upstream_cluster") != cluster:
        fields |= {"upstream_cluster": cluster, "authority": None}
    if values and _ORIGIN.fullmatch(values[-1]):
        fields["origin"] = values[-1]
    head = {"response_code": match["code"], "response_flags": match["flags"], "response_code_details": match["details"]}
    return _record(fields | head)


def _from_json(line: str) -> Record | None:
    try:
        found: Any = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict) or "response_flags" not in found:
        return None
    return _record(found)


def _record(fields: Mapping[str, Any]) -> Record:
    def text(name: str) -> str:
        value = fields.get(name)
        return "" if value is None or value == "-" else str(value)

    number = text("response_code")
    return Record(
        code=int(number) if number.isdigit() else 0,
        flags=tuple(flag for flag in text("response_flags").split(",") if flag),
        details=text("response_code_details"),
        failure=text("upstream_transport_failure_reason"),
        authority=text("authority"),
        cluster=text("upstream_cluster"),
        origin=text("origin"),
    )


class Explainer:
    """Explains the lines of one proxy: a flag in full when it comes for the first time, then in a word."""

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._told: set[str] = set()

    def explain(self, line: str) -> tuple[str, ...]:
        """Lines to print below `line`; none where there is nothing to explain."""
        record = read_record(line)
        if record is None:
            return ()
        lines: list[str] = []
        for name in record.flags:
            lines += self._flag(name, record)
        if record.failure:
            lines.append(f"the other end, or the way to it: {record.failure.replace('_', ' ')}")
        if record.cluster in _UNKNOWN and (record.flags or record.code >= _SERVER_ERROR):
            lines.append(f"{record.cluster}: {_UNKNOWN[record.cluster]}")
        if not record.flags:
            lines += self._without_flags(record)
        if lines and record.origin:
            lines.append(f"route: {record.origin}")
        return tuple(lines)

    def _flag(self, name: str, record: Record) -> list[str]:
        flag = FLAGS.get(name)
        if flag is None:
            return [f"{name}: a flag of a newer Envoy that plait does not know"]
        head = f"{name}: {flag.title}"
        if not self._first(name):
            return [head]
        look = flag.look.format_map(_Places(pod=self._pod, cluster=record.cluster, host=record.host))
        return [f"{head}: {flag.meaning}", f"  usual cause: {flag.cause}", f"  look at: {look}"]

    def _without_flags(self, record: Record) -> list[str]:
        if record.code < _CLIENT_ERROR:
            return []
        if record.details == "via_upstream":
            if record.code < _SERVER_ERROR:
                return []
            who = f" of {record.host}" if record.host else ""
            return [f"{record.code} came from the application{who} itself; the mesh only passed it on"]
        if record.details.startswith(RBAC):
            return [self._refused(record.details)]
        for start, words in DETAILS.items():
            if record.details.startswith(start):
                return [f"{start}: {words}"] if self._first(start) else [start]
        return []

    def _refused(self, details: str) -> str:
        """By which policy; the details name the rule that denied, or none."""
        origin = origin_of_rule(details)
        if origin is not None:
            return f"{RBAC}: refused by {origin}"
        pod = self._pod or "POD"
        return f"{RBAC}: no AuthorizationPolicy allows it; those that could: istioctl x authz check {pod}"

    def _first(self, what: str) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True


class _Places(dict[str, str]):
    """What a line does not tell stays a word that says what belongs there."""

    def __init__(self, **known: str) -> None:
        super().__init__({name: value for name, value in known.items() if value})

    def __missing__(self, key: str) -> str:
        return {"pod": "POD", "cluster": "CLUSTER"}.get(key, "the destination")
