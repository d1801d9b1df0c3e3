"""PeerAuthentications that cannot be used and have no version before: plain calls are let in no more than was meant."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.meta import ObjectKey
from plait.mesh.config import MeshConfig
from plait.mesh.peers import WorkloadPeers, peer_policies
from plait.snapshot.reader import Reader
from plait.xds.engine import Engine, Remove, Upsert

WEB = {"selector": {"matchLabels": {"app": "web"}}}
STRICT, PERMISSIVE, DISABLE = ({"mode": mode} for mode in ("STRICT", "PERMISSIVE", "DISABLE"))


def peers(spec: Any, *, name: str = "p", namespace: str = "shop", created: str = "2026-01-02T00:00:00Z") -> Upsert:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return Upsert(
        {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}
    )


def demanded(engine: Engine, app: str, namespace: str = "shop") -> WorkloadPeers:
    reader = Reader(engine.snapshot.get, engine.mesh.domain)
    return peer_policies(reader, namespace, engine.mesh.root_namespace).of((("app", app),))


def modes(engine: Engine, app: str, *ports: int) -> str:
    """Those of all other ports and of `ports`, in short."""
    found = demanded(engine, app)
    return "".join(mode.mode[0] for mode in (found.whole, *(found.at(port) for port in ports)))


CASES: dict[str, tuple[Any, str, str]] = {
    # What is expected of web: its ports but the next two, 80, 90; and the same of another workload.
    "a mode that is none": ({**WEB, "mtls": {"mode": "STRCT"}}, "SSS", "PPP"),
    "a mode in small letters, for all": ({"mtls": {"mode": "permissive"}}, "SSS", "SSS"),
    "no mode but a word": ({**WEB, "mtls": "DISABLE"}, "SSS", "PPP"),
    "the mode of one port": ({**WEB, "mtls": DISABLE, "portLevelMtls": {"80": {"mode": "ON"}}}, "DSD", "PPP"),
    "another port is no port": (
        {**WEB, "mtls": STRICT, "portLevelMtls": {"80": PERMISSIVE, "9O": PERMISSIVE}}, "SPS", "PPP",
    ),
    "one that is no port has to be STRICT": (
        {**WEB, "mtls": PERMISSIVE, "portLevelMtls": {"80": PERMISSIVE, "9O": STRICT}}, "SPS", "PPP",
    ),
    "ports that are no map": ({**WEB, "portLevelMtls": ["80"]}, "SSS", "PPP"),
    "no ports": ({**WEB, "mtls": DISABLE, "portLevelMtls": {}}, "DDD", "PPP"),
    "ports of all workloads": ({"mtls": DISABLE, "portLevelMtls": {"80": STRICT}}, "DDD", "DDD"),
    "a stray port of all workloads": ({"mtls": PERMISSIVE, "portLevelMtls": {"8O": STRICT}}, "PPP", "PPP"),
    "one label is none": (
        {"selector": {"matchLabels": {"app": "web", "v": "*"}}, "portLevelMtls": {"80": STRICT}}, "SSS", "PPP",
    ),
    "no label can be read": ({"selector": {"matchLabels": {"app": "w*"}}, "mtls": STRICT}, "SSS", "SSS"),
    "nor does it demand anything": ({"selector": {"matchLabels": []}, "mtls": DISABLE}, "PPP", "PPP"),
    "what is none at all": ("STRICT", "SSS", "SSS"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_read_is_strict(case: str) -> None:
    spec, web, other = CASES[case]
    engine = Engine()
    engine.apply([peers(spec)])
    assert (modes(engine, "web", 80, 90), modes(engine, "other", 80, 90)) == (web, other)
    assert engine.problems_of(ObjectKey("PeerAuthentication", "shop", "p"))


def test_a_word_misspelt_closes_what_it_was_written_for() -> None:
    engine = Engine(MeshConfig())
    engine.apply([peers({"mtls": {"mode": "STRCT"}}, namespace="istio-system")])
    assert demanded(engine, "web", "anywhere").whole.mode == "STRICT"
    # In the root namespace nothing with a selector is for anybody, whatever is in it.
    engine.apply([Remove("security.istio.io", "PeerAuthentication", "istio-system", "p")])
    engine.apply([peers({"selector": {"matchLabels": {"app": "*"}}, "mtls": STRICT}, namespace="istio-system")])
    assert demanded(engine, "web", "anywhere").whole.mode == "PERMISSIVE"


def test_for_whom_it_is_unknown_it_comes_before_what_is_for_all_and_after_what_is_for_one() -> None:
    engine = Engine()
    engine.apply(
        [
            peers({"mtls": PERMISSIVE}, name="all", created="2026-01-01T00:00:00Z"),
            peers({**WEB, "mtls": PERMISSIVE}, name="web"),
            peers({"selector": "web", "mtls": STRICT}),
        ]
    )
    assert (modes(engine, "web"), modes(engine, "other")) == ("P", "S")


def test_one_whose_selector_can_be_read_keeps_its_age() -> None:
    engine = Engine()
    older = peers({"mtls": DISABLE}, name="older", created="2026-01-01T00:00:00Z")
    engine.apply([older, peers({"mtls": "STRICT"})])
    assert modes(engine, "web") == "D"


def test_the_version_before_stays_where_there_is_one() -> None:
    engine = Engine()
    engine.apply([peers({**WEB, "mtls": DISABLE})])
    engine.apply([peers({**WEB, "mtls": {"mode": "STRCT"}})])
    assert modes(engine, "web") == "D"
    engine.apply([Remove("security.istio.io", "PeerAuthentication", "shop", "p")])
    engine.apply([peers({**WEB, "mtls": {"mode": "STRCT"}})])
    assert modes(engine, "web") == "S"
    # What is salvaged is no version before.
    engine.apply([peers({**WEB, "mtls": DISABLE, "portLevelMtls": {}})])
    assert modes(engine, "web") == "D"
