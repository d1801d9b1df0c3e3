"""The order in which a pod's containers end."""

from __future__ import annotations

import asyncio

import pytest

from plait.machine.node import ending
from plait.machine.node.ending import stop_containers


class Container:
    def __init__(self, name: str, log: list[str], role: str = "app") -> None:
        self.name, self.role, self.log, self.grace = name, role, log, -1.0

    async def stop(self, *, grace: float) -> None:
        self.grace = grace
        self.log.append(f"stop {self.name}")
        for _ in range(5):
            await asyncio.sleep(0)
        self.log.append(f"end {self.name}")


async def test_applications_end_together_and_the_proxy_after_them() -> None:
    log: list[str] = []
    proxy, *apps = Container("proxy", log, "proxy"), Container("a", log), Container("b", log)
    await stop_containers([proxy, *apps], None, grace=30.0, known=False)
    assert sorted(log[:2]) == ["stop a", "stop b"]
    assert sorted(log[2:4]) == ["end a", "end b"]
    assert log[4:] == ["stop proxy", "end proxy"]
    assert all(0.0 < each.grace <= 30.0 for each in apps)
    assert proxy.grace == 2.0


async def test_without_grace_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_FAREWELL", 1e9)
    log: list[str] = []
    both = [Container("proxy", log, "proxy"), Container("a", log)]
    async with asyncio.timeout(60):
        await stop_containers(both, None, grace=0.0, known=True)
    assert [each.grace for each in both] == [0.0, 0.0]
