"""One Prometheus histogram with labels, and its text form."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: the defaults of the Prometheus client libraries, which the original services use."""

SERIES_LIMIT = 500
"""Most label sets kept: the front-end labels by raw path, so its callers choose how many there are."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class _Series:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0


@dataclass(slots=True, kw_only=True)
class Histogram:
    """Durations in seconds by label values.

    `labels` are the label names in the order of the values given to `observe`; `fixed` go first on every series.
    When SERIES_LIMIT label sets exist, a new one is counted under `overflow` in place of the label it names.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)
    overflow: str = "route"
    _series: dict[tuple[str, ...], _Series] = field(default_factory=dict)

    def observe(self, values: tuple[str, ...], seconds: float) -> None:
        """Counts one duration."""
        series = self._series.get(values)
        if series is None:
            if len(self._series) >= SERIES_LIMIT:
                values = tuple("other" if n == self.overflow else v for n, v in zip(self.labels, values, strict=True))
            series = self._series.setdefault(values, _Series())
        series.counts[bisect_left(BUCKETS, seconds)] += 1
        series.total += seconds

    def text(self) -> str:
        """Prometheus text format 0.0.4."""
        lines = [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} histogram"]
        for values, series in self._series.items():
            pairs = [*self.fixed.items(), *zip(self.labels, values, strict=True)]
            shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
            seen = 0
            for bound, count in zip((*map(str, _bounds()), "+Inf"), series.counts, strict=True):
                seen += count
                lines.append(f'{self.name}_bucket{{{shown},le="{bound}"}} {seen}')
            lines.append(f"{self.name}_sum{{{shown}}} {series.total!r}")
            lines.append(f"{self.name}_count{{{shown}}} {seen}")
        return "\n".join(lines) + "\n"


def _bounds() -> tuple[str, ...]:
    return tuple(f"{bound:g}" for bound in BUCKETS)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
