"""fortio's JSON: the result of a run, with fortio's field names in fortio's order."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from plait.load.golang import duration, json_number
from plait.load.histogram import Summary
from plait.load.options import Options
from plait.load.report import Outcome
from plait.load.runner import Share
from plait.load.version import FORTIO

_ID_LENGTH = 96


class _Number(float):
    """A float that shows as Go's encoder shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return json_number(float(self))


def labels(options: Options, url: str, hostname: str) -> str:
    """Those given, or target and short host name."""
    given: str = options["labels"]
    return given or f"{url.removeprefix('https://').removeprefix('http://')} , {hostname.partition('.')[0]}"


def identity(began: float, run: int, text: str) -> str:
    """The result's ID: time, run and labels, fit for a file name."""
    base = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(began)) + (f"_{run}" if run else "")
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in text).split()
    return "_".join([base, *words])[:_ID_LENGTH]


def requested_qps(options: Options) -> str:
    """The rate as the result has it."""
    return f"{options.pace.qps:.9g}" if options.pace.paced else "max"


def requested_duration(options: Options, done: int) -> str:
    """The length as the result has it."""
    pace = options.pace
    if pace.calls:
        return f"exactly {pace.calls} calls" + (f", interrupted after {done}" if done != pace.calls else "")
    if pace.seconds:
        return duration(round(pace.seconds * 1e9))
    return "until stop" if pace.paced else ""


def document(
    options: Options, found: Outcome, share: Share, *, url: str, text: str, began: int, access: str
) -> dict[str, Any]:
    """The whole result; `began` in Unix nanoseconds, `text` the labels, `access` the access log's name."""
    pace = options.pace
    result: dict[str, Any] = {
        "RunType": "HTTP",
        "Labels": text,
        "StartTime": _timestamp(began),
        "RequestedQPS": requested_qps(options),
        "RequestedDuration": requested_duration(options, found.calls),
        "ActualQPS": _Number(found.rate),
        "ActualDuration": round(found.elapsed * 1e9),
        "NumThreads": share.threads,
        "Version": FORTIO,
        "DurationHistogram": histogram(found.times, with_percentiles=True),
        "ErrorsDurationHistogram": histogram(found.errors, with_percentiles=True),
        "Exactly": pace.calls,
        "Jitter": pace.jitter,
        "Uniform": pace.uniform,
        "NoCatchUp": not pace.catch_up,
        "RunID": options["runid"],
        "AccessLoggerInfo": access,
        "ID": identity(began / 1e9, options["runid"], text),
        "RetCodes": {str(code): count for code, count in sorted(found.codes, key=lambda item: str(item[0]))},
        "IPCountMap": dict(sorted(found.addresses)),
        **_as_used(options, url),
        "Sizes": histogram(found.sizes),
        "HeaderSizes": histogram(found.heads),
        "Sockets": [sockets for sockets, _, _ in found.per_connection],
        "SocketCount": found.sockets,
        "ConnectionStats": histogram(found.connects, with_percentiles=True),
        "AbortOn": options["abort-on"],
    }
    if found.responses is not None and found.responses.count:
        result["xResponseTimeHistogram"] = histogram(found.responses, with_percentiles=True)
    return result


def _as_used(options: Options, url: str) -> dict[str, Any]:
    request = options.request
    return {
        "Insecure": options.insecure,
        "MTLS": False,
        "CACert": options["cacert"],
        "Cert": options["cert"],
        "Key": options["key"],
        "UnixDomainSocket": options["unix-socket"],
        "URL": url,
        "NumConnections": 1,
        "Compression": request.compression,
        "DisableFastClient": False,
        "HTTP10": request.http10,
        "H2": False,
        "DisableKeepAlive": not request.keepalive,
        "AllowHalfClose": options["halfclose"],
        "FollowRedirects": False,
        "Resolve": options["resolve"],
        "HTTPReqTimeOut": options["timeout"],
        "UserCredentials": request.credentials,
        "ContentType": request.content_type or ("application/octet-stream" if request.payload else ""),
        "Payload": base64.b64encode(request.payload).decode(),
        "MethodOverride": request.method,
        "LogErrors": options["log-errors"],
        "SequentialWarmup": options["sequential-warmup"],
        "ConnReuseRange": list(options.reuse),
        "NoResolveEachConn": options["no-reresolve"],
        "Offset": options["offset"],
        "Resolution": _Number(options["r"]),
    }


def histogram(summary: Summary, *, with_percentiles: bool = False) -> dict[str, Any]:
    """A histogram's JSON form."""
    found: dict[str, Any] = {
        "Count": summary.count,
        "Min": _Number(summary.minimum),
        "Max": _Number(summary.maximum),
        "Sum": _Number(summary.total),
        "Avg": _Number(summary.average),
        "StdDev": _Number(summary.deviation),
        "Data": [
            {
                "Start": _Number(bucket.start),
                "End": _Number(bucket.end),
                "Percent": _Number(bucket.percent),
                "Count": bucket.count,
            }
            for bucket in summary.buckets
        ]
        or None,
    }
    if with_percentiles and summary.percentiles and summary.buckets:
        found["Percentiles"] = [
            {"Percentile": _Number(wanted), "Value": _Number(value)} for wanted, value in summary.percentiles
        ]
    return found


def encode(result: dict[str, Any]) -> str:
    """The text of a result, as Go indents it."""
    return _encoded(result, "") + "\n"


def _encoded(value: Any, indent: str) -> str:
    if isinstance(value, dict) and value:
        rows = [f"{indent}  {json.dumps(name)}: {_encoded(item, indent + '  ')}" for name, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        rows = [f"{indent}  {_encoded(item, indent + '  ')}" for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    if isinstance(value, _Number):
        return repr(value)
    if isinstance(value, str):
        # Go's encoder keeps HTML out of JSON.
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return json.dumps(value)


def _timestamp(nanoseconds: int) -> str:
    """RFC 3339 in the local zone, with as much fraction as there is."""
    seconds, rest = divmod(nanoseconds, 10**9)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    zone = "Z" if zone in {"+0000", ""} else f"{zone[:3]}:{zone[3:]}"
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + fraction + zone
