"""`python -m plait.machine.init PLAN`: PID 1 of a node namespace, started by the launcher."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from plait.machine.init.exposure import expose, mount
from plait.machine.init.plan import Plan
from plait.machine.init.server import Init
from plait.machine.settings import RUN


def prepare(plan: Plan) -> None:
    """Lay out the node namespace: file system, loopback, bridge. Raises OSError or CalledProcessError."""
    expose([Path(path) for path in plan.readable])
    # The host's /run holds sockets of its daemons: nothing in the mesh has business there.
    mount("tmpfs", Path("/run"), kind="tmpfs", data="mode=0755,size=64m")
    RUN.mkdir(mode=0o711)
    plan.settings.write(RUN / "machine.json")
    network = plan.settings.pod_network
    batch = (
        "link set lo up\n"
        "link add plait0 type bridge\n"
        f"addr add {plan.settings.bridge_ip}/{network.prefixlen} dev plait0\n"
        "link set plait0 up\n"
    )
    subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True, capture_output=True)


def main() -> None:
    """Prepare the namespace, then serve until SIGTERM."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    try:
        prepare(plan)
    except subprocess.CalledProcessError as error:
        sys.exit(f"init: {' '.join(error.cmd)}: {error.stderr.decode().strip()}")
    except OSError as error:
        sys.exit(f"init: {error}")
    Init(plan.services, [RUN / "init.sock", Path(plan.settings.state) / "init.sock"]).run()


if __name__ == "__main__":
    main()
