"""Deletes objects, and waits until they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from plait.app.objects.plan import Item
from plait.kube.client import Client
from plait.kube.errors import ApiError, NotFound
from plait.kube.kinds import Kind

#: Seconds between two looks at an object on its way out.
_LOOK: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An object to delete; `origin` says where it was named, empty for the command line."""

    kind: Kind
    name: str
    namespace: str | None
    origin: str = ""

    @classmethod
    def of(cls, item: Item) -> Target:
        """An object of a file."""
        origin = f'error when deleting "{item.given.file}" (line {item.given.position()[0]}): '
        return cls(kind=item.kind, name=item.name, namespace=item.namespace, origin=origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What became of a target; `fault` says why it was not deleted."""

    target: Target
    dry_run: bool = False
    fault: str = ""

    def __str__(self) -> str:
        kind, namespace = self.target.kind, self.target.namespace
        group = f".{kind.group}" if kind.group else ""
        where = f" from {namespace} namespace" if namespace else ""
        how = " (server dry run)" if self.dry_run else ""
        return f'{kind.kind.lower()}{group} "{self.target.name}" deleted{where}{how}'


async def delete(
    client: Client, targets: Sequence[Target], *, wait: bool, ignore_missing: bool, dry_run: bool = False
) -> AsyncIterator[Deletion]:
    """Delete all that are there; a missing one is a fault unless that is no matter. The wait comes last, for all."""
    waiting: list[tuple[Target, str]] = []
    for target in targets:
        try:
            live = await client.get(target.kind, target.name, target.namespace)
            if not dry_run:
                uid = str(live["metadata"]["uid"])
                await client.delete(target.kind, target.name, target.namespace, uid=uid, propagation="Background")
                waiting.append((target, uid))
        except NotFound as error:
            if not ignore_missing:
                yield Deletion(target=target, fault=f"Error from server (NotFound): {target.origin}{error.message}")
            continue
        except ApiError as error:
            yield Deletion(target=target, fault=f"Error from server ({error.reason}): {target.origin}{error.message}")
            continue
        yield Deletion(target=target, dry_run=dry_run)
    for target, uid in waiting if wait else ():
        await _until_gone(client, target, uid)


async def _until_gone(client: Client, target: Target, uid: str) -> None:
    while True:
        try:
            live = await client.get(target.kind, target.name, target.namespace)
        except NotFound:
            return
        if live["metadata"].get("uid") != uid:
            return
        await asyncio.sleep(_LOOK)
