"""Files that were written for another time: what `plait validate` says of them."""

from __future__ import annotations

import pytest

from plait.api.problem import Level
from plait.app.objects.validate import Finding, findings_of_text, validator


def said(text: str) -> list[Finding]:
    return findings_of_text(validator(), text, file="old.yaml")


@pytest.mark.parametrize("version", ["", "apiVersion: null\n"])
def test_a_document_without_a_version_is_judged_as_todays(version: str) -> None:
    text = f"{version}kind: DestinationRule\nmetadata: {{name: a, namespace: shop}}\nspec: {{host: a, subset: []}}\n"
    missing, unknown = said(text)
    assert (missing.code, missing.path) == ("NoVersion", "apiVersion")
    assert str(missing).endswith(
        "is missing, so that kubectl refuses the object; apiVersion: networking.istio.io/v1 [NoVersion]"
    )
    assert unknown.path == "spec.subset"


def test_a_kind_that_nobody_has_is_told_without_a_version() -> None:
    (found,) = said("kind: Nonsense\nmetadata: {name: a}\n")
    assert found.message == "no kind 'Nonsense' is served"


def test_policies_of_istio_1_0_are_told_in_todays_words() -> None:
    head = "apiVersion: authentication.istio.io/v1alpha1\nkind: MeshPolicy\nmetadata: {name: default}\n"
    (found,) = said(head + "spec: {peers: [{mtls: {}}]}\n")
    assert (found.code, found.level) == ("OldForm", Level.WARNING)
    assert "PeerAuthentication istio-system/default is made of it; write {apiVersion: security" in found.message
    (found,) = said(head + "spec: {peers: [{jwt: {issuer: a}}]}\n")
    assert (found.level, found.path, found.line) == (Level.ERROR, "spec.peers[0].jwt", 4)
    (found,) = said(head + "spec: {peer: []}\n")
    assert found.message == 'unknown field "spec.peer"'
