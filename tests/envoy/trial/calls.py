"""Calls that have a chance to match: hosts, paths, headers and addresses of a configuration, and near misses."""

from __future__ import annotations

import random
from typing import Any

from plait.simulate.call import Call
from plait.simulate.configuration import Configuration
from plait.simulate.simulate import manager_of
from plait.xds import names

_PATHS = ["/", "/x", "/x?y=1", "/a/b", "/A/b?q=a%20b", "/a?q=1&q=2", "/a/./b", "/a/../ab", "/%61", "/a//b", "/x%20y",
          "/a/b/c.d?r+s=1&r%20s=a", "/ab?", "/a/%2e%2e/A", "/a%2Fb", "/a\\b",
          "/a/b/.", "/a/b/..", "/..", "/a?q"]  # fmt: skip
_HEADERS = [("origin", "a"), ("origin", "http://x.example"), ("access-control-request-method", "PUT"),
            ("content-type", "application/grpc"), ("content-type", "application/grpc-web"),
            ("content-type", "application/grpc+json"), ("x-forwarded-proto", "https"), ("cookie", "a=b"),
            ("x-a", "1"), ("x-a", "a"), ("x-a", "A,b"), ("x-b", "15"), ("x-b", "-3"), ("x-c", "abc")]  # fmt: skip
_METHODS = ["GET", "GET", "POST", "DELETE", "OPTIONS", "OPTIONS", "HEAD"]


class Calls:
    """A generator; the same seed makes the same calls."""

    def __init__(self, configuration: Configuration, *, gateway: bool, seed: int) -> None:
        self.chance = random.Random(seed)
        self.gateway = gateway
        self.places = [(p.address, p.port_value) for each in configuration.listeners.values()
                       if (p := each.address.socket_address).address]  # fmt: skip
        self.hosts, self.paths, self.headers, self.ranges = ["nobody.example"], [*_PATHS], [*_HEADERS], ["1.3.3.7"]
        self.names, self.protocols = ["nobody.example", ""], ["http/1.1", "h2", "istio", "istio-http/1.1", "istio-h2"]
        for routes in configuration.routes.values():
            self._learn_hosts(routes)
        for listener in configuration.listeners.values():
            for chain in (*listener.filter_chains, listener.default_filter_chain):
                match = chain.filter_chain_match
                self.ranges += [each.address_prefix for each in match.prefix_ranges]
                self.names += [name.replace("*", "a") for name in match.server_names]
                if (manager := manager_of(chain)) is not None:
                    self._learn_hosts(manager.route_config)

    def _learn_hosts(self, routes: Any) -> None:
        for host in routes.virtual_hosts:
            self.hosts += host.domains
            for route in host.routes:
                self._learn(route.match)

    def _learn(self, match: Any) -> None:
        for kind in ("prefix", "path", "path_separated_prefix"):
            if text := getattr(match, kind):
                self.paths += [text, text + "/more", text + "x", text.upper(), text + "?q=1"]
        if match.safe_regex.regex:
            self.paths += ["/a1", "/items/7", "/items/x"]
        for each in match.headers:
            string = each.string_match
            values = [string.exact, string.prefix, string.prefix + "z", string.suffix, string.contains, "1", "a1", ""]
            self.headers += [(each.name, value) for value in values]
        for each in match.query_parameters:
            name = each.name.replace(" ", "%20")
            self.paths += [f"/x?{name}={each.string_match.exact}", f"/x?{name}=1", f"/x?{name}"]

    def one(self) -> Call:
        pick, chance = self.chance.choice, self.chance.random
        address, port = pick(self.places)
        if address == names.ANY_ADDRESS or chance() < 0.2:
            address = pick(self.ranges)
        host = pick(self.hosts)
        host = host.replace("*", pick(["a", "a.b", ""])) or "x"
        if chance() < 0.2:
            host = host.upper() if chance() < 0.5 else f"{host.strip('[]')}:{port}"
        named, method = self._named()
        tls = pick(["plaintext", "plaintext", "plaintext", "tls", "tls", "mtls"]) if self.secure else "plaintext"
        protocol = "tcp" if chance() < 0.1 else pick(["http", "http", "http2"])
        return Call(
            port=port if chance() < 0.9 else 4711,
            address=address if "/" not in address else "1.3.3.7",
            protocol=protocol,
            tls=tls,
            certificate=chance() < 0.5,
            alpn=self._alpn(tls, protocol),
            sni=pick(self.names) if tls != "plaintext" else "",
            host=host,
            method=method,
            path=pick(self.paths).replace(" ", ""),
            headers=named,
            inbound=not self.gateway and chance() < 0.2,
        )  # fmt: skip

    #: Whether TLS is spoken, here and there.
    secure = True

    def _alpn(self, tls: str, protocol: str) -> tuple[str, ...]:
        pick = self.chance.choice
        if tls == "plaintext" or protocol == "tcp":
            return pick([(), ("istio",)]) if tls != "plaintext" else ()
        usual = {"http": [("http/1.1",), ("istio-http/1.1", "http/1.1")], "http2": [("h2",), ("istio-h2", "h2")]}
        return pick([*usual[protocol], ()])

    def _named(self) -> tuple[dict[str, tuple[str, ...]], str]:
        named: dict[str, tuple[str, ...]] = {}
        method = self.chance.choice(_METHODS)
        for name, value in self.chance.sample(self.headers, min(len(self.headers), self.chance.randrange(5))):
            if name == ":method" and value in {"GET", "PUT"}:
                method = value
            elif not name.startswith(":") and name.lower() != "host":
                # The same header twice is one list.
                named[name.lower()] = (*named.get(name.lower(), ()), value)
        return named, method
