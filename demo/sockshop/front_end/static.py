"""The pages: files that are read once at the start and answered from memory, without a web session."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_TEXTUAL = frozenset(("text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One file with its head. The ETag comes from the content: two replicas agree on it, two versions do not."""

    body: bytes
    headers: Mapping[str, str]
    modified: int

    @classmethod
    def read(cls, path: Path) -> Page:
        """Reads a file of the shop."""
        body = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        modified = int(path.stat().st_mtime)
        headers = {
            "Cache-Control": "public, max-age=0",
            "Content-Type": f"{kind}; charset=UTF-8" if kind in _TEXTUAL else kind,
            "ETag": f'W/"{len(body):x}-{hashlib.sha256(body).hexdigest()[:16]}"',
            "Last-Modified": formatdate(modified, usegmt=True),
        }
        return cls(body=body, headers=headers, modified=modified)

    def fresh_for(self, headers: Mapping[str, str]) -> bool:
        """Whether the browser's copy still counts; If-None-Match goes before If-Modified-Since."""
        known = headers.get("If-None-Match")
        if known is not None:
            tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
            return "*" in tags or self.headers["ETag"].removeprefix("W/") in tags
        try:
            return self.modified <= parsedate_to_datetime(headers.get("If-Modified-Since", "")).timestamp()
        except ValueError:
            return False


class Pages:
    """Files by path. A later folder's file takes the place of an earlier one's."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._pages: dict[str, Page] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    self._pages[f"/{path.relative_to(folder).as_posix()}"] = Page.read(path)
        if "/index.html" in self._pages:
            self._pages["/"] = self._pages["/index.html"]

    def answer(self, request: web.Request) -> web.Response | None:
        """The file that GET or HEAD asks for; None when there is none."""
        page = self._pages.get(request.path)
        if page is None or request.method not in {"GET", "HEAD"}:
            return None
        if page.fresh_for(request.headers):
            kept = {name: value for name, value in page.headers.items() if name != "Content-Type"}
            return web.Response(status=304, headers=kept)
        return web.Response(body=page.body, headers=page.headers)
