"""What the API answers when it refuses: a `Status`, with the words kubectl prints and the reasons clients branch on.

There is one exception, `StatusError`; the functions below make it for each kind of refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plait.machine.api.schema.fields import FieldError
    from plait.machine.api.schema.kinds import ServedKind

Json = dict[str, Any]


class StatusError(Exception):
    """A refusal. `details` is Status.details; `headers` go into the response."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> Json:
        """The `Status` object of the answer."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        # Empty details are written too: kubectl looks into those of a 404 without asking whether there are any.
        if self.details is not None:
            status["details"] = self.details
        return status


def success(*, name: str = "", kind: ServedKind | None = None, uid: str = "") -> Json:
    """The `Status` of something done; `kubectl delete` needs `details.uid` to wait for the right object."""
    details: Json = {}
    if kind is not None:
        details = {"name": name, **_details(kind)}
        if uid:
            details["uid"] = uid
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        **({"details": details} if details else {}),
    }


def _details(kind: ServedKind) -> Json:
    return {"group": kind.group, "kind": kind.plural} if kind.group else {"kind": kind.plural}


def not_found(kind: ServedKind, name: str) -> StatusError:
    """The named object does not exist."""
    return StatusError(404, "NotFound", f'{kind.resource} "{name}" not found', details={"name": name, **_details(kind)})


def no_such_resource() -> StatusError:
    """The path names nothing that is served; kubectl has fixed words for exactly this message."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(kind: ServedKind, name: str) -> StatusError:
    """A create met an object of that name."""
    return StatusError(
        409, "AlreadyExists", f'{kind.resource} "{name}" already exists', details={"name": name, **_details(kind)}
    )


def conflict(kind: ServedKind, name: str, why: str, *, causes: Sequence[Json] = ()) -> StatusError:
    """The write does not fit the present state; `why` is a sentence."""
    details: Json = {"name": name, **_details(kind)}
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    if causes:
        details["causes"] = list(causes)
        message = why
    return StatusError(409, "Conflict", message, details=details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: ServedKind, name: str, errors: Iterable[FieldError]) -> StatusError:
    """The object breaks rules of its kind; one cause for each."""
    causes: list[Json] = []
    words: list[str] = []
    for error in errors:
        text = str(error)
        if text in words:
            continue
        words.append(text)
        causes.append({"reason": error.reason, "message": error.message, "field": error.path})
    told = words[0] if len(words) == 1 else "[" + ", ".join(words) + "]"
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details: Json = {"name": name, "kind": kind.kind, "causes": causes}
    if kind.group:
        details["group"] = kind.group
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {told}', details=details)


def bad_request(message: str) -> StatusError:
    """The request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """No credentials, or none that are valid."""
    return StatusError(401, "Unauthorized", "Unauthorized", headers={"WWW-Authenticate": "Bearer"})


def forbidden(kind: ServedKind | None, name: str, why: str, *, causes: Sequence[Json] = ()) -> StatusError:
    """Refused by a rule; `kind` is None for paths that are no resource."""
    if kind is None:
        return StatusError(403, "Forbidden", f"forbidden: {why}", details={})
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    details: Json = {"name": name, **_details(kind)} if name else _details(kind)
    if causes:
        details["causes"] = list(causes)
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details=details)


def method_not_allowed() -> StatusError:
    """The path exists and does not know this method."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def not_acceptable(offers: Sequence[str]) -> StatusError:
    """Nothing in `Accept` can be served."""
    return StatusError(
        406, "NotAcceptable", f"only the following media types are accepted: {', '.join(offers)}", details={}
    )


def unsupported_media(got: str, accepted: Sequence[str]) -> StatusError:
    """The body's type is not one of those the request may have."""
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - {got!r}; accepted media types include: "
        f"{', '.join(accepted)}",
    )


def expired(asked: int, oldest: int) -> StatusError:
    """The watch log no longer reaches back to the version asked for: the client lists again."""
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large_version(asked: int, current: int) -> StatusError:
    """A client remembers a version of another life of this store: it falls back to a fresh list."""
    return StatusError(
        504,
        "Timeout",
        f"Too large resource version: {asked}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def unavailable(message: str) -> StatusError:
    """Something the answer needs does not run right now, for example the node."""
    return StatusError(
        503,
        "ServiceUnavailable",
        message,
        details={"retryAfterSeconds": 1},
        headers={"Retry-After": "1"},
    )


def internal(message: str) -> StatusError:
    """A mistake of ours."""
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details=details)
