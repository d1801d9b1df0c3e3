"""What can go wrong between a program and the API.

ApiError
├─ Unauthorized      401: the token or certificate was not accepted
├─ Forbidden         403: known, but not allowed
├─ NotFound          404: no such object, or no such resource
├─ AlreadyExists     409: create of a name in use
├─ Conflict          409: the object changed since it was read; read again and repeat
├─ Gone              410: the resource version asked for is no longer known; list again
├─ Invalid           422: the object breaks a rule; `causes` says which fields
├─ TooManyRequests   429: `retry_after` seconds
└─ Unreachable       no usable answer: connection refused or lost, time-out, 502, 503, 504
AccessError          a kubeconfig or service account folder that cannot be used (not an answer of the API)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class AccessError(Exception):
    """The kubeconfig or service account folder cannot be used; the message says where and why."""


class ApiError(Exception):
    """The API answered with a failure; `status` is its `Status` object."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self.status = dict(status)
        super().__init__(self.message)

    @property
    def code(self) -> int:
        """HTTP status; 0 when there was no answer."""
        return int(self.status.get("code") or 0)

    @property
    def reason(self) -> str:
        """Machine-readable, for example `NotFound`."""
        return str(self.status.get("reason") or "")

    @property
    def message(self) -> str:
        """For people."""
        return str(self.status.get("message") or self.reason or f"HTTP {self.code}")

    @property
    def causes(self) -> tuple[Mapping[str, str], ...]:
        """Field by field: `reason`, `message`, `field`."""
        return tuple((self.status.get("details") or {}).get("causes") or ())

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait, if it does."""
        seconds = (self.status.get("details") or {}).get("retryAfterSeconds")
        return float(seconds) if seconds else None

    _BY_REASON: ClassVar[dict[str, type[ApiError]]] = {}
    _BY_CODE: ClassVar[dict[int, type[ApiError]]] = {}

    @staticmethod
    def of(status: Mapping[str, Any]) -> ApiError:
        """The most specific error for a `Status`."""
        reason, code = str(status.get("reason") or ""), int(status.get("code") or 0)
        kind = ApiError._BY_REASON.get(reason) or ApiError._BY_CODE.get(code) or ApiError
        return kind(status)


class Unauthorized(ApiError):  # noqa: N818  (named as the API's reasons are)
    """The credentials were not accepted."""


class Forbidden(ApiError):  # noqa: N818
    """The credentials do not allow this, or the namespace is being deleted."""

    @property
    def namespace_terminating(self) -> bool:
        """The refusal is for a namespace on its way out: there is no use in trying again."""
        return any(cause.get("reason") == "NamespaceTerminating" for cause in self.causes) or (
            "being terminated" in self.message
        )


class NotFound(ApiError):  # noqa: N818
    """There is no such object, or the API does not serve such a resource."""


class AlreadyExists(ApiError):  # noqa: N818
    """The name is taken."""


class Conflict(ApiError):  # noqa: N818
    """The object is not what the writer thought it was."""


class Gone(ApiError):  # noqa: N818
    """The resource version is older than what the server remembers."""


class Invalid(ApiError):  # noqa: N818
    """The object breaks a rule of its kind."""


class TooManyRequests(ApiError):  # noqa: N818
    """Come back after `retry_after` seconds."""


class Unreachable(ApiError):  # noqa: N818
    """No usable answer; whether a write happened is unknown unless `sent` is False."""

    def __init__(self, status: Mapping[str, Any], *, sent: bool = True) -> None:
        super().__init__(status)
        self.sent = sent

    @classmethod
    def because(cls, server: str, error: BaseException, *, sent: bool) -> Unreachable:
        """From a failure of the network."""
        text = str(error) or type(error).__name__
        return cls({"code": 0, "reason": "Unreachable", "message": f"{server}: {text}"}, sent=sent)


ApiError._BY_REASON.update(  # noqa: SLF001
    {
        "Unauthorized": Unauthorized,
        "Forbidden": Forbidden,
        "NotFound": NotFound,
        "AlreadyExists": AlreadyExists,
        "Conflict": Conflict,
        "Expired": Gone,
        "Gone": Gone,
        "Invalid": Invalid,
        "TooManyRequests": TooManyRequests,
        "ServiceUnavailable": Unreachable,
        "Timeout": Unreachable,
    }
)
ApiError._BY_CODE.update(  # noqa: SLF001
    {
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Gone,
        422: Invalid,
        429: TooManyRequests,
        502: Unreachable,
        503: Unreachable,
        504: Unreachable,
    }
)
