"""What Istio demands of the actions of an HTTP rule: header changes, retries, redirects, rewrites, direct responses."""

from __future__ import annotations

from base64 import b64decode
from http import HTTPStatus
from typing import Final

from plait.api.formats import header_format_error
from plait.api.names import is_header_name, is_header_value
from plait.api.regex import regex_error
from plait.api.validate.findings import Findings
from plait.api.virtualservice import Headers, HTTPDirectResponse, HTTPRedirect, HTTPRetry, HTTPRewrite

_MAX_BODY: Final = 1024 * 1024
_LARGE_BODY: Final = 100 * 1024
#: Envoy's redirects.
_REDIRECT_CODES: Final = (301, 302, 303, 307, 308)
_AUTHORITY: Final = frozenset({"host", ":authority"})
_STATUSES: Final = frozenset(map(int, HTTPStatus))
#: Envoy: x-envoy-retry-on and x-envoy-retry-grpc-on.
_RETRY_ON: Final = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream",
        "retriable-status-codes", "retriable-headers", "envoy-ratelimited", "http3-post-connect-failure", "cancelled",
        "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
    }
)  # fmt: skip


def validate_headers(path: str, headers: Headers | None, findings: Findings) -> None:
    """Names and values that Envoy takes; the authority can be set on requests only."""
    if headers is None:
        return
    for direction in ("request", "response"):
        operations = getattr(headers, direction)
        if operations is None:
            continue
        for kind in ("set", "add"):
            for name, value in getattr(operations, kind).items():
                where = f"{path}.{direction}.{kind}[{name}]"
                authority = name.lower() in _AUTHORITY
                if authority and direction != "request":
                    findings.error(where, f"{name!r} can be set on requests only", fix="request.set")
                elif authority and kind == "add":
                    findings.warn(where, f"{name!r} is set, since there is one only", fix="request.set", value=name)
                elif not authority:
                    _header_name(where, name, findings)
                if reason := header_format_error(value):
                    fix = "%% for a per cent sign" if "%" in reason else "a text of one line"
                    findings.error(where, reason, fix=fix, value=value)
        for index, name in enumerate(operations.remove):
            where = f"{path}.{direction}.remove[{index}]"
            if name.lower() == "host" or name.startswith(":"):
                findings.error(where, f"{name!r} cannot be removed", value=name)
            else:
                _header_name(where, name, findings)


def _header_name(path: str, name: str, findings: Findings) -> None:
    """Istio and Envoy take almost any name; what HTTP does not know as one is told."""
    if not name or name.startswith(":") or not is_header_value(name):
        findings.error(path, f"{name!r} is not the name of a header", fix="for example x-team", value=name)
    elif not is_header_name(name):
        findings.warn(path, f"{name!r} is no name of a header in HTTP", fix="letters, digits and -", value=name)


def validate_retries(path: str, retries: HTTPRetry, findings: Findings) -> None:
    """Istio: conditions of Envoy or statuses, in one list without spaces."""
    if not 0 <= retries.attempts <= 0xFFFFFFFF:
        findings.error(f"{path}.attempts", f"{retries.attempts} is negative", fix="0 or more", value=retries.attempts)
    findings.duration(f"{path}.perTryTimeout", retries.per_try_timeout)
    findings.duration(f"{path}.backoff", retries.backoff)
    remote = retries.retry_remote_localities is not None
    if retries.attempts == 0 and (retries.per_try_timeout or retries.retry_on or remote):
        findings.error(
            path, "attempts is 0, so the other fields mean nothing", fix="attempts of 1 or more, or nothing else"
        )
    for text in retries.retry_on.split(",") if retries.retry_on else ():
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        if text not in _RETRY_ON and number not in _STATUSES:
            findings.error(
                f"{path}.retryOn", f"{text!r} is not a condition" + (": a space is too much" if " " in text else ""),
                fix="a status such as 503, or one of "
                + ", ".join(sorted(_RETRY_ON)), value=retries.retry_on,
            )  # fmt: skip
    if not is_header_value(retries.retry_on):
        findings.error(f"{path}.retryOn", "a line break", value=retries.retry_on)


def validate_status(path: str, status: int | None, findings: Findings) -> None:
    """Istio: 200 to 600; the last is one that Envoy cannot send."""
    findings.integer(path, status, low=200, high=600)
    if status == 600:
        findings.warn(path, "600 is not a status of HTTP: 599 is sent", fix="200 to 599", value=status)


def validate_direct_response(path: str, response: HTTPDirectResponse, findings: Findings) -> None:
    """A status, and a body that is not too large to be sent to every proxy."""
    validate_status(f"{path}.status", response.status, findings)
    body = response.body
    if body is None:
        return
    if body.string is not None and body.bytes is not None:
        findings.error(f"{path}.body", "string and bytes exclude each other", fix="one of them")
    # Of base64 four letters are three bytes.
    size = max(len((body.string or "").encode(errors="replace")), len((body.bytes or "").rstrip("=")) * 3 // 4)
    if _LARGE_BODY < size <= _MAX_BODY:
        findings.warn(f"{path}.body", f"{size} bytes for every proxy of the mesh", fix="a shorter body")
    if size > _MAX_BODY:
        findings.error(f"{path}.body", "more than 1 MiB", fix="a shorter body")
    if body.bytes is not None:
        try:
            b64decode(body.bytes, validate=True)
        except ValueError:
            findings.error(f"{path}.body.bytes", "not base64")


def validate_redirect(path: str, redirect: HTTPRedirect, findings: Findings) -> None:
    """Istio: another place, with a status of 3xx."""
    code = redirect.redirect_code
    if code and not 300 <= code <= 399:
        findings.error(f"{path}.redirectCode", f"{code} is not a redirect", fix="301, 302, 303, 307 or 308", value=code)
    elif code and code not in _REDIRECT_CODES:
        findings.warn(
            f"{path}.redirectCode", f"Envoy cannot send {code}: it sends 301", fix="301, 302, 303, 307 or 308",
            value=code,
        )  # fmt: skip
    if redirect.uri and redirect.prefix_rewrite:
        findings.error(path, "uri and prefixRewrite exclude each other", fix="one of them")
    if redirect.port is not None and redirect.derive_port:
        findings.error(path, "port and derivePort exclude each other", fix="one of them")
    if redirect.derive_port not in {"", "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"}:
        findings.error(
            f"{path}.derivePort",
            f"{redirect.derive_port!r} is not a rule",
            fix="FROM_PROTOCOL_DEFAULT or FROM_REQUEST_PORT",
            value=redirect.derive_port,
        )
    if redirect.port == 0:
        findings.warn(f"{path}.port", "0 is no port: that of the request stays", fix="1 to 65535, or no port", value=0)
    elif redirect.port is not None:
        findings.port(f"{path}.port", redirect.port)
    if redirect.scheme not in {"", "http", "https"}:
        findings.error(f"{path}.scheme", f"{redirect.scheme!r}", fix="http or https", value=redirect.scheme)
    if not any((redirect.uri, redirect.authority, redirect.prefix_rewrite, redirect.scheme)) and (
        redirect.port is None and not redirect.derive_port
    ):
        findings.error(path, "a redirect to the same place", fix="uri, prefixRewrite, authority, port or scheme")
    for name, text in (
        ("uri", redirect.uri),
        ("authority", redirect.authority),
        ("prefixRewrite", redirect.prefix_rewrite),
    ):
        if not is_header_value(text):
            findings.error(f"{path}.{name}", "a line break", value=text)


def validate_rewrite(path: str, rewrite: HTTPRewrite, findings: Findings) -> None:
    """One way to change the path, and the authority."""
    if not (rewrite.uri or rewrite.authority or rewrite.uri_regex_rewrite):
        findings.error(path, "nothing to rewrite", fix="uri, authority or uriRegexRewrite")
    if rewrite.uri and rewrite.uri_regex_rewrite:
        findings.error(path, "uri and uriRegexRewrite exclude each other", fix="one of them")
    by_regex = rewrite.uri_regex_rewrite
    if by_regex is not None:
        reason = regex_error(by_regex.match) if by_regex.match else "a pattern is missing"
        if reason:
            findings.error(f"{path}.uriRegexRewrite.match", reason, value=by_regex.match)
        if not by_regex.rewrite:
            findings.error(f"{path}.uriRegexRewrite.rewrite", "a text is missing", fix=r"for example /\1")
    texts = [("uri", rewrite.uri), ("authority", rewrite.authority)]
    if by_regex is not None:
        texts.append(("uriRegexRewrite.rewrite", by_regex.rewrite))
    for name, text in texts:
        if not is_header_value(text):
            findings.error(f"{path}.{name}", "a line break", value=text)
