"""Rules of one VirtualService that hide each other: Istio's two messages, and what its comparison misses.

Istio compares matches as texts (equal ones) and prefixes of paths. PLT0001 asks the question itself: does an earlier
rule take every request that a later one is for?
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Final

import msgspec

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mapping, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.messages import DEAD_ROUTE, INEFFECTIVE_MATCH, UNREACHABLE_RULE
from plait.analyze.world import Item, World

_PROTOCOLS: Final = ("http", "tcp", "tls")


def unreachable_rules(item: Item) -> tuple[Finding, ...]:
    """Istio's messages about one VirtualService."""
    return item.kept("unreachable-rules", lambda: tuple(_unreachable_rules(item)))


def _unreachable_rules(item: Item) -> Iterator[Finding]:
    for protocol in _PROTOCOLS:
        rules = list(mappings(item.spec, protocol))
        yield from _repeated(item, protocol, rules)
    yield from _covered_prefixes(item)


def _repeated(item: Item, protocol: str, rules: list[tuple[int, dict[str, Any]]]) -> Iterator[Finding]:
    seen: dict[bytes, int] = {}
    catch_all: int | None = None
    for index, rule in rules:
        path = f"spec.{protocol}[{index}]"
        matches = list(mappings(rule, "match"))
        if not matches:
            if catch_all is not None:
                reason = f"{_name(protocol, catch_all)} has no match either, and comes first"
                yield found(UNREACHABLE_RULE, item, path, fix="a match", rule=_title(rule, index), reason=reason)
            catch_all = index
            continue
        repeated = 0
        for place, match in matches:
            if catch_all is not None:
                reason = f"{_name(protocol, catch_all)} has no match and takes everything"
                yield found(
                    UNREACHABLE_RULE,
                    item,
                    path,
                    fix="the rule without match at the end",
                    rule=_title(rule, index),
                    reason=reason,
                )
                continue
            content = _content(match)
            if content in seen:
                repeated += 1
                yield found(
                    INEFFECTIVE_MATCH,
                    item,
                    f"{path}.match[{place}]",
                    match=_title(match, place),
                    rule=_title(rule, index),
                    earlier=_name(protocol, seen[content]),
                )
            else:
                seen[content] = index
        if repeated == len(matches):
            reason = "earlier rules have all of its matches"
            yield found(UNREACHABLE_RULE, item, path, rule=_title(rule, index), reason=reason)


def _content(match: dict[str, Any]) -> bytes:
    """A match as text, without the name that has no part in matching."""
    return msgspec.json.encode({name: value for name, value in match.items() if name != "name"}, order="sorted")


def _title(part: Mapping[str, Any], index: int) -> str:
    return repr(text(part, "name")) if text(part, "name") else f"#{index}"


def _name(protocol: str, index: int) -> str:
    return f"spec.{protocol}[{index}]"


def _covered_prefixes(item: Item) -> Iterator[Finding]:
    """Istio: a prefix of a path that begins with an earlier one, where the rest of the match is as wide or wider."""
    earlier: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
    seen: set[bytes] = set()
    catch_all = False
    for index, rule in mappings(item.spec, "http"):
        matches = list(mappings(rule, "match"))
        catch_all = catch_all or not matches
        for place, match in matches:
            prefix = text(match, "uri", "prefix")
            if catch_all or not prefix or _content(match) in seen:
                continue
            seen.add(_content(match))
            wider = (one for shorter in _beginnings(prefix) if shorter != prefix for one in earlier.get(shorter, ()))
            for rule_before, place_before, before in sorted(wider, key=_position):
                if _istio_covers(before, match):
                    where = f"prefix {text(before, 'uri', 'prefix')} in spec.http[{rule_before}].match[{place_before}]"
                    yield found(
                        INEFFECTIVE_MATCH,
                        item,
                        f"spec.http[{index}].match[{place}]",
                        value=prefix,
                        fix="the longer prefix first",
                        match=f"{_title(match, place)} (prefix {prefix})",
                        rule=_title(rule, index),
                        earlier=where,
                    )
            earlier.setdefault(prefix, []).append((index, place, match))


def _beginnings(content: str) -> Iterator[str]:
    return (content[:length] for length in range(len(content) + 1))


def _position(one: tuple[int, int, dict[str, Any]]) -> tuple[int, int]:
    return one[:2]


def _istio_covers(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the rest of `before` is as wide; that its path is, is known."""
    if number(before, "port") != number(after, "port"):
        return False
    methods = [_form(mapping(match, "method")) or "exact:GET" for match in (before, after)]
    authorities = [_form(mapping(match, "authority")) for match in (before, after)]
    if not methods[0].startswith(methods[1]) or not authorities[0].startswith(authorities[1]):
        return False
    for field in ("headers", "queryParams", "withoutHeaders"):
        first, second = mapping(before, field), mapping(after, field)
        if len(first) != len(second):
            return False
        for name in first:
            if name not in second or not _form(first[name]).startswith(_form(second[name])):
                return False
    return True


def _form(match: object) -> str:
    if text(match, "exact"):
        return "exact:" + text(match, "exact")
    return "prefix:" + text(match, "prefix") if text(match, "prefix") else ""


# The question itself.


def _check_dead(_world: World, item: Item) -> Iterator[Finding]:
    if not texts(item.spec, "hosts"):
        # Of a delegate's rules those count that are within the rule which delegates: the wider one may be left out.
        return
    told = {finding.path for finding in unreachable_rules(item) if finding.message is UNREACHABLE_RULE}
    for protocol in _PROTOCOLS:
        before = Earlier(protocol)
        for index, rule in mappings(item.spec, protocol):
            path = f"spec.{protocol}[{index}]"
            matches = list(mappings(rule, "match")) or [(0, {})]
            hidden = [before.first(match) for _, match in matches]
            if path not in told and None not in hidden:
                takers = sorted({_name(protocol, one) for one in hidden if one is not None})
                yield found(
                    DEAD_ROUTE,
                    item,
                    path,
                    fix="the narrower rule first",
                    what=f"rule {_title(rule, index)}",
                    earlier=" and ".join(takers),
                )
            if not isinstance(rule.get("delegate"), dict):
                # What the delegate does not take goes on to the next rule.
                for _, match in matches:
                    before.add(index, match)


class Earlier:
    """The matches of earlier rules, found by what a narrower one must have in common with them.

    So that a host with thousands of paths does not cost the square of it.
    """

    def __init__(self, protocol: str) -> None:
        self._covers = COVERS[protocol]
        self._http = protocol == "http"
        self._found: dict[Hashable, list[tuple[int, int, dict[str, Any]]]] = {}
        self._count = 0

    def add(self, rule: int, match: dict[str, Any]) -> None:
        """A match of the rule with this index."""
        self._count += 1
        for key in _http_keys(match) if self._http else _l4_keys(match):
            self._found.setdefault(key, []).append((self._count, rule, match))

    def first(self, match: dict[str, Any]) -> int | None:
        """The first rule with a match that takes everything that `match` is for."""
        keys = dict.fromkeys(_http_asks(match) if self._http else _l4_asks(match))
        candidates = sorted((one for key in keys for one in self._found.get(key, ())), key=_position)
        return next((rule for _, rule, before in candidates if self._covers(before, match)), None)


def _http_keys(before: dict[str, Any]) -> Iterator[Hashable]:
    """Path and one header with a certain value, as far as they are wanted."""
    uri, path = before.get("uri"), None
    if uri not in _ANY_PATH and isinstance(uri, dict):
        kind = next((kind for kind in ("regex", "exact") if kind in uri), "prefix")
        path = kind, text(uri, kind) if kind == "regex" else text(uri, kind).lower()
    yield path, min(_certain(before), default=None)


def _http_asks(after: dict[str, Any]) -> Iterator[Hashable]:
    headers = [None, *_certain(after)]
    paths: list[tuple[str, str] | None] = [None]
    uri = after.get("uri")
    if isinstance(uri, dict):
        whole = text(uri, "exact" if "exact" in uri else "prefix").lower()
        paths += [("regex", text(uri, "regex")), ("exact", whole), *(("prefix", part) for part in _beginnings(whole))]
    return ((path, header) for path in paths for header in headers)


def _certain(match: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in mapping(match, "headers").items():
        if isinstance(value, dict) and "exact" in value and "regex" not in value:
            yield _header(name), text(value, "exact")


def _header(name: str) -> str:
    """A header's name, which has no case; that of a token's claim, which stands for one, has."""
    return name if name.startswith("@") else name.lower()


def _l4_keys(before: dict[str, Any]) -> Iterator[Hashable]:
    return ((number(before, "port"), name) for name in texts(before, "sniHosts") or (None,))


def _l4_asks(after: dict[str, Any]) -> Iterator[Hashable]:
    names = texts(after, "sniHosts")[:1]
    return ((port, name) for port in {0, number(after, "port")} for name in (None, *names))


#: Matches that every path fulfils.
_ANY_PATH: Final[tuple[Any, ...]] = (None, {}, {"prefix": "/"}, {"regex": ".*"}, {"regex": "/.*"})


def _http_covers(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether every request that `after` is for is also one that `before` is for."""
    if before.get("uri") not in _ANY_PATH:
        blind = before.get("ignoreUriCase") is True
        if after.get("ignoreUriCase") is True and not blind:
            return False
        if not _text_covers(before.get("uri"), after.get("uri"), blind=blind):
            return False
    for field in ("scheme", "method", "authority"):
        if not _text_covers(before.get(field), after.get(field)):
            return False
    for field in ("headers", "queryParams"):
        # An entry that `before` wants must be wanted by `after` too, and at least as narrowly.
        given = _entries(after, field)
        for name, match in _entries(before, field):
            if not any(name == other and _text_covers(match, narrower) for other, narrower in given):
                return False
    # What `before` excludes, `after` must exclude in the same words.
    also = _entries(after, "withoutHeaders")
    if any(entry not in also for entry in _entries(before, "withoutHeaders")):
        return False
    # A match that names gateways has no conditions on the caller; see plait.mesh.routes.
    return _place_covers(*(_without_source(match) if texts(match, "gateways") else match for match in (before, after)))


def _without_source(match: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in match.items() if name not in {"sourceLabels", "sourceNamespace"}}


def _entries(match: dict[str, Any], field: str) -> list[tuple[str, Any]]:
    """All of them hold, also two for one header in different case."""
    return [(name if field == "queryParams" else _header(name), value) for name, value in mapping(match, field).items()]


def _text_covers(before: object, after: object, *, blind: bool = False) -> bool:
    """The same for one text match; regular expressions are compared as texts. A missing match takes everything."""
    if not isinstance(before, dict) or not before:
        return True
    if not isinstance(after, dict) or not after:
        return False
    fold: Callable[[str], str] = str.lower if blind else str
    if "regex" in before:
        return before.get("regex") in {".*", after.get("regex")}
    if "exact" in before:
        return "exact" in after and fold(text(before, "exact")) == fold(text(after, "exact"))
    prefix = fold(text(before, "prefix"))
    narrower = text(after, "exact") if "exact" in after else text(after, "prefix") if "prefix" in after else None
    return narrower is not None and fold(narrower).startswith(prefix)


def _place_covers(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Port, caller and gateway: what `before` restricts, `after` must restrict at least as much."""
    if number(before, "port") not in {0, number(after, "port")}:
        return False
    if not labels(before, "sourceLabels").items() <= labels(after, "sourceLabels").items():
        return False
    if text(before, "sourceNamespace") not in {"", text(after, "sourceNamespace")}:
        return False
    gateways = set(texts(before, "gateways"))
    return not gateways or (bool(sequence(after, "gateways")) and set(texts(after, "gateways")) <= gateways)


def _l4_covers(before: dict[str, Any], after: dict[str, Any]) -> bool:
    for field in ("destinationSubnets", "sniHosts"):
        wanted = set(texts(before, field))
        if wanted and (not sequence(after, field) or not set(texts(after, field)) <= wanted):
            return False
    if text(before, "sourceSubnet") not in {"", text(after, "sourceSubnet")}:
        return False
    return _place_covers(before, after)


COVERS: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], bool]]] = {
    "http": _http_covers,
    "tcp": _l4_covers,
    "tls": _l4_covers,
}

ANALYZERS: Final = (
    Analyzer(name="plait.DeadRoutes", messages=(DEAD_ROUTE,), subjects=(VIRTUAL_SERVICE,), check=_check_dead),
)
