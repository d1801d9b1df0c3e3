"""The volumes of a pod: folders under the pod's own, filled from API objects, and paths of the host."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.machine.images.table import expand
from plait.machine.node.environment import ConfigError, field, resource
from plait.machine.node.roots import Mount
from plait.machine.node.tokens import APP_SECONDS, request_token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.kube.client import Client
    from plait.machine.node.objects import NamespaceObjects

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  (a path)
#: The volume of pods whose manifest names none for their token.
TOKEN_VOLUME: dict[str, Any] = {
    "name": "kube-api-access",
    "projected": {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": APP_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ],
    },
}


class VolumeError(Exception):
    """A volume cannot be had; the text says which and why."""


class Volumes:
    """The volumes of one pod. `refused` are host paths that no pod may see; without
    `groups` everything belongs to uid and gid 0, as where there are no others.
    """

    def __init__(
        self,
        pod: Mapping[str, Any],
        folder: Path,
        *,
        client: Client,
        objects: NamespaceObjects,
        refused: Sequence[Path],
        groups: bool = True,
    ) -> None:
        self.renew_at: float | None = None
        self._pod = pod
        self._folder = folder
        self._client = client
        self._objects = objects
        self._refused = refused
        self._groups = groups
        self._written: dict[str, dict[str, tuple[bytes, int]]] = {}
        volumes = [*(pod["spec"].get("volumes") or ()), TOKEN_VOLUME]
        self._volumes: dict[str, dict[str, Any]] = {volume["name"]: volume for volume in volumes}

    async def write(self, node: Mapping[str, str]) -> None:
        """Make what the pod's containers mount, and bring it up to date. Raises VolumeError and ApiError."""
        self.renew_at = None
        for name in sorted(self._used()):
            volume = self._volumes.get(name)
            if volume is None:
                raise VolumeError(f'volume "{name}": the pod has no such volume')
            place = self._folder / name
            if "emptyDir" in volume:
                self._make(place, 0o777)
            elif "hostPath" not in volume:
                files = await self._files(volume, node)
                if self._written.get(name) != files:
                    self._make(place, 0o755)
                    _swap(place, files, self._group)
                    self._written[name] = files

    def mounts(self, container: Mapping[str, Any], env: Mapping[str, str]) -> list[Mount]:
        """What a container mounts, outer paths first. Raises VolumeError."""
        mounts = []
        for wanted in self._wanted(container):
            options = ["bind"]
            source = self._source(wanted["name"])
            sub = wanted.get("subPath") or _expanded(wanted.get("subPathExpr"), env)
            if sub:
                source = self._below(wanted["name"], source, sub)
            volume = self._volumes[wanted["name"]]
            if wanted.get("readOnly") or not ({"emptyDir", "hostPath"} & volume.keys()):
                options.append("ro")
            mounts.append(Mount(source=str(source), target=wanted["mountPath"], options=",".join(options)))
        return sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/"))

    def update(self, pod: Mapping[str, Any]) -> bool:
        """Take the newest state of the pod; whether volumes may show something that has changed in it."""
        before, self._pod = self._pod["metadata"], pod
        if all(before.get(field) == pod["metadata"].get(field) for field in ("labels", "annotations")):
            return False
        return any(_shows_pod(self._volumes[name]) for name in self._used() if name in self._volumes)

    def uses(self, kind: str, name: str) -> bool:
        """Whether a ConfigMap or Secret shows in these volumes."""
        return any((kind, name) in _objects_of(self._volumes[v]) for v in self._used() if v in self._volumes)

    @property
    def _group(self) -> int | None:
        group = (self._pod["spec"].get("securityContext") or {}).get("fsGroup")
        return int(group) if group and self._groups else None

    def _used(self) -> set[str]:
        spec = self._pod["spec"]
        groups = ("initContainers", "containers", "ephemeralContainers")
        containers = [container for group in groups for container in spec.get(group) or ()]
        return {wanted["name"] for container in containers for wanted in self._wanted(container)}

    def _wanted(self, container: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        mounts = list(container.get("volumeMounts") or ())
        spec = self._pod["spec"]
        # As on Kubernetes, a container that is added later has the token only if it says so.
        added = any(each["name"] == container["name"] for each in spec.get("ephemeralContainers") or ())
        automatic = spec.get("automountServiceAccountToken") is not False and not added
        if automatic and not any(m["mountPath"].rstrip("/") == TOKEN_FOLDER for m in mounts):
            mounts.append({"name": TOKEN_VOLUME["name"], "mountPath": TOKEN_FOLDER, "readOnly": True})
        return mounts

    def _source(self, name: str) -> Path:
        volume = self._volumes.get(name)
        if volume is None:
            raise VolumeError(f'volume "{name}": the pod has no such volume')
        if "hostPath" in volume:
            return self._host_path(name, volume["hostPath"])
        return self._folder / name

    def _host_path(self, name: str, spec: Mapping[str, Any]) -> Path:
        path, kind = Path(os.path.normpath(spec["path"])), spec.get("type") or ""
        real = path.resolve()
        if any(real == other or real in other.parents or other in real.parents for other in self._refused):
            raise VolumeError(
                f'volume "{name}": hostPath {path} would show the mesh\'s own state, which no pod may see'
            )
        try:
            if kind == "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)
            elif kind == "FileOrCreate":
                path.touch()
        except OSError as error:
            raise VolumeError(f'volume "{name}": hostPath {path}: {error.strerror}') from error
        checks = {
            "Directory": path.is_dir, "DirectoryOrCreate": path.is_dir, "File": path.is_file,
            "FileOrCreate": path.is_file, "Socket": path.is_socket,
            "CharDevice": path.is_char_device, "BlockDevice": path.is_block_device, "": path.exists,
        }  # fmt: skip
        if not checks.get(kind, path.exists)():
            raise VolumeError(f'volume "{name}": hostPath {path} is not a {kind or "path of this machine"}')
        return real

    def _below(self, name: str, source: Path, sub: str) -> Path:
        if sub.startswith("/") or ".." in sub.split("/"):
            raise VolumeError(f'volume "{name}": subPath {sub!r} must be a path below the volume')
        place = source / sub
        if not place.exists():
            if not ({"emptyDir", "hostPath"} & self._volumes[name].keys()):
                raise VolumeError(f'volume "{name}": there is no {sub} in it')
            place.mkdir(parents=True)
        # Resolved here, where nobody in the pod can change a link between the check and the mount.
        real = place.resolve()
        if source.resolve() not in (real, *real.parents):
            raise VolumeError(f'volume "{name}": subPath {sub!r} leads out of the volume')
        return real

    def _make(self, place: Path, mode: int) -> None:
        if not place.is_dir():
            place.mkdir(parents=True)
            place.chmod(mode)
            if (group := self._group) is not None:
                os.chown(place, -1, group)
                place.chmod(mode | 0o2070)

    async def _files(self, volume: Mapping[str, Any], node: Mapping[str, str]) -> dict[str, tuple[bytes, int]]:
        """The files of a volume: path -> (content, mode)."""
        if "projected" not in volume:
            return await self._source_files(volume, volume, node)
        files: dict[str, tuple[bytes, int]] = {}
        for source in volume["projected"].get("sources") or ():
            files |= await self._source_files(volume, source, node)
        return files

    async def _source_files(
        self, volume: Mapping[str, Any], source: Mapping[str, Any], node: Mapping[str, str]
    ) -> dict[str, tuple[bytes, int]]:
        kinds = ("configMap", "secret", "downwardAPI", "projected")
        outer: Mapping[str, Any] = next((volume[kind] for kind in kinds if volume.get(kind)), {})
        mode = int(outer.get("defaultMode") or 0o644)
        name = volume["name"]
        if "configMap" in source:
            return self._from_object(name, "ConfigMap", source["configMap"], mode)
        if "secret" in source:
            return self._from_object(name, "Secret", source["secret"], mode)
        if "serviceAccountToken" in source:
            return await self._token(source["serviceAccountToken"])
        if "downwardAPI" in source:
            return self._downward(source["downwardAPI"], mode, node)
        kind = next((key for key in volume if key != "name"), "nothing")
        raise VolumeError(f'volume "{name}": {kind} is not there on this machine; use emptyDir or hostPath')

    def _from_object(self, volume: str, kind: Any, spec: Mapping[str, Any], mode: int) -> dict[str, tuple[bytes, int]]:
        name = spec.get("secretName") or spec.get("name", "")
        data = self._objects.data(kind, name)
        if data is None:
            if spec.get("optional"):
                return {}
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume}" : {kind.lower()} "{name}" not found')
        items = spec.get("items")
        if not items:
            return {key: (value, mode) for key, value in data.items()}
        files = {}
        for item in items:
            if item["key"] in data:
                files[_safe(volume, item["path"])] = (data[item["key"]], int(item.get("mode") or mode))
            elif not spec.get("optional"):
                raise VolumeError(
                    f'MountVolume.SetUp failed for volume "{volume}" : references non-existent {kind.lower()} '
                    f"key: {item['key']}"
                )
        return files

    async def _token(self, spec: Mapping[str, Any]) -> dict[str, tuple[bytes, int]]:
        token = await request_token(
            self._client,
            self._pod,
            seconds=int(spec.get("expirationSeconds") or 3600),
            now=time.time(),
            audience=spec.get("audience"),
        )
        self.renew_at = min(self.renew_at or token.renew_at, token.renew_at)
        return {_safe("token", spec["path"]): (token.text.encode(), 0o644)}

    def _downward(self, spec: Mapping[str, Any], mode: int, node: Mapping[str, str]) -> dict[str, tuple[bytes, int]]:
        files = {}
        try:
            for item in spec.get("items") or ():
                if ref := item.get("fieldRef"):
                    text = field(self._pod, ref.get("fieldPath", ""), node)
                else:
                    text = resource(self._pod, {}, item.get("resourceFieldRef") or {})
                files[_safe("downwardAPI", item["path"])] = (text.encode(), int(item.get("mode") or mode))
        except ConfigError as error:
            raise VolumeError(str(error)) from error
        return files


def _objects_of(volume: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
        if "configMap" in source:
            yield ("ConfigMap", source["configMap"].get("name", ""))
        if "secret" in source:
            yield ("Secret", source["secret"].get("secretName") or source["secret"].get("name", ""))


def _shows_pod(volume: Mapping[str, Any]) -> bool:
    sources = (volume.get("projected") or {}).get("sources") or ()
    return any("downwardAPI" in source for source in (volume, *sources))


def _swap(place: Path, files: Mapping[str, tuple[bytes, int]], group: int | None) -> None:
    """Replace the contents at one stroke: a link `..data` leads to the newest folder, the names lead through it."""
    fresh = place / f"..{time.time_ns()}"
    fresh.mkdir()
    fresh.chmod(0o755)
    for path, (content, mode) in files.items():
        file = fresh / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if group is not None:
            os.chown(file, -1, group)
        file.chmod(mode | (0o040 if group is not None else 0))
    link = place / "..data"
    old = place / link.readlink() if link.is_symlink() else None
    temporary = place / "..data.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.replace(link)
    tops = {path.split("/")[0] for path in files}
    for entry in list(place.iterdir()):
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    for top in tops:
        if not os.path.lexists(place / top):
            (place / top).symlink_to(f"..data/{top}")
    if old is not None and old != fresh:
        _remove(old)


def _remove(folder: Path) -> None:
    for entry in sorted(folder.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink()
    folder.rmdir()


def _safe(volume: str, path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or not path:
        raise VolumeError(f'volume "{volume}": path {path!r} must be a relative path without ".."')
    return path


def _expanded(expression: str | None, env: Mapping[str, str]) -> str:
    return expand(expression, env) if expression else ""
