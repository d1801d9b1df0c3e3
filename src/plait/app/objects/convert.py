"""Manifests of another time as one would write them today: what `plait convert` prints. No request goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plait.api import former
from plait.api.former_policies import DEFAULT, GROUP, peers_of
from plait.api.renewal import renewed
from plait.app.objects.given import Given, ObjectsError
from plait.app.objects.kinds import OLD_GROUPS
from plait.inject import InjectConfig, convert_workload
from plait.inject.bare import without_foreign
from plait.machine.api.schema import Schemas

_ISTIO: Final = ".istio.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """An object in today's form; `notes` say what was changed, each with its place in the file."""

    obj: dict[str, Any]
    notes: tuple[str, ...]


def convert(given: Sequence[Given], schemas: Schemas, *, namespace: str = "") -> tuple[Converted, ...]:
    """All objects in the order given. `namespace` is for those that name none; else it is that of their neighbours.

    Raises ObjectsError with everything that cannot be said today.
    """
    made: list[Converted] = []
    faults: list[str] = []
    for one in given:
        try:
            made.append(_convert(one, given, schemas, namespace))
        except ObjectsError as error:
            faults += error.lines
    if faults:
        raise ObjectsError(faults)
    return tuple(made)


def _convert(one: Given, given: Iterable[Given], schemas: Schemas, namespace: str) -> Converted:
    notes: list[str] = []

    def note(text: str, path: str = "") -> None:
        notes.append(f"{one.where(path)}: {one.title}: {text}")

    obj = one.obj
    if not obj.get("apiVersion"):
        version = _todays(one, schemas)
        obj = {"apiVersion": version, **{name: value for name, value in obj.items() if name != "apiVersion"}}
        note(f"apiVersion was missing: {version}")
    kind = schemas.kind(str(obj["apiVersion"]), str(obj["kind"]))
    if kind is not None and kind.namespaced and not obj["metadata"].get("namespace"):
        home, why = (namespace, "") if namespace else _neighbours(one, given)
        if home:
            obj = {**obj, "metadata": {**obj["metadata"], "namespace": home}}
        if why:
            note(f"metadata.namespace was missing: {home}, as of {why}", "metadata")
    if kind is not None and kind.group == GROUP:
        return Converted(obj=_policy(one, obj, note), notes=tuple(notes))
    for change in (former.present, renewed):
        obj, changes = change(obj)
        for each in changes:
            note(f"{each.path}: {each.message}; now {each.fix.removeprefix('write ')}", each.path)
    obj, changed = _workload(obj)
    for text in changed:
        note(text)
    if kind is not None and kind.group.endswith(_ISTIO) and obj["apiVersion"] != kind.api_version:
        obj = {**obj, "apiVersion": kind.api_version}
    return Converted(obj=obj, notes=tuple(notes))


def _todays(one: Given, schemas: Schemas) -> str:
    found = [
        each.api_version for each in schemas.kinds if each.kind == one.obj["kind"] and each.group not in OLD_GROUPS
    ]
    if len(found) != 1:
        why = f"several groups have a {one.obj['kind']}" if found else f"no kind {one.obj['kind']} is known"
        raise ObjectsError([f"{one.where()}: {one.title}: apiVersion is missing, and {why}"])
    return found[0]


def _neighbours(one: Given, given: Iterable[Given]) -> tuple[str, str]:
    """The namespace that all others of the file name, and one of them; empty if they do not agree."""
    others = [each for each in given if each.file == one.file and each.obj["metadata"].get("namespace")]
    if len({each.obj["metadata"]["namespace"] for each in others}) != 1:
        return "", ""
    return str(others[0].obj["metadata"]["namespace"]), others[0].title


def _policy(one: Given, obj: dict[str, Any], note: Callable[[str], None]) -> dict[str, Any]:
    peers, problems = peers_of(obj, root=InjectConfig().root_namespace)
    if peers is None:
        said = [f"{each.message}; {each.fix}" if each.fix else each.message for each in problems]
        raise ObjectsError(
            f"{one.where(problem.path)}: {one.title}: {problem.path}: {text}"
            for problem, text in zip(problems, said, strict=True)
        )
    note(f"now PeerAuthentication {peers.namespace}/{DEFAULT}")
    metadata = {**obj["metadata"], "name": DEFAULT, "namespace": peers.namespace}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata,
        "spec": peers.spec,
    }


def _workload(obj: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A workload of a former API group, and without a sidecar of another make."""
    before = obj
    made, warnings = convert_workload(obj)
    if not warnings and made == before:
        return before, []
    said = []
    if made.get("apiVersion") != before.get("apiVersion"):
        said.append(f"apiVersion: {before.get('apiVersion')}; now {made['apiVersion']}")
    if (made.get("spec") or {}).get("selector") != (before.get("spec") or {}).get("selector"):
        said.append("spec.selector was missing: taken from the template's labels")
    if any("nodeSelector" in text for text in warnings):
        said.append("spec.template.spec.nodeSelector: names of today")
    made, foreign = without_foreign(made, InjectConfig())
    if foreign:
        said.append(f"a sidecar of another make is left out ({foreign}); pods ask for one by a label")
    return made, said
