"""istiod's HTTP port 15014: /debug/*, /metrics, /ready and /version."""

from __future__ import annotations

import ipaddress
import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from plait.delivery.auth import AuthenticationUnavailableError, UnauthenticatedError, bearer
from plait.delivery.dump import config_dump, endpointz
from plait.delivery.metrics import BUCKETS, SHORT, Exposition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plait.delivery.analyst import Analyst
    from plait.delivery.auth import Authenticator
    from plait.delivery.builder import Builder
    from plait.delivery.objects import Objects
    from plait.delivery.settled.settling import Settling

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MEANINGS = {
    "/debug/syncz": "what was sent to each proxy and acknowledged by it",
    "/debug/settledz": "objects that are not in effect everywhere yet, and what they wait for; ?all=1 for all",
    "/debug/config_dump": "the configuration of one proxy: ?proxyID=POD.NAMESPACE",
    "/debug/endpointz": "endpoints of every cluster",
    "/debug/registryz": "services",
    "/debug/jwksz": "keys of tokens that were fetched, by where they are",
}
_KINDS = {
    "pilot_services": ("Service", "Services known to pilot."),
    "pilot_virt_services": ("VirtualService", "VirtualServices known to pilot."),
    "pilot_destrules": ("DestinationRule", "DestinationRules known to pilot."),
    "pilot_gateways": ("Gateway", "Gateways known to pilot."),
}


def _on_loopback(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugServer:
    """What the port shows. Configuration is shown on loopback (a port-forward), and to `namespace`'s own service
    accounts by bearer token; metrics and readiness to everybody. `unready` says what else is waited for.
    """

    builder: Builder
    objects: Objects
    authenticator: Authenticator
    istiod: str
    settling: Settling | None = None
    analyst: Analyst | None = None
    version: str
    namespace: str = "istio-system"
    unready: Callable[[], str] = lambda: ""
    keys: Callable[[], list[dict[str, Any]]] = list
    more_metrics: Callable[[Exposition], None] = lambda _: None
    is_local: Callable[[web.Request], bool] = _on_loopback

    def application(self) -> web.Application:
        """An aiohttp application; run it with AppRunner."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/ready", self._ready),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.get("/debug", self._index),
                web.get("/debug/", self._index),
                web.get("/debug/syncz", self._syncz),
                web.get("/debug/settledz", self._settledz),
                web.get("/debug/config_dump", self._config_dump),
                web.get("/debug/endpointz", self._endpointz),
                web.get("/debug/registryz", self._registryz),
                web.get("/debug/jwksz", self._jwksz),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/debug") or self.is_local(request):
            return await handler(request)
        try:
            identity = await self.authenticator.identify(bearer({k.lower(): v for k, v in request.headers.items()}))
        except UnauthenticatedError as error:
            return web.Response(status=401, text=f"{error}\nor use a port-forward to this pod\n")
        except AuthenticationUnavailableError as error:
            return web.Response(status=503, text=f"{error}\n")
        if identity.namespace != self.namespace:
            who = f"{identity.namespace}/{identity.service_account}"
            return web.Response(status=403, text=f"service account {who} may not see this\n")
        return await handler(request)

    async def _ready(self, _: web.Request) -> web.Response:
        if self.builder.ready:
            return web.Response(text="ready\n")
        why = self.unready() or "the first list of objects or delivery is still missing"
        return web.Response(status=503, text=f"not ready: {why}\n")

    async def _version(self, _: web.Request) -> web.Response:
        return web.Response(text=f"{self.version}\n")

    async def _index(self, _: web.Request) -> web.Response:
        return _json(_MEANINGS)

    async def _syncz(self, _: web.Request) -> web.Response:
        known = self.settling.data_plane if self.settling is not None else lambda _: {}
        return _json(self.builder.proxies.syncz(istiod=self.istiod, version=self.version, data_plane=known))

    async def _jwksz(self, _: web.Request) -> web.Response:
        return _json(self.keys())

    async def _settledz(self, request: web.Request) -> web.Response:
        found = self.settling.shown(everything=bool(request.query.get("all"))) if self.settling is not None else []
        return _json(found)

    async def _config_dump(self, request: web.Request) -> web.Response:
        wanted = request.query.get("proxyID", "")
        proxy = self.builder.proxies.find(wanted)
        if proxy is None:
            known = ", ".join(sorted({p.id for p in self.builder.proxies})) or "none"
            text = f"no proxy {wanted!r} is connected: give ?proxyID=POD.NAMESPACE, connected are: {known}\n"
            return web.Response(status=404 if wanted else 400, text=text)
        return _json(config_dump(self.builder.mirror, proxy.views))

    async def _endpointz(self, _: web.Request) -> web.Response:
        return _json(endpointz(self.builder.mirror))

    async def _registryz(self, _: web.Request) -> web.Response:
        return _json(self.objects.registryz())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self.exposition().encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    def exposition(self) -> str:
        """The metrics, in Prometheus' text format."""
        totals, out = self.builder.totals, Exposition()
        out.add("pilot_info", "gauge", "Version of pilot.", [({"version": self.version}, 1)])
        out.add(
            "pilot_xds",
            "gauge",
            "Proxies connected by xDS.",
            [({"version": self.version}, len(self.builder.proxies))],
        )
        pushes = [({"type": short}, totals.pushes[url]) for url, short in SHORT.items()]
        out.add("pilot_xds_pushes", "counter", "Responses sent.", pushes)
        out.add("pilot_total_xds_rejects", "counter", "Responses refused by proxies.", totals.rejects.total())
        for url, short in SHORT.items():
            meaning = f"{short.upper()} responses refused by proxies."
            out.add(f"pilot_xds_{short}_reject", "counter", meaning, totals.rejects[url])
        counts = [totals.convergence[index] for index in range(len(BUCKETS) + 1)]
        meaning = "Seconds from a change to its acknowledgement, per proxy and type."
        out.add_histogram("pilot_proxy_convergence_time", meaning, counts, totals.convergence_sum)
        out.add("pilot_k8s_cfg_events", "counter", "Changes of objects taken in.", totals.changes)
        out.add("pilot_push_triggers", "counter", "Changes of views sent to delivery.", totals.publications)
        out.add("plait_build_seconds_total", "counter", "Time spent building configuration.", totals.build_seconds)
        out.add("plait_delivery_starts_total", "counter", "Delivery processes started.", totals.deliveries)
        if self.settling is not None:
            waiting = len(self.settling.ledger.pending)
            out.add("plait_unsettled_objects", "gauge", "Objects that are not in effect everywhere yet.", waiting)
            meaning = "Seconds from the publication of an object's generation until it is in effect everywhere."
            out.add_histogram("plait_settle_seconds", meaning, self.settling.seconds, self.settling.seconds_sum)
            out.add("plait_probes_total", "counter", "Questions to proxies' data planes.", self.settling.probes)
        if self.analyst is not None:
            current = self.analyst.current
            out.add("plait_findings", "gauge", "What analysis says of objects at the moment.", current.known)
            out.add("plait_judgements_total", "counter", "Objects judged by analysis.", current.judged)
            out.add("plait_analysis_seconds_total", "counter", "Time spent analysing.", self.analyst.worked)
        self.more_metrics(out)
        for name, (kind, meaning) in _KINDS.items():
            out.add(name, "gauge", meaning, self.objects.count(kind))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        out.add("process_cpu_seconds_total", "counter", "CPU time used.", usage.ru_utime + usage.ru_stime)
        out.add("process_start_time_seconds", "gauge", "When the process started.", _started())
        return out.text()


def _started() -> float:
    """Seconds since the epoch: now less the age of the process."""
    with open("/proc/self/stat", encoding="ascii") as file:  # noqa: PTH123
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / 100)


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.format(msgspec.json.encode(value)), content_type="application/json")
