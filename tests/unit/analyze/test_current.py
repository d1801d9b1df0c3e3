"""Findings that are kept current are those of an analysis from nothing, whatever changed, and cost what changed."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest

from plait.analyze import followed, kinds
from plait.analyze.analysis import judge
from plait.analyze.current import _OF_KIND, FOLLOWED, JUDGED, CurrentFindings
from plait.analyze.finding import Finding
from plait.analyze.followed import FollowedWorld
from plait.analyze.world import PLAIT, Item, World
from plait.api.decode import knows, problems_of
from plait.api.meta import ObjectKey
from plait.api.yaml import objects, read_yaml
from plait.snapshot.reader import Reader
from plait.xds.engine import Engine, Remove, Upsert

from .worlds import CASES, SERVICE, istio, namespace, rule


class Mesh:
    """A mesh of objects: what the engine makes of them, and their findings."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.findings = CurrentFindings(self.engine.entry, self._problems)
        self.engine.listen(self.findings.moved)
        self.objects: dict[tuple[str, str, str, str], dict[str, Any]] = {}

    def _problems(self, key: ObjectKey, obj: dict[str, Any]) -> Any:
        group = obj["apiVersion"].rpartition("/")[0]
        return self.engine.problems_of(key) if knows(group, obj["kind"]) else problems_of(obj)

    def put(self, *given: dict[str, Any]) -> None:
        for obj in given:
            self.objects[place(obj)] = obj
            self.engine.apply([Upsert(obj)])
            self.findings.put(obj)

    def remove(self, kind: str, name: str, namespace: str = "shop") -> None:
        (found,) = (one for one in self.objects if one[1:] == (kind, namespace, name))
        del self.objects[found]
        self.engine.apply([Remove(found[0], kind, namespace, name)])
        self.findings.remove(found[0], ObjectKey(kind, namespace, name))

    def settle(self) -> list[ObjectKey]:
        """Judge what waits; of whom there is news."""
        while self.findings.step():
            pass
        assert not self.findings.defects
        return sorted(self.findings.news())

    def codes(self, kind: str, name: str) -> list[str]:
        return [found.code for found in self.findings.findings(ObjectKey(kind, "shop", name))]

    def from_nothing(self) -> dict[ObjectKey, tuple[Finding, ...]]:
        items = [Item(obj) for obj in self.objects.values()]
        seen = [item for item in items if item.kind in FOLLOWED or item.kind == kinds.ENDPOINT_SLICE]
        # In whichever order objects came: what is said of them must not depend on it.
        world = Fresh(sorted(seen, key=lambda item: item.key), self.engine)
        result = {}
        for kind in JUDGED:
            for item in world.all(kind):
                if not knows(*kind):
                    item._decoded = item.decoded._replace(key=item.key, problems=problems_of(item.obj))
                result[item.key] = judge(world, item, _OF_KIND[kind])
        return result


class Fresh(World):
    """A World as it is: of an object that cannot be used the mesh has the version before."""

    def __init__(self, items: list[Item], engine: Engine) -> None:
        super().__init__(items, PLAIT)
        self.reads_as = Reader(engine.snapshot.get, self.domain)

    @property
    def reader(self) -> Reader:
        return self.reads_as


def place(obj: dict[str, Any]) -> tuple[str, str, str, str]:
    metadata = obj["metadata"]
    return obj["apiVersion"].rpartition("/")[0], obj["kind"], metadata.get("namespace", ""), metadata["name"]


def read(text: str) -> list[dict[str, Any]]:
    reading = read_yaml(text)
    assert not reading.problems
    return list(objects(reading))


def slices(*names: str) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 8080}],
        }
        for name in names
        for address in ("10.1.0.1", "10.1.0.2")
    ]


def pool() -> list[dict[str, Any]]:
    """The objects of all worlds, and of the same worlds mended, as if they were one mesh's."""
    found = slices("web", "db")
    for case in CASES:
        text = case.world
        for old, new in case.mends:
            text = text.replace(old, new)
        found += [*read(case.world), *read(text)]
    found += read(
        istio("ProxyConfig", "threads", "{selector: {matchLabels: {app: gone}}, concurrency: 2}")
        + istio("WorkloadEntry", "outside", "{address: 10.9.9.9, labels: {app: gone}}")
        + istio("WorkloadGroup", "outside", "{template: {serviceAccount: outside}}")
    )
    followed = [obj for obj in found if kinds.kind_of(obj["apiVersion"], obj["kind"]) in FOLLOWED or "endpoints" in obj]
    assert {obj["kind"] for obj in followed} >= {kind for _, kind in JUDGED}
    return followed


@pytest.mark.parametrize("seed", range(12))
def test_after_any_changes_the_findings_are_those_of_an_analysis_from_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 2:
        monkeypatch.setattr(followed, "_FEW", 2)
    chance, choices, mesh = random.Random(seed), pool(), Mesh()
    for turn in range(400):
        if mesh.objects and chance.random() < 0.3:
            _, kind, home, name = chance.choice(sorted(mesh.objects))
            mesh.remove(kind, name, home)
        else:
            mesh.put(deepcopy(chance.choice(choices)))
        if chance.random() < 0.2:
            mesh.settle()
        if turn % 20 == 19:
            mesh.settle()
            expected = mesh.from_nothing()
            assert {key: mesh.findings.findings(key) for key in expected} == expected
    for _, kind, home, name in sorted(mesh.objects):
        mesh.remove(kind, name, home)
    assert not mesh.settle()
    assert mesh.findings.known == 0


def test_analyzers_look_at_nothing_that_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[kinds.Kind] = set()
    for name in ("get", "all", "has"):
        usual = getattr(FollowedWorld, name)

        def look(self: FollowedWorld, *wanted: Any, usual: Any = usual) -> Any:
            seen.update(one for one in wanted if isinstance(one, tuple))
            return usual(self, *wanted)

        monkeypatch.setattr(FollowedWorld, name, look)
    for name in ("find", "each", "values"):
        usual = getattr(FollowedWorld, name)

        def ask(self: FollowedWorld, index: Any, *more: Any, usual: Any = usual) -> Any:
            seen.update(index.kinds)
            return usual(self, index, *more)

        monkeypatch.setattr(FollowedWorld, name, ask)
    mesh = Mesh()
    for obj in pool():
        mesh.put(obj)
        mesh.settle()
    # A Gateway of the Gateway API is asked for where there is none of Istio's; the mesh has no use for it either.
    assert seen <= FOLLOWED | {kinds.KUBERNETES_GATEWAY}


SUBSETS = istio("DestinationRule", "web", "{host: web, subsets: [{name: v1, labels: {version: v1}}]}")
TO_V1 = rule("web", "{route: [{destination: {host: web, subset: v1}}]}")


def test_a_change_is_felt_by_those_it_concerns_and_by_nobody_else() -> None:
    mesh = Mesh()
    mesh.put(*read(SERVICE + TO_V1), *read(SERVICE.replace("web", "other") + TO_V1.replace("web", "other")))
    mesh.put(*read(SUBSETS.replace("web", "other")))
    assert len(mesh.settle()) == 3
    assert mesh.codes("VirtualService", "web") == ["IST0101"]
    mesh.put(*read(SUBSETS))
    assert [key.kind for key in mesh.settle()] == ["DestinationRule", "VirtualService"]
    assert mesh.codes("VirtualService", "web") == []
    before = mesh.findings.judged
    mesh.put(*read(SUBSETS.replace("v1", "v2")))
    mesh.settle()
    assert mesh.findings.judged - before == 2
    assert mesh.codes("VirtualService", "web") == ["IST0101"]
    assert mesh.codes("DestinationRule", "web") == ["IST0173", "PLT0012"]
    mesh.remove("Service", "web")
    assert [str(key) for key in mesh.settle()] == ["DestinationRule/shop/web", "VirtualService/shop/web"]
    assert mesh.codes("VirtualService", "web") == ["IST0101", "IST0101"]


def test_what_is_not_looked_at_concerns_nobody() -> None:
    mesh = Mesh()
    mesh.put(*read(namespace("shop") + SERVICE + TO_V1 + SUBSETS))
    mesh.settle()
    before = mesh.findings.judged
    (pod,) = (deepcopy(obj) for obj in mesh.objects.values() if obj["kind"] == "Pod")
    pod["status"] = {"phase": "Running", "podIP": "10.1.0.9"}
    pod["spec"]["containers"][0]["image"] = "web:2"
    mesh.put(pod)
    # A second pod of the same labels: the first one is what the subset's finding stands on.
    mesh.put({**pod, "metadata": {**pod["metadata"], "name": "web-2"}})
    mesh.put(*read(SERVICE.replace("web", "third")))
    mesh.put(*read(namespace("elsewhere")))
    assert mesh.settle() == []
    assert mesh.findings.judged == before
    mesh.remove("Pod", "web-1")
    assert mesh.settle() == []
    mesh.remove("Pod", "web-2")
    mesh.remove("Pod", "third-1")
    assert [key.kind for key in mesh.settle()] == ["DestinationRule"]
    assert mesh.codes("DestinationRule", "web") == ["IST0173"]


def test_an_objects_own_faults_and_exceptions_count() -> None:
    mesh = Mesh()
    (group,) = read(istio("WorkloadGroup", "w", "{template: {serviceAccount: s, network: n}, probe: {}}"))
    mesh.put(group, *read(rule("web", "{route: [{destination: {host: gone}}]}", hosts="a.example")))
    mesh.settle()
    assert mesh.codes("VirtualService", "web") == ["IST0101"]
    (excepted,) = read(rule("web", "{route: [{destination: {host: gone}}]}", hosts="a.example"))
    excepted["metadata"]["annotations"] = {"galley.istio.io/analyze-suppress": "IST0101"}
    mesh.put(excepted)
    assert [key.name for key in mesh.settle()] == ["web"]
    assert mesh.codes("VirtualService", "web") == []


def test_a_service_that_comes_later_and_takes_its_name_back_is_told_at_the_entry() -> None:
    mesh, (entry,) = (
        Mesh(),
        objects(
            read_yaml(
                istio(
                    "ServiceEntry",
                    "x",
                    "{hosts: [web.shop.svc.cluster.local], ports: [{number: 80, name: http, protocol: HTTP}], "
                    "resolution: STATIC, endpoints: [{address: 10.0.0.9}]}",
                )
            )
        ),
    )
    mesh.put(entry)
    mesh.settle()
    assert mesh.codes("ServiceEntry", "x") == []
    mesh.put(*objects(read_yaml(SERVICE)))
    assert ObjectKey("ServiceEntry", "shop", "x") in mesh.settle()
    assert mesh.codes("ServiceEntry", "x") == ["PLT0021"]
    mesh.remove("Service", "web")
    mesh.settle()
    assert mesh.codes("ServiceEntry", "x") == []
