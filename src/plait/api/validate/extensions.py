"""What Istio demands of WasmPlugin and TrafficExtension beyond their shape."""

from __future__ import annotations

import re
from typing import Final

from plait.api.extensions import TrafficExtension, Wasm, WasmPlugin
from plait.api.urls import url_scheme
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_targets

_SCHEMES: Final = frozenset({"", "http", "https", "oci", "file"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_CODE: Final = 64 * 1024


def validate_wasmplugin(plugin: WasmPlugin, findings: Findings) -> None:
    """Add what is wrong with `plugin` to `findings`."""
    spec = plugin.spec
    validate_targets(spec.selector, spec.target_ref, spec.target_refs, findings)
    _wasm("spec", spec, findings)


def validate_trafficextension(extension: TrafficExtension, findings: Findings) -> None:
    """Add what is wrong with `extension` to `findings`."""
    spec = extension.spec
    validate_targets(spec.selector, None, spec.target_refs, findings)
    if (spec.wasm is None) == (spec.lua is None):
        findings.error("spec", "exactly one of wasm or lua must be set", fix="wasm or lua")
    if spec.wasm is not None:
        _wasm("spec.wasm", spec.wasm, findings)
    if spec.lua is not None:
        size = len(spec.lua.inline_code.encode(errors="replace"))
        if not size:
            findings.error("spec.lua.inlineCode", "there is no script", fix="a function envoy_on_request")
        if size > _MAX_CODE:
            findings.error("spec.lua.inlineCode", f"{size} bytes are more than 64 KiB", fix="a shorter script")


def _wasm(path: str, wasm: Wasm, findings: Findings) -> None:
    url, fix = wasm.url, "oci://HOST/IMAGE:TAG, https://HOST/PATH or file:///PATH"
    # Istio: what is no URL by itself is one without its beginning.
    whole = url if url_scheme(url, request=True) is not None else f"http://{url}"
    scheme = url_scheme(whole, request=True)
    if not url:
        findings.error(f"{path}.url", "a URL is missing", fix=fix)
    elif scheme is None or url_scheme(whole) is None:
        findings.error(f"{path}.url", f"{url!r} is not a URL", fix=fix, value=url)
    elif scheme not in _SCHEMES:
        # A host with a port reads like a scheme.
        fix = f"oci://{url}" if "." in scheme or scheme == "localhost" else "http, https, oci or file"
        findings.error(f"{path}.url", f"{url!r} has a scheme that is not known: {scheme}", fix=fix, value=url)
    if wasm.sha256 and not _SHA256.fullmatch(wasm.sha256):
        findings.error(f"{path}.sha256", "is 64 hexadecimal digits", fix="what sha256sum prints", value=wasm.sha256)
    seen: set[str] = set()
    for index, variable in enumerate(wasm.vm_config.env if wasm.vm_config is not None else ()):
        where = f"{path}.vmConfig.env[{index}]"
        if not variable.name:
            findings.error(f"{where}.name", "a name is missing", fix="for example LEVEL")
        if variable.name in seen:
            findings.error(f"{where}.name", f"a second variable {variable.name!r}", fix="each once")
        seen.add(variable.name)
        if variable.value_from == "HOST" and variable.value:
            findings.error(f"{where}.value", "is taken from the host", fix="valueFrom: INLINE, or no value")
