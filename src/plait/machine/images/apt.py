"""apt and dpkg-deb as any user: lists, cache and archives in folders of ours, the machine's own left alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from plait.machine.images.errors import LayerError
from plait.machine.images.installed import Groups, parse_groups

#: Hooks of the machine's configuration are for the machine's own folders (some need root), so they are dropped;
#: its sources, keys and proxies are kept. Read with -c, which apt reads after all of the machine's files.
_CONFIGURATION: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::Contents-deb;
Dir::State "{folder}/state";
Dir::State::lists "{folder}/lists";
Dir::State::status "{status}";
Dir::State::extended_states "{folder}/extended_states";
Dir::Cache "{folder}/cache";
Dir::Cache::archives "{archives}";
Dir::Log "{folder}/log";
Debug::NoLocking "1";
APT::Sandbox::User "{user}";
APT::Install-Recommends "0";
APT::Install-Suggests "0";
APT::Get::Assume-Yes "1";
APT::Color "0";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""
#: `'URI' FILE SIZE HASH`
_URI: Final = re.compile(r"^'([^']+)' \S+ (\d+)", re.MULTILINE)
_AWAY: Final = re.compile(
    r"Temporary failure resolving|Could not (?:resolve|connect)|Unable to connect|Connection (?:timed out|refused)"
    r"|Network is unreachable|Cannot initiate the connection"
)
_MISSING: Final = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One downloaded package."""

    path: Path
    name: str
    version: str
    depends: Groups
    provides: Groups


def _user() -> str:
    """For apt, which else changes to a user of its own; a uid without a name is named by its number."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


@dataclass(frozen=True, slots=True)
class _Run:
    code: int
    output: str


class Apt:
    """One download. `folder` keeps the package lists from one download to the next, `archives` gets the packages."""

    def __init__(self, folder: Path, *, archives: Path, status: Path, sources: Path | None = None) -> None:
        self._folder = folder
        self._archives = archives
        self._status = status
        self._sources = sources

    async def fetch(self, packages: Sequence[str], progress: Callable[[str], None]) -> tuple[Fetched, ...]:
        """Download the packages with what they need and the machine lacks. Raises LayerError."""
        self._prepare()
        updated = not self._has_lists()
        if updated:
            await self._update(progress)
        while True:
            run, local = await self._download(packages, progress)
            if run.code == 0:
                break
            if updated:
                raise self._failed(packages, run.output)
            # Lists of another day: the package may be new, or its version gone from the archive.
            updated = True
            await self._update(progress)
        debs = sorted([*self._archives.glob("*.deb"), *local])
        if not debs:
            raise LayerError(f"apt downloaded nothing for {' '.join(packages)}: {_last(run.output)}")
        return tuple([await self._describe(deb) for deb in debs])

    async def unpack(self, deb: Fetched, root: Path) -> None:
        """Put the files of a package below `root`. Raises LayerError."""
        run = await _run("dpkg-deb", "--extract", str(deb.path), str(root))
        if run.code != 0:
            raise LayerError(f"cannot unpack the Debian package {deb.name}: {_last(run.output)}")

    def _prepare(self) -> None:
        user = _user()
        for path in (self._folder / "state", self._folder / "lists/partial", self._folder / "cache"):
            path.mkdir(parents=True, exist_ok=True)
        (self._archives / "partial").mkdir(parents=True)
        text = _CONFIGURATION.format(folder=self._folder, status=self._status, archives=self._archives, user=user)
        if self._sources is not None:
            text += f'Dir::Etc::sourcelist "{self._sources}";\nDir::Etc::sourceparts "-";\n'
        self._configuration.write_text(text, encoding="utf-8")

    @property
    def _configuration(self) -> Path:
        return self._archives.with_name("apt.conf")

    def _has_lists(self) -> bool:
        return any((self._folder / "lists").glob("*_Packages*"))

    async def _update(self, progress: Callable[[str], None]) -> None:
        progress("downloading Debian's package lists")
        run = await self._apt("update", "-q")
        if not self._has_lists():
            raise LayerError(f"cannot download Debian's package lists: {_reason(run.output)}")

    async def _download(self, packages: Sequence[str], progress: Callable[[str], None]) -> tuple[_Run, list[Path]]:
        """Download; besides what apt says, packages of `file:` sources, which it leaves where they are."""
        names = " ".join(packages)
        progress(f"looking up {names}")
        plan = await self._apt("install", "-qq", "--print-uris", *packages)
        if plan.code != 0:
            return plan, []
        uris = _URI.findall(plan.output)
        megabytes = sum(int(size) for _, size in uris) / 1e6
        progress(f"downloading {names} ({len(uris)} packages, {megabytes:.1f} MB)")
        local = [Path(unquote(uri.removeprefix("file:"))) for uri, _ in uris if uri.startswith("file:")]
        return await self._apt("install", "-q", "--download-only", *packages), local

    async def _apt(self, *words: str) -> _Run:
        return await _run("apt-get", "-c", str(self._configuration), *words)

    async def _describe(self, deb: Path) -> Fetched:
        run = await _run("dpkg-deb", "--field", str(deb), "Package", "Version", "Pre-Depends", "Depends", "Provides")
        if run.code != 0:
            raise LayerError(f"cannot read the Debian package {deb.name}: {_last(run.output)}")
        fields = dict(line.split(": ", 1) for line in run.output.splitlines() if ": " in line)
        return Fetched(
            path=deb,
            name=fields["Package"],
            version=fields["Version"],
            depends=(*parse_groups(fields.get("Pre-Depends", "")), *parse_groups(fields.get("Depends", ""))),
            provides=parse_groups(fields.get("Provides", "")),
        )

    @staticmethod
    def _failed(packages: Sequence[str], output: str) -> LayerError:
        if found := _MISSING.search(output):
            name = found[1] or found[2]
            return LayerError(
                f"no Debian package {name} in this machine's sources; correct `packages:` of the image's entry"
            )
        return LayerError(f"cannot download {' '.join(packages)}: {_reason(output)}")


async def _run(program: str, *words: str) -> _Run:
    """Run to the end; a cancelled call ends the program and its children. Raises LayerError where it is missing."""
    # A file, not a pipe: waiting for a process also waits for its pipes, which apt's children may hold open.
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                "env",
                "LC_ALL=C",
                program,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise LayerError(f"{error.filename} is not on this machine") from error
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode == 127:
            raise LayerError(f"{program} is not on this machine; image entries with `packages:` need Debian or Ubuntu")
        output.seek(0)
        return _Run(process.returncode or 0, output.read().decode("utf-8", "replace"))


def _reason(output: str) -> str:
    if _AWAY.search(output):
        return f"the network is away ({_last(output)})"
    return _last(output)


def _last(output: str) -> str:
    """What apt says is the error; its last line where it does not say so."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return errors[0] if errors else (lines[-1] if lines else "no message")
