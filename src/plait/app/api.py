"""`python -m plait.app.api FD`: the machine's API server, on the host's socket and on the bridge."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path

from plait import __version__
from plait.app.admission import Rules
from plait.app.processes import run
from plait.inject import InjectConfig, convert_workload
from plait.machine.api.schema import load_schemas
from plait.machine.api.server import serve
from plait.machine.api.settings import ApiSettings
from plait.machine.settings import RUN, MachineSettings
from plait.trial.patches import PatchTrials

#: Where pods and plait's own processes find the API server on the bridge.
PORT = 6443


def settings(machine: MachineSettings, host: socket.socket) -> ApiSettings:
    """The API server's part of the machine's settings; binds the bridge's address."""
    state = Path(machine.state)
    bridge = socket.create_server((str(machine.bridge_ip), PORT), backlog=1024)
    return ApiSettings(
        sockets=(host, bridge),
        certificate=state / "pki" / "server.crt",
        key=state / "pki" / "server.key",
        ca=state / "pki" / "ca.crt",
        tokens=state / "pki" / "tokens.json",
        account_key=state / "pki" / "sa.key",
        store=state / "store.db",
        node_socket=RUN / "node.sock",
        service_network=machine.service_network,
        api_vip=machine.api_vip,
        address=(machine.bridge_ip, PORT),
        version=__version__,
        drop_to=machine.api_uid,
        unlimited={name: refusal.problem for name, refusal in machine.ground.refused.items()},
    )


def main() -> None:
    """Serve until SIGTERM."""
    # The store holds Secrets: it is nobody's to read but this process's.
    os.umask(0o077)
    # A copy: the descriptor that init holds stays open for the next start.
    host = socket.socket(fileno=os.dup(int(sys.argv[1])))
    log = logging.getLogger(__name__)
    machine = MachineSettings.read()
    work = serve(
        settings(machine, host),
        schemas=load_schemas(),
        admission=Rules(inject=InjectConfig(certificates=machine.agent), trials=PatchTrials()),
        convert=convert_workload,
        started=lambda: log.info("serving"),
    )
    run("api", work)


if __name__ == "__main__":
    main()
