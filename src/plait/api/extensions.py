"""extensions.istio.io: WasmPlugin and TrafficExtension."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from plait.api.meta import Metadata
from plait.api.selection import LabelSelector, TargetReference


class EnvironmentVariable(msgspec.Struct, frozen=True, rename="camel"):
    """A variable of a plugin's machine."""

    name: str = ""
    value_from: Literal["INLINE", "HOST"] = "INLINE"
    value: str = ""


class VMConfig(msgspec.Struct, frozen=True):
    """The machine that runs a plugin."""

    env: tuple[EnvironmentVariable, ...] = ()


class TrafficSelector(msgspec.Struct, frozen=True):
    """The traffic an extension sees."""

    mode: str = "UNDEFINED"
    ports: tuple[dict[str, Any], ...] = ()


class Wasm(msgspec.Struct, frozen=True, rename="camel"):
    """A WebAssembly module and how it is run."""

    url: str = ""
    sha256: str = ""
    image_pull_policy: str = ""
    image_pull_secret: str = ""
    verification_key: str = ""
    plugin_config: dict[str, Any] | None = None
    plugin_name: str = ""
    fail_strategy: str = ""
    vm_config: VMConfig | None = None
    type: str = ""


class WasmPluginSpec(Wasm, frozen=True, rename="camel"):
    """A module for the selected workloads."""

    selector: LabelSelector | None = None
    target_ref: TargetReference | None = None
    target_refs: tuple[TargetReference, ...] = ()
    phase: str = ""
    priority: int | None = None
    match: tuple[TrafficSelector, ...] = ()


class WasmPlugin(msgspec.Struct, frozen=True):
    """extensions.istio.io WasmPlugin."""

    metadata: Metadata
    spec: WasmPluginSpec = WasmPluginSpec()


class Lua(msgspec.Struct, frozen=True, rename="camel"):
    """A script."""

    inline_code: str = ""


class TrafficExtensionSpec(msgspec.Struct, frozen=True, rename="camel"):
    """A module or a script for the selected workloads."""

    selector: LabelSelector | None = None
    target_refs: tuple[TargetReference, ...] = ()
    phase: str = ""
    priority: int | None = None
    match: tuple[TrafficSelector, ...] = ()
    wasm: Wasm | None = None
    lua: Lua | None = None


class TrafficExtension(msgspec.Struct, frozen=True):
    """extensions.istio.io TrafficExtension."""

    metadata: Metadata
    spec: TrafficExtensionSpec = TrafficExtensionSpec()
