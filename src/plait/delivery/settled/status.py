"""What is known of an object, as its status: conditions `Accepted` and `Settled`, counts of proxies, messages.

The form is Istio's IstioStatus (istio.io/api meta/v1alpha1), with `proxies` and the texts of messages in addition.
`observedGeneration` stands in each condition, as Kubernetes has it, and in the status, where Istio has it: `kubectl
wait` reads either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plait.analyze.messages import KEYS_MISSING, SCHEMA_ERROR
from plait.analyze.report import OWN_FIELDS, said, validation_message
from plait.analyze.schema import finding_of
from plait.api.problem import Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.analyze.finding import Finding
    from plait.api.problem import Problem
    from plait.delivery.settled.verdict import Verdict

ACCEPTED, SETTLED = "Accepted", "Settled"
_STATUS: Final = {"Settled": "True", "ProbeFailed": "Unknown"}
#: How many findings are told in words, and how many at all.
_TOLD: Final = 3
_MESSAGES: Final = 32
_LIMIT: Final = 1024
#: What is in use instead of one that is not valid, where that is more than to say: the version before.
_INSTEAD: Final = {
    "AuthorizationPolicy": "the version before stays in use, or without one what lets through less than this one",
    "PeerAuthentication": "the version before stays in use, or without one this, and STRICT where it cannot be read",
}
#: Of kinds that no proxy acknowledges: what becomes of a valid one.
_WHEN: Final = {
    "ProxyConfig": "; pods take it when they start",
    "WorkloadGroup": "; a proxy that names it has its WorkloadEntry made",
}


class Told(NamedTuple):
    """What is to be said of one object: how far it is, what is wrong as it is written, what analysis says.

    `verdict` is None of an object that no proxy has to acknowledge, and where it is said already or still to come.
    `findings` is None where nobody analyses: then they are the problems. `unserved` is what it lacks to be in effect.
    `health` is the condition Healthy of a program in no pod, None where nobody knows better than what is written.
    """

    verdict: Verdict | None = None
    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] | None = None
    unserved: tuple[Finding, ...] = ()
    health: Mapping[str, str] | None = None

    @property
    def said(self) -> tuple[Finding, ...]:
        """All findings, the worst first."""
        return (*self.unserved, *(map(finding_of, self.problems) if self.findings is None else self.findings))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Why it cannot be used, if so."""
        own = tuple(finding_of(problem) for problem in self.problems if problem.level is Level.ERROR)
        return own or tuple(finding for finding in self.said if finding.message is SCHEMA_ERROR)

    @property
    def final(self) -> bool:
        """It should be said at once."""
        return self.verdict is None or self.verdict.final or bool(self.errors)


def status_patch(obj: Mapping[str, Any], told: Told, now: str) -> dict[str, Any] | None:
    """A merge patch for the status subresource; None where the object says it already. `now` is in RFC 3339."""
    status: Mapping[str, Any] = obj.get("status") or {}
    verdict = told.verdict
    generation = verdict.generation if verdict is not None else generation_of(obj)
    known = [c for c in status.get("conditions") or () if isinstance(c, dict)]
    wanted = [_accepted(told, str(obj.get("kind")))]
    if verdict is not None:
        wanted.append(_settled(verdict, told))
    elif told.unserved and current(obj, generation):
        # Said by the process before, which knew of nothing that is lacking.
        wanted.append(_not_served(told.unserved))
    if told.health is not None:
        wanted.append(_health(told.health, known))
    own = {condition["type"] for condition in wanted}
    conditions = []
    for condition in wanted:
        before = next((c for c in known if c.get("type") == condition["type"]), {})
        since = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
        conditions.append({**condition, "observedGeneration": generation, "lastTransitionTime": since or now})
    foreign = [condition for condition in known if condition.get("type") not in {ACCEPTED, SETTLED, *own}]
    settled = [condition for condition in known if condition.get("type") == SETTLED and SETTLED not in own]
    made: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": [*foreign, *conditions, *settled],
        "validationMessages": [validation_message(finding) for finding in told.said[:_MESSAGES]] or None,
    }
    if verdict is not None:
        made["proxies"] = _proxies(verdict)
    if all(_equal(status.get(field), value) for field, value in made.items()):
        return None
    return {"status": made}


def _health(found: Mapping[str, str], known: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """As it is written already, if it says the same: when it was asked first does not matter."""
    before = next((c for c in known if c.get("type") == found["type"]), {})
    if before.get("status") == found["status"] and "lastProbeTime" in before:
        return {**found, "lastProbeTime": str(before["lastProbeTime"])}
    return dict(found)


def generation_of(obj: Mapping[str, Any]) -> int:
    """The generation of an object as it is now."""
    return int(obj["metadata"].get("generation") or 0)


def _equal(there: object, wanted: object) -> bool:
    """Whether it stands there already. An API server with Istio's own definitions keeps of a message what they have."""
    if there == wanted:
        return True
    if not isinstance(there, list) or not isinstance(wanted, list) or len(there) != len(wanted):
        return False
    return all(isinstance(old, dict) and old == _as_istio(new) for old, new in zip(there, wanted, strict=True))


def _as_istio(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in OWN_FIELDS}


def current(obj: Mapping[str, Any], generation: int) -> bool:
    """Whether an object's status says that this generation is settled."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if isinstance(condition, dict) and condition.get("type") == SETTLED:
            return condition.get("status") == "True" and condition.get("observedGeneration") == generation
    return False


def _accepted(told: Told, kind: str) -> dict[str, str]:
    if told.errors:
        before = _INSTEAD.get(kind, "the version before stays in use" if kind not in _WHEN else "it is not used")
        text = f"{before}: {_listed(told.errors)}"
        return {"type": ACCEPTED, "status": "False", "reason": "Invalid", "message": text}
    warnings = [finding for finding in told.said if finding.level is not Level.INFO]
    text = f"valid, with warnings: {_listed(warnings)}" if warnings else f"valid{_WHEN.get(kind, '')}"
    return {"type": ACCEPTED, "status": "True", "reason": "Valid", "message": text}


def _settled(verdict: Verdict, told: Told) -> dict[str, str]:
    if told.errors:
        text = "not accepted, see the condition Accepted"
        return {"type": SETTLED, "status": "False", "reason": "NotAccepted", "message": text}
    if told.unserved and verdict.state == "Settled":
        return _not_served(told.unserved)
    status = _STATUS.get(verdict.state, "False")
    return {"type": SETTLED, "status": status, "reason": verdict.state, "message": describe(verdict)[:_LIMIT]}


def _not_served(lacking: Sequence[Finding]) -> dict[str, str]:
    if all(finding.message is KEYS_MISSING for finding in lacking):
        text = f"in effect, and refuses tokens for which there are no keys: {_listed(lacking)}"[:_LIMIT]
        return {"type": SETTLED, "status": "False", "reason": "KeysUnavailable", "message": text}
    text = f"in effect but for what has no certificate: {_listed(lacking)}"[:_LIMIT]
    return {"type": SETTLED, "status": "False", "reason": "CredentialUnusable", "message": text}


def describe(verdict: Verdict) -> str:
    """How far an object is, in a sentence."""
    total, names = verdict.proxies, ", ".join(verdict.examples)
    of = "1 proxy" if total == 1 else f"{total} proxies"
    match verdict.state:
        case "Settled":
            which = "the" if total == 1 else "all"
            return f"in effect in {which} {of} concerned" if total else "no connected proxy is concerned"
        case "Rejected":
            blame = verdict.blame
            where = f"{blame.path}: " if blame and blame.path else ""
            who = f" ({blame.proxy})" if blame else ""
            why = blame.message if blame else ""
            return f"refused by {verdict.rejected} of {of}{who}, the version before stays in use: {where}{why}"
        case "ProbeFailed":
            return f"acknowledged by all of {of}, but it cannot be seen whether it is in effect in {names}"
        case "Warming":
            return f"acknowledged by {verdict.acknowledged} of {of}, warming in {verdict.warming}: {names}"
    waiting = f"; waiting for {names}" if names else ""
    return f"acknowledged by {verdict.acknowledged} of {of}, in effect in {verdict.settled}{waiting}"


def _proxies(verdict: Verdict) -> dict[str, int]:
    return {
        "concerned": verdict.proxies,
        "acknowledged": verdict.acknowledged,
        "warming": verdict.warming,
        "rejected": verdict.rejected,
        "settled": verdict.settled,
    }


def _listed(findings: Sequence[Finding]) -> str:
    more = f" (and {len(findings) - _TOLD} more)" if len(findings) > _TOLD else ""
    return ("; ".join(map(_words, findings[:_TOLD])) + more)[:_LIMIT]


def _words(finding: Finding) -> str:
    return f"{finding.path}: {said(finding)}" if finding.path else said(finding)
