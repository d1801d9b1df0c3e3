"""Debian packages as layers: downloaded by apt, unpacked into a folder, laid under a pod's file system by overlay.

Nothing is installed on the machine. apt works in folders of its own, as any user; it verifies what it downloads.
Maintainer scripts never run, so no daemon starts and no alternatives or users are made. What the machine has
installed already is not downloaded: pods see the machine's own files below the layer.

A layer never changes once it has its name. Beside the folder HASH stands HASH.json, which says what the layer is for
and which packages of the machine it leans on; when one of those goes, the layer is no longer used for new pods.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from plait.machine.images.apt import Apt, Fetched
from plait.machine.images.errors import LayerError
from plait.machine.images.installed import STATUS, Groups, Installed

__all__ = ["LayerError", "Layers"]

#: Directories that Debian has merged into /usr; older packages still name the old place.
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class _Manifest(msgspec.Struct, frozen=True):
    """`packages` were asked for, `contents` are the names and versions within, `relies_on` must be on the machine."""

    packages: tuple[str, ...]
    contents: tuple[tuple[str, str], ...]
    relies_on: Groups


class Layers:
    """The layers in one folder, made when they are first asked for. Several processes may share the folder.

    `status` is dpkg's list of what the machine has; `sources` a sources.list to use in place of the machine's. Making
    a layer needs the network of the machine, and so does not work from inside the node namespace.
    """

    def __init__(self, folder: Path, *, status: Path = STATUS, sources: Path | None = None) -> None:
        self._folder = folder
        self._status = status
        self._sources = sources
        self._turn = asyncio.Lock()

    def find(self, packages: Sequence[str]) -> tuple[Path, ...] | None:
        """The folders to lay over the machine's root, topmost first; None where a layer must be made first.

        Empty where the machine has the packages itself. Raises LayerError where this is no Debian machine.
        """
        if not packages:
            return ()
        return self._find(tuple(sorted(set(packages))), self._installed())

    async def ensure(
        self, packages: Sequence[str], progress: Callable[[str], None] = lambda _: None
    ) -> tuple[Path, ...]:
        """Like `find`, but makes the layer where it is missing; calls for the same packages share one run.

        `progress` gets short sentences as the work goes on. Raises LayerError.
        """
        found = self.find(packages)
        if found is not None:
            return found
        wanted = tuple(sorted(set(packages)))
        async with self._turn, self._exclusive(progress):
            installed = self._installed()
            found = self._find(wanted, installed)
            if found is not None:
                return found
            return (await self._make(wanted, progress),)

    def _find(self, packages: tuple[str, ...], installed: Installed) -> tuple[Path, ...] | None:
        if all(installed.has(package) for package in packages):
            return ()
        for path in sorted(self._folder.glob("*.json")):
            layer = path.with_suffix("")
            try:
                manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
            except (msgspec.DecodeError, FileNotFoundError):
                # Half written by a machine that went down, or just replaced: made again under the same name.
                continue
            current = manifest.packages == packages and all(map(installed.satisfies, manifest.relies_on))
            if current and layer.is_dir():
                return (layer,)
        return None

    async def _make(self, packages: tuple[str, ...], progress: Callable[[str], None]) -> Path:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder) as scratch:
            apt = Apt(
                self._folder / ".apt",
                archives=Path(scratch) / "archives",
                status=self._status,
                sources=self._sources,
            )
            fetched = await apt.fetch(packages, progress)
            root = Path(scratch) / "root"
            root.mkdir()
            for number, deb in enumerate(fetched, start=1):
                progress(f"unpacking {deb.name} ({number} of {len(fetched)})")
                await apt.unpack(deb, root)
            await asyncio.to_thread(_merge_usr, root)
            # The layer's root is the pod's `/`: a folder for one user only would shut out every other.
            root.chmod(0o755)
            manifest = _Manifest(
                packages=packages,
                contents=tuple(sorted((deb.name, deb.version) for deb in fetched)),
                relies_on=_relies_on(fetched),
            )
            return self._keep(root, manifest)

    def _keep(self, root: Path, manifest: _Manifest) -> Path:
        """Give a finished layer its name; one of that name has the same contents and stays, as pods may use it."""
        identity = msgspec.json.encode((manifest.packages, manifest.contents))
        layer = self._folder / hashlib.sha256(identity).hexdigest()[:32]
        if not layer.is_dir():
            root.rename(layer)
        fresh = layer.with_name(f".{layer.name}.json.new")
        fresh.write_bytes(msgspec.json.encode(manifest))
        fresh.replace(layer.with_name(layer.name + ".json"))
        return layer

    def _installed(self) -> Installed:
        try:
            return Installed.read(self._status)
        except OSError as error:
            raise LayerError(
                f"cannot tell which Debian packages this machine has ({error}); "
                "image entries with `packages:` need a Debian or Ubuntu machine"
            ) from error

    @asynccontextmanager
    async def _exclusive(self, progress: Callable[[str], None]) -> AsyncIterator[None]:
        """Keep other processes out of apt's folders."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LayerError(f"cannot write layers of Debian packages: {error}") from error
        try:
            told = False
            while not _locked(lock):
                if not told:
                    progress("waiting for another process that downloads packages")
                    told = True
                await asyncio.sleep(0.2)
            yield
        finally:
            os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _relies_on(fetched: Sequence[Fetched]) -> Groups:
    """Dependencies of the layer that the layer itself does not satisfy.

    Only direct ones: the machine's dpkg keeps the dependencies of what it has installed.
    """
    inside = Installed(
        frozenset(deb.name for deb in fetched),
        frozenset(name for deb in fetched for group in deb.provides for name in group),
    )
    return tuple(sorted({group for deb in fetched for group in deb.depends if not inside.satisfies(group)}))


def _merge_usr(root: Path) -> None:
    """Move what is in /lib to /usr/lib and so on where the machine has only a link in the old place.

    A real directory in the layer would hide the machine's link, and with it the dynamic linker.
    """
    for name in _MERGED:
        old = root / name
        if old.is_dir() and not old.is_symlink() and Path("/", name).is_symlink():
            shutil.copytree(old, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(old)
