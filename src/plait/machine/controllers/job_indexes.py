"""Indexed Jobs: which pod does which part of the work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from plait.machine.controllers.objects import annotations_of

Object = dict[str, Any]

INDEX = "batch.kubernetes.io/job-completion-index"


def index_of(pod: Object) -> int | None:
    """The part a pod does; None where it has none."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def completed_indexes(job: Object, pods: Sequence[Object]) -> set[int]:
    """What is done, by the status as it was and by the pods that have succeeded since."""
    known = parse_indexes((job.get("status") or {}).get("completedIndexes") or "")
    done = {index_of(pod) for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"}
    return {index for index in known | done if index is not None and index < int(job["spec"]["completions"])}


def next_indexes(count: int, completions: int, taken: set[int]) -> tuple[int, ...]:
    """The lowest `count` indexes that nobody does or has done."""
    return tuple(index for index in range(completions) if index not in taken)[:count]


def format_indexes(indexes: Iterable[int]) -> str:
    """`0-2,5`, as status shows them."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_indexes(text: str) -> set[int]:
    """What `format_indexes` wrote."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
