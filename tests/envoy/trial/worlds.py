"""Worlds to be asked about: those of the goldens, those of the conformance set, and routes of all kinds made up."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.api.yaml import objects, read_yaml
from plait.mesh.node import ProxyNode
from plait.simulate.configuration import Configuration
from plait.xds.encode import packed
from plait.xds.engine import Engine, Upsert
from plait.xds.fragments import VIEW_TYPES
from plait.xds.http_connection import CORS, FAULT, http_connection_manager

TESTDATA = Path(__file__).parents[1] / "xds" / "testdata"
GOLDENS = sorted(path.name.removesuffix(".in.yaml") for path in TESTDATA.glob("*.in.yaml"))


def golden(name: str) -> tuple[Configuration, bool]:
    head, _, text = (TESTDATA / f"{name}.in.yaml").read_text().partition("---\n")
    proxy = yaml.safe_load(head)["proxy"]
    node = ProxyNode(
        kind=proxy.get("kind", "sidecar"),
        ip=proxy.get("ip", "10.42.0.99"),
        pod="p",
        namespace=proxy.get("namespace", "shop"),
        labels=tuple(sorted((proxy.get("labels") or {}).items())),
        certificates=proxy.get("certificates", False),
    )
    engine = Engine()
    engine.apply(Upsert(obj) for obj in objects(read_yaml(text, name)))
    views = engine.attach(node)
    engine.take()
    resources = (each for view in views for type_url in VIEW_TYPES for each in engine.resources(view, type_url))
    return Configuration.of(resources), node.kind == "router"


class Routes:
    """Routes with every condition and action that Envoy has, whether or not plait makes it today."""

    paths = ("/", "/a", "/a/b", "/A", "/a/b/c.d", "/ab", "/x%20y", "/a//b")
    regexes = ("/a.*", "/a/[^/]+", "(?i)/A/B", r"/\w+", r"/a/b/c\.d", "/(a|ab)/?", r"/[[:alpha:]]+\z", r"\Q/a\E", "/a$")
    values = ("1", "a", "A", "a,b", "", "15", "-3", "abc", "a b")

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def configuration(self) -> Configuration:
        routes = RouteConfiguration(name="80")
        routes.ignore_port_in_host_matching = self.chance.random() < 0.5
        for number, domains in enumerate((["shop.example", "*.shop.example"], ["shop.*", "*-x.y"], ["*"])):
            host = routes.virtual_hosts.add(name=f"host-{number}", domains=domains)
            for _ in range(6):
                self._route(host.routes.add())
        listener = Listener(name="0.0.0.0_80")
        listener.address.socket_address.address, listener.address.socket_address.port_value = "0.0.0.0", 80
        given = http_connection_manager("outbound", stat_prefix="x", route_name="80")
        manager = HttpConnectionManager.FromString(given.typed_config.value)
        manager.use_remote_address.value = self.chance.random() < 0.7
        manager.xff_num_trusted_hops = self.chance.choice((0, 1))
        listener.filter_chains.add().filters.add(name=given.name).typed_config.Pack(manager)
        clusters = {name: Cluster(name=name) for name in ("one", "two", "three")}
        return Configuration({listener.name: listener}, {"80": routes}, clusters, {})

    def _route(self, route: Any) -> None:
        pick, chance = self.chance.choice, self.chance.random
        self._path(route.match)
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            self._header(route.match.headers.add())
        if chance() < 0.2:
            parameter = route.match.query_parameters.add(name=pick(("q", "r s")))
            if chance() < 0.3:
                parameter.present_match = pick((True, False))
            else:
                self._string(parameter.string_match)
        if chance() < 0.1:
            route.match.grpc.SetInParent()
        if chance() < 0.1:
            route.match.runtime_fraction.default_value.numerator = pick((0, 100))
        match pick(("redirect", "direct", "forward", "forward", "forward")):
            case "redirect":
                self._redirect(route)
            case "direct":
                route.direct_response.status = pick((200, 204, 404, 503))
            case "forward":
                self._forward(route)
        self._filters(route)

    def _path(self, match: Any) -> None:
        pick = self.chance.choice
        kind = pick(("prefix", "prefix", "path", "path_separated_prefix", "regex", "regex", "connect"))
        if kind == "regex":
            match.safe_regex.regex = pick(self.regexes)
        elif kind == "connect":
            match.connect_matcher.SetInParent()
        elif kind == "path_separated_prefix":
            match.path_separated_prefix = pick([path for path in self.paths if not path.endswith("/")])
        else:
            setattr(match, kind, pick(self.paths))
        if kind != "regex" and self.chance.random() < 0.3:
            match.case_sensitive.value = False

    def _header(self, matcher: Any) -> None:
        pick, chance = self.chance.choice, self.chance.random
        matcher.name = pick(("x-a", "x-b", "cookie", ":method", ":authority", ":scheme", "X-C", "host", ":path"))
        match pick(("present", "range", "string", "string", "string")):
            case "present":
                matcher.present_match = pick((True, False))
            case "range":
                # Both ends are values that calls have.
                matcher.range_match.start, matcher.range_match.end = -3, 15
            case "string":
                self._string(matcher.string_match)
        matcher.invert_match = chance() < 0.3
        matcher.treat_missing_header_as_empty = chance() < 0.3

    def _string(self, matcher: Any) -> None:
        kind = self.chance.choice(("exact", "prefix", "suffix", "contains", "regex"))
        values = [value for value in self.values if value or kind == "exact"]
        if kind == "regex":
            matcher.safe_regex.regex = self.chance.choice((".*", "a.*", r"\d+", "[A-Za-z]", "(?i)ABC", "a|b"))
        else:
            setattr(matcher, kind, self.chance.choice(values))
            matcher.ignore_case = self.chance.random() < 0.4

    def _redirect(self, route: Any) -> None:
        pick, chance = self.chance.choice, self.chance.random
        redirect = route.redirect
        if chance() < 0.3:
            redirect.host_redirect = "other.example"
        if chance() < 0.3:
            redirect.port_redirect = 8080
        if chance() < 0.3:
            redirect.scheme_redirect = pick(("https", "http", "ftp"))
        elif chance() < 0.2:
            redirect.https_redirect = True
        match pick(("path", "query", "prefix", "regex", "")):
            case "path":
                redirect.path_redirect = "/new"
            case "query":
                redirect.path_redirect = "/new?z=1"
            case "prefix":
                redirect.prefix_rewrite = "/pre"
            case "regex":
                redirect.regex_rewrite.pattern.regex, redirect.regex_rewrite.substitution = "/([a-z]+)", r"/<\1>"
        redirect.strip_query = chance() < 0.3
        redirect.response_code = pick((0, 1, 2, 3, 4))

    def _forward(self, route: Any) -> None:
        pick, chance = self.chance.choice, self.chance.random
        action = route.route
        if chance() < 0.3:
            for name in ("one", "two", "nowhere"):
                share = action.weighted_clusters.clusters.add(name=name)
                share.weight.value = pick((1, 5, 0)) if name != "one" else 3
                if chance() < 0.3:
                    share.host_rewrite_literal = f"{name}.example"
        else:
            action.cluster = pick(("one", "three", "three", "nowhere"))
        if chance() < 0.3:
            action.host_rewrite_literal = "rewritten.example"
        elif chance() < 0.2:
            action.host_rewrite_header = "x-a"
        elif chance() < 0.2:
            rule = action.host_rewrite_path_regex
            rule.pattern.regex, rule.substitution = "^/([A-Za-z]*).*$", r"x\1.example"
        match pick(("prefix", "regex", "", "")):
            case "prefix":
                action.prefix_rewrite = pick(("/", "/new", "/new/"))
            case "regex":
                rule = action.regex_rewrite
                rules = (("/([^/]+)/(.*)", r"/\2/\1"), ("b", r"<\0>"), ("^/", "/v/"))
                rule.pattern.regex, rule.substitution = pick(rules)

    def _filters(self, route: Any) -> None:
        chance = self.chance.random
        if chance() < 0.3:
            policy = CorsPolicy(allow_methods="GET")
            policy.filter_enabled.default_value.numerator = 100
            self._string(policy.allow_origin_string_match.add())
            if chance() < 0.5:
                policy.forward_not_matching_preflights.value = chance() < 0.5
            route.typed_per_filter_config[CORS].CopyFrom(packed(policy))
        if chance() < 0.2:
            fault = HTTPFault()
            if chance() < 0.5:
                fault.abort.http_status = 418
            else:
                fault.abort.grpc_status = self.chance.randrange(17)
            fault.abort.percentage.numerator = self.chance.choice((0, 50, 100, 100))
            if chance() < 0.3:
                self._header(fault.headers.add())
            route.typed_per_filter_config[FAULT].CopyFrom(packed(fault))
