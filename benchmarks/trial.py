"""Calls per second through a scratch Envoy, and the same by the simulator.

.venv/bin/python benchmarks/trial.py
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from plait.api.yaml import objects, read_yaml
from plait.mesh.node import ProxyNode
from plait.simulate.call import Call
from plait.simulate.configuration import Configuration
from plait.simulate.simulate import simulate
from plait.trial.trial import trial
from plait.xds.engine import Engine, Upsert
from plait.xds.fragments import VIEW_TYPES

CALLS = 2000
SERVICES = 20
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: s{0}, namespace: shop}}
spec: {{clusterIP: 10.42.128.{0}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{0}, namespace: shop}}
spec:
  hosts: [s{0}]
  http:
  - match: [{{uri: {{prefix: /a}}, headers: {{x-user: {{exact: jason}}}}}}]
    route: [{{destination: {{host: s{0}}}}}]
  - {{match: [{{uri: {{regex: "/b/[0-9]+"}}}}], redirect: {{uri: /c}}}}
  - {{route: [{{destination: {{host: s{0}}}, weight: 90}}, {{destination: {{host: s1}}, weight: 10}}]}}
"""


def configuration() -> Configuration:
    text = "---".join(SERVICE.format(number + 1) for number in range(SERVICES))
    engine = Engine()
    engine.apply(Upsert(obj) for obj in objects(read_yaml(text, "benchmark")))
    views = engine.attach(ProxyNode(kind="sidecar", ip="10.42.0.9", pod="p", namespace="shop", labels=()))
    engine.take()
    return Configuration.of(each for view in views for kind in VIEW_TYPES for each in engine.resources(view, kind))


def calls() -> list[Call]:
    paths = ("/", "/a/x", "/b/7", "/b/x?q=1")
    return [
        Call(
            port=80,
            address=f"10.42.128.{number % SERVICES + 1}",
            protocol="http2" if number % 5 == 0 else "http",
            host=f"s{number % SERVICES + 1}",
            path=paths[number % 4],
            headers={"x-user": ("jason",)} if number % 3 else {},
        )
        for number in range(CALLS)
    ]


async def main() -> None:
    world, asked = configuration(), calls()
    begin = time.perf_counter()
    for call in asked:
        simulate(world, call)
    print(f"simulator          {CALLS} calls in {time.perf_counter() - begin:.2f} s")
    begin = time.perf_counter()
    async with trial(world) as scratch:
        print(f"scratch Envoy      ready in {time.perf_counter() - begin:.2f} s")
        for title, some in (
            ("connections shared", asked),
            ("a caller each", [replace(call, source=f"10.1.{n // 250}.{n % 250 + 1}") for n, call in enumerate(asked)]),
        ):
            begin = time.perf_counter()
            await scratch.ask(some)
            print(f"{title:<18} {CALLS} calls in {time.perf_counter() - begin:.2f} s")


asyncio.run(main())
