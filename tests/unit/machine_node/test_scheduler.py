import pytest

from plait.machine.node.scheduler import refusal

LABELS = {"kubernetes.io/os": "linux", "cores": "4"}


def affinity(*expressions, fields=()):
    return either({"matchExpressions": list(expressions), "matchFields": list(fields)})


def either(*terms):
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def rule(key, operator, *values):
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, True),
        ({"nodeSelector": {"disk": "ssd"}}, False),
        (affinity(rule("kubernetes.io/os", "In", "linux", "plan9")), True),
        (affinity(rule("kubernetes.io/os", "NotIn", "linux")), False),
        (affinity(rule("disk", "Exists")), False),
        (affinity(rule("disk", "DoesNotExist")), True),
        (affinity(rule("cores", "Gt", "2")), True),
        (affinity(rule("cores", "Lt", "2")), False),
        (affinity(rule("disk", "Gt", "2")), False),
        (either({"matchExpressions": [rule("disk", "Exists")]}, {"matchExpressions": [rule("cores", "Exists")]}), True),
        (affinity(rule("disk", "Exists"), rule("cores", "Exists")), False),
        (affinity(fields=[rule("metadata.name", "In", "other")]), False),
        (affinity(fields=[rule("metadata.name", "In", "plait")]), True),
    ],
)
def test_which_pods_fit(spec, fits):
    why = refusal(spec, LABELS, name="plait")
    assert (why is None) is fits
    if why:
        assert "didn't match Pod's node affinity/selector" in why
