"""Taking objects that a selector matches under control, and letting go of those it no longer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.kube.errors import NotFound
from plait.machine.controllers.objects import controller_reference, is_deleting

if TYPE_CHECKING:
    from plait.kube.kinds import Kind
    from plait.machine.controllers.writes import Writes

Object = dict[str, Any]


async def adopt(writes: Writes, owner_kind: Kind, owner: Object, kind: Kind, obj: Object) -> bool:
    """Make `owner` the controller of `obj`; False if either is gone or on its way out. Raises ApiError.

    The owner is asked for freshly: one that was deleted must not take anything with it.
    """
    meta = owner["metadata"]
    try:
        fresh = await writes.api.get(owner_kind, meta["name"], meta["namespace"])
        if fresh["metadata"]["uid"] != meta["uid"] or is_deleting(fresh):
            return False
        # By uid as merge key, and only if nobody changed the object meanwhile: it may have found another controller.
        change = {
            "metadata": {
                "ownerReferences": [controller_reference(owner)],
                "resourceVersion": obj["metadata"]["resourceVersion"],
            }
        }
        await writes.merge_lists(kind, obj, change)
    except NotFound:
        return False
    return True


async def release(writes: Writes, owner: Object, kind: Kind, obj: Object) -> None:
    """Take `owner` out of the owners of `obj`; that `obj` is gone is fine. Raises ApiError."""
    change = {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner["metadata"]["uid"]}]}}
    try:
        await writes.merge_lists(kind, obj, change)
    except NotFound:
        return
