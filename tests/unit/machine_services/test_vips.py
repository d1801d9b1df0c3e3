"""VIPs for pods without a sidecar: the text, and what the kernel makes of it."""

import itertools
import sys
from ipaddress import IPv4Address, IPv4Network

import pytest

from plait.machine.services.vips import Vip, Vips, vips_of

NETWORK = IPv4Network("10.42.128.0/17")
API = Vip(address=IPv4Address("10.42.128.1"), protocol="tcp", port=443, endpoints=((IPv4Address("10.42.0.1"), 6443),))


def service(name="web", *, ip="10.42.128.5", **spec):
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"clusterIP": ip, "ports": ports, **spec}}


def slices(*endpoints, port=8080, name="http"):
    made = [{"addresses": [e]} if isinstance(e, str) else e for e in endpoints]
    return [{"addressType": "IPv4", "ports": [{"name": name, "port": port}], "endpoints": made}]


def places(vip):
    return [f"{address}:{port}" for address, port in vip.endpoints]


def test_a_port_leads_to_the_ready_endpoints_target_ports():
    unready = {"addresses": ["10.42.0.9"], "conditions": {"ready": False}}
    (vip,) = vips_of(service(), slices("10.42.0.8", "10.42.0.7", unready))
    assert (str(vip.address), vip.port, vip.protocol) == ("10.42.128.5", 80, "tcp")
    assert places(vip) == ["10.42.0.7:8080", "10.42.0.8:8080"]


def test_a_service_may_want_endpoints_that_are_not_ready():
    unready = {"addresses": ["10.42.0.9"], "conditions": {"ready": False}}
    (vip,) = vips_of(service(publishNotReadyAddresses=True), slices("10.42.0.8", unready))
    assert places(vip) == ["10.42.0.8:8080", "10.42.0.9:8080"]


def test_terminating_endpoints_serve_where_no_other_does():
    last = {"addresses": ["10.42.0.9"], "conditions": {"ready": False, "serving": True, "terminating": True}}
    assert places(vips_of(service(), slices(last))[0]) == ["10.42.0.9:8080"]
    assert places(vips_of(service(), slices(last, "10.42.0.7"))[0]) == ["10.42.0.7:8080"]


@pytest.mark.parametrize("spec", [{"ip": "None"}, {"ip": ""}, {"type": "ExternalName"}])
def test_services_without_a_vip_have_none(spec):
    assert vips_of(service(**spec), slices("10.42.0.7")) == ()


def test_only_changes_give_text():
    vips = Vips(NETWORK)
    assert vips.update(service(), slices("10.42.0.7"))
    assert vips.update(service(), slices("10.42.0.7")) == ""
    assert vips.update(service(), slices("10.42.0.7", "10.42.0.8"))
    assert vips.remove("shop", "web")
    assert vips.remove("shop", "web") == ""


def test_no_service_takes_a_fixed_vip():
    vips = Vips(NETWORK, fixed=[API])
    spec = {"ports": [{"name": "https", "port": 443}]}
    assert vips.update(service("kubernetes", ip="10.42.128.1", **spec), slices("10.42.0.66", name="https")) == ""
    assert "10.42.0.66" not in vips.ruleset()
    assert "10.42.0.1 . 6443" in vips.ruleset()


def listing(scratch_netns, *texts):
    done = scratch_netns("nft -f -; nft list table ip plait_vips", text="".join(texts))
    assert done.returncode == 0, done.stderr
    return sorted(line.strip() for line in done.stdout.splitlines())


def test_changes_loaded_one_by_one_equal_the_ruleset_of_the_end(scratch_netns):
    vips = Vips(NETWORK, fixed=[API])
    udp = {"ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}
    two = [
        *slices("10.42.0.7", "10.42.0.8"),
        {"ports": [{"name": "dns", "port": 5353, "protocol": "UDP"}], "endpoints": [{"addresses": ["10.42.0.7"]}]},
    ]
    begin = vips.ruleset()
    steps = [
        vips.update(service(), slices("10.42.0.7")),
        vips.update(service("other", ip="10.42.128.6", sessionAffinity="ClientIP"), slices("10.42.0.7", "10.42.0.8")),
        vips.update(service(**udp), two),
        vips.update(service(), slices("10.42.0.8")),
        vips.update(service("gone", ip="10.42.128.7"), slices("10.42.0.9")),
        vips.update(service("gone", ip="10.42.128.7"), slices()),
        vips.update(service("late", ip="10.42.128.8"), slices("10.42.0.9")),
        vips.remove("shop", "late"),
    ]
    end = listing(scratch_netns, vips.ruleset())
    assert listing(scratch_netns, begin, *steps) == end
    # A change that is loaded over the state it leads to, or twice, does no harm.
    assert listing(scratch_netns, vips.ruleset(), *itertools.chain(*zip(steps[4:], steps[4:], strict=True))) == end
    assert listing(scratch_netns, vips.ruleset(), vips.ruleset()) == end


PROBE = """
import socket, threading, time
def serve(s):
    while True:
        c, _ = s.accept(); c.sendall(c.getsockname()[0].encode()); c.close()
for address in ("10.42.0.2", "10.42.0.3"):
    s = socket.socket(); s.bind((address, 8080)); s.listen()
    threading.Thread(target=serve, args=(s,), daemon=True).start()
def ask(address, port):
    for _ in range(5):  # what is slow once is the machine, what is slow always is a packet that gets lost
        begun = time.monotonic()
        try:
            with socket.create_connection((address, port), 3) as c:
                return c.recv(99).decode()
        except OSError as e:
            if time.monotonic() - begun < 1: return type(e).__name__
    return "slow"
print(*{ask("10.42.128.5", 80) for _ in range(64)})
print(*{ask("10.42.128.6", 80) for _ in range(64)})
print(ask("10.42.128.5", 81), ask("10.42.128.7", 80), ask("10.42.0.3", 8080))
"""


def test_the_kernel_spreads_sticks_refuses_and_reaches_itself(scratch_netns):
    vips = Vips(NETWORK, fixed=[API])
    vips.update(service(), slices("10.42.0.2", "10.42.0.3"))
    vips.update(service("sticky", ip="10.42.128.6", sessionAffinity="ClientIP"), slices("10.42.0.2", "10.42.0.3"))
    vips.update(service("empty", ip="10.42.128.7"))
    script = (
        "nft -f -; ip link add eth0 type veth peer name eth1; ip link set eth1 up;"
        "ip addr add 10.42.0.2/17 dev eth0; ip addr add 10.42.0.3/17 dev eth0; ip link set lo up; ip link set eth0 up;"
        'ip route add default via 10.42.0.1; exec "$1" -c "$2"'
    )
    done = scratch_netns(script, sys.executable, PROBE, text=vips.ruleset())
    assert done.returncode == 0, done.stderr
    spread, sticky, others = done.stdout.splitlines()
    assert set(spread.split()) == {"10.42.0.2", "10.42.0.3"}
    assert len(sticky.split()) == 1
    assert others.split() == ["ConnectionRefusedError", "ConnectionRefusedError", "10.42.0.3"]


ROUTED = """
mount -t proc proc /proc; nft -f -; echo 1 > /proc/sys/net/ipv4/ip_forward
ip link add plait0 type bridge; ip addr add 10.42.0.1/17 dev plait0; ip link set plait0 up
for n in 2 3; do
  unshare --net sleep infinity & pod=$!
  while [ "$(readlink /proc/$pod/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
  ip link add p$n type veth peer name eth0 netns $pod; ip link set p$n master plait0 up
  nsenter --target $pod --net sh -euc "ip addr add 10.42.0.$n/17 dev eth0; ip link set lo up; ip link set eth0 up
    ip route add default via 10.42.0.1"
  [ $n = 3 ] || client=$pod
done
nsenter --target $pod --net "$1" -c "$2" serve &
exec nsenter --target $client --net "$1" -c "$2"
"""
ACROSS = """
import socket, sys, time
if sys.argv[1:]:
    s = socket.create_server(("10.42.0.3", 8080))
    while True:
        c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
def ask(address, port):
    for _ in range(5):  # what is slow once is the machine, what is slow always is a packet that gets lost
        begun = time.monotonic()
        try:
            with socket.create_connection((address, port), 3) as c:
                return c.recv(99).decode()
        except OSError as e:
            if time.monotonic() - begun < 1: return type(e).__name__
    return "slow"
end = time.monotonic() + 60
while ask("10.42.0.3", 8080) != "10.42.0.2" and time.monotonic() < end:
    pass
print(ask("10.42.128.5", 80), ask("10.42.128.5", 81), ask("10.42.128.7", 80), ask("10.42.0.3", 8080))
"""


def test_the_node_translates_for_pods_that_do_not(scratch_netns):
    """What a sidecar lets through arrives at the bridge; the reply comes back because it passes the node too."""
    vips = Vips(NETWORK, fixed=[API])
    begin = vips.node_ruleset()
    change = vips.update(service(), slices("10.42.0.3")) + vips.update(service("empty", ip="10.42.128.7"))
    done = scratch_netns(ROUTED, sys.executable, ACROSS, text=begin + change)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10.42.0.1", "ConnectionRefusedError", "ConnectionRefusedError", "10.42.0.2"]
