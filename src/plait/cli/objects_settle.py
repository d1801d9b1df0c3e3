"""`--wait`: shows how far objects are until they are in effect."""

from __future__ import annotations

from collections.abc import Sequence

import click

from plait.app.objects.wait import Wait, wait_for
from plait.app.objects.write import Outcome
from plait.app.readiness import Step
from plait.cli.context import FAILED, TIMED_OUT, errors
from plait.cli.progress import Progress
from plait.kube.client import Client


async def settle(client: Client, outcomes: Sequence[Outcome], patience: float) -> int:
    """Wait until objects are in effect; the exit status."""
    ends: list[Wait] = []
    with Progress(errors()) as progress:
        async for wait in wait_for(client, outcomes, patience):
            progress(Step(wait.title, wait.detail, done=wait.state == "settled"))
            if wait.state in {"failed", "late"}:
                ends.append(wait)
    for end in ends:
        click.echo(str(end), err=True)
    return max((FAILED if end.state == "failed" else TIMED_OUT for end in ends), default=0, key=_worse)


def _worse(code: int) -> bool:
    """A refusal counts for more than a time-out."""
    return code == FAILED
