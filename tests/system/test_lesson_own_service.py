"""A service of the user's own, in Python and in Node, as the documentation shows it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

HOST = ("-H", "Host: greeting.example.com")


def ready(mesh: Mesh, version: str) -> None:
    mesh.kubectl("rollout", "status", "-n", "mine", f"deploy/greeting-{version}", "--timeout=180s")
    pods = mesh.kubectl("get", "pods", "-n", "mine", "-l", f"version={version}", "--no-headers").stdout
    assert pods.split()[1] == "2/2"


@pytest.fixture
def greeting(lesson: Mesh) -> Mesh:
    """The Python version runs."""
    lesson.plait("image", "add", "example/greeting:python", "--", "python", "-c", (LESSONS / "greeting.py").read_text())
    lesson.kubectl("apply", "-f", str(LESSONS / "greeting.yaml"))
    ready(lesson, "python")
    return lesson


def test_a_python_service_calls_and_is_called(greeting: Mesh) -> None:
    said = until("an answer", lambda: (text := greeting.curl("/", *HOST).stdout).startswith("hello") and text)
    assert said == "hello from Python: 9 socks\n"
    assert greeting.code("/index.html") == 200, "other hosts are still the shop's"


def test_a_node_service_answers_where_a_header_says_so(greeting: Mesh, lacking: Callable[[str], None]) -> None:
    if shutil.which("node") is None:
        lacking("no node is installed (Debian: apt install nodejs)")
    greeting.plait("image", "add", "example/greeting:node", "--", "node", "-e", (LESSONS / "greeting.js").read_text())
    greeting.kubectl("apply", "-f", str(LESSONS / "greeting-node.yaml"))
    ready(greeting, "node")
    header = (*HOST, "-H", "x-version: node")
    said = until("an answer", lambda: (text := greeting.curl("/", *header).stdout).startswith("hello") and text)
    assert said == "hello from Node: 9 socks\n"
    assert greeting.curl("/", *HOST).stdout == "hello from Python: 9 socks\n"
