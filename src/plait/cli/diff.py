"""`plait diff`: what applying or deleting files would change, in objects and in proxies."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import click

from plait.app.difference import FieldChange, ObjectChange, ResourceChange, field_changes
from plait.app.objects.given import ObjectsError, read_given
from plait.app.objects.kinds import Kinds
from plait.app.objects.plan import Plan, make_plan
from plait.app.objects.write import Writer
from plait.app.what_if import mesh_of
from plait.cli.context import FAILED, USAGE, run
from plait.cli.manifests import refuse
from plait.cli.objects import FILES, RECURSIVE
from plait.cli.proxy_target import client_from, print_data
from plait.kube.client import Client
from plait.kube.discovery import discover
from plait.kube.errors import NotFound
from plait.xds.engine import Change, Remove, Upsert

#: Of objects and proxies that nothing could be said about the exit status is another than of a difference.
_TROUBLE: Final = USAGE
_MARKS: Final = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class _Difference:
    objects: tuple[ObjectChange, ...]
    resources: tuple[ResourceChange, ...]


@click.command(
    epilog="""\b
Examples:
  plait diff -f canary.yaml -n sock-shop
  plait diff -f routes/ -R --summary
  plait diff --delete -f canary.yaml
  kubectl kustomize overlay | plait diff -f - -o json
"""
)
@FILES
@RECURSIVE
@click.option("--delete", is_flag=True, help="Show what deleting the files' objects would change.")
@click.option("--summary", is_flag=True, help="Only names: of objects, proxies and Envoy's resources.")
@click.option("-n", "--namespace", help="Namespace of objects that name none.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
@click.pass_context
def diff(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    recursive: bool,
    delete: bool,
    summary: bool,
    namespace: str | None,
    output: str,
) -> None:
    """Show what applying manifests would change, before it is: objects, proxies, and Envoy's resources in them.

    The API is asked how it would leave each object (nothing is written), and the mesh's configuration is computed from
    its objects twice, without and with that. Exits with 0 if nothing would change, 1 if something would, and 2 if it
    cannot be said, like diff.
    """
    if not files:
        raise click.UsageError("say what to compare: -f FILE, -f DIR or -f -")

    async def compare() -> _Difference:
        given = read_given(files, stdin=sys.stdin.read, recursive=recursive)
        async with client_from(ctx) as client:
            kinds = Kinds(await discover(client))
            plan = make_plan(given, kinds, namespace=namespace, default=client.access.namespace)
            if delete:
                objects, changes = await _deleted(client, plan)
            else:
                objects, changes = await _applied(client, plan)
            world = await mesh_of(client)
        return _Difference(tuple(objects), world.difference(changes))

    try:
        found = run(compare())
    except ObjectsError as error:
        refuse(error, "nothing was compared", _TROUBLE)
    if output == "text":
        _print(found, summary=summary)
    else:
        print_data(_as_json(found, summary=summary), output)
    if found.objects or found.resources:
        raise SystemExit(FAILED)


async def _applied(client: Client, plan: Plan) -> tuple[list[ObjectChange], list[Change]]:
    objects: list[ObjectChange] = []
    changes: list[Change] = []
    pairs = await Writer(client, dry_run=True).rehearse(plan)
    for item, (live, new) in zip(plan.items, pairs, strict=True):
        fields = tuple(field_changes(live, new)) if live is not None else ()
        if live is None or fields:
            objects.append(
                ObjectChange(object=item.title, verb="changed" if live is not None else "added", fields=fields)
            )
            changes.append(Upsert(new))
    return objects, changes


async def _deleted(client: Client, plan: Plan) -> tuple[list[ObjectChange], list[Change]]:
    objects: list[ObjectChange] = []
    changes: list[Change] = []
    for item in plan.items:
        try:
            await client.get(item.kind, item.name, item.namespace)
        except NotFound:
            continue  # what is not there is no difference when it is deleted
        objects.append(ObjectChange(object=item.title, verb="removed"))
        changes.append(Remove(item.kind.group, item.kind.kind, item.namespace or "", item.name))
    return objects, changes


def _as_json(found: _Difference, *, summary: bool) -> dict[str, Any]:
    result = {
        "objects": [asdict(each) for each in found.objects],
        "resources": [asdict(replace(each, new=None)) for each in found.resources],
    }
    for each in result["resources"]:
        del each["new"]
    for each in (*result["objects"], *result["resources"]):
        if summary:
            del each["fields"]
    return result


def _print(found: _Difference, *, summary: bool) -> None:
    if not found.objects and not found.resources:
        click.echo("nothing would change")
        return
    for each in found.objects:
        _head(each.verb, each.object, "")
        _fields(() if summary else each.fields)
    if found.resources:
        click.echo()
    for one in found.resources:
        first, *more = one.proxies
        _head(one.verb, f"{one.kind} {one.name}", first + (f" and {len(more)} more" if more else ""))
        _fields(() if summary else one.fields)
    everybody = {proxy for one in found.resources for proxy in one.proxies}
    click.echo(
        f"{_count(len(found.objects), 'object')}, {_count(len(found.resources), 'resource')} of Envoy in "
        f"{_count(len(everybody), 'proxy', 'proxies')}"
    )


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or word + 's'}"


def _head(verb: str, title: str, whom: str) -> None:
    mark, colour = _MARKS[verb]
    click.echo(click.style(f"{mark} {title}", fg=colour) + (f"   {whom}" if whom else ""))


def _fields(fields: Sequence[FieldChange]) -> None:
    for each in fields:
        if each.old is None or each.new is None:
            sign, value = ("+", each.new) if each.old is None else ("-", each.old)
            click.echo(f"    {sign} {each.path}: {_short(value)}")
        else:
            click.echo(f"    {each.path}: {_short(each.old)} → {_short(each.new)}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
