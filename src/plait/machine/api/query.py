"""Query parameters of reads and writes, read as Go reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from plait.machine.api.errors import StatusError, bad_request
from plait.machine.api.selectors import Predicate, parse_fields, parse_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})
#: A watch without timeoutSeconds ends after this many seconds, as upstream's do.
DEFAULT_WATCH_SECONDS = 1800.0


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean as Go's ParseBool takes it; raises 400."""
    value = query.get(name, "")
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise bad_request(f'invalid value {value!r} for parameter {name}: write "true" or "false"')


def number(query: Mapping[str, str], name: str) -> int | None:
    """An integer, None if absent; raises 400."""
    value = query.get(name, "")
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise bad_request(f"invalid value {value!r} for parameter {name}: write an integer") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a list or watch asks for. `version` is None where the client leaves the choice to the server."""

    labels: Predicate | None
    fields: Predicate | None
    version: int | None
    match: str
    limit: int
    continuation: str
    watch: bool
    bookmarks: bool
    initial_events: bool | None
    timeout: float

    def matches(self, obj: dict[str, object]) -> bool:
        """Whether both selectors take the object."""
        return (self.labels is None or self.labels(obj)) and (self.fields is None or self.fields(obj))

    @property
    def selective(self) -> bool:
        """Whether there is any selector."""
        return self.labels is not None or self.fields is not None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> ReadOptions:
        """Raises 400 for malformed values and 422-like misuse of the list semantics."""
        version = number(query, "resourceVersion")
        if version is not None and version < 0:
            raise bad_request(f"invalid value {version} for parameter resourceVersion: write one that was returned")
        initial = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None
        match = query.get("resourceVersionMatch", "")
        if match not in {"", "Exact", "NotOlderThan"}:
            raise bad_request(f"invalid value {match!r} for resourceVersionMatch: write Exact or NotOlderThan")
        watch = flag(query, "watch")
        if initial is not None and (not watch or match != "NotOlderThan"):
            raise StatusError(
                422,
                "Invalid",
                "sendInitialEvents is allowed only for watch=true with resourceVersionMatch=NotOlderThan",
            )
        seconds = number(query, "timeoutSeconds")
        return cls(
            labels=parse_labels(query.get("labelSelector", "")),
            fields=parse_fields(query.get("fieldSelector", "")),
            version=version,
            match=match,
            limit=max(number(query, "limit") or 0, 0),
            continuation=query.get("continue", ""),
            watch=watch,
            bookmarks=flag(query, "allowWatchBookmarks"),
            initial_events=initial,
            timeout=float(seconds) if seconds else DEFAULT_WATCH_SECONDS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a write is to be done. `manager` names whoever owns the fields written."""

    dry_run: bool
    validation: Literal["Ignore", "Warn", "Strict"]
    manager: str
    manager_given: bool
    force: bool

    @classmethod
    def parse(cls, query: Mapping[str, str], *, user_agent: str) -> WriteOptions:
        """Raises 400 for malformed values."""
        dry_run = query.get("dryRun", "")
        if dry_run not in {"", "All"}:
            raise bad_request(f'invalid value {dry_run!r} for parameter dryRun: the only value is "All"')
        validation = query.get("fieldValidation", "") or "Warn"
        if validation not in {"Ignore", "Warn", "Strict"}:
            raise bad_request(f"invalid value {validation!r} for fieldValidation: write Ignore, Warn or Strict")
        manager = query.get("fieldManager", "")
        if len(manager) > 128:
            raise bad_request("fieldManager: may not be more than 128 characters")
        return cls(
            dry_run=bool(dry_run),
            validation="Ignore" if validation == "Ignore" else "Strict" if validation == "Strict" else "Warn",
            manager=manager or user_agent.split("/", 1)[0][:128] or "unknown",
            manager_given=bool(manager),
            force=flag(query, "force"),
        )
