"""fortio's text: what a person and their scripts read at the end of a load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from plait.load import log as levels
from plait.load.connection import Connection
from plait.load.golang import duration, general
from plait.load.histogram import Histogram, Summary
from plait.load.log import Log
from plait.load.runner import Measured, Pace, Share
from plait.load.version import FORTIO

#: Above this percentage of late calls the sleep times are shown in full.
_LATE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a run has to say, at rest."""

    calls: int
    rate: float
    elapsed: float
    times: Summary
    errors: Summary
    connects: Summary
    per_connection: tuple[tuple[int, Counter[str], Summary], ...]
    sizes: Summary
    heads: Summary
    codes: tuple[tuple[int, int], ...]
    addresses: tuple[tuple[str, int], ...]
    responses: Summary | None

    @property
    def sockets(self) -> int:
        """How many were used."""
        return sum(sockets for sockets, _, _ in self.per_connection)


def outcome(
    measured: Measured, connections: Sequence[Connection], percentiles: Sequence[float], fresh: Histogram
) -> Outcome:
    """Put a run's figures together; `fresh` is an empty histogram for connection times."""
    codes: Counter[int] = Counter()
    sizes, heads = Histogram(0, 100), Histogram(0, 5)
    for (code, size, head), count in measured.sizes.items():
        codes[code] += count
        sizes.add(size, count)
        heads.add(head, count)
    addresses: Counter[str] = Counter()
    for connection in connections:
        addresses.update(connection.addresses)
    times = measured.times.summary(percentiles)
    return Outcome(
        calls=times.count,
        rate=times.count / measured.elapsed if measured.elapsed else 0.0,
        elapsed=measured.elapsed,
        times=times,
        errors=measured.errors.summary(percentiles),
        connects=fresh.merge(connection.connects for connection in connections).summary(percentiles),
        per_connection=tuple((c.connects.summary().count, c.addresses, c.connects.summary()) for c in connections),
        sizes=sizes.summary(),
        heads=heads.summary(),
        codes=tuple(sorted(codes.items())),
        addresses=tuple(addresses.most_common()),
        responses=measured.responses.summary(percentiles) if measured.responses else None,
    )


def banner(out: TextIO, *, pace: Pace, qps: float, cores: int, url: str) -> None:
    """The first line."""
    length = f"for {duration(round(pace.seconds * 1e9))}" if pace.seconds else "until interrupted"
    length = f"for {pace.calls} calls" if pace.calls else length
    out.write(
        f"Fortio {FORTIO} running at {general(qps)} queries per second, {cores}->{cores} procs, {length}: {url}\n"
    )


def starting(out: TextIO, log: Log, *, pace: Pace, share: Share, cores: int, access: str) -> None:
    """The line before the run."""
    threads = f"with {share.threads} thread(s) [gomax {cores}]"
    span = duration(round(pace.seconds * 1e9))
    total = share.each * share.threads
    endless = not pace.calls and not pace.seconds
    rate = f"{general(pace.qps)} qps" if pace.paced else "max qps"
    if endless:
        text = "until interrupted"
    elif not pace.paced:
        text = (
            f"for exactly {pace.calls} calls ({share.each} per thread + {share.extra})" if pace.calls else f"for {span}"
        )
    elif pace.calls:
        text = f": exactly {pace.calls}, {share.each} calls each (total {total} + {share.extra})"
    else:
        text = f"for {span} : {share.each} calls each (total {total})"
    if endless or log.shows(levels.WARNING):
        out.write(f"Starting at {rate} {threads} {text}{f' with access logger {access}' if access else ''}\n")


def ended(out: TextIO, log: Log, found: Outcome, *, sleeps: Histogram, run: int, paced: bool) -> None:
    """What is said of the calls when the last has ended."""
    elapsed = round(found.elapsed * 1e9)
    if log.shows(levels.WARNING):
        out.write(f"Ended after {duration(elapsed)} : {found.calls} calls. qps={found.rate:.5g}\n")
        log.write(levels.INFO, "Run ended", run=run, elapsed=elapsed, calls=found.calls, qps=found.rate)
    if paced:
        late = 100 * sleeps.lowest
        if late > _LATE or log.shows(levels.VERBOSE):
            sleeps.summary((50,)).print(out, "Aggregated Sleep Time")
        elif log.shows(levels.WARNING):
            out.write(sleeps.summary().line("Sleep times") + "\n")
        if late > _LATE:
            out.write(f"WARNING {late:.2f}% of sleep were falling behind\n")
    if log.shows(levels.WARNING):
        found.times.print(out, "Aggregated Function Time")
        found.errors.print(out, "Error cases")
    else:
        lines = [found.times.line("Aggregated Function Time"), *found.times.targets(), found.errors.line("Error cases")]
        out.write("\n".join(lines) + "\n")


def details(out: TextIO, log: Log, found: Outcome, *, pace: Pace, threads: int) -> None:
    """What is said of sockets, codes and sizes."""
    lines = ["# Socket and IP used for each connection:"]
    for number, (sockets, addresses, times) in enumerate(found.per_connection):
        where = next(iter(addresses), "[]") if len(addresses) < 2 else _several(addresses)
        lines.append(f"[{number}] {sockets:3d} socket used, resolved to {where}{times.line(', connection timing')}")
    out.write("\n".join(lines) + "\n")
    if log.shows(levels.INFO):
        found.connects.print(out, "Connection time histogram (s)")
    elif log.shows(levels.WARNING):
        out.write(found.connects.line("Connection time (s)") + "\n")
    lines = [
        f"Sockets used: {found.sockets} (for perfect keepalive, would be {threads})",
        f"Uniform: {_go(pace.uniform)}, Jitter: {_go(pace.jitter)}, Catchup allowed: {_go(pace.catch_up)}",
        "IP addresses distribution:",
        *(f"{address}: {count}" for address, count in found.addresses),
        *(f"Code {code:3d} : {count} ({100 * count / found.calls:.1f} %)" for code, count in found.codes),
    ]
    out.write("\n".join(lines) + "\n")
    if log.shows(levels.VERBOSE):
        found.heads.print(out, "Response Header Sizes Histogram")
        found.sizes.print(out, "Response Body/Total Sizes Histogram")
    elif log.shows(levels.WARNING):
        out.write(found.heads.line("Response Header Sizes") + "\n")
        out.write(found.sizes.line("Response Body/Total Sizes") + "\n")


def all_done(out: TextIO, found: Outcome, *, warmup: int) -> None:
    """The last line."""
    out.write(
        f"All done {found.calls} calls (plus {warmup} warmup) {1000 * found.times.average:.3f} ms avg, "
        f"{found.rate:.1f} qps\n"
    )


def _several(addresses: Counter[str]) -> str:
    return f"[{', '.join(f'{address} ({count})' for address, count in addresses.items())}]"


def _go(value: bool) -> str:
    return "true" if value else "false"
