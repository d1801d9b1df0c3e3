"""`plait workload`: programs that are in no pod. `istioctl x workload` is the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from plait.api.decode import problems_of
from plait.api.mesh_settings import KEY, NAME
from plait.api.problem import Level
from plait.api.yaml import read_yaml
from plait.app.objects.given import ObjectsError, read_given
from plait.app.objects.show import as_yaml
from plait.cli.context import FAILED, mesh, run, stop
from plait.cli.group import CommandGroup
from plait.cli.manifests import refuse
from plait.inject.outside import API_VERSION, Joining, default_istiod, files, service_account
from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.errors import NotFound
from plait.kube.kinds import CONFIGMAP, WORKLOADGROUP

#: Where pods reach this machine with `plait up --outside host`.
_MACHINE = "10.42.0.2"


@click.group(cls=CommandGroup)
def workload() -> None:
    """Programs that are in no pod: their WorkloadGroups, and what they need to join."""


@workload.group("group", cls=CommandGroup)
def group_() -> None:
    """WorkloadGroups: templates for the programs of one kind."""


@workload.group("entry", cls=CommandGroup)
def entry_() -> None:
    """WorkloadEntries: one program each."""


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in (part for each in given for part in each.split(",")):
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


@group_.command(
    "create",
    epilog="""\b
Examples:
  plait workload group create --name ledger --namespace shop --labels app=ledger --ports http=5400 | kubectl apply -f -
""",
)
@click.option("--name", "group", required=True, help="Name of the group.")
@click.option("-n", "--namespace", required=True, help="Namespace of its programs.")
@click.option("-l", "--labels", multiple=True, metavar="NAME=VALUE", help="Labels of its programs; comma or repeated.")
@click.option("-a", "--annotations", multiple=True, metavar="NAME=VALUE", help="Annotations of its programs.")
@click.option(
    "-p", "--ports", multiple=True, metavar="NAME=PORT", help="Ports of its programs, by the service's names."
)
@click.option("-s", "--serviceAccount", "account", default="default", show_default=True, help="Who its programs are.")
def create(  # noqa: PLR0917 (click's way)
    group: str,
    namespace: str,
    labels: tuple[str, ...],
    annotations: tuple[str, ...],
    ports: tuple[str, ...],
    account: str,
) -> None:
    """Print a WorkloadGroup, for kubectl apply."""
    numbers: dict[str, int] = {}
    for name, text in _pairs(ports, "--ports").items():
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise click.BadParameter(f"{name}={text}: a port is a number from 1 to 65535", param_hint="--ports")
        numbers[name] = int(text)
    metadata = {"labels": _pairs(labels, "--labels"), "annotations": _pairs(annotations, "--annotations")}
    template = {"ports": numbers, "serviceAccount": account}
    spec = {
        "metadata": {key: value for key, value in metadata.items() if value},
        "template": {key: value for key, value in template.items() if value},
    }
    made = {
        "apiVersion": API_VERSION,
        "kind": "WorkloadGroup",
        "metadata": {"name": group, "namespace": namespace},
        "spec": {key: value for key, value in spec.items() if value},
    }
    _check(made)
    click.echo(as_yaml(made), nl=False)


@entry_.command(
    "configure",
    epilog="""\b
Examples:
  plait workload entry configure -f ledger.yaml -o ledger
  kubectl apply -f ledger/workloadentry.json
  plait workload entry configure --name ledger --namespace shop --autoregister -o ledger
""",
)
@click.option("-f", "--file", "file", help="File with the WorkloadGroup; without one it is read from the mesh.")
@click.option("--name", "group", help="Name of the group in the mesh.")
@click.option("-n", "--namespace", help="Namespace of the group.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to fill.")
@click.option("--autoregister", is_flag=True, help="The proxy's coming makes the WorkloadEntry.")
@click.option("--internalIP", "internal", help=f"Address at which pods reach the program.  [default: {_MACHINE}]")
@click.option("--externalIP", "external", help="The same, in Istio's other word.")
@click.option(
    "--istiod", default=default_istiod(), show_default=True, metavar="HOST:PORT", help="Where istiod answers."
)
@click.option("--tokenDuration", "seconds", type=click.IntRange(600), default=3600, show_default=True, help="Seconds.")
@click.pass_context
def configure(  # noqa: PLR0917 (click's way)
    ctx: click.Context,
    file: str | None,
    group: str | None,
    namespace: str | None,
    output: Path,
    autoregister: bool,
    internal: str | None,
    external: str | None,
    istiod: str,
    seconds: int,
) -> None:
    """Write what a program outside of pods needs to join the mesh, from its WorkloadGroup.

    The program itself needs no more than the WorkloadEntry (workloadentry.json, for kubectl apply). The other files are
    Istio's, and envoy.json is for a stock Envoy that runs beside it: with --autoregister its coming makes the entry,
    and its going takes it away. The folder holds a token: keep it to yourself.
    """
    if internal and external:
        raise click.UsageError("--internalIP and --externalIP exclude each other")
    if file is None and not (group and namespace):
        raise click.UsageError("say a file with a WorkloadGroup, or --name and --namespace of one in the mesh")
    access = mesh(ctx).access()
    made = run(_files(access, file, group, namespace, Joining(address=internal or external or _MACHINE),
                      istiod=istiod, register=autoregister, seconds=seconds))  # fmt: skip
    try:
        output.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in made.items():
            path = output / name
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        stop(f"{error.filename}: {error.strerror}", FAILED)
    click.echo(f"wrote {', '.join(sorted(made))} to {output}")
    click.echo(
        f"Warning: {output}/istio-token and {output}/envoy.json hold a token that is good for {seconds} s", err=True
    )


async def _files(
    access: Access, file: str | None, group: str | None, namespace: str | None, joining: Joining,
    *, istiod: str, register: bool, seconds: int,
) -> dict[str, str]:  # fmt: skip
    async with Client(access) as client:
        found = _given(file, namespace) if file is not None else await _known(client, str(group), str(namespace))
        _check(found)
        place, account = found["metadata"]["namespace"], service_account(found)
        token, settings, roots = await asyncio.gather(
            _token(client, place, account, seconds), _defaults(client), _roots(client, place)
        )
    return files(found, joining, token=token, istiod=istiod, register=register, proxy_config=settings, roots=roots)


def _given(file: str, namespace: str | None) -> dict[str, Any]:
    """The one WorkloadGroup of a file."""
    try:
        groups = read_given([file], stdin=sys.stdin.read)
    except ObjectsError as error:
        refuse(error, "nothing was written")
    found = [one for one in groups if one.obj.get("kind") == "WorkloadGroup"]
    if len(found) != 1:
        stop(f"{file}: it has {len(found)} WorkloadGroups; one is wanted", FAILED)
    obj = dict(found[0].obj)
    obj["metadata"] = {**obj.get("metadata", {})}
    obj["metadata"].setdefault("namespace", namespace or "default")
    return obj


async def _known(client: Client, name: str, namespace: str) -> dict[str, Any]:
    try:
        return await client.get(WORKLOADGROUP, name, namespace)
    except NotFound:
        stop(f"there is no WorkloadGroup {name!r} in namespace {namespace}", FAILED)


def _check(group: dict[str, Any]) -> None:
    faults = [str(problem) for problem in problems_of(group) if problem.level is Level.ERROR]
    if faults:
        for fault in faults:
            click.echo(fault, err=True)
        stop("nothing was written", FAILED)


async def _token(client: Client, namespace: str, account: str, seconds: int) -> str:
    """A token for istiod."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds, "audiences": []},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    try:
        answer = msgspec.json.decode(await client.request("POST", path, json=request))
    except NotFound:
        stop(f"there is no ServiceAccount {account!r} in namespace {namespace}", FAILED)
    return str(answer["status"]["token"])


async def _roots(client: Client, namespace: str) -> str:
    """The root certificates of the mesh, which istiod writes into every namespace."""
    try:
        found = await client.get(CONFIGMAP, "istio-ca-root-cert", namespace)
    except NotFound:
        return ""
    return str((found.get("data") or {}).get("root-cert.pem") or "")


async def _defaults(client: Client) -> dict[str, Any]:
    """`defaultConfig` of the mesh's settings."""
    try:
        settings = await client.get(CONFIGMAP, NAME, "istio-system")
    except NotFound:
        return {}
    documents = read_yaml((settings.get("data") or {}).get(KEY, "")).documents
    value = documents[0].value if documents else {}
    return dict(value.get("defaultConfig") or {}) if isinstance(value, dict) else {}
