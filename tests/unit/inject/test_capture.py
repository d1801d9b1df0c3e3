"""The nft text of capture: what it says, that nft takes it, and what the kernel then does."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.inject import AnnotationError, capture_rules, closed_ipv6

PREFIX = "traffic.sidecar.istio.io/"


def pod(**annotations):
    return {"metadata": {"annotations": {PREFIX + name: value for name, value in annotations.items()}}}


CASES = {
    "plain": {},
    "some inbound ports": {"includeInboundPorts": "80, 8443"},
    "no inbound port": {"includeInboundPorts": ""},
    "excluded inbound ports": {"excludeInboundPorts": "9000,9001"},
    "some outbound ranges": {"includeOutboundIPRanges": "10.0.0.0/8,10.1.0.0/16,192.168.1.7"},
    "every outbound range": {"includeOutboundIPRanges": "0.0.0.0/0"},
    "no outbound range": {"includeOutboundIPRanges": ""},
    "excluded outbound ranges": {"excludeOutboundIPRanges": "169.254.169.254/32,0.0.0.0/1,128.0.0.0/1"},
    "outbound ports": {"includeOutboundPorts": "80", "excludeOutboundPorts": "3306", "includeOutboundIPRanges": ""},
    "all outbound ports": {"includeOutboundPorts": "*"},
    "interfaces": {"excludeInterfaces": "eth1,net-2"},
    "IPv6 ranges": {"excludeOutboundIPRanges": "fd00::/8"},
}


@pytest.mark.parametrize("annotations", CASES.values(), ids=CASES)
def test_nft_takes_every_form_twice_over(scratch_netns, tmp_path, annotations):
    text = capture_rules(pod(**annotations))
    rules = tmp_path / "rules"
    rules.write_text(text)
    done = scratch_netns('nft -f "$1"; nft -f "$1"; nft list ruleset', str(rules))
    assert done.returncode == 0, done.stderr + text
    assert done.stdout.count("chain inbound") == 1
    assert done.stdout.count("policy drop") == 2


def test_shut_ipv6_is_taken_by_nft(scratch_netns):
    done = scratch_netns("nft -f -", text=closed_ipv6() + closed_ipv6())
    assert done.returncode == 0, done.stderr


def test_the_sidecars_own_ports_are_reached_directly():
    """Probes of istiod, readiness and metrics are answered by the proxy: captured, they would go to the application."""
    for excluded, expected in (({}, ()), ({"excludeInboundPorts": "80"}, (80,))):
        (line,) = [line for line in capture_rules(pod(**excluded)).splitlines() if "dport" in line and "return" in line]
        ports = {int(word) for word in line.partition("{ ")[2].partition(" }")[0].split(", ")}
        assert ports == {15004, 15008, 15020, 15021, 15090, *expected}
    kept = capture_rules(pod(includeInboundPorts="80,15004,15021"))
    assert "tcp dport { 80 } redirect to :15006" in kept


def test_no_capture_still_shuts_ipv6():
    assert capture_rules({"metadata": {"annotations": {"sidecar.istio.io/interceptionMode": "NONE"}}}) == closed_ipv6()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("includeInboundPorts", "80,x", "'x' is not a port"),
        ("excludeInboundPorts", "*", r"'\*' is not a port"),
        ("excludeOutboundPorts", "70000", "'70000' is not a port"),
        ("includeOutboundPorts", "0", "'0' is not a port"),
        ("includeOutboundPorts", "80-90", "'80-90' is not a port"),
        ("excludeInboundPorts", "²", "is not a port"),
        ("includeOutboundIPRanges", "10.0.0.0/33", "'10.0.0.0/33' is not an address range"),
        ("excludeOutboundIPRanges", "example.com", "'example.com' is not an address range"),
        ("excludeInterfaces", 'eth0" accept', "is not an interface name"),
    ],
)
def test_a_bad_value_names_annotation_value_and_remedy(name, value, reason):
    with pytest.raises(AnnotationError, match=reason) as caught:
        capture_rules(pod(**{name: value}))
    assert caught.value.annotation == PREFIX + name
    assert caught.value.value == value
    assert "write" in str(caught.value)


def test_tproxy_is_refused():
    with pytest.raises(AnnotationError, match="write REDIRECT or NONE"):
        capture_rules({"metadata": {"annotations": {"sidecar.istio.io/interceptionMode": "TPROXY"}}})


@given(
    st.dictionaries(st.sampled_from(["includeInboundPorts", "excludeOutboundIPRanges", "excludeInterfaces"]), st.text())
)
def test_annotations_never_bring_foreign_words_into_the_rules(annotations):
    try:
        text = capture_rules(pod(**annotations))
    except AnnotationError:
        return
    tables = [line for line in text.splitlines() if "table" in line]
    assert tables == [line for line in capture_rules(pod()).splitlines() if "table" in line]


# A pod in miniature: a veth pair into a "peer" namespace is not needed, since a route to nowhere and the redirect
# are all that outbound capture takes. Listeners tell which port a connection arrived at.
PROBE = """
import os, socket, sys, threading
def listen(address, port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((address, port)); s.listen()
    def serve():
        while True:
            c, _ = s.accept(); c.sendall(str(port).encode()); c.close()
    threading.Thread(target=serve, daemon=True).start()
for port in (15001, 15006, 80): listen("0.0.0.0", port)
def ask(address, port, uid=0, source=None):
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgid(uid); os.setuid(uid)
            s = socket.socket(); s.settimeout(30)
            if source: s.bind((source, 0))
            s.connect((address, port)); answer = s.recv(99)
        except OSError as e:
            answer = type(e).__name__.encode()
        os.write(w, answer); os._exit(0)
    os.waitpid(pid, 0)
    return os.read(r, 99).decode()
print(
    ask("10.42.128.9", 80), ask("10.42.128.9", 3306), ask("10.42.0.9", 80), ask("127.0.0.1", 80), ask("10.42.0.2", 80),
    ask("10.42.0.2", 80, uid=1337), ask("10.42.0.2", 80, uid=1337, source="127.0.0.6"), ask("10.42.0.9", 80, uid=1337),
)
"""


def outbound(scratch_netns, rules):
    script = (
        "nft -f -; ip link add eth0 type veth peer name eth1; ip link set eth1 up;"
        "ip addr add 10.42.0.2/17 dev eth0; ip link set lo up; ip link set eth0 up;"
        # What leaves finds nobody: that is an error as soon as nobody has said where he is.
        "ip ntable change name arp_cache dev eth0 retrans 100;"
        'ip route add default via 10.42.0.1; exec "$1" -c "$2"'
    )
    done = scratch_netns(script, sys.executable, PROBE, text=rules)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_kernel_captures_what_it_should_and_nothing_else(scratch_netns):
    vip, vip_db, peer, loopback, itself, proxy_to_itself, from_inbound, proxy_out = outbound(
        scratch_netns, capture_rules(pod())
    )
    assert vip == vip_db == peer == "15001"
    assert loopback == itself == "80"
    assert proxy_to_itself == "15006"
    assert from_inbound == "80"
    # Nobody is there: the connection left for the (empty) bridge, uncaptured.
    assert proxy_out not in {"15001", "15006", "80"}


def test_the_kernel_honours_exclusions(scratch_netns):
    rules = capture_rules(pod(excludeOutboundPorts="3306", excludeOutboundIPRanges="10.42.0.0/17"))
    vip, vip_db, peer, *_ = outbound(scratch_netns, rules)
    assert vip == "15001"
    assert vip_db != "15001"
    assert peer != "15001"
