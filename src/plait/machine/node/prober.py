"""Runs the probes of one container while its process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from plait.machine.node.actions import Outcome, perform
from plait.machine.node.probes import EAGER_WAITS, Probe, Verdict, read_probe

if TYPE_CHECKING:
    from plait.machine.node.actions import Place
    from plait.machine.node.record import ContainerRecord


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """Why a container has to be killed; `grace` is the probe's own, if it has one."""

    event: str
    grace: int | None = None


class Probed(Protocol):
    """A container with probes."""

    name: str
    spec: Mapping[str, Any]
    record: ContainerRecord

    def set_health(self, *, started: bool | None = None, ready: bool | None = None) -> None:
        """What a probe has found; None is no news."""
        ...

    def unhealthy(self, text: str) -> None:
        """A probe has failed."""
        ...


async def watch_health(container: Probed, place: Place) -> Unhealthy | None:
    """Probe until the container must be killed; returns None when there is nothing (more) to probe.

    Readiness and started-ness are told to the container as they change.
    """
    if (startup := read_probe(container.spec, "startup")) and not container.record.started:
        if (verdict := await _startup(container, place, startup)) is not None:
            return verdict
        container.set_health(started=True, ready="readinessProbe" not in container.spec)
    elif "readinessProbe" not in container.spec:
        container.set_health(started=True, ready=True)
    readiness, liveness = read_probe(container.spec, "readiness"), read_probe(container.spec, "liveness")
    tasks: list[asyncio.Task[Unhealthy | None]] = []
    if readiness:
        tasks.append(asyncio.create_task(_readiness(container, place, readiness)))
    if liveness:
        tasks.append(asyncio.create_task(_liveness(container, place, liveness)))
    if not tasks:
        return None
    try:
        # Readiness never ends; liveness ends when the container must.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _startup(container: Probed, place: Place, probe: Probe) -> Unhealthy | None:
    verdict = Verdict()
    await asyncio.sleep(probe.initial_delay)
    if await _eager(place, probe):
        return None
    while True:
        outcome = await _try(container, place, probe)
        verdict = verdict.after(outcome.ok, probe)
        if verdict.healthy:
            return None
        if verdict.healthy is False:
            return _kill(container, probe)
        await asyncio.sleep(probe.period)


async def _readiness(container: Probed, place: Place, probe: Probe) -> Unhealthy | None:
    verdict = Verdict()
    await asyncio.sleep(probe.initial_delay)
    if not container.record.ready and probe.successes == 1 and await _eager(place, probe):
        verdict = verdict.after(True, probe)
        container.set_health(ready=True)
        await asyncio.sleep(probe.period)
    while True:
        outcome = await _try(container, place, probe)
        verdict = verdict.after(outcome.ok, probe)
        if verdict.healthy is not None:
            container.set_health(ready=verdict.healthy)
        await asyncio.sleep(probe.period)


async def _liveness(container: Probed, place: Place, probe: Probe) -> Unhealthy | None:
    verdict = Verdict()
    await asyncio.sleep(probe.initial_delay)
    while True:
        outcome = await _try(container, place, probe)
        verdict = verdict.after(outcome.ok, probe)
        if verdict.healthy is False:
            return _kill(container, probe)
        await asyncio.sleep(probe.period)


async def _eager(place: Place, probe: Probe) -> bool:
    """Look often while a container comes up, within the first period; only a success counts."""
    loop = asyncio.get_running_loop()
    end = loop.time() + probe.period
    for wait in EAGER_WAITS:
        if (await perform(probe.action, place, timeout=probe.timeout)).ok:
            return True
        if loop.time() + wait >= end:
            break
        await asyncio.sleep(wait)
    return False


async def _try(container: Probed, place: Place, probe: Probe) -> Outcome:
    outcome = await perform(probe.action, place, timeout=probe.timeout)
    if not outcome.ok:
        container.unhealthy(f"{probe.purpose.capitalize()} probe failed: {outcome.message}")
    return outcome


def _kill(container: Probed, probe: Probe) -> Unhealthy:
    return Unhealthy(f"Container {container.name} failed {probe.purpose} probe, will be restarted", probe.grace)
