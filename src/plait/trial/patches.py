"""Whether Envoy can use what an EnvoyFilter brings: each value that stands for itself, loaded by a scratch Envoy alone.

Only what is whole by itself can be asked about without a proxy's configuration: filters, clusters, listeners and
extensions that are added. What is merged into something else is seen when proxies get it. Knows nothing of Envoy's
message classes, so that the API server need not load them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from plait.kit.digest import content_hash
from plait.trial.complaints import complaint

_ADDS: Final = frozenset({"ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"})
_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_TCP: Final = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
#: What a value refers to by one of these is elsewhere: files of pods, modules to be fetched.
_ELSEWHERE: Final = frozenset(
    {"filename", "path", "config_discovery", "configDiscovery", "remote", "watched_directory"}
)
_NAMES: Final = frozenset({"cluster", "cluster_name", "clusterName"})
_TERMINAL: Final = "terminal filter"
#: How many answers are remembered.
_KEPT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Envoy says: path in the object and words for each value it refuses, and path and reason for each that it was
    not asked about.
    """

    refused: tuple[tuple[str, str], ...] = ()
    untried: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Untried:
    why: str


#: What Envoy has against a value, empty for nothing.
_Answer = str | _Untried
_TOO_SLOW: Final = _Untried("a scratch Envoy was too busy to try it")


class PatchTrials:
    """Asks, and remembers the answers by the hash of what was asked about."""

    def __init__(self, *, seconds: float = 3.0) -> None:
        self._seconds = seconds
        self._answers: dict[str, _Answer] = {}

    def verdict(self, obj: Mapping[str, Any]) -> Verdict | None:
        """What is known of an EnvoyFilter; None where Envoy has to be asked first. No I/O."""
        asked = [(path, _digest(value)) for path, value in values_of(obj)]
        if any(key not in self._answers for _, key in asked):
            return None
        answers = [(path, self._answers[key]) for path, key in asked]
        for _, key in asked:
            if isinstance(self._answers.get(key), _Untried):
                # No property of the value: the next to write it asks again.
                del self._answers[key]
        return Verdict(
            refused=tuple((path, words) for path, words in answers if isinstance(words, str) and words),
            untried=tuple((path, words.why) for path, words in answers if isinstance(words, _Untried)),
        )

    async def find_out(self, obj: Mapping[str, Any]) -> None:
        """Ask Envoy about all that `verdict` does not know; afterwards it does."""
        asked = {_digest(value): value for _, value in values_of(obj)}
        unknown = {key: value for key, value in asked.items() if key not in self._answers}
        found: dict[str, _Answer] = {}
        left = _TOO_SLOW
        try:
            async with asyncio.timeout(self._seconds):
                for key, value in unknown.items():
                    found[key] = await _words(value)
        except TimeoutError:
            pass  # told as such
        except OSError as error:
            left = _Untried(f"no scratch Envoy could try it ({error})")
        self._answers.update(dict.fromkeys(unknown, left) | found)
        while len(self._answers) > _KEPT:
            del self._answers[next(iter(self._answers))]


def values_of(obj: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and (applyTo, value) of what an EnvoyFilter adds and can be tried alone."""
    spec = obj.get("spec")
    patches = spec.get("configPatches") if isinstance(spec, Mapping) else None
    for place, given in enumerate(patches if isinstance(patches, list) else ()):
        patch = given.get("patch") if isinstance(given, Mapping) else None
        if not isinstance(patch, Mapping):
            continue
        value = patch.get("value")
        if not isinstance(value, Mapping) or patch.get("operation") not in _ADDS:
            continue
        if given.get("applyTo") not in _PLACES or _ELSEWHERE & set(_keys(value)):
            continue
        if given["applyTo"] in _TYPED and not ({"typed_config", "typedConfig"} & value.keys()):
            continue
        yield f"spec.configPatches[{place}].patch.value", {"applyTo": given["applyTo"], "value": dict(value)}


def _keys(value: Any) -> Iterator[str]:
    for _, key, _ in _walk(value):
        yield key


def _walk(value: Any) -> Iterator[tuple[Any, str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield value, str(key), inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _digest(value: Mapping[str, Any]) -> str:
    return content_hash(json.dumps(value, sort_keys=True).encode())


async def _words(asked: Mapping[str, Any]) -> str:
    """What Envoy has against a value, empty for nothing."""
    said = await complaint(_bootstrap(asked, alone=False))
    if _TERMINAL in said:
        # A filter that ends the chain has none behind it.
        said = await complaint(_bootstrap(asked, alone=True))
    return said


def _bootstrap(asked: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    value = asked["value"]
    named = {inner for _, key, inner in _walk(value) if key in _NAMES and isinstance(inner, str)}
    listeners, clusters = _PLACES[asked["applyTo"]](value, alone)
    own = [name for name in sorted({"xds-grpc", *named}) if name not in {each.get("name") for each in clusters}]
    service = {"envoy_grpc": {"cluster_name": "xds-grpc"}}
    return {
        "node": {"id": "sidecar~127.0.0.1~trial.trial~trial.svc.cluster.local", "cluster": "trial"},
        "static_resources": {
            "listeners": listeners,
            "clusters": [*({"name": name, "type": "STATIC", "connect_timeout": "1s"} for name in own), *clusters],
        },
        "dynamic_resources": {
            "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
        },
    }


def _listener(filters: list[Any], listener_filters: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": "trial",
            "address": {"pipe": {"path": "@plait-trial"}},
            "listener_filters": listener_filters,
            "filter_chains": [{"filters": filters}],
        }
    ]


def _tcp() -> dict[str, Any]:
    return {"name": "tcp", "typed_config": {"@type": _TCP, "stat_prefix": "trial", "cluster": "xds-grpc"}}


def _http_filter(value: Mapping[str, Any], alone: bool) -> tuple[list[Any], list[Any]]:
    router = {"name": "router", "typed_config": {"@type": _ROUTER}}
    manager = {
        "@type": _HTTP,
        "stat_prefix": "trial",
        "route_config": {"name": "trial"},
        "http_filters": [value] if alone else [value, router],
    }
    return _listener([{"name": "http", "typed_config": manager}], []), []


def _network_filter(value: Mapping[str, Any], alone: bool) -> tuple[list[Any], list[Any]]:
    return _listener([value] if alone else [value, _tcp()], []), []


def _listener_filter(value: Mapping[str, Any], _alone: bool) -> tuple[list[Any], list[Any]]:
    return _listener([_tcp()], [value]), []


def _cluster(value: Mapping[str, Any], _alone: bool) -> tuple[list[Any], list[Any]]:
    return [], [value]


def _whole_listener(value: Mapping[str, Any], _alone: bool) -> tuple[list[Any], list[Any]]:
    return [value], []


_PLACES: Final = {
    "HTTP_FILTER": _http_filter,
    "EXTENSION_CONFIG": _http_filter,
    "NETWORK_FILTER": _network_filter,
    "LISTENER_FILTER": _listener_filter,
    "CLUSTER": _cluster,
    "LISTENER": _whole_listener,
}
_TYPED: Final = frozenset({"HTTP_FILTER", "EXTENSION_CONFIG", "NETWORK_FILTER", "LISTENER_FILTER"})
