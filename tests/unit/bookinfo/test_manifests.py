"""The demo's manifests, its image table, and Istio's own manifests fit together."""

from __future__ import annotations

from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

DEMO = Path(__file__).parents[3] / "demo" / "bookinfo"
IMAGES = yaml.safe_load((DEMO / "images.yaml").read_text())["images"]


def objects(*paths: Path) -> list[dict[str, Any]]:
    return [found for path in paths for found in yaml.safe_load_all(path.read_text()) if found]


def images(found: list[dict[str, Any]]) -> set[str]:
    pods = (obj["spec"]["template"]["spec"] for obj in found if obj["kind"] == "Deployment")
    return {container["image"] for pod in pods for container in pod["containers"]}


def test_every_image_has_one_program() -> None:
    for name in images(objects(*DEMO.glob("manifests/*.yaml"))):
        (entry,) = [entry for entry in IMAGES if fnmatch(name, entry["match"])]
        assert entry["command"][:2] == ["python", "-m"]
    for entry in IMAGES:
        assert find_spec(entry["command"][2]), entry


def test_the_demo_is_the_samples_application(shared: Path) -> None:
    """The same names, selectors and images, so that the sample's files can be applied over it."""
    ours = {
        (obj["kind"], obj["metadata"]["name"]): obj
        for obj in objects(*DEMO.glob("manifests/*.yaml"))
        if obj["kind"] != "Namespace"
    }
    samples = shared / "istio-samples/bookinfo"
    theirs = objects(samples / "platform/kube/bookinfo.yaml", samples / "networking/bookinfo-gateway.yaml")
    assert ours.keys() == {(obj["kind"], obj["metadata"]["name"]) for obj in theirs}
    assert images(list(ours.values())) == images(theirs)
    for obj in theirs:
        mine = ours[obj["kind"], obj["metadata"]["name"]]
        assert mine["metadata"]["namespace"] == "bookinfo"
        for field in ("selector", "ports", "servers"):
            assert mine.get("spec", {}).get(field) == obj.get("spec", {}).get(field), mine["metadata"]
