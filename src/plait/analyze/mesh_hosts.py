"""Hosts that several VirtualServices claim for sidecars, which use only one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import sequence, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.messages import CONFLICTING_MESH_HOSTS
from plait.analyze.world import Index, Item, World
from plait.snapshot.hosts import complete_host, is_wildcard, narrower
from plait.snapshot.indexes import MESH
from plait.snapshot.visibility import EVERYBODY, scopes


def is_for_sidecars(item: Item) -> bool:
    """Whether a VirtualService holds for sidecars."""
    gateways = sequence(item.spec, "gateways")
    return not gateways or MESH in gateways


def _mesh_hosts(item: Item, domain: str) -> set[str]:
    if not is_for_sidecars(item):
        return set()
    return {complete_host(host, item.namespace, domain) for host in texts(item.spec, "hosts")}


MESH_HOSTS: Final = Index((VIRTUAL_SERVICE,), _mesh_hosts)


def _reach(item: Item, domain: str) -> set[tuple[bool, bool]]:
    hosts = _mesh_hosts(item, domain)
    for_all = EVERYBODY in scopes(texts(item.spec, "exportTo"), item.namespace)
    return {(for_all, is_wildcard(host)) for host in hosts}


#: Rules for sidecars by (whether everybody sees them, whether they have a wildcard host).
_REACH: Final = Index((VIRTUAL_SERVICE,), _reach)


def _of_same_hosts(world: World, item: Item, host: str) -> Iterator[Item]:
    """Rules for `host`. Istio: between a rule for everybody and one that is not, a host that covers the other is the
    same; otherwise only an equal one is.
    """
    yield from world.find(MESH_HOSTS, host)
    for_all = EVERYBODY in scopes(texts(item.spec, "exportTo"), item.namespace)
    for wildcard in (True, False) if is_wildcard(host) else (True,):
        for other in world.find(_REACH, (not for_all, wildcard)):
            theirs = _mesh_hosts(other, world.domain)
            if any((is_wildcard(host) or is_wildcard(one)) and narrower(one, host) is not None for one in theirs):
                yield other


def _check_mesh_hosts(world: World, item: Item) -> Iterator[Finding]:
    """Istio: two rules for one host are in conflict where some caller sees both; told once for each rule."""
    mine = scopes(texts(item.spec, "exportTo"), item.namespace)
    paths: dict[str, str] = {}
    rivals: dict[str, Item] = {}
    for index, name in enumerate(texts(item.spec, "hosts") if is_for_sidecars(item) else ()):
        for other in _of_same_hosts(world, item, complete_host(name, item.namespace, world.domain)):
            theirs = scopes(texts(other.spec, "exportTo"), other.namespace)
            if other is not item and mine and theirs and (mine & theirs or EVERYBODY in mine | theirs):
                paths.setdefault(f"spec.hosts[{index}]", name)
                rivals[other.full_name] = other
    if not rivals:
        return
    contested = {complete_host(name, item.namespace, world.domain) for name in paths.values()}
    first, *more = paths
    yield found(
        CONFLICTING_MESH_HOSTS,
        item,
        first,
        also=more,
        fix="one VirtualService for each host",
        value=paths[first],
        rules=", ".join(sorted((item.full_name, *rivals))),
        host=", ".join(paths.values()),
        holds=_holder(world, item, contested, tuple(rivals.values())),
    )


def _holder(world: World, item: Item, contested: set[str], rivals: tuple[Item, ...]) -> str:
    """Which rule a sidecar uses: of one host the oldest; of hosts that cover each other the narrower."""
    same = [rule for rule in rivals if contested & _mesh_hosts(rule, world.domain)]
    if same:
        oldest = min((item, *same), key=lambda rule: rule.age)
        return f"{'this one' if oldest is item else oldest.full_name} is the oldest and holds"
    within = sorted(
        rule.full_name
        for rule in rivals
        if any(narrower(theirs, mine) == theirs for mine in contested for theirs in _mesh_hosts(rule, world.domain))
    )
    if not within:
        return "this one has the narrower host and holds there"
    what = "has the narrower host and holds" if len(within) == 1 else "have narrower hosts and hold"
    return f"{', '.join(within)} {what} there"


ANALYZERS: Final = (
    Analyzer(
        name="virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        messages=(CONFLICTING_MESH_HOSTS,),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_mesh_hosts,
    ),
)
