"""What objects lack for want of a Secret, as findings."""

from plait.api.meta import ObjectKey
from plait.delivery.credentials import CredentialFindings
from plait.xds.changes import CredentialStatus

EDGE, OTHER = ObjectKey("Gateway", "shop", "edge"), ObjectKey("Gateway", "shop", "other")
SECRETS = (("istio-system", "late"),)


def lacks(key, problem="there is no Secret 'late'", unusable=""):
    return CredentialStatus(
        object=key, path="spec.servers[0].tls", secrets=SECRETS, problem=problem, unusable=unusable
    )  # fmt: skip


def test_who_has_something_else_to_say_is_told_once():
    heard = []
    findings = CredentialFindings()
    findings.bind(heard.append)
    findings.take([lacks(EDGE), lacks(OTHER)])
    assert sorted(heard) == [EDGE, OTHER]
    assert [(one.code, one.path) for one in findings.of(EDGE)] == [("IST0101", "spec.servers[0].tls")]
    findings.take([lacks(EDGE), lacks(OTHER)])
    assert len(heard) == 2
    findings.take([lacks(EDGE, "its key is not the key of its certificate", "istio-system/late"), lacks(OTHER, "")])
    assert sorted(heard[2:]) == [EDGE, OTHER]
    assert [one.code for one in findings.of(EDGE)] == ["IST0161"]
    assert findings.of(OTHER) == ()
    findings.take([])
    assert findings.of(EDGE) == ()


def test_only_where_somebody_is_verified_authorities_are_asked_for():
    findings = CredentialFindings()
    verifying = (("istio-system", "late-cacert"), ("istio-system", "late"))
    for secrets, unusable, fix in (
        (SECRETS, "", "a Secret of type kubernetes.io/tls in the namespace of the proxy's pod"),
        (SECRETS, "istio-system/late", "its keys tls.crt and tls.key (or cert and key), in PEM form"),
        (verifying, "", "a Secret with ca.crt in the namespace of the proxy's pod"),
        (
            verifying,
            "istio-system/late",
            "its key ca.crt (or cacert): certificates in PEM form of those whom to trust",
        ),
    ):
        status = CredentialStatus(object=EDGE, path="spec", secrets=secrets, problem="no", unusable=unusable)
        findings.take([status])
        (found,) = findings.of(EDGE)
        assert found.fix == fix
