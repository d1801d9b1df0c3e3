"""Where one type stands on a stream, as it is reported and shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from plait.delivery.store import Difference

if TYPE_CHECKING:
    from plait.delivery.store import View
    from plait.delivery.subscription import Subscription

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


def status_of(subscription: Subscription, views: tuple[View, ...] | None, *, calm: bool) -> TypeStatus:
    """The status of a subscription; `calm` says that its stream knows of nothing to send."""
    if calm and subscription.shown is not None:
        return subscription.shown
    state: State = "SYNCED"
    if subscription.rejected:
        state = "NACK"
    elif views is None or subscription.fresh:
        state = "NOT SENT"
    elif subscription.outstanding or not (
        calm or (not subscription.held and subscription.lacks(views) == Difference())
    ):
        state = "STALE"
    found = _one_status(
        subscription.type_url,
        state,
        *subscription.sent,
        *subscription.acked,
        subscription.error,
        tuple(sorted(subscription.rejected)) if subscription.rejected else (),
    )
    if calm:
        subscription.shown = found
    return found


@lru_cache(maxsize=4096)
def _one_status(  # noqa: PLR0917 (the fields of TypeStatus)
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
