"""A large object takes long to look at; meanwhile others are answered."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from plait.app.admission import Rules
from plait.machine.api.admission import AdmissionRequest, AdmissionResult
from plait.machine.api.aside import LARGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RULES = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
WAYS = [
    ("POST", "application/json"),
    ("PUT", "application/json"),
    ("PATCH", "application/merge-patch+json"),
    ("PATCH", "application/apply-patch+yaml"),
]


def rule(name: str, count: int = 1500, **first: Any) -> dict[str, Any]:
    http = [
        {"match": [{"uri": {"prefix": f"/{place:04}"}}], "route": [{"destination": {"host": "a"}}]}
        for place in range(count)
    ]
    http[0] |= first
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "labels": {"a": "b"}},
        "spec": {"hosts": ["a"], "http": http},
    }


@pytest.fixture
async def with_rules(run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any) -> AsyncIterator[Any]:
    async with run_cluster(tmp_path, pki, schemas, Rules()) as cluster:
        yield cluster


class Thorough:
    """Thinks about large objects until it is told to stop; of small ones nothing is to be thought."""

    def __init__(self) -> None:
        self.thinking = threading.Event()
        self.enough = threading.Event()

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        if len(request.obj.get("spec", {}).get("http", ())) > 1:
            request.work("thought", request.obj["spec"], self._think)
        return AdmissionResult(obj=request.obj)

    def _think(self) -> bool:
        self.thinking.set()
        return self.enough.wait(60)

    def beside(self, *_: object) -> tuple[()]:
        return ()


async def sent(cluster: Any, way: tuple[str, str], obj: dict[str, Any], query: str = "") -> tuple[int, Any, Any]:
    method, media = way
    name = obj["metadata"]["name"]
    path = RULES if method == "POST" else f"{RULES}/{name}"
    query = f"{query}&fieldManager=test&force=true" if "apply" in media else query
    answer: tuple[int, Any, Any] = await cluster.ask(method, f"{path}?{query}", obj, Content_Type=media)
    return answer


@pytest.mark.parametrize("way", WAYS)
async def test_others_are_answered_while_a_large_object_is_looked_at(
    run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any, way: tuple[str, str]
) -> None:
    thorough = Thorough()
    async with run_cluster(tmp_path, pki, schemas, thorough) as cluster:
        if way[0] != "POST":
            await cluster.made(RULES, rule("large", 1))
        slow = asyncio.create_task(sent(cluster, way, rule("large")))
        while not thorough.thinking.is_set():
            await cluster.made(RULES, rule("small", 1))
            status, _, _ = await cluster.ask("DELETE", f"{RULES}/small")
            assert status == 200
        status, _, _ = await cluster.ask("GET", "/api/v1/namespaces")
        assert (status, slow.done()) == (200, False)
        thorough.enough.set()
        status, made, _ = await slow
        assert (status, made["spec"]) == (201 if way[0] == "POST" else 200, rule("large")["spec"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "first",
    [
        {},
        {"route": [{"destination": {"host": "-"}}], "timeout": "0.5ms"},
        {"route": "a", "retries": {"attempts": -1}},
        {"urx": 1, "fault": {"delay": {"percentage": {"value": 101}, "fixedDelay": "1s"}}},
        {"match": [{"uri": {"prefix": "/a", "exact": "/a"}}]},
        {"websocketUpgrade": True, "timeout": None},
    ],
)
async def test_a_large_object_is_told_and_stored_what_a_small_one_is(
    with_rules: Any, way: tuple[str, str], first: dict[str, Any]
) -> None:
    def normal(answer: tuple[int, Any, Any]) -> Any:
        status, obj, response = answer
        warnings = [each for each in response.headers.getall("Warning", []) if "more warnings" not in each][:1]
        if status >= 300:
            return status, obj["message"].replace("large", "small"), obj.get("details", {}).get("causes"), len(warnings)
        owners = [{**each, "time": ""} for each in obj["metadata"]["managedFields"]]
        return status, obj["spec"]["http"][:2], obj["metadata"]["labels"], owners, len(warnings)

    if way[0] != "POST":
        for name in ("small", "large"):
            await with_rules.made(RULES, rule(name, 3))
    small, large = [
        await sent(with_rules, way, rule(name, count, **first), "fieldValidation=Strict")
        for name, count in (("small", 2), ("large", 1500))
    ]
    assert normal(large) == normal(small)


async def test_large_yaml_is_read_too(with_rules: Any) -> None:
    for name, text in (("large", json.dumps(rule("large"), indent=1)), ("broken", json.dumps(rule("broken")) + "]")):
        body = f"# {name}\n{text}\n".encode()
        status, made, _ = await with_rules.ask("POST", RULES, body, Content_Type="application/yaml")
        assert (status, made.get("spec")) == ((201, rule("large")["spec"]) if name == "large" else (400, None))


async def test_two_large_objects_at_once_are_both_stored(with_rules: Any) -> None:
    one, other = await asyncio.gather(*(sent(with_rules, WAYS[3], rule(name)) for name in ("one", "other")))
    assert (one[0], other[0]) == (201, 201)
    changed = [rule("one", timeout=f"{seconds}s") for seconds in (1, 2)]
    answers = await asyncio.gather(*(sent(with_rules, WAYS[2], each) for each in changed))
    assert [each[0] for each in answers] == [200, 200]
    _, stored, _ = await with_rules.ask("GET", f"{RULES}/one")
    newest = max(answers, key=lambda each: int(each[1]["metadata"]["resourceVersion"]))
    assert stored["spec"] == newest[1]["spec"]
    assert stored["metadata"]["generation"] == 3


def test_the_objects_here_are_large() -> None:
    assert len(json.dumps(rule("large"))) > LARGE > len(json.dumps(rule("small", 2)))
