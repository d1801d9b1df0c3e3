"""The flags of `fortio load` and `fortio curl`, and what a command line made of them asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plait.load import log as levels
from plait.load.flags import Flag, Parsed, UsageError, boolean, duration, integer, number, parse, string, strings
from plait.load.runner import Pace
from plait.load.target import FAMILIES, Request, header

_DNS: Final = ("cached-rr", "rnd", "first", "rr")

LOG_FLAGS: Final[dict[str, Flag[Any]]] = {
    "loglevel": Flag(levels.level, levels.INFO, f"log level, one of [{' '.join(levels.NAMES)}]", "level"),
    "quiet": boolean(False, "the same as -loglevel Error, without saying so"),
    "logger-force-color": boolean(False, "colours even if stderr is no terminal"),
    "logger-no-color": boolean(False, "no colours even if stderr is a terminal"),
    "logger-json": boolean(True, "log in JSON unless stderr is a terminal"),
    "logger-timestamp": boolean(True, "times in log lines"),
    "logger-goroutine": boolean(True, "the thread's number in log lines"),
    "logger-file-line": boolean(True, "file and line in log lines"),
}
FLAGS: Final[dict[str, Flag[Any]]] = {
    "qps": number(8, "calls a second over all connections; 0 = as fast as possible", "rate"),
    "c": integer(4, "number of connections"),
    "t": duration("5s", "how long; 0 = until ^C"),
    "n": integer(0, "exactly so many calls instead of -t", "calls"),
    "calc-qps": boolean(False, "the rate is -n calls in -t"),
    "p": string("50,75,90,99,99.9", "percentiles to print", "list"),
    "r": number(0.001, "width of the histogram's lowest buckets, in seconds", "seconds"),
    "offset": duration("0", "subtracted before bucketing"),
    "timeout": duration("3s", "how long to wait for a connection or an answer"),
    "uniform": boolean(False, "spread the connections evenly over a period"),
    "jitter": boolean(False, "vary each pause by up to 10 %"),
    "nocatchup": boolean(False, "skip calls that are late instead of catching up"),
    "abort-on": integer(0, "end the run at this status; -1 = socket error", "code"),
    "allow-initial-errors": boolean(False, "go on when the warm-up fails"),
    "sequential-warmup": boolean(False, "warm up one connection after the other"),
    "log-errors": boolean(True, "warn of each answer that is no success"),
    "H": strings("a header; may be repeated", "key:value"),
    "X": string("", "method instead of GET, or POST with a payload", "method"),
    "user": string("", "basic authentication", "user:password"),
    "content-type": string("", "of the payload; makes the call a POST", "type"),
    "payload": string("", "what to send; makes the call a POST"),
    "payload-file": string("", "send this file's contents", "path"),
    "payload-size": integer(0, "send so many random bytes", "n"),
    "maxpayloadsizekb": integer(256, "most that -payload-size may ask for", "n"),
    "compression": boolean(False, "accept compressed answers"),
    "keepalive": boolean(True, "keep connections open"),
    "halfclose": boolean(False, "half-close after sending, without keep-alive"),
    "http1.0": boolean(False, "HTTP/1.0"),
    "stdclient": boolean(False, "taken for compatibility: there is one client"),
    "httpccch": boolean(False, "heed Connection: close in answers"),
    "httpbufferkb": integer(128, "largest answer that is read whole", "n"),
    "connection-reuse": string("", "a new connection after so many answers", "min:max"),
    "no-reresolve": boolean(False, "keep the first DNS answer"),
    "resolve": string("", "use this address for the host", "ip"),
    "resolve-ip-type": string("ip4", "ip4, ip6 or ip", "type"),
    "dns-method": string("cached-rr", "which address of several: cached-rr, rnd, first, rr", "method"),
    "unix-socket": string("", "connect to this Unix socket", "path"),
    "k": boolean(False, "do not verify certificates"),
    "https-insecure": boolean(False, "the long form of -k"),
    "cacert": string("", "certificates to trust instead of the system's", "path"),
    "cert": string("", "certificate to show", "path"),
    "key": string("", "its key", "path"),
    "json": string("", "write the result there; - = stdout", "path"),
    "a": boolean(False, "write the result to its ID in -data-dir"),
    "data-dir": string(".", "where -a writes", "directory"),
    "labels": string("", "put into the result and its ID; else target and host name"),
    "runid": integer(0, "put into the result and its ID"),
    "access-log-file": string("", "one line a call", "path"),
    "access-log-format": string("json", "json or influx", "format"),
    "gomaxprocs": integer(0, "taken for compatibility: one core does the work", "n"),
    "curl": boolean(False, "fetch once"),
    "curl-stdout-headers": boolean(False, "with -curl: headers on stdout too"),
    **LOG_FLAGS,
}
#: Flags of fortio that would change what is measured and are not built: refused, so that no figure lies.
REFUSED: Final = {
    name: f"-{name} is not supported: plait load speaks HTTP/1.1 and HTTP/1.0, with and without TLS"
    for name in ("grpc", "ping", "health", "h2", "healthservice", "grpc-method", "grpc-compression", "s")
} | {
    "L": "-L is not supported: a load measures one answer; name the URL that the redirect leads to",
    "stream": "-stream is not supported: give the payload by -payload or -payload-file",
    "profile": "-profile is not supported: it wrote profiles of fortio itself",
    "udp-timeout": "-udp-timeout is not supported: only http:// and https:// targets are",
    "mtls": "-mtls is for servers; a client shows a certificate with -cert and -key",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A load, or a single fetch, as the command line asks for it."""

    url: str
    pace: Pace
    #: The rate as the command line gives it, for the banner.
    qps: float
    seconds: float
    request: Request
    percentiles: tuple[float, ...]
    reuse: tuple[int, int]
    flags: Parsed

    def __getitem__(self, name: str) -> Any:
        """The value of a flag."""
        return self.flags.values[name]

    @property
    def insecure(self) -> bool:
        """Whether certificates go unverified."""
        return bool(self["k"] or self["https-insecure"])


def read(words: Sequence[str]) -> Options:
    """Read the words after `load` or `curl`. Raises UsageError or HelpWanted."""
    parsed = parse(words, {**FLAGS, **{name: _refused(text) for name, text in REFUSED.items()}})
    values = parsed.values
    if len(parsed.arguments) > 1:
        raise UsageError(
            f"At most 1 argument expected, got {len(parsed.arguments)}: {' '.join(parsed.arguments)} "
            "(flags come before the URL)"
        )
    if not parsed.arguments:
        raise UsageError("Error: fortio load/curl needs a URL or destination")
    for name, allowed in (
        ("resolve-ip-type", tuple(FAMILIES)),
        ("dns-method", _DNS),
        ("access-log-format", ("json", "influx")),
    ):
        if values[name] not in allowed:
            raise UsageError(f'invalid value "{values[name]}" for flag -{name}: write one of {", ".join(allowed)}')
    if values["timeout"] <= 0:
        raise UsageError("-timeout: write a duration above 0, such as 3s")
    if values["r"] <= 0:
        raise UsageError("-r: write seconds above 0, such as 0.0001")
    seconds, qps = max(0, values["t"]) / 1e9, values["qps"]
    if values["calc-qps"]:
        if values["n"] <= 0 or not seconds:
            raise UsageError("Error: can't use `-calc-qps` without also specifying `-n` and `-t`")
        qps = values["n"] / seconds
    pace = Pace(
        qps=max(0.0, qps),
        seconds=seconds,
        calls=max(0, values["n"]),
        threads=max(1, values["c"]),
        jitter=values["jitter"],
        uniform=values["uniform"],
        catch_up=not values["nocatchup"],
    )
    return Options(
        url=parsed.arguments[0].strip(),
        pace=pace,
        qps=qps,
        seconds=seconds,
        request=_request(parsed),
        percentiles=_percentiles(values["p"]),
        reuse=_range(values["connection-reuse"]),
        flags=parsed,
    )


def _refused(text: str) -> Flag[str]:
    def refuse(_: str) -> str:
        raise UsageError(text)

    return Flag(refuse, "", text)


def _request(parsed: Parsed) -> Request:
    values = parsed.values
    try:
        headers = tuple(header(text) for text in values["H"])
    except ValueError as error:
        raise UsageError(str(error)) from error
    if values["user"] and ":" not in values["user"]:
        raise UsageError(f"invalid user credentials {values['user']!r}, expecting user:password")
    content = values["content-type"]
    return Request(
        method=values["X"],
        headers=headers,
        payload=_payload(parsed),
        content_type=content,
        credentials=values["user"],
        keepalive=values["keepalive"],
        http10=values["http1.0"],
        compression=values["compression"],
    )


def _payload(parsed: Parsed) -> bytes:
    values = parsed.values
    if values["payload-size"] > 0:
        most = values["maxpayloadsizekb"] * 1024
        if values["payload-size"] > most:
            raise UsageError(f"-payload-size {values['payload-size']} is above {most}; raise -maxpayloadsizekb")
        return os.urandom(values["payload-size"])
    if values["payload-file"]:
        try:
            return Path(values["payload-file"]).read_bytes()
        except OSError as error:
            raise UsageError(f"-payload-file: {error}") from error
    payload: str = values["payload"]
    return payload.encode()


def _percentiles(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"Unable to extract percentiles from -p: {error}") from error


def _range(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    low, colon, high = text.partition(":")
    try:
        found = int(low), int(high) if colon else int(low)
    except ValueError:
        found = (0, 0)
    if not 0 < found[0] <= found[1]:
        raise UsageError(f'invalid value "{text}" for flag -connection-reuse: write min:max, such as 10:30')
    return found
