"""`fortio load` and `fortio curl` from options to exit status."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TextIO

from plait.load import log as levels
from plait.load import report, result
from plait.load.access_log import FileAccessLog
from plait.load.answer import Shapes
from plait.load.connection import Connection, Plan
from plait.load.flags import UsageError
from plait.load.histogram import Histogram
from plait.load.log import Log
from plait.load.loop import Waiting
from plait.load.options import Options
from plait.load.runner import Measured, Runner, Share, WarmupError
from plait.load.target import Addresses, Target, TargetError

#: Exit status when no run came about; one that did ends with 0, whatever was answered.
ABORTED = 1


class Aborted(Exception):  # noqa: N818 -- fortio's word for it
    """No run came about."""


def load(options: Options, log: Log, out: TextIO) -> int:
    """Run a load; results go to `out`, the JSON where the options say. The exit status."""
    pace, cores = options.pace, len(os.sched_getaffinity(0))
    report.banner(out, pace=pace, qps=options.qps, cores=cores, url=options.url)
    try:
        with ExitStack() as stack:
            access = stack.enter_context(_access_log(options, log))
            waiting = stack.enter_context(Waiting())
            return _load(options, log, out, waiting=waiting, access=access, cores=cores)
    except (Aborted, WarmupError) as error:
        out.write(f"Aborting because of {error}\n")
        return ABORTED


def _load(
    options: Options, log: Log, out: TextIO, *, waiting: Waiting, access: FileAccessLog | None, cores: int
) -> int:
    pace, seen = options.pace, access.info if access else ""
    log.write(
        levels.INFO,
        "Starting http test",
        run=options["runid"],
        url=options.url,
        threads=pace.threads,
        qps=f"{pace.qps if pace.paced else -1:.1f}",
        warmup="sequential" if options["sequential-warmup"] else "parallel",
        **{"conn-reuse": "[{}, {}]".format(*options.reuse) if any(options.reuse) else ""},
    )
    url = with_scheme(options.url, log)
    connections = connect(options, url, waiting, log)
    measured = Measured(
        times=Histogram(options["offset"] / 1e9, options["r"]),
        errors=Histogram(options["offset"] / 1e9, options["r"]),
        responses=Histogram(options["offset"] / 1e9, options["r"]) if pace.paced else None,
    )
    runner = Runner(
        connections, waiting, log, pace=pace, measured=measured, access=access, abort_on=options["abort-on"]
    )
    with _interruptible(runner):
        if not pace.calls:
            runner.warm_up(one_by_one=options["sequential-warmup"], lenient=options["allow-initial-errors"], url=url)
        share = Share.of(pace, log)
        report.starting(out, log, pace=pace, share=share, cores=cores, access=seen)
        runner.run(share)
    used = connections[: share.threads]
    fresh = Histogram(options["offset"] / 1e9, options["r"])
    found = report.outcome(measured, used, options.percentiles, fresh)
    report.ended(out, log, found, sleeps=measured.sleeps, run=options["runid"], paced=pace.paced)
    report.details(out, log, found, pace=pace, threads=share.threads)
    report.all_done(out, found, warmup=0 if pace.calls else pace.threads)
    for connection in connections:
        connection.close()
    if options["json"] or options["a"]:
        text = result.labels(options, options.url, socket.gethostname())
        document = result.document(options, found, share, url=url, text=text, began=measured.began, access=seen)
        _save(options, document["ID"], result.encode(document), out, log)
    return 0


def curl(options: Options, log: Log, out: TextIO) -> int:
    """Fetch once: headers to `out`, the body to standard output. 1 unless the status is exactly 200."""
    finished: list[tuple[int, int]] = []

    def done(_connection: Connection, code: int, size: int, _head: int) -> None:
        finished.append((code, size))

    with Waiting() as waiting:
        try:
            (connection,) = connect(options, with_scheme(options.url, log), waiting, log, only=1, keep=True)
        except Aborted as error:
            log.write(levels.ERROR, str(error))
            return ABORTED
        connection.done = done
        connection.call(perf_counter())

        def over(now: float) -> bool:
            if connection.busy and now > connection.deadline:
                connection.expire(now)
            return bool(finished)

        waiting.run(over)
        connection.close()
    ((code, _),) = finished
    body = sys.stdout.buffer
    if options["curl-stdout-headers"]:
        body.write(connection.head)
    else:
        out.write(connection.head.decode("latin-1"))
        out.flush()
    body.write(connection.body)
    body.flush()
    if code != 200:
        log.write(levels.ERROR, f"Error status {code}")
        return ABORTED
    return 0


def with_scheme(url: str, log: Log) -> str:
    """A URL with its scheme: a bare host means http."""
    if "://" in url.split("?", 1)[0]:
        return url
    log.write(levels.WARNING, f"Assuming http:// on missing scheme for '{url}'")
    return f"http://{url}"


def connect(
    options: Options, url: str, waiting: Waiting, log: Log, *, only: int | None = None, keep: bool = False
) -> list[Connection]:
    """The connections of a load, not yet connected. Raises Aborted where the target cannot be called."""
    try:
        target = Target.of(url)
        request = options.request.render(target)
    except TargetError as error:
        raise Aborted(str(error)) from error
    addresses = None
    if not options["unix-socket"]:
        addresses = Addresses(
            host=options["resolve"] or target.host,
            port=target.port,
            family=options["resolve-ip-type"],
            method=options["dns-method"],
            once=options["no-reresolve"],
        )
        try:
            addresses.check()
        except OSError as error:
            log.write(levels.ERROR, f'Unable to lookup "{addresses.host}": {error.strerror}')
            raise Aborted(f"lookup {addresses.host}: {error.strerror}") from error
    plan = Plan(
        request=request,
        verb=options.request.verb,
        addresses=addresses,
        unix=options["unix-socket"] or None,
        timeout=options["timeout"] / 1e9,
        keepalive=options.request.keepalive and not options.request.http10,
        half_close=options["halfclose"],
        heed_close=options["httpccch"],
        most=max(1, options["httpbufferkb"]) << 10 if not keep else sys.maxsize,
        reuse=options.reuse,
        log_errors=options["log-errors"],
        keep_body=keep,
        resolution=options["r"],
        offset=options["offset"] / 1e9,
        run=options["runid"],
    )
    shapes = Shapes(plan.verb)
    numbers = range(only or options.pace.threads)
    if not target.https:
        return [Connection(number, plan, waiting, log, shapes) for number in numbers]
    from plait.load import tls  # noqa: PLC0415 -- only https pays for OpenSSL

    try:
        context = tls.context(
            verify=not options.insecure, ca=options["cacert"], cert=options["cert"], key=options["key"]
        )
    except OSError as error:
        raise Aborted(f"-cacert, -cert or -key: {error}") from error
    return [tls.TlsConnection(number, plan, waiting, log, shapes, tls=context, name=target.host) for number in numbers]


@contextmanager
def _interruptible(runner: Runner) -> Iterator[None]:
    """^C ends the run and shows its results."""
    before = signal.signal(signal.SIGINT, lambda _signal, _frame: runner.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _access_log(options: Options, log: Log) -> Iterator[FileAccessLog | None]:
    path = options["access-log-file"]
    if not path:
        yield None
        return
    try:
        file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 -- closed below
    except OSError as error:
        log.write(levels.ERROR, f"Unable to open access log {path}: {error.strerror}")
        raise Aborted(str(error)) from error
    with file:
        yield FileAccessLog(file, path, options["access-log-format"])


def _save(options: Options, name: str, text: str, out: TextIO, log: Log) -> None:
    """Write the result; raises UsageError where its file cannot be written."""
    data = text.encode()
    path = options["json"] or str(Path(options["data-dir"], f"{name}.json"))
    if path == "-":
        out.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        path = "stdout"
    else:
        try:
            Path(path).write_bytes(data)
        except OSError as error:
            log.write(levels.FATAL, f"Unable to create {path}: {error.strerror}")
            raise UsageError(f"-json {path}: {error.strerror}") from error
    out.write(f"Successfully wrote {len(data)} bytes of Json data to {path}\n")
