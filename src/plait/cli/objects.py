"""`plait apply`, `create`, `replace`, `delete`, `get`, `describe`: objects, from files or by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from plait.app.objects.delete import Target
from plait.app.objects.delete import delete as delete_all
from plait.app.objects.given import ObjectsError, read_given
from plait.app.objects.kinds import Kinds, UnknownKindError
from plait.app.objects.plan import Item, Plan, make_plan, printed
from plait.app.objects.show import as_yaml, describe, plain, table
from plait.app.objects.wait import acts
from plait.app.objects.write import Outcome, Verb, Writer
from plait.cli.context import FAILED, mesh, run, seconds, stop
from plait.cli.manifests import refuse
from plait.cli.objects_settle import settle
from plait.cli.proxy_target import client_from
from plait.kube.client import Client
from plait.kube.discovery import discover
from plait.kube.errors import ApiError
from plait.kube.kinds import Kind

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

FILES = click.option(
    "-f", "--filename", "files", multiple=True, metavar="FILE|DIR|-", help="Objects: a file, a folder, - for stdin."
)
RECURSIVE = click.option("-R", "--recursive", is_flag=True, help="Go into the folders of a folder too.")
NAMESPACE = click.option("-n", "--namespace", help="Namespace of objects that name none.")
TRIAL = click.option(
    "--trial/--no-trial",
    default=True,
    help="Have a scratch Envoy load what would change in proxies first. [default: on]",
)
#: Kinds whose objects can make Envoy refuse something.
_TRIED = ".istio.io"
DRY_RUN = click.option("--dry-run", is_flag=True, help="Let the API check and answer, and change nothing.")


def _file_options(function: _Decorated) -> _Decorated:
    for option in (DRY_RUN, NAMESPACE, RECURSIVE, FILES):
        function = option(function)
    return function


@click.command(
    epilog="""\b
Examples:
  plait apply -f shop/                          every .yaml, .yml and .json file of a folder
  plait apply -n sock-shop -f routes.yaml
  plait apply --dry-run -f routes.yaml          only check
  sed s/v1/v2/ routes.yaml | plait apply -f -
  plait apply --wait -f routes.yaml             until every proxy concerned serves by it
"""
)
@TRIAL
@_file_options
@click.option("--wait", is_flag=True, help="Wait until the objects are in effect in every proxy concerned.")
@click.option("--timeout", type=seconds, default="30", show_default=True, help="How long --wait waits, in seconds.")
@click.pass_context
def apply(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    recursive: bool,
    namespace: str | None,
    dry_run: bool,
    trial: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Make objects as the files say: create what is missing, change what differs.

    A field that an earlier apply set and the file no longer has is removed; what other programs set stays. All objects
    are checked before the first is written.

    With --wait it ends when the objects that make configuration are in effect: acknowledged by every proxy concerned,
    nothing warming in it, and answered for by its data plane. Progress is on stderr.

    Exit status: 1 when anything was refused, by the API or by a proxy; 5 when --wait takes longer than --timeout.
    """
    patience = timeout if wait and not dry_run else None
    _write(
        ctx, "apply", files, recursive=recursive, namespace=namespace, dry_run=dry_run, trial=trial, patience=patience
    )


@click.command(epilog="\b\nExample:\n  plait create -n sock-shop -f gateway.yaml\n")
@TRIAL
@_file_options
@click.pass_context
def create(
    ctx: click.Context, *, files: tuple[str, ...], recursive: bool, namespace: str | None, dry_run: bool, trial: bool
) -> None:
    """Create the objects of the files; refuse when one of them exists."""
    _write(ctx, "create", files, recursive=recursive, namespace=namespace, dry_run=dry_run, trial=trial)


@click.command(epilog="\b\nExample:\n  plait replace -n sock-shop -f front-end-v2-route.yaml\n")
@TRIAL
@_file_options
@click.pass_context
def replace(
    ctx: click.Context, *, files: tuple[str, ...], recursive: bool, namespace: str | None, dry_run: bool, trial: bool
) -> None:
    """Replace objects, whole, by those of the files; refuse when one of them is missing."""
    _write(ctx, "replace", files, recursive=recursive, namespace=namespace, dry_run=dry_run, trial=trial)


@click.command(
    epilog="""\b
Examples:
  plait delete -f routes.yaml -n sock-shop
  plait delete virtualservice front-end orders -n sock-shop
  plait delete vs/front-end -n sock-shop
"""
)
@click.argument("targets", nargs=-1, metavar="[KIND NAME…|KIND/NAME…]")
@_file_options
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until they are gone.")
@click.option("--ignore-not-found", is_flag=True, help="A missing object is no fault.")
@click.pass_context
def delete(
    ctx: click.Context,
    *,
    targets: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str | None,
    dry_run: bool,
    wait: bool,
    ignore_not_found: bool,
) -> None:
    """Delete the objects of the files, or those named."""

    async def work() -> bool:
        failed = False
        async with client_from(ctx) as client:
            found = await _targets(client, targets, files, recursive=recursive, namespace=namespace)
            if any(not name for _, name, _, _ in found):
                raise click.UsageError("say which objects: KIND NAME… or -f FILE")
            chosen = [Target(kind=k, name=n or "", namespace=s, origin=_origin(i)) for k, n, s, i in found]
            async for done in delete_all(client, chosen, wait=wait, ignore_missing=ignore_not_found, dry_run=dry_run):
                failed |= bool(done.fault)
                click.echo(done.fault or str(done), err=bool(done.fault))
        return failed

    ctx.exit(FAILED if _run(work) else 0)


@click.command(
    epilog="""\b
Examples:
  plait get virtualservices -A
  plait get vs front-end -n sock-shop -o yaml
  plait get -f routes.yaml -n sock-shop
"""
)
@click.argument("targets", nargs=-1, metavar="[KIND [NAME…]|KIND/NAME…]")
@FILES
@RECURSIVE
@NAMESPACE
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of every namespace.")
@click.option("-l", "--selector", "labels", help="Only objects with these labels: app=x,tier!=y.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "yaml", "json", "name"]), default="table", help="How."
)
@click.pass_context
def get(  # noqa: PLR0917 -- one parameter an option
    ctx: click.Context,
    targets: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str | None,
    everywhere: bool,
    labels: str | None,
    output: str,
) -> None:
    """Show objects: a table, or as they are."""

    async def work() -> bool:
        async with client_from(ctx) as client:
            found = await _targets(
                client, targets, files, recursive=recursive, namespace=namespace, everywhere=everywhere
            )
            grouped: dict[tuple[Kind, str | None], list[str]] = {}
            for kind, name, space, _ in found:
                grouped.setdefault((kind, space), []).extend([name] if name else [])
            if output in {"table", "wide"}:
                return await _print_tables(client, grouped, labels, wide=output == "wide")
            objects = []
            for (kind, space), names in grouped.items():
                objects += await _read(client, kind, names, space, labels)
            single = len(found) == 1 and bool(found[0][1])
            _print_objects(objects, output, single=single, kinds=[kind for kind, _ in grouped])
            return False

    ctx.exit(FAILED if _run(work) else 0)


@click.command(
    "describe",
    epilog="""\b
Examples:
  plait describe virtualservice front-end -n sock-shop
  plait describe -f routes.yaml -n sock-shop
""",
)
@click.argument("targets", nargs=-1, metavar="[KIND [NAME…]|KIND/NAME…]")
@FILES
@RECURSIVE
@NAMESPACE
@click.pass_context
def describe_command(
    ctx: click.Context, *, targets: tuple[str, ...], files: tuple[str, ...], recursive: bool, namespace: str | None
) -> None:
    """Show objects whole: as YAML, what is wrong with them, and their events."""

    async def work() -> None:
        async with client_from(ctx) as client:
            texts = []
            for kind, name, space, _ in await _targets(
                client, targets, files, recursive=recursive, namespace=namespace
            ):
                names = [name] if name else [o["metadata"]["name"] for o in (await client.list(kind, space)).items]
                texts += [await describe(client, kind, one, space) for one in names]
            click.echo("\n\n---\n".join(texts) if texts else "no objects found")

    _run(work)


_Found = tuple[Kind, str | None, str | None, Item | None]


async def _targets(
    client: Client,
    words: Sequence[str],
    files: Sequence[str],
    *,
    recursive: bool,
    namespace: str | None,
    everywhere: bool = False,
) -> list[_Found]:
    """(kind, name, namespace, item of a file): what words or files name; a name of None stands for all."""
    if bool(words) == bool(files):
        raise click.UsageError("say either KIND [NAME…] or -f FILE")
    kinds = Kinds(await discover(client))
    default = client.access.namespace
    if files:
        plan = make_plan(_read_files(files, recursive=recursive), kinds, namespace=namespace, default=default)
        return [(item.kind, item.name, item.namespace, item) for item in plan.backwards]
    home = None if everywhere else namespace or default
    if "/" in words[0]:
        pairs = [word.partition("/") for word in words]
        named = [(kinds.of_word(word), name) for word, _, name in pairs]
        return [(kind, name, home if kind.namespaced else None, None) for kind, name in named]
    found: list[_Found] = []
    for word in words[0].split(","):
        kind = kinds.of_word(word)
        space = home if kind.namespaced else None
        found += [(kind, name, space, None) for name in words[1:] or (None,)]
    return found


def _origin(item: Item | None) -> str:
    return Target.of(item).origin if item is not None else ""


def _write(
    ctx: click.Context,
    verb: Verb,
    files: Sequence[str],
    *,
    recursive: bool,
    namespace: str | None,
    dry_run: bool,
    trial: bool,
    patience: float | None = None,
) -> None:
    if not files:
        raise click.UsageError(f"say what to {verb}: -f FILE, -f DIR or -f -")

    async def work() -> int:
        failed = False
        written: list[Outcome] = []
        given = _read_files(files, recursive=recursive)
        async with client_from(ctx) as client:
            kinds = Kinds(await discover(client))
            plan: Plan = make_plan(given, kinds, namespace=namespace, default=client.access.namespace)
            _warn(plan.warnings)
            writer = Writer(client, dry_run=dry_run)
            if trial and any(item.kind.group.endswith(_TRIED) for item in plan.items):
                await _try(ctx, client, writer, plan, verb)
            async for outcome in writer.write(plan, verb):
                _warn(outcome.warnings)
                for fault in outcome.faults:
                    click.echo(fault, err=True)
                failed |= bool(outcome.faults)
                if outcome.action:
                    click.echo(str(outcome))
                if acts(outcome):
                    written.append(outcome)
            _warn(await writer.told_at_the_end())
            code = await settle(client, written, patience) if patience is not None else 0
        return FAILED if failed else code

    ctx.exit(_run(work))


async def _try(ctx: click.Context, client: Client, writer: Writer, plan: Plan, verb: Verb) -> None:
    """Have a scratch Envoy load what the plan would change in proxies. Raises ObjectsError where it refuses."""
    pairs = await writer.rehearse(plan, verb)
    if all(live == new for live, new in pairs):
        return
    # Envoy's message classes take a third of a second, which nobody else should wait for.
    prove, proof = importlib.import_module("plait.app.prove"), importlib.import_module("plait.trial.proof")
    state = mesh(ctx).state.root
    proofs = proof.Proofs(state / "proven" if state.is_dir() else None)
    faults, warnings = await prove.prove(client, plan, pairs, proofs)
    _warn(warnings)
    if faults:
        raise ObjectsError(faults)


def _read_files(files: Sequence[str], *, recursive: bool) -> Any:
    return read_given(files, stdin=sys.stdin.read, recursive=recursive)


def _warn(warnings: Sequence[str]) -> None:
    for text in warnings:
        click.echo(f"Warning: {text}", err=True)


def _run(work: Callable[[], Any]) -> Any:
    """Run a command's work; faults of what it was given are told line by line."""

    async def guarded() -> Any:
        try:
            return await work()
        except ObjectsError as error:
            refuse(error, "nothing was changed")
        except UnknownKindError as error:
            stop(str(error), FAILED)
        except ApiError as error:
            reason = f"Error from server ({error.reason}): " if error.code else ""
            stop(f"{reason}{error.message}", FAILED)

    return run(guarded())


async def _print_tables(
    client: Client, grouped: dict[tuple[Kind, str | None], list[str]], labels: str | None, *, wide: bool
) -> bool:
    texts = []
    for (kind, space), names in grouped.items():
        found = await table(client, kind, names, space, labels=labels, wide=wide)
        if found.rows:
            texts.append(found.text())
        else:
            where = f" in {space} namespace" if space else ""
            click.echo(f"No resources found{where}.", err=True)
    if texts:
        click.echo("\n\n".join(texts))
    return False


async def _read(
    client: Client, kind: Kind, names: Sequence[str], space: str | None, labels: str | None
) -> list[dict[str, Any]]:
    if names:
        return [await client.get(kind, name, space) for name in names]
    return (await client.list(kind, space, labels=labels)).items


def _print_objects(objects: list[dict[str, Any]], output: str, *, single: bool, kinds: Sequence[Kind]) -> None:
    if output == "name":
        by_type = {(kind.api_version, kind.kind): kind for kind in kinds}
        for obj in objects:
            click.echo(printed(by_type[obj["apiVersion"], obj["kind"]], obj["metadata"]["name"]))
        return
    shown = [plain(obj) for obj in objects]
    value = shown[0] if single else {"apiVersion": "v1", "kind": "List", "items": shown}
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=4).decode())
    else:
        click.echo(as_yaml(value), nl=False)
