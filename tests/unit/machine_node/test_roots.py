import os
import stat

import pytest

from plait.machine.node.fstab import fstab, overlay_mounts, place_mounts
from plait.machine.node.roots import Mount, Root


@pytest.fixture
def root(tmp_path):
    """A container's writes over an image layer over the host."""
    upper, layer, host = (tmp_path / name for name in ("upper0", "layer", "host"))
    for folder in (upper, layer, host / "etc", host / "usr" / "bin", layer / "var"):
        folder.mkdir(parents=True)
    (layer / "var" / "run").symlink_to("/run")
    (host / "bin").symlink_to("usr/bin")
    (host / "loop").symlink_to("loop")
    (host / "etc").chmod(0o750)
    return Root(folder=tmp_path, sections=(("/", (upper, layer, host)),))


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/etc/hosts", "/etc/hosts"),
        ("/bin/sh", "/usr/bin/sh"),
        ("/var/run/secrets/x", "/run/secrets/x"),
        ("/etc/../bin/.././x/", "/usr/x"),
        ("/../../x", "/x"),
        ("/nothing/here", "/nothing/here"),
    ],
)
def test_links_lead_inside_the_container(root, path, real):
    assert root.resolve(path) == real


def test_a_loop_of_links_ends(root):
    assert root.resolve("/loop/x").endswith("/x")


def test_places_for_mounts_keep_the_modes_below(root, tmp_path):
    root.make("/etc/app/conf.d", folder=True)
    assert (tmp_path / "upper0" / "etc" / "app" / "conf.d").is_dir()
    assert stat.S_IMODE((tmp_path / "upper0" / "etc").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "upper0" / "etc" / "app").stat().st_mode) == 0o755
    root.make("/etc/file", folder=False)
    assert (tmp_path / "upper0" / "etc" / "file").is_file()


@pytest.mark.usefixtures("as_root")
def test_a_whiteout_hides_what_is_below(root, tmp_path):
    os.mknod(tmp_path / "layer" / "etc", stat.S_IFCHR, os.makedev(0, 0))
    assert root.lookup("/etc") is None
    root.make("/etc/x", folder=True)
    assert stat.S_IMODE((tmp_path / "upper0" / "etc").stat().st_mode) == 0o755


def test_a_mount_inside_a_volume_gets_its_place_there(root, tmp_path):
    volume, other = tmp_path / "volume", tmp_path / "other"
    for folder in (volume, other):
        folder.mkdir()
    (tmp_path / "file").touch()
    placed = place_mounts(
        root,
        [
            Mount(source=str(volume), target="/data"),
            Mount(source=str(other), target="/data/deep/er"),
            Mount(source=str(tmp_path / "file"), target="/data/one.txt"),
        ],
    )
    assert [mount.target for mount in placed] == ["/data", "/data/deep/er", "/data/one.txt"]
    assert (volume / "deep" / "er").is_dir()
    assert (volume / "one.txt").is_file()
    assert not (tmp_path / "upper0" / "data" / "deep").exists()


def test_fstab_escapes_what_would_end_a_field(root):
    text = fstab(root, [Mount(source="/a b\\c", target="/x\ty", options="bind,ro")])
    assert text == f"/a\\040b\\134c {root.mountpoint}/x\\011y none bind,ro 0 0\n"


def test_the_overlay_comes_first_and_may_be_read_only(root, tmp_path):
    [mount] = overlay_mounts(root, read_only=True)
    assert (
        mount.options
        == f"lowerdir={tmp_path}/layer:{tmp_path}/host,upperdir={tmp_path}/upper0,workdir={tmp_path}/work0,ro"
    )


@pytest.mark.usefixtures("as_root")
def test_what_lies_deeper_than_a_whiteout_is_hidden_too(root, tmp_path):
    (tmp_path / "host" / "etc" / "deep").mkdir(mode=0o700)
    os.mknod(tmp_path / "layer" / "etc", stat.S_IFCHR, os.makedev(0, 0))
    assert root.lookup("/etc/deep") is None
    root.make("/etc/deep/x", folder=True)
    assert stat.S_IMODE((tmp_path / "upper0" / "etc" / "deep").stat().st_mode) == 0o755
