"""CustomResourceDefinitions: which names they get, and that their objects go before they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.hooks.contract import Hook
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plait.machine.api.hooks.contract import World
    from plait.machine.api.schema.fields import FieldError

Json = dict[str, Any]

COLLECTION = ("apiextensions.k8s.io", "customresourcedefinitions")
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class DefinitionHook(Hook):
    """A definition is in force as soon as it is stored; `machine.api.definitions` serves it."""

    returns_deleted = True

    def prepare(self, world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
        """Conditions and accepted names; they follow every change."""
        spec, meta = obj.get("spec") or {}, obj["metadata"]
        if old is None and not served_anyway(world, spec):
            meta["finalizers"] = [*dict.fromkeys([*(meta.get("finalizers") or ()), FINALIZER])]
        now = timestamp(world.clock())
        before = {item["type"]: item for item in ((old or {}).get("status") or {}).get("conditions") or ()}
        clash = next(_clashes(world, meta.get("name", ""), spec), "")
        accepted = {"type": "NamesAccepted", "status": "False" if clash else "True"}
        accepted |= {"reason": "NamesConflict" if clash else "NoConflicts", "message": clash or "no conflicts found"}
        established = {"type": "Established", "status": accepted["status"]}
        established |= (
            {"reason": "NotAccepted", "message": "not all names are accepted"}
            if clash
            else {"reason": "InitialNamesAccepted", "message": "the initial names have been accepted"}
        )
        known = list(((old or {}).get("status") or {}).get("storedVersions") or ())
        known += [
            v.get("name", "") for v in spec.get("versions") or () if v.get("storage") and v.get("name") not in known
        ]
        others = [item for kind, item in before.items() if kind not in {"NamesAccepted", "Established"}]
        obj["status"] = {
            "acceptedNames": dict(spec.get("names") or {}) if not clash else {"kind": "", "plural": ""},
            "conditions": [_since(item, before.get(item["type"]), now) for item in (accepted, established)] + others,
            "storedVersions": known,
        }
        return ()

    def warnings(self, world: World, obj: Json) -> Iterator[str]:
        """What is accepted and not done."""
        spec = obj.get("spec") or {}
        if served_anyway(world, spec):
            yield f"{spec['names']['kind']} is served by plait itself; this definition is stored and changes nothing"
        if (spec.get("conversion") or {}).get("strategy") == "Webhook":
            yield "spec.conversion: webhooks are not called; versions differ in apiVersion only (as with None)"


def served_anyway(world: World, spec: Json) -> bool:
    """Whether the kind is one of the API's own: Istio's definitions may be applied, and change nothing."""
    plural = (spec.get("names") or {}).get("plural", "")
    return world.registry.is_own(spec.get("group", ""), plural)


def is_established(definition: Json) -> bool:
    """Whether its names were accepted."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Established" and item.get("status") == "True" for item in conditions)


def _clashes(world: World, name: str, spec: Json) -> Iterator[str]:
    """Names that another definition of the group has already."""
    mine = spec.get("names") or {}
    words = {mine.get("plural"), mine.get("singular"), *(mine.get("shortNames") or ())} - {None, ""}
    for entry in world.store.entries(COLLECTION):
        other = entry.obj["spec"]
        if entry.key.name == name or other["group"] != spec.get("group") or not is_established(entry.obj):
            continue
        theirs = other["names"]
        if theirs["kind"] == mine.get("kind"):
            yield f'"{mine["kind"]}" is already in use'
        taken = {theirs["plural"], theirs.get("singular"), *(theirs.get("shortNames") or ())}
        for word in sorted(words & taken):
            yield f'"{word}" is already in use'


def _since(item: Json, before: Json | None, now: str) -> Json:
    same = before is not None and before.get("status") == item["status"]
    return {**item, "lastTransitionTime": before["lastTransitionTime"] if same and before else now}
