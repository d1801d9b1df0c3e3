"""Field selectors of fields that cannot be selected by are refused, as by Kubernetes."""

from __future__ import annotations

import pytest

from plait.machine.api.errors import StatusError
from plait.machine.api.field_labels import check_fields
from plait.machine.api.registry import Registry
from plait.machine.api.schema import load_schemas


def resource(group: str, version: str, plural: str):
    found = Registry(load_schemas().kinds).find(group, version, plural)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("selector", "at"),
    [
        ("", ("", "v1", "pods")),
        ("metadata.name=a,spec.nodeName!=b,status.phase==Running", ("", "v1", "pods")),
        ("involvedObject.name=a,reason=Failed,type=Warning", ("", "v1", "events")),
        ("type=Opaque", ("", "v1", "secrets")),
        ("metadata.namespace=a", ("apps", "v1", "deployments")),
    ],
)
def test_what_kubernetes_knows_can_be_selected_by(selector: str, at: tuple[str, str, str]) -> None:
    check_fields(selector, resource(*at))


@pytest.mark.parametrize(
    ("selector", "at"),
    [
        ("spec.unknown=1", ("", "v1", "pods")),
        ("status.phase=Running", ("apps", "v1", "deployments")),
    ],
)
def test_others_are_refused_with_those_that_can(selector: str, at: tuple[str, str, str]) -> None:
    with pytest.raises(StatusError, match=r"field label not supported: .*metadata\.name") as caught:
        check_fields(selector, resource(*at))
    assert caught.value.code == 400
