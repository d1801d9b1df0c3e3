"""The `persist:` paths of images: folders that outlive a pod, one set per replica of its owner.

A replica's set is claimed by a pod. The same pod finds it again after the mesh was down; a new pod takes the first
set whose pod is gone. A new pod whose predecessor is just ending waits for it, as for a volume that one pod mounts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from plait.machine.node.removal import remove

_CLAIM = ".claim"
Holder = Literal["gone", "ending", "living"]


def owner_of(pod: Mapping[str, Any]) -> str:
    """Whose data it is: the Deployment or other controller behind the pod, or the pod itself."""
    meta = pod["metadata"]
    controller = next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), None)
    if controller is None:
        return f"pod.{meta['name']}"
    if controller["kind"] == "StatefulSet":  # each of its pods has a name, and data, of its own
        return f"statefulset.{controller['name']}.{meta['name']}"
    name, suffix = controller["name"], (meta.get("labels") or {}).get("pod-template-hash")
    if controller["kind"] == "ReplicaSet" and suffix and name.endswith(f"-{suffix}"):
        return f"deployment.{name.removesuffix(f'-{suffix}')}"
    return f"{controller['kind'].lower()}.{name}"


def claim(volumes: Path, pod: Mapping[str, Any], holder: Callable[[str], Holder]) -> Path | None:
    """The folder of the pod's set, None while a pod that ends still has it. `holder` tells about pods by uid."""
    meta = pod["metadata"]
    folder: Path = volumes / meta["namespace"] / owner_of(pod)
    folder.mkdir(parents=True, exist_ok=True)
    sets = sorted(int(place.name) for place in folder.iterdir() if place.name.isdigit())
    claims = {number: _claimant(folder / str(number)) for number in sets}
    for number, uid in claims.items():
        if uid == meta["uid"]:
            return folder / str(number)
    for number in range(len(sets) + 1):
        claimant = claims.get(number)
        state = holder(claimant) if claimant else "gone"
        if state == "ending":
            return None
        if state == "gone":
            place = folder / str(number)
            place.mkdir(exist_ok=True)
            (place / _CLAIM).write_text(meta["uid"])
            return place
    return None


def persistent_folder(place: Path, container: str, path: str, *, layers: Sequence[Path], user: tuple[int, int]) -> Path:
    """The folder for one path of a container; new ones begin with what the image has there."""
    folder = place / f"{container}.{re.sub(r'[^A-Za-z0-9._-]+', '-', path).strip('-')}"
    if folder.is_dir():
        return folder
    original = next((layer / path.lstrip("/") for layer in layers if (layer / path.lstrip("/")).is_dir()), None)
    if original is not None:
        shutil.copytree(original, folder, symlinks=True)
    else:
        folder.mkdir()
    os.chown(folder, *user)
    return folder


def discard(volumes: Path, namespace: str, owner: str) -> None:
    """Forget what an owner has kept."""
    remove(volumes / namespace / owner)


def _claimant(place: Path) -> str | None:
    try:
        return (place / _CLAIM).read_text().strip() or None
    except OSError:
        return None
