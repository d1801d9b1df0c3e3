"""Where an API server is and how to be let in: from a kubeconfig, or from a pod's service account folder."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from plait.kube.errors import AccessError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one API server; `ca`, `client_cert` and `client_key` are PEM text.

    `token_file` wins over `token`: it is read again when it changes, since service account tokens expire.
    """

    server: str
    ca: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    client_cert: str | None = None
    client_key: str | None = field(default=None, repr=False)
    server_name: str | None = None
    verify: bool = True
    namespace: str = "default"

    @classmethod
    def from_kubeconfig(cls, path: Path | str, context: str | None = None) -> Access:
        """Read the current context, or the one named; raises AccessError."""
        file = Path(path)
        try:
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise AccessError(f"the kubeconfig {file} cannot be read: {error.strerror}") from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise AccessError(f"{file} is not a kubeconfig: {error}") from error
        if not isinstance(config, dict):
            raise AccessError(f"{file} is not a kubeconfig: expected a mapping with clusters, users and contexts")
        name = context or config.get("current-context")
        if not name:
            raise AccessError(f"{file} has no current-context; name a context")
        chosen = _entry(file, config, "contexts", "context", name)
        cluster = _entry(file, config, "clusters", "cluster", str(chosen.get("cluster")))
        user = _entry(file, config, "users", "user", str(chosen["user"])) if chosen.get("user") else {}
        if not cluster.get("server"):
            raise AccessError(f"{file}: cluster {chosen.get('cluster')!r} has no server")
        for unusable in ("exec", "auth-provider", "username"):
            if user.get(unusable):
                raise AccessError(
                    f"{file}: user {chosen.get('user')!r} uses {unusable!r}, which is not supported; "
                    "use a token or a client certificate"
                )
        token_file = user.get("tokenFile")
        return cls(
            server=str(cluster["server"]).rstrip("/"),
            ca=_pem(file, cluster, "certificate-authority"),
            token=user.get("token"),
            token_file=file.parent / token_file if token_file else None,
            client_cert=_pem(file, user, "client-certificate"),
            client_key=_pem(file, user, "client-key"),
            server_name=cluster.get("tls-server-name"),
            verify=not cluster.get("insecure-skip-tls-verify", False),
            namespace=chosen.get("namespace") or "default",
        )

    @classmethod
    def in_cluster(cls, folder: Path = SERVICE_ACCOUNT, *, host: str, port: int | str) -> Access:
        """From a pod's service account; `host` and `port` are KUBERNETES_SERVICE_HOST and _PORT."""
        try:
            ca = (folder / "ca.crt").read_text(encoding="ascii")
            namespace = (folder / "namespace").read_text(encoding="ascii").strip()
        except OSError as error:
            raise AccessError(f"no service account in {folder}: {error}") from error
        shown = f"[{host}]" if ":" in host else host
        return cls(
            server=f"https://{shown}:{port}", ca=ca, token_file=folder / "token", namespace=namespace or "default"
        )

    def tls(self) -> ssl.SSLContext | bool:
        """What aiohttp wants as `ssl`; the key goes to OpenSSL by memory, not by a file."""
        if not self.server.startswith("https:"):
            return False
        context = ssl.create_default_context(cadata=self.ca)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert and self.client_key:
            pair = os.memfd_create("client", os.MFD_CLOEXEC)
            try:
                os.write(pair, f"{self.client_cert}\n{self.client_key}\n".encode())
                context.load_cert_chain(f"/proc/self/fd/{pair}")
            except ssl.SSLError as error:
                raise AccessError(f"the client certificate and key do not belong together: {error}") from error
            finally:
                os.close(pair)
        return context


class TokenSource:
    """The bearer token of the moment."""

    def __init__(self, access: Access) -> None:
        self._file = access.token_file
        self._token = access.token
        self._seen: tuple[int, int, int] | None = None

    def token(self) -> str | None:
        """The current token; a file is read again when it was replaced. Raises AccessError."""
        if self._file is None:
            return self._token
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._token = self._file.read_text(encoding="ascii").strip()
                self._seen = seen
        except OSError as error:
            if self._token is None:
                raise AccessError(f"cannot read token {self._file}: {error}") from error
        return self._token


def _entry(file: Path, config: dict[str, Any], section: str, key: str, name: str) -> dict[str, Any]:
    for item in config.get(section) or ():
        if isinstance(item, dict) and item.get("name") == name:
            value = item.get(key)
            return value if isinstance(value, dict) else {}
    known = ", ".join(repr(item.get("name")) for item in config.get(section) or () if isinstance(item, dict))
    raise AccessError(f"{file}: no {key} {name!r} in {section}; there is {known or 'none'}")


def _pem(file: Path, entry: dict[str, Any], key: str) -> str | None:
    """PEM text from `KEY-data` (base64) or the file named by `KEY`, which is relative to the kubeconfig."""
    try:
        if data := entry.get(f"{key}-data"):
            return base64.b64decode(str(data), validate=True).decode("ascii")
        if name := entry.get(key):
            return (file.parent / str(name)).read_text(encoding="ascii")
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise AccessError(f"{file}: {key}-data is not base64 of PEM: {error}") from error
    except OSError as error:
        raise AccessError(f"{file}: {key}: {error}") from error
    return None
