"""HTTP answers: JSON bodies with the headers every answer carries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from aiohttp import web
from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.machine.api.errors import StatusError

JSON_TYPE = "application/json"
#: Clients limit how much header they read: long texts are cut, and there are not endlessly many.
_WARNING_LENGTH = 600
_WARNINGS = 40


def headers(warnings: Iterable[str] = ()) -> CIMultiDict[str]:
    """Headers of every answer; one `Warning` for each text."""
    made: CIMultiDict[str] = CIMultiDict({"Cache-Control": "no-cache, private"})
    given = list(warnings)
    told = given if len(given) <= _WARNINGS else [*given[: _WARNINGS - 1], _more(len(given) - _WARNINGS + 1)]
    for text in told:
        made.add("Warning", warning(text))
    return made


def _more(number: int) -> str:
    return f"and {number} more warnings, which plait analyze and plait validate print"


def warning(text: str) -> str:
    """The value of a `Warning` header."""
    return f'299 - "{_quoted(text)}"'


def _quoted(text: str) -> str:
    plain = re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()
    if len(plain) > _WARNING_LENGTH:
        plain = plain[: _WARNING_LENGTH - 1] + "…"
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def json_response(
    body: bytes | dict[str, Any],
    *,
    status: int = 200,
    warnings: Iterable[str] = (),
    content_type: str = JSON_TYPE,
    as_yaml: bool = False,
) -> web.Response:
    """A JSON answer; `as_yaml` writes the same value as YAML."""
    if as_yaml:
        value = msgspec.json.decode(body) if isinstance(body, bytes) else body
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        made = headers(warnings)
        made["Content-Type"] = "application/yaml"
        return web.Response(body=text.encode(), status=status, headers=made)
    made = headers(warnings)
    made["Content-Type"] = content_type
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return web.Response(body=raw, status=status, headers=made)


def error_response(error: StatusError, warnings: Iterable[str] = ()) -> web.Response:
    """A refusal as `Status`."""
    response = json_response(error.status(), status=error.code, warnings=warnings)
    response.headers.update(error.headers)
    return response
