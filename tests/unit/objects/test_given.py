"""Reading what users hand over, and where each object of it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait.app.objects.given import Given, ObjectsError, read_given
from plait.app.objects.kinds import Kinds, UnknownKindError
from plait.app.objects.plan import owned_anew
from plait.kube.discovery import Resource
from plait.kube.kinds import Kind


def read(text: str) -> tuple[Given, ...]:
    return read_given(["-"], stdin=lambda: text)


def test_objects_of_a_list_know_their_own_lines() -> None:
    one, two = read(
        "kind: List\nitems:\n- kind: A\n  metadata: {name: a}\n- kind: B\n  metadata:\n    name: b\n  spec: {x: 1}\n"
    )
    assert (one.title, one.where()) == ("A a", "STDIN:3")
    assert (two.title, two.where("metadata.name"), two.where("spec.x")) == ("B b", "STDIN:7", "STDIN:8")
    assert two.where("spec.nothing.there") == "STDIN:8"


def test_empty_documents_are_nothing_and_nothing_at_all_is_a_fault() -> None:
    assert len(read("---\n---\nkind: A\nmetadata: {name: a}\n---\n")) == 1
    with pytest.raises(ObjectsError, match="no objects in -"):
        read("# only a comment\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1\n", "STDIN:1:1: an object was expected"),
        ("metadata: {name: a}\n", "STDIN:1:1: object without kind"),
        ("kind: A\n", "metadata is missing"),
        ("kind: A\nmetadata: {labels: {}}\n", "STDIN:2:1: A: metadata.name is missing"),
        (
            "kind: A\nmetadata: {name: n}\n",
            "STDIN:2:12: A: metadata.name must be text; write it in quotes: YAML reads n, no, off as false",
        ),
        ("kind: A\nmetadata:\n  name: 1\n", 'STDIN:3:3: A 1: metadata.name must be text; write "1" in quotes'),
        ("kind: A\napiVersion: 1\nmetadata: {name: a}\n", "STDIN:2:1: A a: apiVersion must be text"),
        ("kind: A\nkind: B\n", "STDIN:2:1: key 'kind' is already set"),
        ("a: [\n", "STDIN:"),
    ],
)
def test_faults_name_the_line(text: str, said: str) -> None:
    with pytest.raises(ObjectsError) as caught:
        read(text)
    assert said in str(caught.value)


def test_all_faults_of_all_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [\n---\nkind: A\n")
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    with pytest.raises(ObjectsError) as caught:
        read_given([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), "/nowhere"], stdin=str)
    assert len(caught.value.lines) == 4


def kinds() -> Kinds:
    found = [
        Kind("", "v1", "Event", "events"),
        Kind("events.k8s.io", "v1", "Event", "events"),
        Kind("extensions", "v1beta1", "Deployment", "deployments"),
        Kind("apps", "v1", "Deployment", "deployments"),
        Kind("networking.istio.io", "v1", "Gateway", "gateways"),
        Kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
    ]
    return Kinds(tuple(Resource(kind, frozenset()) for kind in found))


def test_a_kind_without_version_is_the_one_of_today() -> None:
    assert kinds().of_object({"kind": "Deployment"}) == (Kind("apps", "v1", "Deployment", "deployments"), "apps/v1")
    assert kinds().of_object({"kind": "Event"})[1] == "v1"
    with pytest.raises(UnknownKindError, match=r"write gateway.networking.k8s.io/v1 or networking.istio.io/v1"):
        kinds().of_object({"kind": "Gateway"})


def test_the_version_written_is_the_version_asked_for() -> None:
    kind, missing = kinds().of_object({"kind": "Gateway", "apiVersion": "networking.istio.io/v1alpha3"})
    assert (kind.api_version, missing) == ("networking.istio.io/v1alpha3", None)


def test_words_may_name_the_group() -> None:
    assert kinds().of_word("gateways.networking.istio.io").group == "networking.istio.io"
    assert kinds().of_word("gateways.gateway").group == "gateway.networking.k8s.io"


def test_fields_of_earlier_writes_count_as_applied() -> None:
    entries = [
        {"manager": "plait", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}}}},
        {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:spec": {"f:b": {"f:c": {}}}}},
        {"manager": "plait", "operation": "Apply", "fieldsV1": {"f:spec": {"f:b": {"f:d": {}}}}},
        {"manager": "plait", "operation": "Update", "subresource": "status", "fieldsV1": {}},
        {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]
    made = owned_anew(entries, "plait", "v1")
    assert made is not None
    assert made[:2] == entries[3:]
    assert made[2]["fieldsV1"] == {"f:spec": {"f:a": {}, "f:b": {"f:c": {}, "f:d": {}}}}
    assert made[2]["operation"] == "Apply"
    assert owned_anew(entries[2:], "plait", "v1") is None
