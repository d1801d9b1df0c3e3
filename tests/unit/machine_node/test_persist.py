import os

from plait.machine.node.persist import claim, discard, owner_of, persistent_folder


def pod(uid, *, name="db-7f-x", kind="ReplicaSet", owner="db-7f"):
    return {
        "metadata": {
            "uid": uid,
            "name": name,
            "namespace": "shop",
            "labels": {"pod-template-hash": "7f"},
            "ownerReferences": [{"controller": True, "kind": kind, "name": owner}] if kind else [],
        }
    }


def test_data_belongs_to_what_makes_the_pods():
    assert owner_of(pod("1")) == "deployment.db"
    assert owner_of(pod("1", kind="StatefulSet", owner="db", name="db-0")) == "statefulset.db.db-0"
    assert owner_of(pod("1", kind="Job", owner="load")) == "job.load"
    assert owner_of(pod("1", kind=None, name="alone")) == "pod.alone"


def test_a_pod_finds_its_own_data_again(tmp_path):
    first = claim(tmp_path, pod("1"), lambda _: "living")
    assert claim(tmp_path, pod("1"), lambda _: "living") == first


def test_replicas_have_data_of_their_own(tmp_path):
    first = claim(tmp_path, pod("1"), lambda _: "living")
    second = claim(tmp_path, pod("2"), lambda _: "living")
    assert first != second


def test_a_successor_waits_for_a_pod_that_ends_and_takes_over(tmp_path):
    first = claim(tmp_path, pod("1"), lambda _: "living")
    assert claim(tmp_path, pod("2"), lambda _: "ending") is None
    assert claim(tmp_path, pod("2"), lambda _: "gone") == first


def test_new_data_begins_with_what_the_image_has(tmp_path):
    layer = tmp_path / "layer"
    (layer / "var" / "lib" / "db").mkdir(parents=True)
    (layer / "var" / "lib" / "db" / "seed").write_text("s")
    user = (os.getuid(), os.getgid())
    folder = persistent_folder(tmp_path, "app", "/var/lib/db", layers=[layer], user=user)
    assert (folder / "seed").read_text() == "s"
    (folder / "seed").write_text("changed")
    assert persistent_folder(tmp_path, "app", "/var/lib/db", layers=[layer], user=user) == folder
    assert (folder / "seed").read_text() == "changed"


def test_data_can_be_discarded(tmp_path):
    claim(tmp_path, pod("1"), lambda _: "living")
    discard(tmp_path, "shop", "deployment.db")
    assert not (tmp_path / "shop" / "deployment.db").exists()


def test_data_that_cannot_be_discarded_is_told(tmp_path, caplog):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "deployment.db").symlink_to(tmp_path)
    discard(tmp_path, "shop", "deployment.db")
    assert "deployment.db is left behind" in caplog.text
    discard(tmp_path, "shop", "deployment.none")
    assert "deployment.none" not in caplog.text
