from plait.machine.node.files import hosts, resolv_conf, write_pod_files

POD = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}}


def with_spec(**spec):
    return {**POD, "spec": spec}


def test_names_resolve_in_the_pods_namespace_first():
    assert resolv_conf(POD, nameserver="10.42.0.1") == (
        "nameserver 10.42.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )


def test_dns_config_adds_to_the_policy_or_takes_its_place():
    config = {
        "nameservers": ["1.1.1.1"],
        "searches": ["example.org"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert resolv_conf(with_spec(dnsConfig=config), nameserver="10.42.0.1") == (
        "nameserver 10.42.0.1\nnameserver 1.1.1.1\n"
        "search shop.svc.cluster.local svc.cluster.local cluster.local example.org\noptions ndots:2 edns0\n"
    )
    assert resolv_conf(with_spec(dnsPolicy="None", dnsConfig=config), nameserver="10.42.0.1") == (
        "nameserver 1.1.1.1\nsearch example.org\noptions ndots:2 edns0\n"
    )


def test_hosts_knows_the_pod_and_its_aliases():
    pod = with_spec(hostAliases=[{"ip": "10.9.9.9", "hostnames": ["a", "b"]}], subdomain="db")
    text = hosts(pod, ip="10.42.0.20", hostname="web")
    assert "127.0.0.1\tlocalhost\n" in text
    assert "10.42.0.20\tweb.db.shop.svc.cluster.local\tweb\n" in text
    assert text.endswith("10.9.9.9\ta\tb\n")


def test_files_are_rewritten_in_place(tmp_path):
    def write(ip):
        write_pod_files(tmp_path, POD, ip=ip, hostname="web", nameserver="10.42.0.1")
        return (tmp_path / "hosts").stat().st_ino

    assert write("10.42.0.20") == write("10.42.0.21")
    assert "10.42.0.21\tweb" in (tmp_path / "hosts").read_text()
    assert (tmp_path / "hostname").read_text() == "web\n"
