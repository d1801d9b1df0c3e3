import base64
import stat
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from plait.kube.kinds import CONFIGMAP, SECRET
from plait.machine.node.objects import NamespaceObjects
from plait.machine.node.volumes import TOKEN_FOLDER, VolumeError, Volumes

NO_TOKEN = {"automountServiceAccountToken": False}
NODE = {"status.podIP": "10.42.0.20"}


class TokenApi:
    """Answers TokenRequest as the API does; each token is another one."""

    def __init__(self):
        self.asked = []

    async def request(self, method, path, *, json=None):
        self.asked.append((method, path, json))
        end = datetime.now(UTC) + timedelta(seconds=json["spec"]["expirationSeconds"])
        token = {"token": f"token-{len(self.asked)}", "expirationTimestamp": end.isoformat()}
        return msgspec.json.encode({"status": token})


@pytest.fixture
def cluster(tmp_path):
    known = {
        CONFIGMAP: {
            ("n", "kube-root-ca.crt"): {"kind": "ConfigMap", "data": {"ca.crt": "CA"}},
            ("n", "cfg"): {"kind": "ConfigMap", "data": {"a.txt": "A", "b.txt": "B"}},
        },
        SECRET: {("n", "sec"): {"kind": "Secret", "data": {"pw": base64.b64encode(b"x").decode()}}},
    }
    return SimpleNamespace(folder=tmp_path / "volumes", known=known, api=TokenApi(), state=tmp_path / "state")


def volumes_of(cluster, volumes, mounts, **spec):
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}},
        "spec": {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}], **spec},
    }
    objects = NamespaceObjects(cluster.known, "n")
    made = Volumes(pod, cluster.folder, client=cluster.api, objects=objects, refused=(cluster.state,))
    return made, pod["spec"]["containers"][0]


async def test_every_pod_has_its_token(cluster):
    volumes, container = volumes_of(cluster, [], [])
    await volumes.write(NODE)
    [mount] = volumes.mounts(container, {})
    assert (mount.target, mount.options) == (TOKEN_FOLDER, "bind,ro")
    folder = cluster.folder / "kube-api-access"
    assert {name: (folder / name).read_text() for name in ("token", "ca.crt", "namespace")} == {
        "token": "token-1",
        "ca.crt": "CA",
        "namespace": "n",
    }
    method, path, body = cluster.api.asked[0]
    assert (method, path) == ("POST", "/api/v1/namespaces/n/serviceaccounts/default/token")
    assert body["spec"]["boundObjectRef"]["uid"] == "u"
    assert volumes.renew_at is not None


@pytest.mark.parametrize("seconds", [(600, 7200), (7200, 600)])
async def test_of_several_tokens_the_one_that_ends_first_says_when_to_renew(cluster, seconds):
    sources = [{"serviceAccountToken": {"path": str(each), "expirationSeconds": each}} for each in seconds]
    volume = {"name": "tokens", "projected": {"sources": sources}}
    volumes, _ = volumes_of(cluster, [volume], [{"name": "tokens", "mountPath": "/t"}], **NO_TOKEN)
    before = time.time()
    await volumes.write(NODE)
    assert before + 0.8 * 600 <= volumes.renew_at < before + 0.8 * 7200


async def test_no_token_where_none_is_wanted(cluster):
    volumes, container = volumes_of(cluster, [], [], automountServiceAccountToken=False)
    await volumes.write(NODE)
    assert volumes.mounts(container, {}) == []
    assert cluster.api.asked == []


async def test_a_config_map_changes_at_one_stroke(cluster):
    volume = {"name": "v", "configMap": {"name": "cfg", "defaultMode": 0o400}}
    volumes, _ = volumes_of(cluster, [volume], [{"name": "v", "mountPath": "/v"}], automountServiceAccountToken=False)
    await volumes.write(NODE)
    folder = cluster.folder / "v"
    assert (folder / "a.txt").read_text() == "A"
    assert stat.S_IMODE((folder / "a.txt").stat().st_mode) == 0o400
    before = (folder / "..data").readlink()
    await volumes.write(NODE)
    assert (folder / "..data").readlink() == before
    cluster.known[CONFIGMAP]["n", "cfg"] = {"kind": "ConfigMap", "data": {"b.txt": "B2"}}
    assert volumes.uses("ConfigMap", "cfg")
    await volumes.write(NODE)
    assert (folder / "b.txt").read_text() == "B2"
    assert sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("..")) == ["b.txt"]
    assert not (folder / before).exists()


async def test_items_choose_names_and_modes(cluster):
    items = [{"key": "pw", "path": "deep/password", "mode": 0o440}]
    volume = {"name": "v", "secret": {"secretName": "sec", "items": items}}
    volumes, _ = volumes_of(cluster, [volume], [{"name": "v", "mountPath": "/v"}])
    await volumes.write(NODE)
    assert (cluster.folder / "v" / "deep" / "password").read_bytes() == b"x"
    assert stat.S_IMODE((cluster.folder / "v" / "deep" / "password").stat().st_mode) == 0o440


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "sec", "items": [{"key": "k", "path": "p"}]}}, "non-existent secret key: k"),
        ({"secret": {"secretName": "sec", "items": [{"key": "pw", "path": "../p"}]}}, "relative path"),
        ({"nfs": {"server": "s", "path": "/"}}, "nfs is not there on this machine"),
    ],
)
async def test_what_cannot_be_had_is_said(cluster, volume, message):
    volumes, _ = volumes_of(cluster, [{"name": "v", **volume}], [{"name": "v", "mountPath": "/v"}])
    with pytest.raises(VolumeError, match=message):
        await volumes.write(NODE)


async def test_an_optional_volume_may_be_empty(cluster):
    volume = {"name": "v", "configMap": {"name": "no", "optional": True}}
    volumes, _ = volumes_of(cluster, [volume], [{"name": "v", "mountPath": "/v"}])
    await volumes.write(NODE)
    assert (cluster.folder / "v").is_dir()


async def test_an_unknown_volume_is_named(cluster):
    volumes, _ = volumes_of(cluster, [], [{"name": "v", "mountPath": "/v"}])
    with pytest.raises(VolumeError, match='volume "v"'):
        await volumes.write(NODE)


async def test_sub_paths_stay_in_their_volume(cluster, tmp_path):
    mounts = [{"name": "e", "mountPath": "/e", "subPathExpr": "of/$(POD)"}]
    volumes, container = volumes_of(
        cluster, [{"name": "e", "emptyDir": {}}], mounts, automountServiceAccountToken=False
    )
    await volumes.write(NODE)
    [mount] = volumes.mounts(container, {"POD": "p"})
    assert mount.source == str(cluster.folder / "e" / "of" / "p")
    (cluster.folder / "e" / "out").symlink_to(tmp_path)
    container["volumeMounts"][0] = {"name": "e", "mountPath": "/e", "subPath": "out"}
    with pytest.raises(VolumeError, match="leads out"):
        volumes.mounts(container, {})


async def test_host_paths_never_show_the_mesh_itself(cluster, tmp_path):
    cluster.state.mkdir()
    for path in (tmp_path, cluster.state, cluster.state / "pki"):
        volume = {"name": "h", "hostPath": {"path": str(path)}}
        volumes, container = volumes_of(cluster, [volume], [{"name": "h", "mountPath": "/h"}])
        with pytest.raises(VolumeError, match="mesh's own state"):
            volumes.mounts(container, {})


async def test_host_paths_are_checked_by_their_type(cluster, tmp_path):
    def mounts(path, kind):
        volume = {"name": "h", "hostPath": {"path": str(path), "type": kind}}
        volumes, container = volumes_of(
            cluster, [volume], [{"name": "h", "mountPath": "/h"}], automountServiceAccountToken=False
        )
        return volumes.mounts(container, {})

    assert mounts(tmp_path / "new", "DirectoryOrCreate")[0].source == str(tmp_path / "new")
    with pytest.raises(VolumeError, match="is not a File"):
        mounts(tmp_path / "new", "File")


async def test_the_downward_api_as_files(cluster):
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volume = {"name": "v", "downwardAPI": {"items": items}}
    volumes, _ = volumes_of(cluster, [volume], [{"name": "v", "mountPath": "/v"}])
    await volumes.write(NODE)
    assert (cluster.folder / "v" / "labels").read_text() == 'app="x"'


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}, True),
        ({"configMap": {"name": "cfg"}}, False),
    ],
)
async def test_labels_that_change_show_where_they_are_mounted(cluster, volume, expected):
    volumes, container = volumes_of(cluster, [{"name": "v", **volume}], [{"name": "v", "mountPath": "/v"}], **NO_TOKEN)
    await volumes.write(NODE)
    meta = {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "y"}}
    newer = {"metadata": meta, "spec": {"containers": [container], **NO_TOKEN}}
    assert volumes.update(newer) is expected
    assert volumes.update(newer) is False
    await volumes.write(NODE)
    if expected:
        assert (cluster.folder / "v" / "l").read_text() == 'app="y"'
