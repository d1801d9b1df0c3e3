"""Debian packages as layers, from a repository of our own on disk."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from plait.machine.images.installed import Installed, parse_groups
from plait.machine.images.layers import LayerError, Layers

pytestmark = pytest.mark.usefixtures("debian")

STATUS = """\
Package: base
Status: install ok installed
Architecture: {arch}
Version: 1
Provides: base-abi (= 3), something

Package: removed
Status: deinstall ok config-files
Architecture: {arch}
Version: 1
"""


@pytest.fixture(scope="module")
def debian(lacking):
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        lacking("no apt-get and dpkg-deb are here")


@pytest.fixture(scope="module")
def arch(debian):
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


class Repository:
    """A flat repository: a folder of packages with an index."""

    def __init__(self, folder, arch, scheme):
        self.folder = folder
        self.arch = arch
        folder.mkdir()
        self.sources = folder.parent / "sources.list"
        self.sources.write_text(f"deb [trusted=yes] {scheme}:{folder} ./\n")
        self.index()

    def add(self, name, files, *, depends="", version="1", script=None):
        tree = self.folder.parent / f"tree-{name}-{version}"
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: {self.arch}\nMaintainer: a <a@b>\nDescription: x\n"
        )
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        if script:
            (tree / "DEBIAN/postinst").write_text(script)
            (tree / "DEBIAN/postinst").chmod(0o755)
        deb = self.folder / f"{name}_{version}_{self.arch}.deb"
        command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
        self.index()

    def index(self):
        entries = []
        for deb in sorted(self.folder.glob("*.deb")):
            control = subprocess.run(["dpkg-deb", "-f", str(deb)], capture_output=True, text=True, check=True).stdout
            digest = hashlib.sha256(deb.read_bytes()).hexdigest()
            entries.append(f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
        (self.folder / "Packages").write_text("\n".join(entries))


@pytest.fixture(params=["copy", "file"])
def repository(request, tmp_path, arch):
    return Repository(tmp_path / "repository", arch, request.param)


@pytest.fixture
def status(tmp_path, arch):
    path = tmp_path / "status"
    path.write_text(STATUS.format(arch=arch))
    return path


@pytest.fixture
def layers(tmp_path, repository, status):
    return Layers(tmp_path / "layers", status=status, sources=repository.sources)


async def test_a_package_and_what_it_needs_are_unpacked(layers, repository):
    repository.add("lib", {"usr/lib/lib.txt": "lib"})
    repository.add("app", {"usr/bin/app": "app", "etc/app.conf": "conf"}, depends="lib (>= 1), base, base-abi | other")
    said = []
    assert layers.find(["app"]) is None
    (layer,) = await layers.ensure(["app"], said.append)
    assert (layer / "usr/bin/app").read_text() == "app"
    assert (layer / "usr/lib/lib.txt").read_text() == "lib"
    assert layer.stat().st_mode & 0o777 == 0o755
    assert layers.find(["app"]) == (layer,)
    assert await layers.ensure(["app"], pytest.fail) == (layer,)
    assert "downloading Debian's package lists" in said
    assert any(line.startswith("unpacking app") for line in said)
    manifest = json.loads(layer.with_name(layer.name + ".json").read_text())
    assert manifest["relies_on"] == [["base"], ["base-abi", "other"]]


async def test_what_the_machine_has_needs_no_layer(layers):
    assert layers.find([]) == ()
    assert layers.find(["base"]) == ()
    assert await layers.ensure(["base"]) == ()


async def test_a_removed_package_is_not_installed(layers, repository):
    repository.add("removed", {"usr/bin/removed": "x"})
    assert layers.find(["removed"]) is None
    assert len(await layers.ensure(["removed"])) == 1


async def test_maintainer_scripts_never_run(layers, repository, tmp_path):
    repository.add("app", {"usr/bin/app": "app"}, script=f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (layer,) = await layers.ensure(["app"])
    assert not (tmp_path / "ran").exists()
    assert not (layer / "DEBIAN").exists()


async def test_files_of_merged_directories_move_below_usr(layers, repository, lacking):
    if not Path("/lib").is_symlink():
        lacking("this machine has a real /lib")
    repository.add("app", {"lib/here/a.so": "a", "usr/lib/here/b.so": "b"})
    (layer,) = await layers.ensure(["app"])
    assert not (layer / "lib").exists()
    assert sorted(path.name for path in (layer / "usr/lib/here").iterdir()) == ["a.so", "b.so"]


async def test_a_layer_is_not_used_when_the_machine_loses_what_it_relies_on(layers, repository, status, arch):
    repository.add("app", {"usr/bin/app": "app"}, depends="base")
    (first,) = await layers.ensure(["app"])
    repository.add("base", {"usr/lib/base": "base"})
    status.write_text("")
    assert layers.find(["app"]) is None
    (second,) = await layers.ensure(["app"])
    assert second != first
    assert (second / "usr/lib/base").exists()
    assert (first / "usr/bin/app").exists()
    assert not (first / "usr/lib/base").exists()


async def test_lists_are_renewed_when_a_package_is_not_in_them(layers, repository):
    repository.add("old", {"usr/bin/old": "x"})
    await layers.ensure(["old"])
    repository.add("new", {"usr/bin/new": "x"})
    (layer,) = await layers.ensure(["new"])
    assert (layer / "usr/bin/new").exists()


async def test_calls_for_the_same_packages_share_one_run(layers, repository):
    repository.add("app", {"usr/bin/app": "app"})
    said = []
    found = await asyncio.gather(*(layers.ensure(["app"], said.append) for _ in range(4)))
    assert len(set(found)) == 1
    assert sum(line.startswith("unpacking") for line in said) == 1


async def test_two_processes_may_share_the_folder(layers, repository, tmp_path, status):
    repository.add("app", {"usr/bin/app": "app"})
    other = Layers(tmp_path / "layers", status=status, sources=repository.sources)
    first, second = await asyncio.gather(layers.ensure(["app"]), other.ensure(["app"]))
    assert first == second


async def test_a_missing_package_is_named(layers):
    with pytest.raises(LayerError, match="no Debian package nonesuch in this machine's sources"):
        await layers.ensure(["nonesuch"])


async def test_an_unmet_dependency_is_told_in_apts_words(layers, repository):
    repository.add("app", {"usr/bin/app": "app"}, depends="nonesuch")
    with pytest.raises(LayerError, match="cannot download app: "):
        await layers.ensure(["app"])


async def test_a_corrupt_download_is_refused(layers, repository):
    repository.add("app", {"usr/bin/app": "app"})
    index = repository.folder / "Packages"
    lines = ["SHA256: " + "0" * 64 if line.startswith("SHA256") else line for line in index.read_text().splitlines()]
    index.write_text("\n".join(lines) + "\n")
    with pytest.raises(LayerError, match="cannot download app"):
        await layers.ensure(["app"])


async def test_an_unreachable_archive_is_said_to_be_away(tmp_path, status):
    sources = tmp_path / "away.list"
    sources.write_text("deb [trusted=yes] http://127.0.0.1:9/ ./\n")
    layers = Layers(tmp_path / "layers", status=status, sources=sources)
    with pytest.raises(LayerError, match="the network is away"):
        await layers.ensure(["app"])


async def test_a_machine_without_dpkg_is_told_so(tmp_path):
    layers = Layers(tmp_path / "layers", status=tmp_path / "none")
    with pytest.raises(LayerError, match="need a Debian or Ubuntu machine"):
        layers.find(["app"])


async def test_a_half_written_manifest_is_made_again(layers, repository):
    repository.add("app", {"usr/bin/app": "app"})
    (layer,) = await layers.ensure(["app"])
    layer.with_name(layer.name + ".json").write_text('{"packages":')
    assert layers.find(["app"]) is None
    assert await layers.ensure(["app"]) == (layer,)


async def test_nothing_is_left_behind_by_a_cancelled_run(layers, repository, tmp_path):
    repository.add("app", {"usr/bin/app": "app"})
    begun = asyncio.Event()
    task = asyncio.create_task(layers.ensure(["app"], lambda _: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path.name for path in (tmp_path / "layers").iterdir() if path.name.startswith(".new")] == []
    assert len(await layers.ensure(["app"])) == 1


def test_dependency_fields_are_read():
    assert parse_groups("aa (>= 1), bb:any | cc [amd64], d-d") == (("aa",), ("bb", "cc"), ("d-d",))
    assert parse_groups("") == ()


def test_provided_names_satisfy(status):
    installed = Installed.read(status)
    assert installed.has("base")
    assert not installed.has("base-abi")
    assert installed.satisfies(("other", "base-abi"))
    assert not installed.satisfies(("removed",))
