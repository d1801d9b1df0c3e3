"""Where one type stands on a stream, as it is reported and shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

State = Literal["SYNCED", "STALE", "NOT SENT", "NACK"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStatus:
    """Where one type stands on a stream; versions are the store's revisions, nonces are empty before the first push.

    `rejected` are the names whose newest version the proxy refused, and `error` why.
    """

    type_url: str
    state: State
    sent_nonce: str = ""
    sent_version: int = 0
    acked_nonce: str = ""
    acked_version: int = 0
    error: str = ""
    rejected: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def type_status(  # noqa: PLR0917 (the fields of TypeStatus)
    type_url: str,
    state: State,
    sent_nonce: str,
    sent_version: int,
    acked_nonce: str,
    acked_version: int,
    error: str,
    rejected: tuple[str, ...],
) -> TypeStatus:
    """One value for all streams that stand the same: they are sent the same pushes."""
    return TypeStatus(
        type_url=type_url,
        state=state,
        sent_nonce=sent_nonce,
        sent_version=sent_version,
        acked_nonce=acked_nonce,
        acked_version=acked_version,
        error=error,
        rejected=rejected,
    )
