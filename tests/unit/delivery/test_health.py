"""The probe of programs in no pod: what is asked, and how many answers decide."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from plait.api.meta import ObjectKey
from plait.delivery.health import Health, Question, ask, question
from plait.delivery.objects import Objects
from plait.inject.outside import Joining, workload_entry

DATA = Path(__file__).parents[1] / "inject/testdata/workloadgroup.in.yaml"
LEDGER, STORE = yaml.safe_load_all(DATA.read_text())
ENTRY = workload_entry(STORE, Joining(address="10.42.0.2"))
KEY = ObjectKey("WorkloadEntry", "shop", ENTRY["metadata"]["name"])


def test_what_is_asked_is_what_the_probe_says():
    assert question(LEDGER["spec"]["probe"], "10.42.0.2") == Question(
        address="10.42.0.3", port=5400, scheme="https", path="/ready", headers=(("x-who", "istiod"),),
        delay=1, timeout=2, period=3, successes=4, failures=5,
    )  # fmt: skip
    assert question(STORE["spec"]["probe"], "10.42.0.2") == Question(address="10.42.0.4", port=6000, tcp=True)
    assert question({"tcpSocket": {"port": 1}}, "10.42.0.2").address == "10.42.0.2"


async def test_real_answers():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        status = 200 if "/ready" in line else 503
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asked = Question(address="127.0.0.1", port=port, path="/ready", timeout=60)
    assert await ask(asked) == ""
    assert await ask(replace(asked, path="/no")) == "the probe was answered with 503"
    assert await ask(replace(asked, tcp=True)) == ""
    server.close()
    await server.wait_closed()
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = Question(address="127.0.0.1", port=deaf.getsockname()[1], timeout=60)
        assert (await ask(nobody)).startswith("the probe failed: ")
        assert (await ask(replace(nobody, tcp=True))).startswith("the probe failed: ")


class Program:
    """Answers as it is told; each question is let through by `go`."""

    def __init__(self) -> None:
        self.said, self.asked = "", 0
        self.changed = asyncio.Event()

    async def ask(self, _: Question) -> str:
        self.asked += 1
        self.changed.set()
        return self.said


@asynccontextmanager
async def asking(objects: Objects, program: Program):
    health = Health(objects, asking=program.ask)
    heard: list[ObjectKey] = []
    health.bind(heard.append)
    task = asyncio.create_task(health.run())
    try:
        yield health, heard
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def status(health: Health, wanted: Any) -> None:
    async with asyncio.timeout(60):
        while (health.condition(KEY) or {}).get("status") != wanted:
            await asyncio.sleep(0.001)  # another task's turn, bounded by the timeout


async def test_an_entry_is_healthy_when_its_program_answers_and_no_more_when_it_fails_often_enough():
    objects, program = Objects(), Program()
    # Asked again and again without a pause: a period of 0 stands for the usual one, so a tiny one is put in.
    group = {**STORE, "spec": {**STORE["spec"], "probe": {"tcpSocket": {"port": 1}, "failureThreshold": 2}}}
    objects.put(group)
    objects.put(ENTRY)
    async with asking(objects, program) as (health, heard):
        program.said = "refused"
        health.take("WorkloadEntry", "shop", KEY.name)
        await status(health, "False")
        assert health.condition(KEY)["message"] == "refused"
        assert heard == [KEY]
        # A change of the group is a new question.
        program.said = ""
        objects.put({**group, "spec": {**group["spec"], "probe": {"tcpSocket": {"port": 2}}}})
        health.take("WorkloadGroup", "shop", "store")
        await status(health, "True")
        assert heard == [KEY, KEY]
        objects.remove("WorkloadEntry", "shop", KEY.name)
        health.take("WorkloadEntry", "shop", KEY.name)
        await status(health, None)


async def test_nobody_asks_about_entries_that_do_not_want_it():
    objects, program = Objects(), Program()
    objects.put(STORE)
    objects.put({**ENTRY, "metadata": {**ENTRY["metadata"], "annotations": {}}})
    async with asking(objects, program) as (health, _):
        health.take("WorkloadEntry", "shop", KEY.name)
        for _ in range(20):
            await asyncio.sleep(0)
        assert program.asked == 0
        assert health.condition(KEY) is None


async def test_a_client_that_says_how_its_program_is_is_believed_and_nobody_asks():
    objects, program = Objects(), Program()
    async with asking(objects, program) as (health, heard):
        # Before there is an entry, as a proxy does that has just come.
        health.report(KEY, "not yet")
        assert health.condition(KEY)["status"] == "False"
        objects.put(STORE)
        objects.put(ENTRY)
        health.take("WorkloadEntry", "shop", KEY.name)
        health.report(KEY, "")
        for _ in range(20):
            await asyncio.sleep(0)
        assert (health.condition(KEY)["status"], program.asked) == ("True", 0)
        assert heard == [KEY, KEY]
        objects.remove("WorkloadEntry", "shop", KEY.name)
        health.take("WorkloadEntry", "shop", KEY.name)
        await status(health, None)
        # The next of this name is asked about again.
        objects.put(ENTRY)
        health.take("WorkloadEntry", "shop", KEY.name)
        await status(health, "True")
        assert program.asked > 0
