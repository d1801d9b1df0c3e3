"""Admission that has to find something out first: the request waits for it, and nobody else does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plait.machine.api.admission import AdmissionRequest, AdmissionResult, PendingError

CORE = "/api/v1/namespaces/default/configmaps"


class Hesitant:
    """Lets a value in after it has been asked about; asking ends when the test says so."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        value = (request.obj.get("data") or {}).get("v", "")
        if not value.startswith("slow") or value in self.known:
            return AdmissionResult(obj=request.obj, warnings=("looked at",) if value else ())

        async def wait() -> None:
            self.asked.set()
            await self.answer.wait()
            self.known.add(value)

        raise PendingError(wait)


def settings(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}}


@pytest.mark.parametrize(
    "how",
    [
        ("POST", "application/json"),
        ("PUT", "application/json"),
        ("PATCH", "application/merge-patch+json"),
        ("PATCH", "application/apply-patch+yaml"),
    ],
)
async def test_a_write_waits_for_admission_and_others_do_not(
    run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any, how: tuple[str, str]
) -> None:
    method, kind = how
    hesitant = Hesitant()
    async with run_cluster(tmp_path, pki, schemas, hesitant) as cluster:
        path = CORE
        if method != "POST":
            await cluster.made(CORE, settings("a", "fast"))
            path = f"{CORE}/a?fieldManager=test&force=true" if "apply" in kind else f"{CORE}/a"
        slow = asyncio.create_task(cluster.ask(method, path, settings("a", "slow"), Content_Type=kind))
        await hesitant.asked.wait()
        await cluster.made(CORE, settings("b", "fast"))
        if method != "POST":
            _, stored, _ = await cluster.ask("GET", f"{CORE}/a")
            assert stored["data"] == {"v": "fast"}, "nothing is stored before the answer"
        assert not slow.done()
        hesitant.answer.set()
        status, obj, response = await slow
        assert (status, obj["data"]) == (201 if method == "POST" else 200, {"v": "slow"})
        assert response.headers.getall("Warning") == ['299 - "looked at"']
