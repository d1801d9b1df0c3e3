"""Options and fixtures of all tests."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

#: Fixtures of the whole session that bring up a mesh.
SHARED_MESHES = frozenset({"sock_shop", "outer"})

# A machine that is busy with something else makes no input too slow.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", patient, max_examples=60, derandomize=True)
settings.register_profile("fuzz", patient, max_examples=5000)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shared",
        type=Path,
        default=ROOT.parent / "shared",
        help="folder with the demo's manifests and Istio's samples; tests that read it skip where it is absent",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes (`-n`) a module stays in one of them, and so do all tests that share a mesh.

    First of all, as xdist reads these marks when its own turn comes.
    """
    for item in items:
        shared = SHARED_MESHES.intersection(getattr(item, "fixturenames", ()))
        item.add_marker(pytest.mark.xdist_group(min(shared, default=item.nodeid.partition("::")[0])))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules that are spread over processes against the rule above fail at random, so nothing is run then."""
    if getattr(session.config.option, "loadgroup", False) and not all("@" in item.nodeid for item in session.items):
        msg = "this pytest ignores how pytest-xdist groups tests; use the versions of requirements.lock"
        raise pytest.UsageError(msg)


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Path:
    """The folder with other people's manifests."""
    folder: Path = request.config.getoption("--shared")
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here (see --shared)")
    return folder


@pytest.fixture(scope="session")
def free_port():
    """Call it for a port of loopback that a program may be told to listen on, and that nobody else gets by chance.

    A connection of it has ended a moment ago: for a minute the kernel gives the port to nobody who asks for any, and
    to whoever asks for this one and, as servers do, sets SO_REUSEADDR.
    """

    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            # Whoever closes first is the one who has to wait.
            accepted.close()
            client.recv(1)
            return int(server.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def lacking():
    """Call it with a sentence when this machine lacks a capability: a skip, or in CI a failure."""

    def say(reason: str) -> None:
        if os.environ.get("PLAIT_TEST_REQUIRE"):
            pytest.fail(f"this test must run in CI: {reason}")
        pytest.skip(reason)

    return say
