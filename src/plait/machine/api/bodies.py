"""Request bodies: JSON, YAML and Kubernetes protobuf, as JSON values."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from plait.machine.api.aside import LARGE
from plait.machine.api.errors import StatusError, bad_request, unsupported_media
from plait.machine.api.schema import ProtobufError, duplicate_keys

if TYPE_CHECKING:
    from aiohttp import web

    from plait.machine.api.schema import Schemas

#: Largest body taken, in bytes; as upstream.
LIMIT = 3 * 1024 * 1024
PROTOBUF = "application/vnd.kubernetes.protobuf"
_JSON = frozenset({"application/json", "application/octet-stream", "text/plain", ""})
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A decoded body; `repeated` are paths of keys its text gave twice, `size` is that of the text in bytes."""

    value: Any
    repeated: tuple[str, ...] = ()
    size: int = 0


class _GoLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML without timestamps: to Go's decoder a date is a string."""


_GoLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


async def read_body(request: web.Request, schemas: Schemas) -> Body:
    """The body of a request; None as value where there is none. Raises 400, 413 or 415."""
    raw = await read_raw(request)
    media = media_type(request)
    if not raw:
        return Body(value=None)
    if media == PROTOBUF:
        try:
            return Body(value=schemas.decode_protobuf(raw))
        except ProtobufError as problem:
            raise bad_request(f"unable to decode the protobuf body: {problem}") from None
    if media in _YAML:
        # A second for each megabyte, in which others are answered.
        value = await asyncio.to_thread(decode_yaml, raw) if len(raw) >= LARGE else decode_yaml(raw)
        return Body(value=value, size=len(raw))
    if media in _JSON:
        return Body(value=decode_json(raw), repeated=duplicate_keys(raw), size=len(raw))
    raise unsupported_media(media, ["application/json", "application/yaml", PROTOBUF])


async def read_raw(request: web.Request) -> bytes:
    """The bytes of a body, not more than LIMIT; raises 413."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > LIMIT:
            raise StatusError(
                413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT} bytes", details={}
            )
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(request: web.Request) -> str:
    """The media type of a body without parameters, in lower case."""
    return request.headers.get("Content-Type", "").split(";", 1)[0].strip().lower()


def decode_json(raw: bytes) -> Any:
    """Raises 400."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as problem:
        raise bad_request(f"the object provided is unrecognized (must be of type JSON): {problem}") from None
    except UnicodeDecodeError:
        raise bad_request("the object provided is not valid UTF-8") from None
    except RecursionError:
        raise bad_request("the object provided is nested too deeply") from None


def decode_yaml(raw: bytes) -> Any:
    """The single document of a YAML text (JSON is YAML too); raises 400."""
    if raw.lstrip()[:1] == b"{":
        # What kubectl applies is JSON, which is read a hundred times as fast.
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(raw)
    try:
        return yaml.load(raw, Loader=_GoLoader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise bad_request(f"error converting YAML to JSON: {problem}") from None
