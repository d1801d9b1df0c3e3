"""Rules of one VirtualService that hide each other: Istio's two messages, and what its comparison misses.

Istio compares matches as texts (equal ones) and prefixes of paths. PLT0001 asks the question itself: does an earlier
rule take every request that a later one is for?
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from heapq import heapify, heappop, heapreplace
from typing import Any, Final

import msgspec

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.covering import Conditions, Prefixes, fewest
from plait.analyze.fields import labels, mapping, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.messages import DEAD_ROUTE, INEFFECTIVE_MATCH, UNREACHABLE_RULE
from plait.analyze.world import Item, World

_PROTOCOLS: Final = ("http", "tcp", "tls")
#: As many prefixes that an earlier one covers are told of one object; of further ones their number.
MOST_COVERED: Final = 1000


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
    """Istio: a prefix of a path that begins with an earlier one, where the rest of the match is as wide or wider.

    Each is told with each that covers it, which may be the square of all; so there is an end to it, and a number.
    """
    earlier = Prefixes()
    seen: set[bytes] = set()
    catch_all = False
    told = further = 0
    for index, rule in mappings(item.spec, "http"):
        matches = list(mappings(rule, "match"))
        catch_all = catch_all or not matches
        for place, match in matches:
            prefix = text(match, "uri", "prefix")
            if catch_all or not prefix or (content := _content(match)) in seen:
                continue
            seen.add(content)
            if told == MOST_COVERED:
                further += next(earlier.shorter(match), None) is not None
            else:
                wider = sorted(earlier.shorter(match))
                left = MOST_COVERED - told
                told += min(len(wider), left)
                further += len(wider) > left
                for before in wider[:left]:
                    yield found(
                        INEFFECTIVE_MATCH,
                        item,
                        f"spec.http[{index}].match[{place}]",
                        value=prefix,
                        fix="the longer prefix first",
                        match=f"{_title(match, place)} (prefix {prefix})",
                        rule=_title(rule, index),
                        earlier=f"prefix {before.prefix} in spec.http[{before.rule}].match[{before.place}]",
                    )
            earlier.add(index, place, match)
    if further:
        matches_are = "1 more match is" if further == 1 else f"{further} more matches are"
        end = f"{matches_are} already taken by earlier prefixes: the first {MOST_COVERED} cases are told one by one"
        yield replace(
            found(INEFFECTIVE_MATCH, item, "spec.http", fix="the longer prefixes first", match="", rule="", earlier=""),
            text=end,
        )


# The question itself.


def dead_rules(item: Item) -> tuple[Finding, ...]:
    """Rules of one VirtualService that no request comes to."""
    return item.kept("dead-rules", lambda: tuple(_dead_rules(item)))


def _check_dead(_world: World, item: Item) -> Iterator[Finding]:
    yield from dead_rules(item)


def _dead_rules(item: Item) -> Iterator[Finding]:
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
        self._conditions = Conditions()
        self._found: dict[Hashable, dict[Hashable, list[tuple[int, int, dict[str, Any]]]]] = {}
        self._count = 0

    def add(self, rule: int, match: dict[str, Any]) -> None:
        """A match of the rule with this index."""
        self._count += 1
        for first, second in [self._http_key(match)] if self._http else _l4_keys(match):
            self._found.setdefault(first, {}).setdefault(second, []).append((self._count, rule, match))

    def first(self, match: dict[str, Any]) -> int | None:
        """The first rule with a match that takes everything that `match` is for."""
        firsts, seconds = self._http_asks(match) if self._http else _l4_asks(match)
        lists = [
            entries
            for key in firsts
            if (table := self._found.get(key)) is not None
            for other in seconds
            if (entries := table.get(other)) is not None
        ]
        # The next of each list; most often the first of all will do.
        heads = [(entries[0][0], which, 0) for which, entries in enumerate(lists)]
        heapify(heads)
        while heads:
            _, which, place = heads[0]
            entries = lists[which]
            _, rule, before = entries[place]
            if self._covers(before, match):
                return rule
            if place + 1 < len(entries):
                heapreplace(heads, (entries[place + 1][0], which, place + 1))
            else:
                heappop(heads)
        return None

    def _http_key(self, before: dict[str, Any]) -> tuple[Hashable, Hashable]:
        """Its path, and of its other conditions the one that fewest have, as far as there are any."""
        uri = before.get("uri")
        path = None if uri in _ANY_PATH else self._conditions.wanted("uri", uri, blind=True)
        wanted = (self._conditions.wanted(about, value) for about, value in _compared(before))
        other = fewest((key for key in wanted if key is not None), self._found.get(path, {}))
        self._conditions.learn(path)
        self._conditions.learn(other)
        return path, other

    def _http_asks(self, after: dict[str, Any]) -> tuple[list[Hashable], list[Hashable]]:
        uri = after.get("uri")
        paths = dict.fromkeys([None, *self._conditions.fulfilled("uri", uri, blind=True)])
        others = [key for about, value in _compared(after) for key in self._conditions.fulfilled(about, value)]
        return list(paths), list(dict.fromkeys([None, *others]))


def _compared(match: dict[str, Any]) -> Iterator[tuple[Hashable, object]]:
    """What a narrower match must want too, but for the path; a port counts as a text."""
    if port := number(match, "port"):
        yield "port", {"exact": str(port)}
    for field in ("scheme", "method", "authority"):
        yield field, match.get(field)
    for field in ("headers", "queryParams"):
        for name, value in _entries(match, field):
            yield (field, name), value


def _header(name: str) -> str:
    """A header's name, which has no case; that of a token's claim, which stands for one, has."""
    return name if name.startswith("@") else name.lower()


def _l4_keys(before: dict[str, Any]) -> Iterator[tuple[Hashable, Hashable]]:
    names, subnets = (dict.fromkeys(texts(before, field)) for field in ("sniHosts", "destinationSubnets"))
    keys: list[Hashable] = [("name", each) for each in names] or [("subnet", each) for each in subnets] or [None]
    return ((number(before, "port"), key) for key in keys)


def _l4_asks(after: dict[str, Any]) -> tuple[list[Hashable], list[Hashable]]:
    names, subnets = texts(after, "sniHosts")[:1], texts(after, "destinationSubnets")[:1]
    ports: list[Hashable] = list(dict.fromkeys((0, number(after, "port"))))
    return ports, [None, *(("name", each) for each in names), *(("subnet", each) for each in subnets)]


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
