"""Whether programs in no pod are ready: istiod makes the probe of their WorkloadGroup itself, by the pod network.

In Istio an agent beside the program does. Here there is none, and all programs are on one machine, so that the one who
needs the answer can ask. An entry is asked about if it comes from a group with a probe and says by its annotation that
its health counts. A client that says by itself how its program is, as Istio's agent does, is believed, and nobody asks.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from plait.api.meta import ObjectKey
from plait.api.workloadentry import GROUP_ANNOTATION, HEALTH_ANNOTATION, HEALTHY
from plait.inject.outside import probe_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from plait.delivery.objects import Objects

log = logging.getLogger(__name__)

_PERIOD: Final = 10
_ANSWERED: Final = range(200, 400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, how often, and how many answers in a row decide. Seconds. Defaults are Kubernetes'."""

    address: str
    port: int
    tcp: bool = False
    scheme: str = "http"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    delay: int = 0
    timeout: int = 1
    period: int = _PERIOD
    successes: int = 1
    failures: int = 3


def question(probe: Mapping[str, Any], address: str) -> Question:
    """The probe of a group, asked of one of its programs."""
    http, tcp = probe.get("httpGet") or {}, probe.get("tcpSocket") or {}
    way = http or tcp
    return Question(
        address=way.get("host") or address,
        port=int(way.get("port") or 0),
        tcp=not http,
        scheme=str(http.get("scheme") or "HTTP").lower(),
        path=str(http.get("path") or "/"),
        headers=tuple((str(h.get("name", "")), str(h.get("value", ""))) for h in http.get("httpHeaders") or ()),
        delay=int(probe.get("initialDelaySeconds") or 0),
        timeout=int(probe.get("timeoutSeconds") or 1),
        period=int(probe.get("periodSeconds") or _PERIOD),
        successes=int(probe.get("successThreshold") or 1),
        failures=int(probe.get("failureThreshold") or 3),
    )


async def ask(asked: Question) -> str:
    """What is wrong with the program, empty for nothing."""
    try:
        async with asyncio.timeout(asked.timeout):
            if asked.tcp:
                _, writer = await asyncio.open_connection(asked.address, asked.port)
                writer.close()
                return ""
            host = f"[{asked.address}]" if ":" in asked.address else asked.address
            url = f"{asked.scheme}://{host}:{asked.port}/{asked.path.lstrip('/')}"
            # As the kubelet: it is asked whether there is an answer, not who gives it.
            async with (
                aiohttp.ClientSession() as session,
                session.get(url, headers=dict(asked.headers), ssl=False, allow_redirects=False) as answer,
            ):
                return "" if answer.status in _ANSWERED else f"the probe was answered with {answer.status}"
    except TimeoutError:
        return f"the probe got no answer within {asked.timeout} s"
    except Exception as error:  # noqa: BLE001 -- whatever it is, this program could not be asked, and others can
        return f"the probe failed: {error}"


class Health:
    """Follows WorkloadEntries and their groups; `run` asks. `changed` hears of each entry with another answer."""

    def __init__(self, objects: Objects, *, asking: Callable[[Question], Awaitable[str]] = ask) -> None:
        self._objects = objects
        self._asking = asking
        self._changed: Callable[[ObjectKey], None] = lambda _: None
        self._found: dict[ObjectKey, dict[str, str]] = {}
        self._asked: dict[ObjectKey, tuple[Question, asyncio.Task[None]]] = {}
        self._reported: set[ObjectKey] = set()
        self._news: dict[ObjectKey, None] = {}
        self._some = asyncio.Event()

    def bind(self, changed: Callable[[ObjectKey], None]) -> None:
        """Who is to hear of an entry whose health is another."""
        self._changed = changed

    def condition(self, key: ObjectKey) -> Mapping[str, str] | None:
        """The condition Healthy of an entry; None where nobody has asked yet, or nobody is to."""
        return self._found.get(key)

    def report(self, key: ObjectKey, fault: str) -> None:
        """Somebody beside the program says how it is, and is asked no more."""
        if key not in self._reported:
            self._reported.add(key)
            self._news[key] = None
            self._some.set()
        self._tell(key, fault)

    def take(self, kind: str, namespace: str, name: str) -> None:
        """An object is other than before, or gone."""
        if kind == "WorkloadEntry":
            key = ObjectKey(kind, namespace, name)
            self._news[key] = None
            if self._objects.find(str(key)) is None:
                self._reported.discard(key)
        elif kind == "WorkloadGroup":
            for obj in self._objects.all("WorkloadEntry"):
                metadata = obj["metadata"]
                if metadata.get("namespace") == namespace and _annotations(obj).get(GROUP_ANNOTATION) == name:
                    self._news[ObjectKey("WorkloadEntry", namespace, metadata["name"])] = None
        if self._news:
            self._some.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._some.wait()
                self._some.clear()
                news, self._news = self._news, {}
                for key in news:
                    self._follow(key, tasks)

    def _follow(self, key: ObjectKey, tasks: asyncio.TaskGroup) -> None:
        wanted = self._question(key)
        known = self._asked.get(key)
        if known is not None and known[0] == wanted:
            return
        if known is not None:
            known[1].cancel()
            del self._asked[key]
        if wanted is None and key not in self._reported:
            self._found.pop(key, None)
        elif wanted is not None:
            self._asked[key] = wanted, tasks.create_task(self._watch(key, wanted), name=f"probe {key}")

    def _question(self, key: ObjectKey) -> Question | None:
        entry = self._objects.find(str(key)) if key not in self._reported else None
        if entry is None or _annotations(entry).get(HEALTH_ANNOTATION, "").lower() != "true":
            return None
        group = self._objects.find(f"WorkloadGroup/{key.namespace}/{_annotations(entry).get(GROUP_ANNOTATION)}")
        probe = probe_of(group) if group is not None else None
        address = (entry.get("spec") or {}).get("address") or ""
        return question(probe, address) if probe is not None and address and "://" not in address else None

    async def _watch(self, key: ObjectKey, asked: Question) -> None:
        row, last = 0, None
        await asyncio.sleep(asked.delay)
        while True:
            said = await self._asking(asked)
            row = row + 1 if last == (not said) else 1
            last = not said
            if row >= (asked.successes if last else asked.failures):
                self._tell(key, said)
            elif key not in self._found and not last:
                # Istio: what was never found healthy gets no traffic, and says why.
                self._tell(key, said)
            await asyncio.sleep(asked.period)

    def _tell(self, key: ObjectKey, said: str) -> None:
        before = self._found.get(key)
        status = "False" if said else "True"
        if before is not None and before["status"] == status:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._found[key] = {
            "type": HEALTHY,
            "status": status,
            "lastProbeTime": now,
            **({"message": said} if said else {}),
        }
        log.info("%s: %s", key, said or "healthy")
        self._changed(key)


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}
