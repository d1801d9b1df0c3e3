"""Collects findings about one object, and the checks that several kinds share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from plait.api.durations import is_whole_milliseconds, parse_duration
from plait.api.meta import ObjectKey
from plait.api.names import is_dns_label, is_hostname, is_ip, is_port, is_variable_name, is_wildcard_host
from plait.api.problem import Level, Problem

_HEADER: Final = re.compile(r"[-A-Za-z0-9]+")
UNIX: Final = "unix://"
#: Istio: what a port may speak, in any case.
PROTOCOLS: Final = (
    "HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS", "TCP", "UDP", "MONGO", "REDIS", "MYSQL", "HTTP_PROXY", "HBONE",
)  # fmt: skip
_SHORTEST: Final = timedelta(milliseconds=1)


class Findings:
    """The problems of the object `key` so far."""

    def __init__(self, key: ObjectKey) -> None:
        self.key = key
        self.problems: list[Problem] = []

    def error(self, path: str, message: str, *, fix: str = "", value: Any = None) -> None:
        """The object cannot be used like this."""
        self._add(path, message, Level.ERROR, fix, value)

    def warn(self, path: str, message: str, *, fix: str = "", value: Any = None) -> None:
        """The object is used, but this does not do what one would expect."""
        self._add(path, message, Level.WARNING, fix, value)

    def _add(self, path: str, message: str, level: Level, fix: str, value: Any) -> None:
        self.problems.append(Problem(object=self.key, path=path, message=message, level=level, fix=fix, value=value))

    def port(self, path: str, number: int) -> None:
        """A port number must be one."""
        if not is_port(number):
            self.error(path, f"{number} is not a port", fix="1 to 65535", value=number)

    def duration(
        self,
        path: str,
        text: str | None,
        *,
        minimum: timedelta = _SHORTEST,
        maximum: timedelta | None = None,
        whole: bool = True,
    ) -> None:
        """A duration must be readable and between `minimum` and `maximum`; None is not set.

        `whole` asks for milliseconds and nothing finer, as Istio does of most.
        """
        if text is None:
            return
        value = parse_duration(text)
        if value is None:
            self.error(path, f"{text!r} is not a duration", fix="a number with a unit: 500ms, 1.5s, 1m", value=text)
        elif value < minimum:
            self.error(path, f"{text!r} is too short", fix=f"at least {minimum.total_seconds():g}s", value=text)
        elif maximum is not None and value > maximum:
            self.error(path, f"{text!r} is too long", fix=f"at most {maximum.total_seconds():g}s", value=text)
        elif whole and not is_whole_milliseconds(text):
            self.error(path, f"{text!r} is not whole milliseconds", fix="for example 1.5s or 20ms", value=text)

    def integer(self, path: str, number: int | None, *, low: int, high: int) -> None:
        """A number must lie in a range; None is not set."""
        if number is not None and not low <= number <= high:
            self.error(path, f"{number} is out of range", fix=f"{low} to {high}", value=number)

    def count(self, path: str, number: int | None) -> None:
        """A limit must fit Envoy's unsigned 32 bits."""
        self.integer(path, number, low=0, high=0xFFFFFFFF)

    def percent(self, path: str, number: float | None) -> None:
        """A percentage lies between 0 and 100."""
        if number is not None and not 0 <= number <= 100:
            self.error(path, f"{number:g} is not a percentage", fix="0 to 100", value=number)

    def host(self, path: str, host: str, *, wildcard: bool) -> None:
        """A host name, with a leading `*.` (or `*`) where that is allowed."""
        if not host:
            self.error(path, "a host is missing", fix="a service name or a DNS name")
        elif wildcard and not is_wildcard_host(host):
            self.error(path, f"{host!r} is not a DNS name", fix="a name, *.domain or *", value=host)
        elif not wildcard and not is_hostname(host):
            self.error(path, f"{host!r} is not a DNS name", fix="a service name or a DNS name", value=host)

    def address(self, path: str, text: str) -> None:
        """An IP address."""
        if not is_ip(text):
            self.error(path, f"{text!r} is not an IP address", fix="for example 10.0.0.1", value=text)

    def socket(self, path: str, text: str) -> None:
        """`unix:///path`, or `unix://@name` of an abstract socket."""
        name = text.removeprefix(UNIX)
        if not name.startswith("@") and (not name.startswith("/") or name.endswith("/")):
            self.error(path, f"{text!r} is not a unix socket", fix="unix:///path/to/socket or unix://@name", value=text)

    def port_name(self, path: str, name: str) -> None:
        """Istio: the name of a port is a DNS label."""
        if not is_dns_label(name):
            self.error(path, f"{name!r} is not the name of a port", fix="a name such as http-web", value=name)

    def protocol(self, path: str, name: str, *, empty: bool = False) -> None:
        """The protocol of a port, in any case; `empty` says that none is fine."""
        if not (empty and not name) and name.upper() not in PROTOCOLS:
            self.error(path, f"invalid protocol {name!r}", fix=", ".join(PROTOCOLS), value=name)

    def header_name(self, path: str, name: str) -> None:
        """Istio: letters, digits and -, as Kubernetes has it for probes; no pseudo-headers."""
        if not _HEADER.fullmatch(name):
            self.error(path, f"{name!r} is not the name of a header", fix="letters, digits and -", value=name)

    def variables(self, path: str, environment: Iterable[str]) -> None:
        """Names of environment variables of proxies; one that no pod can have is left out when it is made."""
        for name in environment:
            if not is_variable_name(name):
                self.warn(
                    f"{path}[{name}]", f"{name!r} is not the name of a variable: it is left out",
                    fix="letters, digits and _", value=name,
                )  # fmt: skip

    def export_to(self, path: str, scopes: tuple[str, ...], *, none: bool = False) -> None:
        """Who sees an object: `*` everybody, `.` its own namespace, `~` nobody, or namespaces by name.

        Istio: `none` (`~`) has a meaning for ServiceEntries; `*` and `~` stand alone; nothing is named twice.
        """
        seen: set[str] = set()
        for index, scope in enumerate(scopes):
            if scope not in {"*", ".", "~"} and not is_dns_label(scope):
                self.error(
                    f"{path}[{index}]", f"{scope!r} is not a namespace", fix="*, ., ~ or a namespace", value=scope
                )
            meant = self.key.namespace if scope == "." else scope
            if meant in seen:
                self.error(f"{path}[{index}]", f"{scope!r} is named twice", fix="remove one", value=scope)
            seen.add(meant)
        if len(scopes) > 1 and seen & {"*", "~"}:
            self.error(path, f"{min(seen & {'*', '~'})!r} stands alone", fix="only it, or only others")
        elif "~" in seen and not none:
            self.error(path, "'~' would show it to nobody", fix=". for its own namespace", value="~")
