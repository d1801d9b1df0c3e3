"""The builder of `push_scoped.py` in a process of its own, put together as istiod's is; delivery is its child.

python benchmarks/push_builder.py grpc|http2 [TLS]

Standard input gives it the API server first: `server`, `ca` and `token` as JSON. It answers with `port` and `delivery`
(its process id) when it serves, and then each further line with what the core has done. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from plait.delivery.builder import Builder
from plait.delivery.objects import Objects
from plait.delivery.supervisor import CHANNEL_FD, Supervisor
from plait.kit.aio.calm import collect_in_calm
from plait.kube.access import Access
from plait.kube.client import Client
from plait.sources.kubernetes import follow
from plait.sources.secrets import SecretSource
from plait.xds.engine import Engine, Upsert
from plait.xds.resource import ViewUpdate

PEERS = str(Path(__file__).with_name("push_peers.py"))


class TimedEngine(Engine):
    """Knows how long it worked, and when it was given something last."""

    def __init__(self) -> None:
        super().__init__()
        self.worked = self.given = 0.0

    def apply(self, changes: Any, **how: Any) -> None:
        self.given = began = time.monotonic()
        super().apply(changes, **how)
        self.worked += time.monotonic() - began

    def taking(self) -> Iterator[ViewUpdate]:
        updates = super().taking()
        while True:
            began = time.monotonic()
            update = next(updates, None)
            self.worked += time.monotonic() - began
            if update is None:
                return
            yield update


async def intake(client: Client, builder: Builder, objects: Objects) -> None:
    """As istiod does it."""
    async with aclosing(follow(client)) as steps:
        async for step in steps:
            for change in step.changes:
                if isinstance(change, Upsert):
                    objects.put(change.obj)
            builder.apply(step.changes, endpoints_only=step.endpoints_only)
            if step.complete and not builder.ready:
                builder.synced()


async def questions() -> AsyncIterator[bytes]:
    lines = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        yield line


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def serve(transport: str, tls: str = "") -> None:
    engine = TimedEngine()
    asked = questions()
    async with Client(Access(**json.loads(await anext(asked)))) as client:
        secrets = SecretSource(client, lambda changes: builder.apply(changes, endpoints_only=False))

        def published() -> None:
            secrets.want(secret for status in engine.credentials() for secret in status.secrets)

        builder = Builder(engine, refused=lambda refusal: print("NACK", refusal, file=sys.stderr), published=published)
        supervisor = Supervisor(builder, [sys.executable, PEERS, "delivery", transport, CHANNEL_FD, tls])
        async with asyncio.TaskGroup() as tasks:
            work = (
                supervisor.run(),
                builder.publishing(),
                secrets.run(),
                intake(client, builder, Objects()),
                collect_in_calm(builder.work),
            )
            running = [tasks.create_task(each) for each in work]
            async with asyncio.timeout(60):
                while not builder.ready:  # noqa: ASYNC110  (nobody waits for this in production)
                    await asyncio.sleep(0.01)
            say(port=builder.port, delivery=supervisor.pid)
            async for _ in asked:
                views = len([view for view in engine.views() if view.startswith("out/")])
                say(given=engine.given, worked=engine.worked, views=views)
            for task in running:
                task.cancel()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [kind, *more]:
            asyncio.run(serve(kind, *more))
        case _:
            sys.exit(__doc__)
