"""`plait up` and `plait down`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

from plait.app import bringup, checks, store_copies
from plait.app.demos import DEMOS
from plait.app.overview import closed_ports, urls, without_agent
from plait.app.pki_examination import DamagedKeysError
from plait.app.ports import DEFAULT_PORTS, PortTakenError
from plait.app.readiness import BringUpError, NotReadyInTimeError
from plait.app.rungs import Rung
from plait.app.state import State
from plait.app.store_copies import DamagedStoreError, NoCopyError
from plait.cli.context import FAILED, INTERRUPTED, MISSING_CAPABILITY, TIMED_OUT, errors, mesh, run, seconds, stop
from plait.cli.interrupts import deferred, terminable
from plait.cli.progress import Progress
from plait.machine.host_sockets import Reach
from plait.machine.images.table import TableError

#: A mesh that is told to stop gets this many seconds, more than all its graces together.
STOP_SECONDS = 25.0


@click.command(
    epilog="""\b
Examples:
  plait up                        an empty mesh: Kubernetes API, istiod, ingress gateway
  plait up --demo sock-shop       the same, with the Sock Shop in it
  plait up --demo bookinfo        the same, with Istio's Bookinfo in it
  plait up --port http=9080       another host port for the ingress gateway
  plait up --ports auto           free ports where the usual ones are taken
  plait --name two up --ports auto    a second mesh beside the first
"""
)
@click.option("--demo", type=click.Choice(sorted(DEMOS)), help="Apply a demo's manifests and wait until it is ready.")
@click.option("--ports", "policy", type=click.Choice(["auto"]), help="auto: replace a taken host port by a free one.")
@click.option("--port", "chosen", multiple=True, metavar="NAME=N", help="Host port of http, https, api or console.")
@click.option(
    "--envoy",
    # Processes of the mesh have a working directory of their own.
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Another Envoy binary.",
)
@click.option(
    "--outside",
    type=click.Choice(["network", "host", "off"]),
    default="network",
    show_default=True,
    help="How far pods reach: what this machine reaches; also its own loopback, as host.plait.internal; nothing.",
)
@click.option("--egress-gateway", is_flag=True, help="Also an egress gateway (20 MB); it stays at later starts.")
@click.option("--restore", is_flag=True, help="Begin with the copy of the objects that the last good start kept.")
@click.option("--timeout", type=seconds, default="180", show_default=True, help="Seconds until it gives up waiting.")
@click.pass_context
def up(
    ctx: click.Context,
    *,
    demo: str | None,
    policy: str | None,
    chosen: tuple[str, ...],
    envoy: Path | None,
    outside: Reach,
    egress_gateway: bool,
    restore: bool,
    timeout: float,
) -> None:
    """Start the mesh, and return when it is ready.

    A mesh that runs already is brought up to date and left as it is otherwise.
    """
    state = mesh(ctx).state
    # Free ports are looked for from those of the last time on: addresses that people have noted stay good.
    wanted = _ports(chosen, before=state.ports() if policy == "auto" else {})
    started: list[int] = []
    with terminable():
        try:
            launcher = _launch(
                ctx,
                state,
                wanted,
                auto=policy == "auto",
                chosen=bool(chosen),
                envoy=envoy,
                outside=outside,
                restore=restore,
                started=started,
            )
            with Progress(errors()) as progress:
                chosen_demo = DEMOS[demo] if demo else None
                ready = bringup.until_ready(
                    state, launcher, demo=chosen_demo, seconds=timeout, report=progress, egress=egress_gateway
                )
                run(ready)
        except KeyboardInterrupt:
            _undo(state, started)
        except NotReadyInTimeError as error:
            stop(str(error), TIMED_OUT)
        except BringUpError as error:
            stop(str(error), FAILED)
    if not state.agent():
        click.echo(f"Warning: {without_agent(state)}", err=True)
    for text in run(closed_ports(state)):
        click.echo(f"Warning: {text}; kubectl port-forward leads there all the same", err=True)
    for name, url in urls(state.ports()).items():
        click.echo(f"{name:9} {url}")
    click.echo(f"\nexport KUBECONFIG={shlex.quote(str(state.kubeconfig))}")


def _launch(
    ctx: click.Context,
    state: State,
    wanted: Mapping[str, int],
    *,
    auto: bool,
    chosen: bool,
    envoy: Path | None,
    outside: Reach,
    restore: bool,
    started: list[int],
) -> int:
    """The pid of the launcher: of the mesh that runs, or of one that is begun, which is then noted in `started`."""
    anew = f"{state.command} down, then up again"
    try:
        with state.alone():
            launcher = state.launcher_pid()
            if launcher is None:
                if envoy is not None and (problem := checks.envoy_problem(envoy)) is not None:
                    raise click.BadParameter(problem, param_hint="--envoy")
                rung = _capable()
                if restore:
                    store_copies.restore(state.store)
                with deferred():
                    launcher = bringup.start(state, wanted, auto=auto, envoy=envoy, outside=outside, rung=rung)
                    started.append(launcher)
            elif restore:
                stop(f"the mesh {state.name!r} runs: {state.command} down, then {state.command} up --restore")
            elif chosen and any(state.ports().get(name) != port for name, port in wanted.items()):
                ports = _words(state.ports())
                stop(f"the mesh {state.name!r} runs with other ports ({ports}): {anew}")
            elif _said(ctx, "outside") and outside != state.outside():
                stop(f"the mesh {state.name!r} runs with --outside {state.outside()}: {anew}")
            elif envoy is not None and str(envoy) != state.envoy():
                stop(f"the mesh {state.name!r} runs another Envoy than {envoy}: {anew}")
    except (PortTakenError, DamagedStoreError, NoCopyError, DamagedKeysError, TableError) as error:
        stop(str(error))
    except OSError as error:
        stop(f"{state.root} cannot be used: {_reason(error, state.root)}; XDG_STATE_HOME names another place for it")
    return launcher


def _undo(state: State, started: list[int]) -> NoReturn:
    """Stop what was begun; a mesh that ran before goes on."""
    if not started:
        stop("interrupted", INTERRUPTED)
    try:
        click.echo("plait: interrupted: what was begun is stopped; once more, and it is killed", err=True)
        with state.alone():
            _stop(state, wipe=False)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt), deferred():
            run(bringup.stop(state, grace=0.0, report=lambda _: None))
            bringup.sweep(state)
    sys.exit(INTERRUPTED)


@click.command(
    epilog="""\b
Examples:
  plait down             stop; objects and persistent volumes are kept for the next up
  plait down --wipe      stop and forget everything of this mesh
"""
)
@click.option("--wipe", is_flag=True, help="Also delete the mesh's state folder: objects, volumes, logs, keys.")
@click.pass_context
def down(ctx: click.Context, *, wipe: bool) -> None:
    """Stop the mesh; nothing of it is left running."""
    state = mesh(ctx).state
    was_running = False
    if state.root.exists():
        try:
            with state.alone():
                was_running = _stop(state, wipe=wipe)
        except OSError as error:
            stop(f"{state.root} cannot be used: {_reason(error, state.root)}")
    if not was_running:
        click.echo(f"plait: the mesh {state.name!r} is not running", err=True)


def _reason(error: OSError, folder: Path) -> str:
    """As programs say it: of which file, where it is not the folder itself, and why."""
    said = error.strerror or str(error)
    return said if error.filename in {None, str(folder)} else f"{error.filename}: {said}"


def _stop(state: State, *, wipe: bool) -> bool:
    with Progress(errors()) as progress:
        was_running: bool = run(bringup.stop(state, grace=STOP_SECONDS, report=progress))
    bringup.sweep(state)
    if wipe:
        _wipe(state)
    return was_running


def _wipe(state: State) -> None:
    if state.root.exists():
        try:
            bringup.wipe(state)
        except OSError as error:
            stop(f"{state.root} could not be deleted: {error}")
        click.echo(f"plait: deleted {state.root}", err=True)


def _ports(chosen: tuple[str, ...], *, before: Mapping[str, int]) -> dict[str, int]:
    wanted = {**DEFAULT_PORTS, **before}
    for text in chosen:
        name, _, number = text.partition("=")
        if name not in DEFAULT_PORTS or not number.isdigit() or not 0 <= int(number) < 65536:
            names = ", ".join(DEFAULT_PORTS)
            raise click.BadParameter(
                f"{text!r}: write NAME=N, with a NAME of {names} and a port N", param_hint="--port"
            )
        wanted[name] = int(number)
    return wanted


def _said(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is not ParameterSource.DEFAULT


def _words(ports: dict[str, int]) -> str:
    return ", ".join(f"{name}={port}" for name, port in ports.items())


def _capable() -> Rung:
    """How this machine lets a mesh run; ends the command where it does not."""
    examination = checks.examine()
    fatal = [finding for finding in examination.findings if finding.fatal]
    if fatal or examination.rung is None:
        lines = [f"  {finding.name}: {finding.problem}\n    fix: {finding.fix}" for finding in fatal]
        stop("this machine lacks something a mesh needs:\n" + "\n".join(lines), MISSING_CAPABILITY)
    return examination.rung
