"""What goes over the wire besides objects: failures, watch lines, selectors, sockets."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

import msgspec

from plait.kube.errors import ApiError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

PatchType = Literal["merge", "strategic", "json", "apply"]
PATCH_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class Options(TypedDict, total=False):
    """What a request may carry: query, body, the body's media type, the media types wanted back."""

    params: Mapping[str, str] | None
    json: Any
    content: str
    accept: str | None


class Event(NamedTuple):
    """One step of a watch: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`."""

    type: str
    object: dict[str, Any]


class Answer(NamedTuple):
    """A 2xx answer; `warnings` are the texts of its Warning headers."""

    status: int
    body: bytes
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of a collection, each with apiVersion and kind, at one resource version."""

    items: list[dict[str, Any]]
    resource_version: str


async def raise_refusal(response: aiohttp.ClientResponse) -> None:
    """Raise what a non-2xx answer means."""
    try:
        body = await response.read()
    finally:
        response.release()
    try:
        status = msgspec.json.decode(body, type=dict[str, Any])
        if status.get("kind") != "Status":
            status = {}
    except msgspec.MsgspecError:
        status = {}
    if not status:
        text = body[:200].decode("utf-8", "replace").strip() or response.reason or ""
        status = {"message": f"{response.method} {response.url.path}: HTTP {response.status} {text}"}
    status.setdefault("code", response.status)
    if (wait := response.headers.get("Retry-After", "")).isdigit():
        status["details"] = {"retryAfterSeconds": int(wait)} | (status.get("details") or {})
    raise ApiError.of(status)


def read_event(line: bytes) -> Event:
    """One line of a watch; raises the ApiError that an ERROR line carries."""
    try:
        event = msgspec.json.decode(line, type=dict[str, Any])
        kind, obj = str(event["type"]), event["object"]
    except (msgspec.MsgspecError, KeyError) as error:
        raise Unreachable.because("watch", error, sent=True) from error
    if kind == "ERROR":
        raise ApiError.of(obj)
    return Event(kind, obj)


def read_warnings(headers: Sequence[str]) -> tuple[str, ...]:
    """The texts of Warning headers (RFC 7234: code, agent, quoted text), those for people only: code 299."""
    texts = (match[1] for header in headers if (match := _WARNING.match(header)))
    return tuple(re.sub(r"\\(.)", r"\1", text) for text in texts)


def selector_params(labels: str | None, fields: str | None) -> dict[str, str]:
    """Selectors as query parameters."""
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in given.items() if value}


def lively_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that notices within a minute that its peer is gone, so that no watch hangs on a dead connection."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return made
