"""Values of EnvoyFilter patches: JSON as users write it -> Envoy's messages.

Envoy's rule for its own packages makes types easy to find: the package `envoy.extensions.filters.http.lua.v3` is the
folder of that path. So a type URL is looked up when a patch names it, and nothing is imported before.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from google.protobuf import json_format, message_factory
from google.protobuf.any_pb2 import Any as Any_

#: What a patch of each kind changes. BOOTSTRAP is not among them: it acts where a proxy starts.
PATCHED: Final[dict[str, Any]] = {
    "LISTENER": Listener,
    "FILTER_CHAIN": FilterChain,
    "NETWORK_FILTER": Filter,
    "HTTP_FILTER": HttpFilter,
    "LISTENER_FILTER": ListenerFilter,
    "ROUTE_CONFIGURATION": RouteConfiguration,
    "VIRTUAL_HOST": VirtualHost,
    "HTTP_ROUTE": Route,
    "CLUSTER": Cluster,
    "EXTENSION_CONFIG": TypedExtensionConfig,
}
_PACKAGES: Final = ("envoy", "xds", "udpa", "google.protobuf", "opentelemetry.proto", "io.prometheus")
#: Their JSON is no map of fields.
_WELL_KNOWN: Final = "google.protobuf."
#: Types of the API before v3: their messages still exist, but Envoy no longer reads them.
_OLD: Final = re.compile(r"^envoy\.(?:api\.|.*\.v[12](?:alpha\d*)?\.)")


class PatchValueError(ValueError):
    """A value that is not a message of its type. `path` is inside the value, empty when unknown."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class TypeUse(NamedTuple):
    """One `@type` of a value and where it stands."""

    path: str
    name: str


def parse_value(apply_to: str, value: dict[str, Any] | None) -> Any:
    """The message that `value` says. PatchValueError when Envoy would not read it."""
    message = Bootstrap() if apply_to == "BOOTSTRAP" else PATCHED[apply_to]()
    given = value or {}
    for use in _types(given):
        if _OLD.search(use.name):
            raise PatchValueError(f"{use.name} is a type of Envoy's old API (v2), which it no longer reads", use.path)
        if not find_type(use.name):
            raise PatchValueError(f"{use.name} is no type that Envoy knows", use.path)
    try:
        json_format.ParseDict(given, message)
    except json_format.ParseError as error:
        raise _bad(str(error)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise PatchValueError(str(error)) from error
    return message


def faults_of_value(apply_to: str, value: dict[str, Any] | None) -> tuple[PatchValueError, ...]:
    """All that Envoy could not read in a value, as far as one can be told beside the other; unknown types first."""
    given = value or {}
    found: list[PatchValueError] = []
    unknown: set[str] = set()
    for use in _types(given):
        old = bool(_OLD.search(use.name))
        if old or not find_type(use.name):
            what = "a type of Envoy's old API (v2), which it no longer reads" if old else "no type that Envoy knows"
            found.append(PatchValueError(f"{use.name} is {what}", use.path))
            unknown.add(use.path)
    kind = Bootstrap if apply_to == "BOOTSTRAP" else PATCHED[apply_to]
    # Beside what has a type that nobody knows the rest can be read.
    found += _faults(kind, _emptied(given, unknown), "")
    return tuple(found)


def _faults(kind: type[Any], given: Any, path: str) -> list[PatchValueError]:
    """What of a value is wrong, field by field and into those that are messages themselves."""
    error = _fault(kind, given)
    if error is None or not isinstance(given, dict):
        return [] if error is None else [error]
    if kind is Any_:
        inner = find_type(str(given.get("@type", "")).rpartition("/")[2])
        rest = {name: value for name, value in given.items() if name != "@type"}
        if inner is None or inner.DESCRIPTOR.full_name.startswith(_WELL_KNOWN):
            return [PatchValueError(str(error), path)]
        return _faults(inner, rest, path) or [PatchValueError(str(error), path)]
    found: list[PatchValueError] = []
    wrong: set[str] = set()
    for name, value in given.items():
        alone = _fault(kind, {name: value})
        if alone is None:
            continue
        wrong.add(name)
        where = f"{path}.{name}" if path else str(name)
        field = _field(kind, name)
        if field is None:
            found.append(PatchValueError(str(alone), path))
            continue
        inside = [fault for at, item, inner in _messages(field, value, where) for fault in _faults(inner, item, at)]
        found += inside or [PatchValueError(str(alone), where)]
    # Two fields that exclude each other are each right alone.
    together = _fault(kind, {name: value for name, value in given.items() if name not in wrong})
    return found if together is None else [*found, PatchValueError(str(together), path)]


def _fault(kind: type[Any], given: Any) -> PatchValueError | None:
    try:
        json_format.ParseDict(given, kind())
    except json_format.ParseError as error:
        return _bad(str(error))
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        return PatchValueError(str(error))
    return None


def _field(kind: type[Any], name: str) -> Any:
    fields = kind.DESCRIPTOR.fields_by_name
    return fields.get(name) or next((field for field in fields.values() if name == field.json_name), None)


def _messages(field: Any, value: Any, path: str) -> Iterator[tuple[str, Any, type[Any]]]:
    """The messages in the value of a field: (path, value, class); nothing where it is of another shape."""
    message = field.message_type
    if message is None:
        return
    if message.GetOptions().map_entry:
        inner = message.fields_by_name["value"].message_type
        items = [(f"{path}.{name}", item) for name, item in value.items()] if isinstance(value, dict) else []
    elif isinstance(value, list):
        inner, items = message, [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        inner, items = message, [(path, value)]
    if inner is None or (inner.full_name.startswith(_WELL_KNOWN) and inner.full_name != Any_.DESCRIPTOR.full_name):
        return
    kind = message_factory.GetMessageClass(inner)
    yield from ((at, item, Any_ if inner.full_name == Any_.DESCRIPTOR.full_name else kind) for at, item in items
                if isinstance(item, dict))  # fmt: skip


def _emptied(value: Any, paths: set[str], path: str = "") -> Any:
    """The value with what stands at some paths empty."""
    if isinstance(value, dict):
        if path in paths:
            return {}
        return {name: _emptied(item, paths, f"{path}.{name}" if path else str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_emptied(item, paths, f"{path}[{index}]") for index, item in enumerate(value)]
    return value


def plain_value(apply_to: str, value: dict[str, Any] | None) -> dict[str, Any]:
    """What `value` says as JSON with the names of Envoy's fields. PatchValueError when Envoy would not read it."""
    message = parse_value(apply_to, value)
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def _bad(text: str) -> PatchValueError:
    """Protobuf's words (`… has no field named "x" at "Cluster.y".`) with the path apart."""
    first = text.partition("\n")[0].strip()
    found = re.search(r' at "?([\w.\[\]]*)"?\.?$', first)
    path = found[1].rstrip(".").partition(".")[2] if found else ""
    plain = re.sub(r"^(?:Failed to parse \w+ field: )+", "", first)
    plain = re.sub(r' at "?[\w.\[\]]*"?\.?$', "", plain).rstrip(". ")
    plain = re.sub(r"Message type \"([^\"]+)\" has no field named \"([^\"]+)\"", r"\1 has no field \2", plain)
    return PatchValueError(plain[:1].lower() + plain[1:] if plain[:1].isupper() else plain, path)


def _types(value: Any, path: str = "") -> Iterator[TypeUse]:
    if isinstance(value, dict):
        name = value.get("@type")
        if isinstance(name, str):
            yield TypeUse(path, name.rpartition("/")[2])
        for key, item in value.items():
            yield from _types(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _types(item, f"{path}[{index}]")


@cache
def find_type(name: str) -> type[Any] | None:
    """The class of the message `name`; None when there is none. Its module is imported if need be."""
    package, _, short = name.rpartition(".")
    if not short.isidentifier() or not package.startswith(_PACKAGES):
        return None
    if not all(part.isidentifier() for part in package.split(".")):
        return None
    try:
        folder = importlib.import_module(package)
    except ImportError:
        return None
    for entry in pkgutil.iter_modules(getattr(folder, "__path__", ())):
        if entry.name.endswith("_pb2"):
            found = getattr(importlib.import_module(f"{package}.{entry.name}"), short, None)
            if found is not None and getattr(found, "DESCRIPTOR", None) is not None:
                return found  # type: ignore[no-any-return]
    return None


def unpacked(value: Any) -> Any | None:
    """The message inside an Any; None when its type is not known."""
    kind = find_type(value.type_url.rpartition("/")[2])
    return kind.FromString(value.value) if kind is not None else None
