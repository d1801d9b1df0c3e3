"""A user's part of a container over the one that injection makes."""

from plait.inject.overlay import overlay

BASE = {
    "name": "istio-proxy",
    "image": "proxy",
    "args": ["proxy", "sidecar"],
    "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "10m"}},
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
}


def test_maps_are_merged_lists_of_names_by_name_and_all_else_is_replaced():
    made = overlay(
        BASE,
        {
            "args": ["other"],
            "resources": {"limits": {"cpu": "1"}},
            "env": [{"name": "C", "value": "3"}, {"name": "A", "value": "one"}],
            "ports": [{"containerPort": 80}],
        },
    )
    assert made["args"] == ["other"]
    assert made["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "10m"}}
    assert [(each["name"], each["value"]) for each in made["env"]] == [("A", "one"), ("B", "2"), ("C", "3")]
    assert made["ports"] == [{"containerPort": 80}]
    assert BASE["env"][0]["value"] == "1", "what was given is not changed"


def test_a_null_leaves_what_is_there():
    """A field that a template leaves empty comes as null."""
    assert overlay(BASE, {"image": None, "resources": {"limits": None}}) == BASE
