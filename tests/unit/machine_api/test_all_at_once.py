"""The answer to an object with faults of several kinds names them all: nobody mends one to be told the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from plait.app.admission import Rules

RULES = "/apis/networking.istio.io/v1/namespaces/default"


@pytest.fixture
async def cluster(run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any) -> AsyncIterator[Any]:
    async with run_cluster(tmp_path, pki, schemas, Rules()) as made:
        yield made


def virtual_service(**http: Any) -> dict[str, Any]:
    spec = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}], **http}]}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize(
    ("http", "fields"),
    [
        # A wrong type, and a meaning.
        ({"retries": {"attempts": "many"}, "match": [{"uri": {"regex": "a(b"}}]},
         ["spec.http[0].match[0].uri.regex", "spec.http[0].retries.attempts"]),
        # A schema's alternatives, and a meaning.
        ({"redirect": {"uri": "/a", "port": 1, "derivePort": "FROM_PROTOCOL_DEFAULT"}},
         ["spec.http[0]", "spec.http[0].redirect"]),
        # A rule of the CRD, and a meaning.
        ({"retries": {"attempts": 1, "perTryTimeout": "0.5ms"}, "match": [{"uri": {"regex": "a(b"}}]},
         ["spec.http[0].match[0].uri.regex", "spec.http[0].retries.perTryTimeout"]),
        # Both of the same place: the better words, once.
        ({"timeout": "soon"}, ["spec.http[0].timeout"]),
    ],
)  # fmt: skip
async def test_all_layers_are_in_one_answer(cluster: Any, http: dict[str, Any], fields: list[str]) -> None:
    status, answer, _ = await cluster.ask("POST", f"{RULES}/virtualservices", virtual_service(**http))
    assert (status, answer["reason"]) == (422, "Invalid")
    assert sorted(cause["field"] for cause in answer["details"]["causes"]) == fields, answer["message"]


async def test_behind_an_unknown_field_the_rest_is_told(cluster: Any) -> None:
    body = virtual_service(retry={}, timeout="soon", match=[{"uri": {"regex": "a(b"}}])
    status, answer, _ = await cluster.ask("POST", f"{RULES}/virtualservices?fieldValidation=Strict", body)
    assert status == 400
    for words in ('strict decoding error: unknown field "spec.http[0].retry"', "spec.http[0].timeout", "uri.regex"):
        assert words in answer["message"]
    assert "metadata" not in answer["message"]


async def test_a_good_object_with_an_unknown_field_has_no_other_fault(cluster: Any) -> None:
    body = virtual_service(retry={}) | {"metadata": {"generateName": "a-"}}
    status, answer, _ = await cluster.ask("POST", f"{RULES}/virtualservices?fieldValidation=Strict", body)
    assert status == 400
    assert answer["message"].endswith('strict decoding error: unknown field "spec.http[0].retry"')


async def test_of_a_kind_of_kubernetes_wrong_types_and_unknown_fields_are_told_together(cluster: Any) -> None:
    body = {"metadata": {"name": "a"}, "data": {"a": 1}, "dataa": {}}
    status, answer, _ = await cluster.ask("POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Strict", body)
    assert status == 400
    assert "data.a" in answer["message"]
    assert 'unknown field "dataa"' in answer["message"]


async def test_of_very_many_warnings_the_first_are_told_and_how_many_more_there_are(cluster: Any) -> None:
    rules = [
        {"match": [{"uri": {"prefix": f"/a{n}"}}], "route": [{"destination": {"host": "web"}}]} for n in range(100)
    ]
    body = virtual_service() | {"spec": {"hosts": ["web"], "http": rules}}
    status, _, response = await cluster.ask("POST", f"{RULES}/virtualservices?dryRun=All", body)
    assert status == 201
    told = response.headers.getall("Warning")
    assert len(told) == 40
    assert "more warnings, which plait analyze and plait validate print" in told[-1]
