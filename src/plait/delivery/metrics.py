"""Prometheus text under Istio's names."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, SDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Upper bounds in seconds of `pilot_proxy_convergence_time`.
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
SHORT = {CDS: "cds", EDS: "eds", LDS: "lds", RDS: "rds", ECDS: "ecds", SDS: "sds"}

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def bucket(seconds: float) -> int:
    """Index of the bucket of a duration, `len(BUCKETS)` for more than the last bound."""
    return bisect_left(BUCKETS, seconds)


class Exposition:
    """Collects metric families and renders them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self,
        name: str,
        kind: str,
        meaning: str,
        samples: Iterable[tuple[Mapping[str, str], float]] | float,
    ) -> None:
        """A counter or gauge: one number, or one per set of labels."""
        self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        pairs = [({}, samples)] if isinstance(samples, (int, float)) else samples
        self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in pairs]

    def add_histogram(self, name: str, meaning: str, counts: Iterable[int], total: float) -> None:
        """A histogram over `BUCKETS`."""
        self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} histogram"]
        reached = 0
        for bound, count in zip((*BUCKETS, float("inf")), counts, strict=True):
            reached += count
            self._lines.append(f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else _number(bound)}"}} {reached}')
        self._lines += [f"{name}_sum {_number(total)}", f"{name}_count {reached}"]

    def text(self) -> str:
        """The exposition, format 0.0.4."""
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
