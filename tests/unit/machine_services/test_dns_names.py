"""What names mean: the pure part of the DNS server."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.services.dns_message import Code, Question, Service, Type
from plait.machine.services.dns_names import HEADLESS_TTL, VIP_TTL, Names, resolve


def service(name, *, namespace="shop", ip="10.42.128.5", ports=(), **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports), **spec}}


def endpoint(ip, *, ready=None, hostname=None):
    made = {"addresses": [ip], "conditions": {} if ready is None else {"ready": ready}}
    return made if hostname is None else {**made, "hostname": hostname}


def piece(*endpoints, ports=({"name": "http", "port": 8080},)):
    return {"addressType": "IPv4", "ports": list(ports), "endpoints": list(endpoints)}


@pytest.fixture
def names():
    names = Names(network=IPv4Network("10.42.0.0/16"))
    names.update(service("web", ports=[{"name": "http", "port": 80}]), [piece(endpoint("10.42.0.7"))])
    names.update(
        service("db", ip="None", ports=[{"name": "tcp-db", "port": 3306}]),
        [
            piece(
                endpoint("10.42.0.8", ready=True),
                endpoint("10.42.0.9", hostname="db-1"),
                endpoint("10.42.0.10", ready=False),
                ports=[{"name": "tcp-db", "port": 3307}],
            )
        ],
    )
    names.update(
        {
            "metadata": {"name": "out", "namespace": "shop"},
            "spec": {"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"},
        }
    )
    names.update(
        {
            "metadata": {"name": "far", "namespace": "shop"},
            "spec": {"type": "ExternalName", "externalName": "example.com"},
        }
    )
    return names


def ask(names, name, type_=Type.A, turn=0):
    labels = tuple(label.encode() for label in name.split(".")) if name else ()
    return resolve(Question(id=1, labels=labels, type=type_), names, turn=turn)


def addresses(answer):
    return [str(record.data) for record in answer.records if record.type == Type.A]


def is_no_data(answer):
    return answer.code == Code.NOERROR and not answer.records and answer.authority[0].type == Type.SOA


def test_a_service_is_its_vip(names):
    answer = ask(names, "web.shop.svc.cluster.local")
    assert addresses(answer) == ["10.42.128.5"]
    assert answer.records[0].ttl == VIP_TTL
    assert answer.authoritative


def test_case_does_not_matter(names):
    assert addresses(ask(names, "wEb.SHOP.svc.Cluster.LOCAL")) == ["10.42.128.5"]


def test_a_headless_service_is_its_ready_endpoints(names):
    answer = ask(names, "db.shop.svc.cluster.local")
    assert addresses(answer) == ["10.42.0.8", "10.42.0.9"]
    assert {record.ttl for record in answer.records} == {HEADLESS_TTL}


def test_endpoints_take_turns_at_being_first(names):
    assert addresses(ask(names, "db.shop.svc.cluster.local", turn=1)) == ["10.42.0.9", "10.42.0.8"]


@pytest.mark.parametrize(
    "extra",
    [
        {"spec": {"publishNotReadyAddresses": True}},
        {"metadata": {"annotations": {"service.alpha.kubernetes.io/tolerate-unready-endpoints": "true"}}},
    ],
)
def test_endpoints_that_are_not_ready_show_where_the_service_says_so(names, extra):
    made = service("db", ip="None")
    names.update(
        {key: {**made[key], **extra.get(key, {})} for key in made}, [piece(endpoint("10.42.0.10", ready=False))]
    )
    assert addresses(ask(names, "db.shop.svc.cluster.local")) == ["10.42.0.10"]


@pytest.mark.parametrize("type_", [Type.AAAA, 16, 15, 64, 65, Type.PTR])
@pytest.mark.parametrize(
    "name",
    [
        "web.shop.svc.cluster.local",
        "db.shop.svc.cluster.local",
        "db-1.db.shop.svc.cluster.local",
        "_http._tcp.web.shop.svc.cluster.local",
        "_tcp.web.shop.svc.cluster.local",
        "shop.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        "10-42-0-7.shop.pod.cluster.local",
    ],
)
def test_a_name_that_exists_is_never_nxdomain(names, name, type_):
    assert is_no_data(ask(names, name, type_))


def test_a_headless_service_without_endpoints_is_no_data(names):
    names.update(service("empty", ip="None"))
    assert is_no_data(ask(names, "empty.shop.svc.cluster.local"))


@pytest.mark.parametrize(
    "name",
    [
        "zipkin.jaeger.svc.cluster.local",
        "nope.shop.svc.cluster.local",
        "web.shop.svc.cluster.local.shop.svc.cluster.local",
        "example.com.cluster.local",
        "nope.db.shop.svc.cluster.local",
        "a.b._tcp.web.shop.svc.cluster.local",
        "_grpc._tcp.web.shop.svc.cluster.local",
        "300-1-1-1.shop.pod.cluster.local",
        "other.svc.cluster.local",
        "web.far.shop.svc.cluster.local",
    ],
)
def test_other_names_of_the_zone_do_not_exist(names, name):
    answer = ask(names, name, Type.SRV if name.startswith("_") else Type.A)
    assert answer.code == Code.NXDOMAIN
    assert answer.authority[0].type == Type.SOA


@pytest.mark.parametrize(
    "name", ["", "local", "example.com", "web", "web.shop", "istiod.istio-system.svc", "notcluster.local"]
)
def test_names_of_others_are_not_ours_to_answer(names, name):
    assert ask(names, name) is None


def test_srv_of_a_vip_names_the_service(names):
    answer = ask(names, "_http._tcp.web.shop.svc.cluster.local", Type.SRV)
    assert [record.data for record in answer.records] == [Service(80, "web.shop.svc.cluster.local")]
    assert addresses_of(answer.additional) == ["10.42.128.5"]


def addresses_of(records):
    return [str(record.data) for record in records]


def test_srv_of_a_headless_service_names_its_endpoints(names):
    answer = ask(names, "_tcp-db._tcp.db.shop.svc.cluster.local", Type.SRV)
    targets = ["10-42-0-8.db.shop.svc.cluster.local", "db-1.db.shop.svc.cluster.local"]
    assert [record.data for record in answer.records] == [Service(3307, target) for target in targets]
    for target, address in zip(targets, ["10.42.0.8", "10.42.0.9"], strict=True):
        assert addresses(ask(names, target)) == [address]


def test_a_pods_name_holds_its_address(names):
    assert addresses(ask(names, "10-42-0-7.shop.pod.cluster.local")) == ["10.42.0.7"]


def test_an_external_name_is_an_alias(names):
    answer = ask(names, "far.shop.svc.cluster.local")
    assert [(record.type, record.data) for record in answer.records] == [(Type.CNAME, "example.com")]
    inside = ask(names, "out.shop.svc.cluster.local")
    assert [record.type for record in inside.records] == [Type.CNAME, Type.A]
    assert addresses(inside) == ["10.42.128.5"]


def test_aliases_that_chase_each_other_come_to_an_end(names):
    for here, there in (("a", "b"), ("b", "a")):
        spec = {"type": "ExternalName", "externalName": f"{there}.shop.svc.cluster.local"}
        names.update({"metadata": {"name": here, "namespace": "shop"}, "spec": spec})
    assert {record.type for record in ask(names, "a.shop.svc.cluster.local").records} == {Type.CNAME}


def test_addresses_have_names(names):
    assert ask(names, "5.128.42.10.in-addr.arpa", Type.PTR).records[0].data == "web.shop.svc.cluster.local"
    assert ask(names, "9.0.42.10.in-addr.arpa", Type.PTR).records[0].data == "db-1.db.shop.svc.cluster.local"
    assert ask(names, "200.0.42.10.in-addr.arpa", Type.PTR).code == Code.NXDOMAIN
    assert ask(names, "8.8.8.8.in-addr.arpa", Type.PTR) is None
    assert ask(names, "x.in-addr.arpa", Type.PTR) is None


def test_a_removed_service_is_gone_and_its_address_too(names):
    names.remove("shop", "web")
    names.remove("shop", "web")
    assert ask(names, "web.shop.svc.cluster.local").code == Code.NXDOMAIN
    assert names.pointers(IPv4Address("10.42.128.5")) == ()
    for name in ("db", "out", "far"):
        names.remove("shop", name)
    assert ask(names, "shop.svc.cluster.local").code == Code.NXDOMAIN
    assert names._addresses == {}


SERVICES = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": st.sampled_from(["a", "b", "c"]), "namespace": st.sampled_from(["x", "y"])}
        ),
        "spec": st.fixed_dictionaries({"clusterIP": st.sampled_from(["None", "10.42.128.2", "10.42.128.3", ""])}),
    }
)
SLICES = st.lists(
    st.builds(lambda ips: piece(*map(endpoint, ips)), st.lists(st.sampled_from(["10.42.0.2", "10.42.0.3"])))
)


@given(
    st.lists(
        st.one_of(st.tuples(SERVICES, SLICES), st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["a", "b", "c"])))
    )
)
def test_updates_in_any_order_equal_the_world_at_the_end(steps):
    names, world = Names(), {}
    for step in steps:
        if isinstance(step[0], str):
            names.remove(*step)
            world.pop(step, None)
        else:
            names.update(*step)
            world[step[0]["metadata"]["namespace"], step[0]["metadata"]["name"]] = step
    fresh = Names()
    for made, slices in world.values():
        fresh.update(made, slices)
    assert names._namespaces == fresh._namespaces
    assert names._addresses == fresh._addresses
