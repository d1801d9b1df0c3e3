"""What objects say of themselves, and how it is written."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace

import pytest

from plait.analyze.finding import Finding
from plait.analyze.messages import REFERENCE_NOT_FOUND
from plait.analyze.schema import finding_of
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.delivery.objects import Objects
from plait.delivery.settled.status import Told, current, status_patch
from plait.delivery.settled.verdict import Blame, Verdict
from plait.delivery.settled.writer import StatusWriter
from plait.kube.errors import Unreachable

KEY = ObjectKey("VirtualService", "shop", "web")
SETTLED = Verdict(generation=2, state="Settled", proxies=2, acknowledged=2, settled=2)
WAITING = Verdict(generation=2, state="Progressing", proxies=2, acknowledged=1, settled=1, examples=("b.shop",))


def web(**status):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop", "uid": "1", "generation": 2, "resourceVersion": "7"},
        "spec": {"hosts": ["web"]},
        **({"status": status} if status else {}),
    }


def conditions(patch):
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in patch["status"]["conditions"]}


def test_a_settled_object_says_so_once():
    patch = status_patch(web(), Told(SETTLED), "now")
    assert conditions(patch) == {
        "Accepted": ("True", "Valid", "valid"),
        "Settled": ("True", "Settled", "in effect in all 2 proxies concerned"),
    }
    assert {c["observedGeneration"] for c in patch["status"]["conditions"]} == {2}
    assert patch["status"]["observedGeneration"] == 2
    written = web(**{k: v for k, v in patch["status"].items() if v is not None})
    assert status_patch(written, Told(SETTLED), "later") is None
    assert current(written, 2)
    assert not current(written, 3)
    assert not current(web(), 2)


def test_times_are_those_of_transitions_and_foreign_conditions_stay():
    foreign = {"type": "Reconciled", "status": "True"}
    first = status_patch(web(conditions=[foreign]), Told(WAITING), "then")
    assert foreign in first["status"]["conditions"]
    second = status_patch(web(**first["status"]), Told(SETTLED), "now")
    times = {c["type"]: c.get("lastTransitionTime") for c in second["status"]["conditions"]}
    assert times == {"Reconciled": None, "Accepted": "then", "Settled": "now"}
    assert conditions(first | {"status": first["status"] | {"conditions": first["status"]["conditions"][1:]}})[
        "Settled"
    ] == ("False", "Progressing", "acknowledged by 1 of 2 proxies, in effect in 1; waiting for b.shop")


@pytest.mark.parametrize(
    ("verdict", "status", "words"),
    [
        (Verdict(generation=2, state="Settled"), "True", "no connected proxy is concerned"),
        (
            Verdict(generation=2, state="Rejected", proxies=2, rejected=1,
                    blame=Blame(proxy="a.shop", message="bad regex", path="spec.http[0]")),
            "False",
            "refused by 1 of 2 proxies (a.shop), the version before stays in use: spec.http[0]: bad regex",
        ),
        (
            Verdict(generation=2, state="ProbeFailed", proxies=1, acknowledged=1, examples=("a.shop (refused)",)),
            "Unknown",
            "acknowledged by all of 1 proxy, but it cannot be seen whether it is in effect in a.shop (refused)",
        ),
        (
            Verdict(generation=2, state="Warming", proxies=2, acknowledged=2, warming=1, examples=("a.shop",)),
            "False",
            "acknowledged by 2 of 2 proxies, warming in 1: a.shop",
        ),
    ],
)  # fmt: skip
def test_every_state_has_its_words(verdict, status, words):
    assert conditions(status_patch(web(), Told(verdict), "now"))["Settled"] == (status, verdict.state, words)


ODD = Finding(message=REFERENCE_NOT_FOUND, object=KEY, path="spec.http[0]", text="there is no host x", fix="a Service")
ODD_MESSAGE = {
    "type": {"name": "ReferencedResourceNotFound", "code": "IST0101"},
    "level": "ERROR",
    "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0101/",
    "path": "spec.http[0]",
    "message": "there is no host x; a Service",
}
VALID = ("True", "Valid", "valid")


def test_problems_stand_in_the_status():
    bad = Problem(object=KEY, path="spec.hosts", message="is empty", fix="a host")
    patch = status_patch(web(), Told(SETTLED, (bad,)), "now")
    assert conditions(patch) == {
        "Accepted": ("False", "Invalid", "the version before stays in use: spec.hosts: is empty; a host"),
        "Settled": ("False", "NotAccepted", "not accepted, see the condition Accepted"),
    }
    assert [one["type"]["code"] for one in patch["status"]["validationMessages"]] == ["IST0106"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("AuthorizationPolicy", "without one what lets through less than this one"),
        ("PeerAuthentication", "without one this, and STRICT where it cannot be read"),
    ],
)
def test_of_a_policy_the_status_says_what_is_in_use_without_a_version_before(kind, words):
    bad = Problem(object=KEY, path="spec", message="is odd")
    patch = status_patch({**web(), "kind": kind}, Told(SETTLED, (bad,)), "now")
    assert conditions(patch)["Accepted"][2] == f"the version before stays in use, or {words}: spec: is odd"


def test_what_analysis_says_stands_in_the_status():
    patch = status_patch(web(), Told(SETTLED, (), (ODD,)), "now")
    text = "valid, with warnings: spec.http[0]: there is no host x; a Service"
    assert conditions(patch)["Accepted"] == ("True", "Valid", text)
    assert patch["status"]["validationMessages"] == [ODD_MESSAGE]
    many = tuple(replace(ODD, path=f"spec.http[{index}]") for index in range(100))
    patch = status_patch(web(), Told(SETTLED, (), many), "now")
    assert len(patch["status"]["validationMessages"]) == 32
    assert conditions(patch)["Accepted"][2].endswith("(and 97 more)")


def test_messages_come_and_go_without_a_verdict():
    settled = web(**status_patch(web(), Told(SETTLED), "then")["status"])
    patch = status_patch(settled, Told(findings=(ODD,)), "now")
    assert conditions(patch)["Settled"] == conditions({"status": settled["status"]})["Settled"]
    assert "proxies" not in patch["status"]
    times = {c["type"]: c["lastTransitionTime"] for c in patch["status"]["conditions"]}
    assert times == {"Accepted": "then", "Settled": "then"}
    told = web(**{**settled["status"], **patch["status"]})
    assert status_patch(told, Told(findings=(ODD,)), "later") is None
    assert status_patch(told, Told(SETTLED, (), (ODD,)), "later") is None
    gone = status_patch(told, Told(findings=()), "later")
    assert gone["status"]["validationMessages"] is None
    assert conditions(gone)["Accepted"] == VALID


LACKING = Finding(
    message=REFERENCE_NOT_FOUND,
    object=KEY,
    path="spec.servers[0].tls",
    text="there is no Secret 'late'",
    fix="a Secret",
)


def test_what_is_not_served_for_want_of_a_certificate_is_not_settled():
    words = "spec.servers[0].tls: there is no Secret 'late'; a Secret"
    patch = status_patch(web(), Told(SETTLED, (), (), (LACKING,)), "then")
    assert conditions(patch) == {
        "Accepted": ("True", "Valid", f"valid, with warnings: {words}"),
        "Settled": ("False", "CredentialUnusable", f"in effect but for what has no certificate: {words}"),
    }
    (message,) = patch["status"]["validationMessages"]
    assert message["type"]["code"] == "IST0101"
    there = web(**patch["status"])
    assert not current(there, 2)
    assert conditions(status_patch(there, Told(SETTLED, (), ()), "now"))["Settled"][1] == "Settled"
    # What is still on its way comes first.
    on_its_way = status_patch(web(), Told(WAITING, (), (), (LACKING,)), "now")
    assert conditions(on_its_way)["Settled"][1] == "Progressing"


def test_what_the_process_before_called_settled_is_taken_back_when_its_certificate_goes():
    settled = web(**status_patch(web(), Told(SETTLED), "then")["status"])
    patch = status_patch(settled, Told(findings=(), unserved=(LACKING,)), "now")
    assert conditions(patch)["Settled"][:2] == ("False", "CredentialUnusable")


def test_a_server_that_drops_path_and_text_is_not_told_again_and_again():
    patch = status_patch(web(), Told(SETTLED, (), (ODD,)), "then")
    kept = {name: value for name, value in ODD_MESSAGE.items() if name not in {"path", "message"}}
    dropped = web(**{**patch["status"], "validationMessages": [kept]})
    assert status_patch(dropped, Told(SETTLED, (), (ODD,)), "now") is None
    assert status_patch(dropped, Told(SETTLED, (), (ODD, ODD)), "now") is not None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ProxyConfig", "valid; pods take it when they start"),
        ("WorkloadGroup", "valid; a proxy that names it has its WorkloadEntry made"),
    ],
)
def test_what_no_proxy_acknowledges_is_accepted_and_no_more(kind, words):
    obj = {**web(), "kind": kind}
    patch = status_patch(obj, Told(findings=()), "now")
    assert conditions(patch) == {"Accepted": ("True", "Valid", words)}
    assert patch["status"]["observedGeneration"] == 2
    bad = finding_of(Problem(object=KEY, path="spec.concurrency", message="is negative"))
    patch = status_patch(obj, Told(findings=(bad,)), "now")
    assert conditions(patch) == {"Accepted": ("False", "Invalid", "it is not used: spec.concurrency: is negative")}


class Api:
    """Takes patches, and says when."""

    def __init__(self, failures=()):
        self.failures, self.patches, self.event = list(failures), [], asyncio.Event()

    async def patch(self, kind, name, namespace, body, *, subresource=None):
        if self.failures:
            raise self.failures.pop()
        self.patches.append((kind.kind, namespace, name, subresource, body["status"]["conditions"][-1]["reason"]))
        self.event.set()
        return web(**body["status"])

    async def until(self, count):
        async with asyncio.timeout(60):
            while len(self.patches) < count:
                self.event.clear()
                await self.event.wait()


async def test_what_lasts_is_written_and_what_settles_soon_is_written_once():
    objects, api = Objects(), Api([Unreachable.because("api", OSError("away"), sent=False)])
    objects.put(web())
    writer = StatusWriter(api, objects, patience=0.05)
    task = asyncio.create_task(writer.run())
    writer.put(KEY, Told(WAITING))
    writer.put(KEY, Told(SETTLED))
    await api.until(1)
    writer.put(KEY, Told(SETTLED))
    writer.put(KEY, Told(Verdict(generation=3, state="Progressing", proxies=1)))
    await api.until(2)
    assert [patch[-1] for patch in api.patches] == ["Settled", "Progressing"]
    assert api.patches[0][:4] == ("VirtualService", "shop", "web", "status")
    assert writer.written == 2
    task.cancel()


def test_what_istiod_writes_is_no_news_to_it():
    objects = Objects()
    assert objects.put(web())
    noted = web(conditions=[{"type": "Settled"}], observedGeneration=2, proxies={}, validationMessages=[])
    noted["metadata"]["resourceVersion"] = "8"
    noted["metadata"]["managedFields"] = [{"manager": "istiod"}]
    assert not objects.put(noted)
    assert objects.find(str(KEY))["status"]["observedGeneration"] == 2
    for field, value in (("spec", {"hosts": ["other"]}), ("status", {"addresses": [{"value": "240.0.0.1"}]})):
        changed = copy.deepcopy(noted) | {field: value}
        assert objects.put(changed)
        assert objects.put(noted)
    relabelled = copy.deepcopy(noted)
    relabelled["metadata"]["labels"] = {"a": "b"}
    assert objects.put(relabelled)
    assert objects.put({"kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}})


def test_what_istiod_writes_of_a_programs_health_is_news_when_the_watch_tells_it():
    """It decides about endpoints, so that the builder must hear of it, and of nothing else that istiod writes."""
    objects = Objects()
    entry = {**web(), "kind": "WorkloadEntry"}
    assert objects.put(entry)
    health = {"type": "Healthy", "status": "True"}
    patch = status_patch(entry, Told(SETTLED, (), (), (), health), "now")
    assert conditions_of(patch)["Healthy"] == "True"
    written = {**entry, "status": patch["status"]}
    objects.note(written)
    assert objects.put(written)
    assert not objects.put(written)
    again = {**written, "status": status_patch(written, Told(WAITING, (), (), (), health), "later")["status"]}
    assert conditions_of(again)["Healthy"] == "True"
    objects.note(again)
    assert not objects.put(again)
    ill = {**health, "status": "False", "message": "the probe was answered with 500"}
    assert objects.put({**again, "status": status_patch(again, Told(SETTLED, (), (), (), ill), "then")["status"]})


def conditions_of(obj):
    return {one["type"]: one["status"] for one in obj["status"]["conditions"]}
