"""Rules that are left to another VirtualService which is not there for them, or says more than they may give away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import mapping, mappings, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.messages import DELEGATE_UNUSED, NAMES_NOTHING
from plait.analyze.world import Item, World
from plait.api.meta import ObjectKey
from plait.api.virtualservice import HTTPRoute
from plait.mesh.delegation import uncovered
from plait.snapshot.visibility import scopes, visible_in


def _check_delegates(world: World, item: Item) -> Iterator[Finding]:
    for index, rule in mappings(item.spec, "http"):
        name = text(rule, "delegate", "name")
        if not name:
            continue
        namespace = text(rule, "delegate", "namespace") or item.namespace
        path, full = f"spec.http[{index}].delegate", f"VirtualService {namespace}/{name}"
        other = world.get(VIRTUAL_SERVICE, namespace, name)
        if other is None:
            detail = f"there is no {full} to delegate to: the rule has no routes"
            yield found(NAMES_NOTHING, item, path, fix="its name and namespace", value=name, detail=detail)
        elif hosts := texts(other.spec, "hosts"):
            detail = f"{full} has hosts ({', '.join(hosts)}), so no rule can delegate to it: the rule has no routes"
            yield found(NAMES_NOTHING, item, path, fix="a VirtualService without hosts", value=name, detail=detail)
        elif not _sees(world, item, other):
            detail = f"{full} is not exported to namespace {item.namespace}: the rule has no routes"
            fix = f"{item.namespace} in its exportTo"
            yield found(NAMES_NOTHING, item, path, fix=fix, value=name, detail=detail)
        elif mapping(rule, "delegate"):
            yield from _unused(world, item, index, other)


def _sees(world: World, item: Item, other: Item) -> bool:
    exports = texts(other.spec, "exportTo") or texts(world.mesh_config, "defaultVirtualServiceExportTo")
    return visible_in(tuple(scopes(exports, other.namespace)), item.namespace)


def _unused(world: World, item: Item, index: int, other: Item) -> Iterator[Finding]:
    """Rules of a delegate that have no effect here, since they want more than the delegating rule takes."""
    root = _rule(world, item, index)
    if root is None:
        return
    for place, _ in mappings(other.spec, "http"):
        inner = _rule(world, other, place)
        match = uncovered(root, inner) if inner is not None else None
        if match is not None:
            yield found(
                DELEGATE_UNUSED,
                item,
                f"spec.http[{index}].delegate",
                fix="matches that each narrow one of this rule's (patterns cannot be compared)",
                detail=f"http[{place}] of VirtualService {other.full_name} has no effect here: "
                f"its match[{match}] is not within a match of this rule",
            )


def _rule(world: World, item: Item, index: int) -> HTTPRoute | None:
    """A rule as the mesh has it: where findings are kept current, only its own view has what objects say."""
    read = world.reader.virtual_service(ObjectKey("VirtualService", item.namespace, item.name))
    rules = read.spec.http if read is not None else ()
    return rules[index] if index < len(rules) else None


ANALYZERS: Final = (
    Analyzer(
        name="plait.Delegates",
        messages=(NAMES_NOTHING, DELEGATE_UNUSED),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_delegates,
    ),
)
