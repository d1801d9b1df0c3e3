"""Keys that cannot be had, as it is told: in the status of the object, and once by an Event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.api.meta import ObjectKey
from plait.delivery.objects import Objects
from plait.delivery.settled.status import Told, status_patch
from plait.delivery.settled.verdict import Verdict
from plait.delivery.token_keys import KeyFindings
from plait.snapshot.tokens import KeySource, KeysStanding, KeysWanted

KEY = ObjectKey("RequestAuthentication", "shop", "tokens")
OBJECT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "RequestAuthentication",
    "metadata": {"name": "tokens", "namespace": "shop", "generation": 2},
}
WANTED = KeysWanted(KeySource("https://a/keys"), "shop", "tokens", "spec.jwtRules[0].jwksUri", "")
PROBLEM = "https://a/keys answered 404 Not Found"


class Recorder:
    def __init__(self) -> None:
        self.found: list[tuple[str, str, str]] = []

    def record(self, obj: Mapping[str, Any], *, reason: str, message: str, type: str, field: str = "") -> None:  # noqa: A002
        assert (obj, field) == (OBJECT, "")
        self.found.append((type, reason, message))


def findings() -> tuple[KeyFindings, Recorder, list[ObjectKey]]:
    objects, recorder, news = Objects(), Recorder(), []
    objects.put(OBJECT)
    made = KeyFindings(objects, recorder)
    made.bind(news.append)
    return made, recorder, news


def test_without_keys_the_object_is_not_settled() -> None:
    made, recorder, news = findings()
    made.take([(WANTED, KeysStanding(None, PROBLEM))])
    made.take([(WANTED, KeysStanding(None, PROBLEM))])
    assert news == [KEY]
    assert recorder.found == [("Warning", "KeysUnavailable", f"spec.jwtRules[0].jwksUri: {PROBLEM}")]
    verdict = Verdict(state="Settled", generation=2, proxies=1, acknowledged=1, warming=0, rejected=0, settled=1)
    patch = status_patch(OBJECT, Told(verdict, (), (), made.of(KEY)), "2026-01-01T00:00:00Z")
    assert patch is not None
    status = patch["status"]
    accepted, settled = status["conditions"]
    assert (accepted["type"], accepted["status"]) == ("Accepted", "True")
    assert (settled["status"], settled["reason"]) == ("False", "KeysUnavailable")
    assert settled["message"] == (
        "in effect, and refuses tokens for which there are no keys: spec.jwtRules[0].jwksUri: there are no keys, so "
        f"every token is refused: {PROBLEM}; an address that istiod reaches, or the keys themselves in jwks"
    )
    assert [each["type"]["code"] for each in status["validationMessages"]] == ["PLT0020"]
    made.take([(WANTED, KeysStanding("{}"))])
    assert news == [KEY, KEY]
    assert made.of(KEY) == ()
    assert recorder.found[1:] == [("Normal", "KeysInUse", "spec.jwtRules[0].jwksUri: the keys were fetched")]


def test_keys_that_are_not_fresh_are_told_by_an_event_alone() -> None:
    made, recorder, news = findings()
    made.take([(WANTED, KeysStanding("{}", PROBLEM))])
    assert news == []
    assert made.of(KEY) == ()
    assert [each[:2] for each in recorder.found] == [("Warning", "KeysUnavailable")]
