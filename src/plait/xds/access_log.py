"""Access logs: one line for each request or connection, in Istio's format, with the origin of the route at its end."""

from __future__ import annotations

from typing import Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StderrAccessLog, StdoutAccessLog

from plait.api.mesh_settings import json_fields
from plait.mesh.config import MeshConfig
from plait.xds.encode import packed

_ORIGIN: Final = "%METADATA(ROUTE:plait:origin)%"
_TEXT: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME% "
    f'"{_ORIGIN}"\n'
)
_JSON: Final = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "route_name": "%ROUTE_NAME%",
    "origin": _ORIGIN,
}


def access_logs(mesh: MeshConfig) -> tuple[AccessLog, ...]:
    """The loggers of every HTTP connection manager and TCP proxy."""
    path = mesh.access_log_file
    if not path:
        return ()
    line = _format(mesh)
    # By name rather than by path: the proxy's user may write to its standard output, but not open it.
    if path == "/dev/stdout":
        return (AccessLog(name="envoy.access_loggers.stdout", typed_config=packed(StdoutAccessLog(log_format=line))),)
    if path == "/dev/stderr":
        return (AccessLog(name="envoy.access_loggers.stderr", typed_config=packed(StderrAccessLog(log_format=line))),)
    config = FileAccessLog(path=path, log_format=line)
    return (AccessLog(name="envoy.access_loggers.file", typed_config=packed(config)),)


def _format(mesh: MeshConfig) -> SubstitutionFormatString:
    result = SubstitutionFormatString()
    if mesh.access_log_encoding == "JSON":
        result.json_format.update(json_fields(mesh.access_log_format) or _JSON)
    else:
        text = mesh.access_log_format or _TEXT
        result.text_format_source.inline_string = text if text.endswith("\n") else f"{text}\n"
    return result
