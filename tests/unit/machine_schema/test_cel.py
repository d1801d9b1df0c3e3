"""Rules in CEL: Istio's own, and those of users' definitions."""

from __future__ import annotations

import pytest

from plait.machine.api.schema.cel import CelError, check_rules, compile_rules, rule_fault


def check(schema, value, old=None):
    return [str(fault) for fault in check_rules(compile_rules(schema), value, old)]


@pytest.mark.parametrize(
    ("kind", "spec", "says"),
    [
        ("DestinationRule", {"host": "a", "workloadSelector": {"matchLabels": {"a*": "b"}}}, "in label key match"),
        ("DestinationRule", {"host": "a", "workloadSelector": {"matchLabels": {"a": "b*"}}}, "matchLabels[a]: Invalid"),
        ("VirtualService", {"hosts": ["a"], "http": [{"timeout": "5us"}]}, "spec.http[0].timeout: Invalid value"),
        ("VirtualService", {"hosts": ["a"], "http": [{"timeout": "soon"}]}, "must be a valid duration"),
        ("ServiceEntry", {"hosts": ["*"]}, "spec.hosts[0]: Invalid value"),
        ("ServiceEntry", {"hosts": ["a"], "addresses": ["10.0.0.0/8"], "resolution": "DNS"}, "CIDR addresses"),
        ("ServiceEntry", {"hosts": ["a"], "endpoints": [{"address": "unix://a"}]}, "must be an absolute path"),
        ("WorkloadEntry", {"address": "unix:///a", "ports": {"http": 80}}, "UDS may not include ports"),
        ("WorkloadEntry", {"weight": 3}, "Address is required"),
    ],
)
def test_istios_rules_are_in_force(schemas, kind, spec, says):
    obj = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "x", "namespace": "n"}}
    faults = [str(fault) for fault in schemas.validate(schemas.kind(obj["apiVersion"], kind), {**obj, "spec": spec})]
    assert any(says in fault for fault in faults), faults


def test_urls_are_read_as_kubernetes_reads_them():
    schema = {"x-kubernetes-validations": [{"rule": 'isURL(self) && url(self).getScheme() in ["http", "https"]'}]}
    assert check(schema, "https://a.example/x?y") == []
    assert check(schema, "/only/a/path") != []
    for wrong in ("no url", "://a", "1http://a", "http://a:x/"):
        assert check(schema, wrong) != [], wrong


def test_rules_about_the_old_value_are_for_updates():
    schema = {
        "properties": {"name": {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "never changes"}]}}
    }
    assert check(schema, {"name": "a"}) == []
    assert check(schema, {"name": "a"}, {"name": "a"}) == []
    assert check(schema, {"name": "b"}, {"name": "a"}) == ['name: Invalid value: "b": never changes']


def test_a_rule_that_cannot_be_evaluated_is_broken():
    schema = {"x-kubernetes-validations": [{"rule": "self.a.b == 1"}]}
    assert check(schema, {"a": {}}) == ['Invalid value: {"a": {}}: must satisfy self.a.b == 1']


def test_what_is_no_cel_is_told():
    assert rule_fault({"rule": "self =="})
    assert rule_fault({"rule": "size(self) > 1"}) is None
    with pytest.raises(CelError):
        compile_rules({"x-kubernetes-validations": [{"rule": "self =="}]})


def test_schemas_without_rules_cost_nothing():
    assert compile_rules({"properties": {"a": {"items": {"type": "string"}}}}) is None
