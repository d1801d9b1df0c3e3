"""What a container sees as its file system.

An overlay: the container's own writes on a tmpfs, then the image's layers, a skeleton of empty folders, a mask that
hides what is not for pods, and the host's root at the bottom. Of the host only its programs and libraries show:
`/usr`, `/etc` without what other users of the host may not read, `/opt`; no home directory, no `/var`, no `/run`.
What Python needs is bound at its own absolute path, which may lie below a home directory: the folders on the way
are the container's own, so their modes on the host do not matter.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Top-level names of the host that pods share.
_SHARED = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt", "nix", "gnu"})
_MASKED = ("etc/ssh", "etc/sudoers", "etc/sudoers.d", "etc/machine-id", "etc/kubernetes", "etc/docker", "etc/fstab")
_FOLDERS = {
    "dev": 0o755, "dev/pts": 0o755, "dev/shm": 0o1777, "etc": 0o755, "home": 0o755, "media": 0o755, "mnt": 0o755,
    "proc": 0o555, "root": 0o711, "run": 0o755, "run/lock": 0o1777, "srv": 0o755, "sys": 0o555, "tmp": 0o1777,
    "usr": 0o755, "usr/local": 0o755, "usr/local/bin": 0o755, "var": 0o755, "var/cache": 0o755, "var/lib": 0o755,
    "var/log": 0o755, "var/spool": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_LINKS = {
    "dev/fd": "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1",
    "dev/stderr": "/proc/self/fd/2", "dev/ptmx": "pts/ptmx", "dev/core": "/proc/kcore", "var/run": "/run",
    "var/lock": "/run/lock", "etc/mtab": "/proc/mounts",
}  # fmt: skip
#: Whom a machine knows.
_USERS = ("passwd", "group")
#: Files that are bound over, per pod.
POD_FILES = ("hosts", "hostname", "resolv.conf")
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
#: Of `/proc`, what speaks of the whole machine and would change or reveal it.
_PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_PROC_HIDDEN = ("kcore", "keys", "timer_list", "latency_stats", "kmsg")
_PSEUDO = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
     "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs", "securityfs", "sysfs", "tmpfs", "tracefs"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A line of fstab. `source` is a path for binds; `target` is absolute inside the container."""

    source: str
    target: str
    kind: str = "none"
    options: str = "bind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What all containers share, made once: `layers` top first, above the host; `mounts` for every container.

    `sections` are the host's own mounts that pods share, beginning with the root: each becomes an overlay. `hosts` says
    what of the host lies at the bottom of a section where that is not the section's own path; None is nothing.
    """

    layers: tuple[Path, ...]
    sections: tuple[str, ...]
    mounts: tuple[Mount, ...]
    hosts: Mapping[str, Path | None] = field(default_factory=dict)

    def host(self, section: str) -> Path | None:
        """The folder of the host at the bottom of a section."""
        found = self.hosts.get(section, Path(section))
        return found if found is not None and found.is_dir() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One container's root: where it will be mounted, and the stacks that are laid over each other there."""

    folder: Path
    sections: tuple[tuple[str, tuple[Path, ...]], ...]

    @property
    def mountpoint(self) -> Path:
        """Where the overlay is mounted, in the container's mount namespace only."""
        return self.folder / "root"

    def resolve(self, path: str) -> str:
        """The path without symbolic links, as the container would see it; what does not exist stays as it is.

        Mount targets must be resolved so: mount itself would follow a link out of the container's root.
        """
        todo, done, hops = deque(path.split("/")), list[str](), 0
        while todo:
            part = todo.popleft()
            if part in {"", "."}:
                continue
            if part == "..":
                done = done[:-1]
                continue
            found = self.lookup("/".join(["", *done, part]))
            if found is None or not found.is_symlink() or hops > 40:
                done.append(part)
                continue
            hops += 1
            target = str(found.readlink())
            done = [] if target.startswith("/") else done
            todo.extendleft(reversed(target.split("/")))
        return "/" + "/".join(done)

    def lookup(self, path: str) -> Path | None:
        """Where an absolute path without links comes from; None where the container has none."""
        section, stack = self._section(path)
        relative = os.path.relpath(path, section)
        for layer in stack:
            try:
                status = os.lstat(layer / relative)
            except NotADirectoryError:
                return None  # a folder on the way is hidden here, and with it whatever lies deeper
            except OSError:  # not there, or a loop of links
                continue
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                return None
            return layer / relative
        return None

    def make(self, path: str, *, folder: bool) -> None:
        """Make a place for a mount among the container's own writes; `path` is resolved."""
        section, stack = self._section(path)
        upper, relative = stack[0], os.path.relpath(path, section)
        parts = relative.split("/")
        for depth in range(1, len(parts) + (1 if folder else 0)):
            part = "/".join(parts[:depth])
            place = upper / part
            if place.exists():
                continue
            below = self.lookup(os.path.join(section, part))  # noqa: PTH118  (a path of the container)
            place.mkdir()
            if below is not None and below.is_dir():
                status = below.stat()
                with suppress(OSError):  # an owner that a user namespace does not know cannot be given
                    os.chown(place, status.st_uid, status.st_gid)
                place.chmod(stat.S_IMODE(status.st_mode))
            else:
                place.chmod(0o755)
        if not folder and not (upper / relative).exists():
            (upper / relative).touch()

    def own(self, path: str) -> Path:
        """A file of the container's own at a resolved path, to be written before the container starts."""
        self.make(path, folder=False)
        section, stack = self._section(path)
        return stack[0] / os.path.relpath(path, section)

    def _section(self, path: str) -> tuple[str, tuple[Path, ...]]:
        return max(
            ((name, stack) for name, stack in self.sections if name == "/" or (path + "/").startswith(name + "/")),
            key=lambda section: len(section[0]),
        )


def python_folders(python: Path) -> tuple[Path, ...]:
    """Folders that a Python needs: its own, its virtual environment's, and the sources of editable installs."""
    base, environment = Path(sys.base_prefix), python.parent.parent
    library = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    sources = [
        Path(line)
        for file in sorted(library.glob("*.pth"))
        for line in file.read_text().splitlines()
        if line.startswith("/") and Path(line).is_dir()
    ]
    return _outermost([base, environment, *sources])


def make_base(folder: Path, *, python: Path, visible: Iterable[Path]) -> Base:
    """Make the skeleton and the mask, or find them; `visible` are folders and files every pod sees, read-only."""
    skeleton, mask = folder / "skeleton", folder / "mask"
    shown = tuple(path for path in _outermost(visible) if _hidden(path))
    if not (folder / "made").exists():
        skeleton.mkdir(parents=True)
        mask.mkdir()
        _make_mask(mask, shown)
        _make_skeleton(skeleton, python)
        (folder / "made").touch()
    # A user namespace may not make device nodes: there the host's are bound.
    missing = [name for name in _DEVICES if not stat.S_ISCHR((skeleton / "dev" / name).stat().st_mode)]
    extra = [Mount(source=f"/dev/{name}", target=f"/dev/{name}") for name in missing]
    mounts = [
        Mount(source="proc", target="/proc", kind="proc", options="nosuid,nodev,noexec"),
        *(Mount(source="{root}/proc/" + n, target="/proc/" + n, options="bind,ro") for n in _in_proc(_PROC_READ_ONLY)),
        *(Mount(source="/dev/null", target="/proc/" + name) for name in _in_proc(_PROC_HIDDEN)),
        Mount(source="sysfs", target="/sys", kind="sysfs", options="ro,nosuid,nodev,noexec"),
        Mount(source="devpts", target="/dev/pts", kind="devpts", options="newinstance,ptmxmode=0666,mode=0620"),
        *extra,
        *(Mount(source=str(path), target=str(path), options="bind,ro,nosuid") for path in shown),
    ]
    sections, hosts = _host_sections(), dict[str, Path | None]()
    if in_user_namespace():
        # The host's root has mounts below it that may not be uncovered here, and so cannot be laid under an overlay as
        # a whole (EINVAL); its folders can, one by one.
        sections = tuple(sorted({*sections, *(f"/{name}" for name in _SHARED if _own_folder(Path("/", name)))}))
        hosts = {"/": None, "/etc": _copied(Path("/etc"), folder / "etc")}
    return Base(layers=(skeleton, mask), sections=sections, mounts=tuple(mounts), hosts=hosts)


def make_root(folder: Path, base: Base, layers: Sequence[Path], links: Path) -> Root:
    """The folders of a new container and what is to be mounted there; `links` holds short names of layers.

    The options of a mount are limited to one page, which long paths of many layers would exceed.
    """
    (folder / "root").mkdir(parents=True)
    packages = [_link(links, layer) for layer in layers]
    sections = []
    for number, section in enumerate(_sections(base, packages)):
        upper = folder / f"upper{number}"
        upper.mkdir(mode=0o755)
        (folder / f"work{number}").mkdir()
        relative = section.lstrip("/")
        lower = [layer / relative for layer in ((*packages, *base.layers) if relative else base.layers)]
        masked = any((layer / relative).is_char_device() for layer in base.layers)
        stack = [place for place in lower if place.is_dir()]
        host = base.host(section)
        if host is not None and not masked:
            stack.append(host)
        elif relative:
            (folder / "upper0" / relative).mkdir(parents=True, exist_ok=True)
        sections.append((section, (upper, *stack)))
    return Root(folder=folder, sections=tuple(sections))


def _sections(base: Base, packages: Iterable[Path]) -> list[str]:
    """The overlays of a root, outermost first: the host's mounts, and each top folder that a layer has.

    A layer is a folder of the host itself: laid over the host's root as a whole it would lie over its own parent,
    which overlay refuses (ELOOP). Its /usr over the host's /usr does not.
    """
    tops = {f"/{top.name}" for layer in packages for top in layer.iterdir() if top.is_dir() and not top.is_symlink()}
    return sorted({*base.sections, *tops}, key=lambda section: (section.count("/") if section != "/" else 0, section))


def in_user_namespace() -> bool:
    """Whether root here is not the machine's: overlays then keep their marks in attributes of the user's kind."""
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def _link(links: Path, layer: Path) -> Path:
    for number in range(len(layer.parent.parts) + 10_000):
        link = links / str(number)
        try:
            link.symlink_to(layer)
        except FileExistsError:
            if link.readlink() != layer:
                continue
        return link
    raise OSError(f"{links}: too many layers")


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    wanted = sorted({path.resolve() if path.is_symlink() else path for path in paths})
    return tuple(path for path in wanted if not any(other in path.parents for other in wanted))


def _hidden(path: Path) -> bool:
    """Whether a path has to be bound: what lies in the shared part of the host shows anyway, unless passing is shut."""
    if path.parts[1:2] and path.parts[1] in _SHARED:
        return any(not ancestor.stat().st_mode & 0o001 for ancestor in path.parents)
    return True


def _make_mask(mask: Path, shown: Iterable[Path]) -> None:
    """Whiteouts (character devices 0:0) for what of the host is not for pods."""
    for entry in Path("/").iterdir():
        if entry.name not in _SHARED:
            _whiteout(mask, Path(entry.name))
    for name in _MASKED:
        if Path("/", name).exists():
            _whiteout(mask, Path(name))
    for top, depth in (("/etc", 8), ("/opt", 2), ("/usr/local", 2)):
        for path in _private(Path(top), depth):
            _whiteout(mask, path.relative_to("/"))
    for path in shown:
        shut = [a for a in path.parents if a != Path("/") and not a.stat().st_mode & 0o001]
        if shut and path.parts[1] in _SHARED:
            _whiteout(mask, shut[-1].relative_to("/"))


def _private(folder: Path, depth: int) -> list[Path]:
    """What of the host other users may not read: pods, whose root is the host's root, may not either."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if not mode & 0o004 or (stat.S_ISDIR(mode) and not mode & 0o001):
                found.append(Path(entry.path))
            elif stat.S_ISDIR(mode) and depth > 1:
                found += _private(Path(entry.path), depth - 1)
    return found


def _whiteout(mask: Path, relative: Path) -> None:
    place = mask / relative
    for parent in reversed(place.relative_to(mask).parents):
        if (mask / parent).exists() and not (mask / parent).is_dir():
            return  # already hidden as a whole
        if parent != Path() and not (mask / parent).exists():
            (mask / parent).mkdir()
            (mask / parent).chmod(stat.S_IMODE((Path("/") / parent).stat().st_mode))
    if not os.path.lexists(place):
        os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))


def _own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _copied(source: Path, target: Path) -> Path:
    """A folder, or a copy of what can be read of it if files below it are mounts: these could not be uncovered."""
    points = [_mounted(line)[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if not any(point.startswith(f"{source}/") for point in points):
        return source
    if not target.exists():
        with suppress(shutil.Error):  # lists what could not be read, which pods may not see either
            shutil.copytree(source, target, symlinks=True)
    return target


def _make_skeleton(skeleton: Path, python: Path) -> None:
    skeleton.chmod(0o755)
    for name in _SHARED:
        # Shows where the host's own root does not.
        if Path("/", name).is_symlink():
            (skeleton / name).symlink_to(Path("/", name).readlink())
        elif Path("/", name).is_dir():
            (skeleton / name).mkdir(mode=0o755)
    for name, mode in _FOLDERS.items():
        (skeleton / name).mkdir(exist_ok=True)
        (skeleton / name).chmod(mode)
    for name, target in _LINKS.items():
        (skeleton / name).symlink_to(target)
    for name in POD_FILES:
        (skeleton / "etc" / name).touch(mode=0o644)
    if in_user_namespace():
        # The host's own belong to nobody here, so that an image could not add a user of its own.
        for name in _USERS:
            shutil.copyfile(Path("/etc", name), skeleton / "etc" / name)
    for name, numbers in _DEVICES.items():
        place = skeleton / "dev" / name
        try:
            os.mknod(place, stat.S_IFCHR, os.makedev(*numbers))
            place.chmod(0o666)
        except PermissionError:
            place.touch()
    # A link would make Python miss its virtual environment, which it finds beside the name it was started by.
    for name in ("python", "python3"):
        place = skeleton / "usr" / "local" / "bin" / name
        place.write_text(f'#!/bin/sh\nexec {_shell(str(python))} "$@"\n')
        place.chmod(0o755)


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _in_proc(names: Iterable[str]) -> list[str]:
    return [name for name in names if Path("/proc", name).exists()]


def _host_sections() -> tuple[str, ...]:
    """`/` and the host's own file systems mounted below the shared names: an overlay does not cross mounts."""
    points = {
        point
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        for point, kind in [_mounted(line)]
        if kind not in _PSEUDO and point.split("/")[1] in _SHARED and Path(point).is_dir()
    }
    return ("/", *sorted(points))


def _mounted(line: str) -> tuple[str, str]:
    before, _, after = line.partition(" - ")
    point = before.split()[4].encode().decode("unicode_escape")
    return point, after.split()[0]
