"""Host names: completing short ones, and matching wildcards with the most specific first (Istio's rules)."""

from __future__ import annotations

from collections.abc import Iterable


def service_host(name: str, namespace: str, domain: str) -> str:
    """The full host name of a Service."""
    return f"{name}.{namespace}.svc.{domain}"


def complete_host(host: str, namespace: str, domain: str) -> str:
    """`host` as written in an object of `namespace`, in full and in lower case.

    Istio completes only names without a dot: `reviews.default` is taken as it stands, an address too.
    """
    host = host.lower().removesuffix(".")
    return (
        host
        if "." in host or ":" in host or host.startswith("*") or not host
        else service_host(host, namespace, domain)
    )


def is_wildcard(host: str) -> bool:
    """Whether `host` is `*` or begins with `*`."""
    return host.startswith("*")


def host_matches(pattern: str, host: str) -> bool:
    """Whether every name of `host` is one of `pattern`; both may be wildcards (`*` is all names)."""
    if not pattern.startswith("*"):
        return pattern == host
    return host.removeprefix("*").endswith(pattern[1:]) and (pattern == "*" or len(host) >= len(pattern))


def narrower(one: str, other: str) -> str | None:
    """What two hosts, each possibly a wildcard, have in common: the narrower of them, or None."""
    if host_matches(one, other):
        return other
    return one if host_matches(other, one) else None


class Hosts:
    """Hosts of which some may be wildcards, asked what they have in common with others."""

    __slots__ = ("_exact", "_wildcards")

    def __init__(self, hosts: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._wildcards: set[str] = set()
        for host in hosts:
            (self._wildcards if is_wildcard(host) else self._exact).add(host)

    def common(self, others: Iterable[str]) -> set[str]:
        """What each of these and each of `others` have in common (see `narrower`)."""
        result: set[str] = set()
        for other in others:
            if is_wildcard(other):
                every = (*self._exact, *self._wildcards)
                result.update(both for one in every if (both := narrower(one, other)) is not None)
            elif other in self._exact or any(host_matches(one, other) for one in self._wildcards):
                result.add(other)
        return result


def specificity(pattern: str) -> tuple[bool, int]:
    """Sort key: greater is more specific. Exact before wildcard, longer before shorter."""
    return (not is_wildcard(pattern), len(pattern))


def most_specific(patterns: Iterable[str], host: str) -> str | None:
    """The most specific of `patterns` that holds for `host`."""
    return max((pattern for pattern in patterns if host_matches(pattern, host)), key=specificity, default=None)
