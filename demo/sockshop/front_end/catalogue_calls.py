"""API calls that go to the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockshop.front_end import reply
from sockshop.front_end.pipe import pipe

if TYPE_CHECKING:
    from aiohttp import web

    from sockshop.front_end.backend import Backends
    from sockshop.front_end.routing import Route
    from sockshop.front_end.settings import Endpoints
    from sockshop.front_end.visit import Visit


class CatalogueCalls:
    """Socks, tags and pictures, passed on."""

    def __init__(self, backends: Backends, endpoints: Endpoints) -> None:
        self._backends = backends
        self._base = endpoints.catalogue

    def routes(self) -> tuple[Route, ...]:
        """What is answered here."""
        return (
            ("GET", "/catalogue/images{rest:.*}", self.picture),
            ("GET", "/catalogue{rest:.*}", self.same),
            ("GET", "/tags", self.same),
        )

    async def same(self, visit: Visit) -> web.StreamResponse:
        """The same path on the catalogue. Always 200: the catalogue's own status is lost, as in the original."""
        answer = await self._backends.call("GET", self._base + visit.target, headers=visit.trace)
        return reply.passed(200, answer.body)

    async def picture(self, visit: Visit) -> web.StreamResponse:
        """A picture with its status and headers."""
        return await pipe(self._backends, visit, self._base + visit.target)
