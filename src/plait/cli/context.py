"""What every command is given: the mesh it speaks of, and how commands end."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from plait.api.durations import parse_duration
from plait.app.state import State, StateHomeError
from plait.kube.access import Access
from plait.kube.errors import AccessError, ApiError

#: Exit codes others rely on.
FAILED, USAGE, NOT_RUNNING, MISSING_CAPABILITY, TIMED_OUT = 1, 2, 3, 4, 5
#: As shells count it: ended by signal 2.
INTERRUPTED = 130

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mesh:
    """The mesh that the command line names; `kubeconfig` may be another cluster's."""

    state: State
    kubeconfig: Path

    def access(self) -> Access:
        """How to reach its Kubernetes API; ends the command with 3 if it does not run."""
        if self.kubeconfig == self.state.kubeconfig and self.state.launcher_pid() is None:
            stop(f"the mesh {self.state.name!r} is not running; start it with: {self.state.command} up", NOT_RUNNING)
        return Access.from_kubeconfig(self.kubeconfig)


def state_of(name: str) -> State:
    """The state of the mesh that `--name` names; ends the command with 2 where that is no name."""
    try:
        return State.of(name)
    except StateHomeError as error:
        stop(str(error), USAGE)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from error


def seconds(text: str) -> float:
    """The type of an option: seconds as a number, or as kubectl writes them (`10s`, `1m30s`)."""
    duration = parse_duration(text)
    try:
        found = duration.total_seconds() if duration is not None else float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise click.BadParameter(f"{text!r}: write seconds, such as 30, or 30s, 1m30s")
    return found


def mesh(ctx: click.Context) -> Mesh:
    """The mesh of a command's context."""
    found = ctx.find_object(Mesh)
    if found is None:
        raise RuntimeError("a command outside the plait group")
    return found


def errors() -> Console:
    """Standard error, where progress and complaints go: standard output is for results."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def stop(message: str, code: int = FAILED) -> NoReturn:
    """End the command with a message for a person."""
    click.echo(f"plait: {message}", err=True)
    sys.exit(code)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; failures of the API become messages."""
    # Ctrl-C in the middle of making an event loop would leave half of one, which complains when it is collected.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with asyncio.Runner() as runner:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            return runner.run(work)
    except (ApiError, AccessError) as error:
        stop(str(error))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        work.close()
