"""Runs conformance cases through the functions that serve users: JSON lines in, JSON lines out.

A set is a module `plait.app.conformance.SET` with `answer(case) -> result`; the case's `id` is added here.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

log = logging.getLogger(__name__)

#: Sets and the modules that answer their cases; None where the part that would answer is not built.
SETS: Final[dict[str, str | None]] = {
    "validation": "validation",
    "validation_legacy": "validation_legacy",
    "analyze": "analyze",
    "routing": "routing",
    "authz": "authz",
    "mixer_expr": None,
    "gatewayapi": None,
}

Case = dict[str, Any]
Answer = Callable[[Case], Case]


def answers(name: str, lines: Iterable[str]) -> Iterator[str]:
    """A result for every case, as soon as it is known. A case that breaks something has failed; the next goes on."""
    answer = _answer_of(name)
    for line in lines:
        if not line.strip():
            continue
        case = msgspec.json.decode(line)
        try:
            result = answer(case)
        except Exception as error:
            log.debug("case %s", case.get("id"), exc_info=True)
            result = {"failed": f"{type(error).__name__}: {error}"}
        yield msgspec.json.encode({"id": case.get("id"), **result}).decode()


def _answer_of(name: str) -> Answer:
    module = SETS[name]
    if module is None:
        return lambda _case: {"failed": f"plait does not answer cases of the set {name} yet"}
    answer: Answer = importlib.import_module(f"plait.app.conformance.{module}").answer
    return answer
