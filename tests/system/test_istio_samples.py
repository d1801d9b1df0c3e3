"""Istio's own sample manifests, all of them, as they are: what is about traffic for good, the rest on trial."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Mesh, until

pytestmark = pytest.mark.system

PAGE = ROOT / "docs/features/istio-samples.md"
GROUPS = ("networking.istio.io/", "networking.k8s.io/")
#: A sidecar that has to take what is applied.
CALLER = """
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: default, labels: {sidecar.istio.io/inject: "true"}}
spec: {containers: [{name: caller, image: debian, command: [sleep, "100000"]}]}
"""


def documents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object of every file below a folder."""
    for path in sorted(folder.rglob("*.yaml")):
        for found in yaml.safe_load_all(path.read_text()):
            if isinstance(found, dict) and "kind" in found:
                yield path, found


def explained() -> tuple[dict[str, set[str]], set[str]]:
    """What the documentation says is refused: kinds with the APIs that they are of, and files."""
    _, _, text = PAGE.read_text().partition("## What is refused")
    apis: dict[str, set[str]] = {}
    for _, api, kinds, *_ in (line.split("|") for line in text.splitlines() if line.startswith("| `")):
        for kind in re.findall(r"`(\S+)`", kinds):
            apis.setdefault(kind, set()).update(re.findall(r"`(\S+)`", api))
    return apis, set(re.findall(r"`(\S+\.yaml)`", text))


def group(version: str) -> str:
    return version.rpartition("/")[0]


def is_traffic(obj: dict[str, Any]) -> bool:
    return str(obj["apiVersion"]).startswith(GROUPS) or obj["kind"] == "Ingress"


@pytest.fixture(scope="module")
def samples(shared: Path) -> Path:
    folder = shared / "istio-samples"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture(scope="module")
def running(mesh: Mesh, samples: Path) -> Mesh:
    """A mesh with a sidecar, and with the namespaces that samples name."""
    mesh.plait("up", "--ports", "auto")
    named = {found["metadata"].get("namespace", "default") for _, found in documents(samples) if "metadata" in found}
    made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(named)]
    mesh.kubectl("apply", "-f", "-", given=CALLER + "---\n" + yaml.safe_dump_all(made))
    mesh.kubectl("wait", "--for=condition=Ready", "pod/caller", "--timeout=180s")
    return mesh


def test_all_of_traffic_is_taken_and_no_proxy_refuses_any(running: Mesh, samples: Path, tmp_path: Path) -> None:
    files: dict[Path, list[dict[str, Any]]] = {}
    for path, found in documents(samples):
        if is_traffic(found):
            files.setdefault(tmp_path / path.relative_to(samples), []).append(found)
    assert len(files) > 50
    for path, objects in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(objects))
    done = running.kubectl("apply", "-R", "-f", str(tmp_path), code=None)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
    assert not errors, "\n".join(errors)
    # Objects of several samples have one name; whatever holds in the end, the proxies have taken all of it.

    def in_sync() -> bool:
        said = running.plait("proxy-status", code=None).stdout
        return len(said.splitlines()) == 3 and not re.search("NACK|STALE", said)

    until("gateway and sidecar to be in sync", in_sync)
    events = running.kubectl("get", "events", "-A").stdout
    assert "ProxyRejected" not in events, events


def test_the_rest_is_taken_on_trial_but_for_what_the_documentation_names(running: Mesh, samples: Path) -> None:
    done = running.kubectl("apply", "--dry-run=server", "-R", "-f", str(samples), code=1)
    text = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("Warning: "))
    unknown = set(re.findall(r'no matches for kind "(\S+)" in version "(\S+)"', text))
    apis, pages = explained()
    assert {
        (kind, version) for kind, version in unknown if not apis.get(kind, set()) & {version, group(version)}
    } == set()
    assert apis.keys() - {kind for kind, _ in unknown} == set(), "served by now"
    broken = dict(re.findall(r'error (?:validating|when \w+) "(?:\S+/)?(\S+)": (?=(.*))', text))
    assert {name: why for name, why in broken.items() if name not in pages} == {}
    assert pages - broken.keys() == set(), "taken by now"
