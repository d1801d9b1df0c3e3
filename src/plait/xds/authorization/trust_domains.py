"""Trust domains in policies: a mesh that has several names means the same workload by each of them (Istio's rule)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plait.api.spiffe import DEFAULT_TRUST_DOMAIN

#: TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT.
_PARTS = 5


def principals(given: Iterable[str], domains: tuple[str, ...]) -> Iterator[str]:
    """`given`, and what they are called in the mesh's other trust domains; `domains` are all of them.

    A principal without a trust domain of its own, or with one that is not the mesh's, is left as it is. `cluster.local`
    stands for the mesh's own whatever its name.
    """
    for principal in given:
        domain, *rest = principal.split("/")
        foreign = not any(_means(each, domain) for each in domains) and domain != DEFAULT_TRUST_DOMAIN
        if len(rest) != _PARTS - 1 or domain == "*" or foreign:
            yield principal
            continue
        tail = "/".join(rest)
        yield from dict.fromkeys(principal if _ends(domain, each) else f"{each}/{tail}" for each in domains)


def trust_domains(given: Iterable[str], domains: tuple[str, ...]) -> tuple[str, ...]:
    """`given`, with all of the mesh's for each of the mesh's."""
    found = (name for each in given for name in (domains if each in domains else (each,)))
    return tuple(dict.fromkeys(found))


def _means(domain: str, pattern: str) -> bool:
    """Whether `pattern`, with a `*` at one end or none, may be read as `domain`."""
    return domain == pattern or _ends(pattern, domain) or (pattern.endswith("*") and domain.startswith(pattern[:-1]))


def _ends(pattern: str, domain: str) -> bool:
    return pattern.startswith("*") and domain.endswith(pattern[1:])
