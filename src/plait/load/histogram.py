"""fortio's histogram: fixed buckets in units of a resolution, and percentiles interpolated inside them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, TextIO

from plait.load.golang import general

#: Ends of the buckets in units of the resolution; a bucket is open at its start, and the last has no end.
ENDS: Final = (
    *range(12), *range(12, 20, 2), *range(20, 50, 5), *range(50, 100, 10), *range(100, 200, 20), *range(200, 500, 50),
    *range(500, 1000, 100), 1000, 2000, 3000, 4000, 5000, 7500, 10_000, 20_000, 30_000, 40_000, 50_000, 75_000, 100_000,
)  # fmt: skip
#: A value on the border of two buckets belongs to the lower one, in spite of rounding.
_BORDER: Final = 0.0001
_FOLD: Final = 1 << 16
#: Clocks count in nanoseconds: digits below are noise of the arithmetic.
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Bucket:
    """What lies above `start` up to `end`; `percent` is cumulative."""

    start: float
    end: float
    percent: float
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A histogram at rest, as the text and the JSON show it."""

    count: int = 0
    minimum: float = 0.0
    maximum: float = 0.0
    total: float = 0.0
    average: float = 0.0
    deviation: float = 0.0
    buckets: tuple[Bucket, ...] = ()
    percentiles: tuple[tuple[float, float], ...] = ()

    def percentile(self, wanted: float) -> float:
        """The value below which `wanted` percent lie; linear inside its bucket. 0 without data."""
        if not self.buckets:
            return 0.0
        before = 100.0 / self.count
        if wanted <= before:
            return self.minimum
        for bucket in self.buckets:
            if wanted <= bucket.percent:
                return bucket.start + (wanted - before) / (bucket.percent - before) * (bucket.end - bucket.start)
            before = bucket.percent
        return self.maximum

    def line(self, title: str) -> str:
        """The line with count, average, deviation, extremes and sum."""
        return (
            f"{title} : count {self.count} avg {self.average:.8g} +/- {self.deviation:.4g} "
            f"min {general(self.minimum)} max {general(self.maximum)} sum {self.total:.9g}"
        )

    def targets(self) -> list[str]:
        """A line for each percentile."""
        return [f"# target {general(wanted)}% {value:.6g}" for wanted, value in self.percentiles]

    def print(self, out: TextIO, title: str) -> None:
        """The whole histogram."""
        if not self.buckets:
            out.write(f"{title} : no data\n")
            return
        lines = [self.line(title), "# range, mid point, percentile, count"]
        for number, bucket in enumerate(self.buckets):
            middle = (bucket.start + bucket.end) / 2
            lines.append(
                f"{'>' if number else '>='} {bucket.start:.6g} <= {bucket.end:.6g} , {middle:.6g} , "
                f"{bucket.percent:.2f}, {bucket.count}"
            )
        out.write("\n".join([*lines, *self.targets()]) + "\n")


@dataclass(slots=True)
class Histogram:
    """Collects values. `resolution` is the width of the lowest buckets; `offset` is taken off before choosing one."""

    offset: float = 0.0
    resolution: float = 0.001
    #: Values as they come: to append is all that happens while a load runs.
    fresh: list[float] = field(default_factory=list)
    _counts: list[int] = field(default_factory=lambda: [0] * (len(ENDS) + 1))
    _count: int = 0
    _total: float = 0.0
    _squares: float = 0.0
    _minimum: float = math.inf
    _maximum: float = -math.inf

    def add(self, value: float, times: int = 1) -> None:
        """Count a value so many times."""
        self._counts[bisect_right(ENDS, self._scaled(value))] += times
        self._count += times
        self._total += value * times
        self._squares += value * value * times
        self._minimum = min(self._minimum, value)
        self._maximum = max(self._maximum, value)

    def _scaled(self, value: float) -> float:
        return (value - self.offset) / self.resolution - _BORDER

    def fold(self, *, least: int = 1) -> None:
        """Sort the fresh values into buckets if there are at least so many: bounds the memory of long runs."""
        if len(self.fresh) < least:
            return
        values = sorted(self.fresh)
        self.fresh.clear()
        before, last = 0, self._scaled(values[-1])
        for number, end in enumerate(ENDS):
            upto = bisect_left(values, end, before, key=self._scaled) if end <= last else len(values)
            self._counts[number] += upto - before
            before = upto
            if before == len(values):
                break
        self._counts[-1] += len(values) - before
        self._count += len(values)
        self._total += math.fsum(values)
        self._squares += math.fsum(value * value for value in values)
        self._minimum = min(self._minimum, values[0])
        self._maximum = max(self._maximum, values[-1])

    def tidy(self) -> None:
        """Fold when enough has come together."""
        self.fold(least=_FOLD)

    def merge(self, others: Iterable[Self]) -> Self:
        """Add what others of the same shape have collected; returns itself."""
        for other in others:
            other.fold()
            self._take(other)
        return self

    def _take(self, other: Self) -> None:
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self._count += other._count
        self._total += other._total
        self._squares += other._squares
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)

    @property
    def lowest(self) -> float:
        """The share of values in the lowest bucket: none above `offset`."""
        self.fold()
        return self._counts[0] / self._count if self._count else 0.0

    def summary(self, percentiles: Sequence[float] = ()) -> Summary:
        """What was collected so far."""
        self.fold()
        if not self._count:
            return Summary()
        variance = (self._squares - self._total * self._total / self._count) / self._count
        least, most = round(self._minimum, _DIGITS), round(self._maximum, _DIGITS)
        plain = Summary(
            count=self._count,
            minimum=least,
            maximum=most,
            total=round(self._total, _DIGITS),
            average=self._total / self._count,
            deviation=math.sqrt(max(0.0, variance)),
            buckets=self._buckets(least, most),
        )
        values = tuple((wanted, plain.percentile(wanted) if wanted < 100 else most) for wanted in percentiles)
        return Summary(
            plain.count,
            plain.minimum,
            plain.maximum,
            plain.total,
            plain.average,
            plain.deviation,
            plain.buckets,
            values,
        )

    def _buckets(self, least: float, most: float) -> tuple[Bucket, ...]:
        """Those that hold anything; the outermost borders are the values themselves, as they are told elsewhere."""
        last = max(number for number, count in enumerate(self._counts) if count)
        found: list[Bucket] = []
        seen, start = 0, ENDS[0]
        for number, count in enumerate(self._counts[: last + 1]):
            end = ENDS[number] if number < len(ENDS) else start
            if count:
                seen += count
                low = self.resolution * start + self.offset if found else least
                high = self.resolution * end + self.offset if number < last else most
                found.append(Bucket(low, high, 100 * seen / self._count, count))
            start = end
        return tuple(found)
