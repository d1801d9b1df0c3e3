"""Certificates that are missing or unusable: in the log, as a Warning Event on the object that asks for them, and as
findings for its status.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeAlias

from plait.analyze.finding import Finding
from plait.analyze.messages import INVALID_CREDENTIAL, REFERENCE_NOT_FOUND
from plait.mesh.credentials import AUTHORITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plait.api.meta import ObjectKey
    from plait.delivery.objects import Objects
    from plait.delivery.refusals import Records
    from plait.xds.engine import CredentialStatus

log = logging.getLogger(__name__)

UNUSABLE: Final = "CredentialUnusable"
IN_USE: Final = "CredentialInUse"

Secrets: TypeAlias = tuple[tuple[str, str], ...]
"""(namespace, name) of those that decide about a credential."""


class CredentialReports:
    """Says once what is wrong, and once when it is right again."""

    def __init__(self, objects: Objects, recorder: Records) -> None:
        self._objects = objects
        self._recorder = recorder
        self._told: dict[tuple[str, str, Secrets], str] = {}

    def tell(self, statuses: Iterable[CredentialStatus]) -> None:
        """Tell what is new in `statuses`: of every credential that somebody asks for and that was looked for."""
        found: dict[tuple[str, str, Secrets], str] = {}
        for each in statuses:
            found[str(each.object), each.path, each.secrets] = each.problem
        # One Secret may be missing under two names, that of its certificate and that of its authorities.
        news = {(*key[:2], problem) for key, problem in found.items() if problem != self._told.get(key, "")}
        for origin, path, problem in sorted(news):
            obj = self._objects.find(origin)
            if problem:
                log.warning("%s %s: %s", origin, path, problem)
                if obj is not None:
                    self._recorder.record(obj, reason=UNUSABLE, message=f"{path}: {problem}", type="Warning")
            else:
                log.info("%s %s: the credential is in use", origin, path)
                if obj is not None:
                    message = f"{path}: the credential is in use"
                    self._recorder.record(obj, reason=IN_USE, message=message, type="Normal")
        self._told = found


class CredentialFindings:
    """What objects ask for and do not get, now."""

    def __init__(self) -> None:
        self._changed: Callable[[ObjectKey], None] = lambda _: None
        self._found: dict[ObjectKey, tuple[Finding, ...]] = {}

    def bind(self, changed: Callable[[ObjectKey], None]) -> None:
        """Who is to hear of each object of which there is something else to say."""
        self._changed = changed

    def of(self, key: ObjectKey) -> tuple[Finding, ...]:
        """Why what an object says cannot be served."""
        return self._found.get(key, ())

    def take(self, statuses: Iterable[CredentialStatus]) -> None:
        """All credentials that somebody asks for and that were looked for."""
        found: dict[ObjectKey, dict[Finding, None]] = {}
        for each in statuses:
            if each.problem:
                found.setdefault(each.object, {})[_finding(each)] = None
        before, self._found = self._found, {key: tuple(findings) for key, findings in found.items()}
        for key in before.keys() | self._found.keys():
            if before.get(key, ()) != self.of(key):
                self._changed(key)


def _finding(status: CredentialStatus) -> Finding:
    message = INVALID_CREDENTIAL if status.unusable else REFERENCE_NOT_FOUND
    if any(name.endswith(AUTHORITIES) for _, name in status.secrets):
        keys = "its key ca.crt (or cacert): certificates in PEM form of those whom to trust"
        fix = keys if status.unusable else "a Secret with ca.crt in the namespace of the proxy's pod"
    elif status.unusable:
        fix = "its keys tls.crt and tls.key (or cert and key), in PEM form"
    else:
        fix = "a Secret of type kubernetes.io/tls in the namespace of the proxy's pod"
    return Finding(message=message, object=status.object, text=status.problem, path=status.path, fix=fix)
