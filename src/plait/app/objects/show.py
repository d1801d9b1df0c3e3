"""Shows objects: tables as the API makes them, and whole objects with what is wrong with them and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from plait.api.decode import decode
from plait.api.problem import Problem
from plait.api.yaml_scalars import plain_scalar
from plait.kube.client import Client
from plait.kube.errors import ApiError
from plait.kube.kinds import EVENT, Kind

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and cells as texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """As kubectl sets it: three blanks between columns, nothing cut."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "   ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


async def table(
    client: Client,
    kind: Kind,
    names: Sequence[str],
    namespace: str | None,
    *,
    labels: str | None = None,
    wide: bool = False,
) -> Table:
    """The objects of a kind, or those named, as the API prints them; all namespaces, with a column, for None."""
    params = {"labelSelector": labels} if labels else {}
    parts = [
        msgspec.json.decode(await client.request("GET", path, params=params, accept=_TABLE), type=dict[str, Any])
        for path in ([kind.path(namespace, name) for name in names] or [kind.path(namespace)])
    ]
    shown = [
        i for i, c in enumerate(parts[0].get("columnDefinitions") or ()) if wide or not int(c.get("priority") or 0)
    ]
    columns = [str(parts[0]["columnDefinitions"][i]["name"]).upper() for i in shown]
    everywhere = kind.namespaced and namespace is None
    rows = []
    for part in parts:
        for row in part.get("rows") or ():
            cells = [_cell(row["cells"][i]) for i in shown]
            home = (((row.get("object") or {}).get("metadata")) or {}).get("namespace") or ""
            rows.append((home, *cells) if everywhere else tuple(cells))
    return Table(tuple(["NAMESPACE", *columns] if everywhere else columns), tuple(rows))


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "<none>" if value is None else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_yaml(value: Any) -> str:
    """YAML with texts of several lines as blocks."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=4096)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (anchors are for machines)
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Go's reader takes more for booleans and numbers (`y`, `1e3`) than PyYAML does: those need quotes too.
    quoted = "'" if plain_scalar(value) != value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else quoted)


_Dumper.add_representer(str, _text)


def plain(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the book-keeping of its field managers."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    first = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
    return {**first, **{key: value for key, value in obj.items() if key not in first}}


async def describe(client: Client, kind: Kind, name: str, namespace: str | None) -> str:
    """The object as YAML, what is wrong with it, and its events; raises NotFound."""
    obj = await client.get(kind, name, namespace)
    parts = [as_yaml(plain(obj)).rstrip()]
    if problems := await _problems(client, kind, obj):
        parts.append("Problems:\n" + "\n".join(f"  {text}" for text in problems))
    events = await _events(client, obj, namespace)
    parts.append(f"Events:\n{events}" if events else "Events: <none>")
    return "\n\n".join(parts)


async def _problems(client: Client, kind: Kind, obj: dict[str, Any]) -> list[str]:
    """What the API would say if an object of the mesh were written again as it is, nothing being written."""
    if not kind.group.endswith(".istio.io"):
        return []
    path = kind.path(obj["metadata"].get("namespace"), obj["metadata"]["name"])
    try:
        answer = await client.exchange("PUT", path, params={"dryRun": "All"}, json=obj)
    except ApiError as error:
        # Not everybody may write; and an object that got in another way may be refused.
        found = [f"{p.level.value.capitalize()}: {_words(p)}" for p in decode(obj).problems]
        return found or ([error.message] if error.reason == "Invalid" else [])
    title = f"{kind.kind} {obj['metadata'].get('namespace')}/{obj['metadata']['name']}: "
    return list(dict.fromkeys(text.removeprefix(title) for text in answer.warnings))


def _words(problem: Problem) -> str:
    said = f"{problem.path}: {problem.message}" if problem.path else problem.message
    return f"{said}; {problem.fix}" if problem.fix else said


async def _events(client: Client, obj: Mapping[str, Any], namespace: str | None) -> str:
    selector = f"involvedObject.uid={obj['metadata'].get('uid')}"
    try:
        listing = await client.list(EVENT, namespace or "default", fields=selector)
    except ApiError as error:
        return f"  cannot be read: {error}"
    events = sorted(listing.items, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    if not events:
        return ""
    rows = [
        (
            event.get("type") or "",
            event.get("reason") or "",
            str(event.get("lastTimestamp") or event.get("eventTime") or ""),
            str((event.get("source") or {}).get("component") or event.get("reportingComponent") or ""),
            " ".join(str(event.get("message") or "").split()),
        )
        for event in events
    ]
    text = Table(("TYPE", "REASON", "LAST SEEN", "FROM", "MESSAGE"), tuple(rows)).text()
    return "\n".join(f"  {line}" for line in text.splitlines())
