"""`python -m bookinfo.helloworld [PORT]`: which version it is (SERVICE_VERSION), and which instance."""

from __future__ import annotations

import os
import socket
import sys

from bookinfo import web


class HelloWorld:
    """Answers `/hello` and `/health`."""

    def __init__(self, version: str) -> None:
        self._version = version

    def __call__(self, request: web.Request) -> web.Reply:
        """One request."""
        match request.path:
            case "/hello":
                return web.text(f"Hello version: {self._version}, instance: {socket.gethostname()}\n")
            case "/health":
                return web.text("Helloworld is healthy")
        return web.not_found(request)


if __name__ == "__main__":
    version = os.environ.get("SERVICE_VERSION", "v1")
    web.serve(HelloWorld(version), port=int(sys.argv[1]) if sys.argv[1:] else 5000, name=f"helloworld {version}")
