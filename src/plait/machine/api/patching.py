"""The patches of Kubernetes, by media type, as one function from the present object to the wanted one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.bodies import decode_json, decode_yaml
from plait.machine.api.errors import StatusError, unsupported_media
from plait.machine.api.schema import PatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.machine.api.registry import Resource
    from plait.machine.api.schema import Schemas

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_REASONS = {400: "BadRequest", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid"}


def read_patch(resource: Resource, media: str, raw: bytes, schemas: Schemas) -> Callable[[Json], Json]:
    """The change a patch body asks for; raises 400 or 415, and the change itself 400 or 422."""
    kind = resource.kind
    accepted = [JSON_PATCH, MERGE, *([] if kind.custom else [STRATEGIC]), APPLY]
    if media not in accepted:
        raise unsupported_media(media, accepted)
    patch = decode_json(raw)

    def change(obj: Json) -> Json:
        try:
            if media == JSON_PATCH:
                return schemas.json_patch(obj, patch)
            if media == MERGE:
                return schemas.merge_patch(obj, patch)
            return schemas.strategic_merge(kind, obj, patch)
        except PatchError as problem:
            raise StatusError(problem.code, _REASONS.get(problem.code, "Invalid"), problem.message) from None

    return change


def read_apply(raw: bytes) -> Any:
    """The configuration of a server-side apply, which may be YAML; raises 400."""
    return decode_yaml(raw)
