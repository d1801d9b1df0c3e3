"""Files of a folder over HTTP: dates, single ranges, nothing outside the folder."""

from __future__ import annotations

import mimetypes
import os
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from pathlib import Path


class Pictures:
    """Reads each file anew, in one go: the pictures are small and in the page cache.

    aiohttp's own FileResponse would ask a thread for every step, which costs five times as much for files of this size.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def answer(self, request: web.Request, name: str) -> web.Response | None:
        """The file, a part of it (206, 416) or 304 when the caller has it already; None when there is no such file."""
        path = (self._folder / name).resolve() if "\0" not in name else self._folder
        if not path.is_relative_to(self._folder) or not path.is_file():
            return None
        with path.open("rb") as file:
            modified = int(os.fstat(file.fileno()).st_mtime)
            body = file.read()
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "Last-Modified": formatdate(modified, usegmt=True),
        }
        since = request.if_modified_since
        if since is not None and modified <= since.timestamp():
            del headers["Content-Type"]
            return web.Response(status=304, headers=headers)
        return _part(request, body, headers)


def _part(request: web.Request, body: bytes, headers: dict[str, str]) -> web.Response:
    """The range that is asked for; the whole when none is, or one that means nothing, or several."""
    wanted = request.headers.get("Range", "")
    if not wanted.startswith("bytes=") or "," in wanted or request.headers.get("If-Range"):
        return web.Response(body=body, headers=headers)
    try:
        start, stop, _ = request.http_range.indices(len(body))
    except ValueError:
        return web.Response(body=body, headers=headers)
    if start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    return web.Response(status=206, body=body[start:stop], headers=headers)
