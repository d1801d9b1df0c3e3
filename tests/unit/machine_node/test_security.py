import pytest

from plait.machine.node.security import DEFAULT_CAPABILITIES, WITHHELD, SecurityError, identity


def who(pod=None, own=None, *, image_user=0):
    return identity({"spec": {"securityContext": pod or {}}}, {"securityContext": own or {}}, image_user=image_user)


@pytest.mark.parametrize(
    ("pod", "own", "image_user", "uid", "gid"),
    [
        ({}, {}, 0, 0, 0),
        ({}, {}, 999, 999, 999),
        ({"runAsUser": 5}, {}, 999, 5, 0),
        ({"runAsUser": 5}, {"runAsUser": 6}, 0, 6, 0),
        ({"runAsUser": 5, "runAsGroup": 7}, {}, 0, 5, 7),
        ({"runAsGroup": 7}, {}, 999, 999, 7),
        ({"runAsUser": 5}, {"runAsUser": 0}, 0, 0, 0),
    ],
)
def test_users_and_groups(pod, own, image_user, uid, gid):
    chosen = who(pod, own, image_user=image_user)
    assert (chosen.uid, chosen.gid) == (uid, gid)


def test_non_root_is_checked_against_the_image():
    with pytest.raises(SecurityError, match="image will run as root"):
        who({"runAsNonRoot": True})
    with pytest.raises(SecurityError, match="breaks non-root policy"):
        who({"runAsNonRoot": True}, {"runAsUser": 0})
    assert who({"runAsNonRoot": True}, image_user=10001).uid == 10001
    assert who({"runAsNonRoot": True}, {"runAsNonRoot": False}).uid == 0


def test_capabilities_are_dropped_and_added_in_any_spelling():
    chosen = who(own={"capabilities": {"drop": ["all"], "add": ["CHOWN", "cap_setuid", "NET_BIND_SERVICE"]}})
    assert chosen.capabilities == {"chown", "setuid", "net_bind_service"}
    assert who(own={"capabilities": {"drop": ["KILL"]}}).capabilities == DEFAULT_CAPABILITIES - {"kill"}


def test_what_leads_out_of_the_pod_is_withheld_and_said():
    chosen = who(own={"privileged": True, "capabilities": {"add": ["NET_ADMIN", "SYS_NICE", "TIME_TRAVEL"]}})
    assert chosen.withheld == ("privileged", "NET_ADMIN", "TIME_TRAVEL")
    assert chosen.capabilities == DEFAULT_CAPABILITIES | {"sys_nice"}
    assert not who(own={"capabilities": {"add": ["ALL"]}}).capabilities & WITHHELD


def test_the_command_ends_with_the_parent_death_signal():
    words = who({"fsGroup": 99, "supplementalGroups": [7]}, {"allowPrivilegeEscalation": False}).setpriv()
    assert words[:5] == ("--reuid", "0", "--regid", "0", "--groups")
    assert words[5] == "7,99"
    assert "--no-new-privs" in words
    assert words[-2:] == ("--pdeathsig", "KILL")
    assert not any("net_admin" in word for word in words)
