"""What is known of an object, as its status: conditions `Accepted` and `Settled`, counts of proxies, messages.

The form is Istio's IstioStatus (istio.io/api meta/v1alpha1), with `proxies` in addition. `observedGeneration` stands in
each condition, as Kubernetes has it, and in the status, where Istio has it: `kubectl wait` reads either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plait.api.problem import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plait.api.problem import Problem
    from plait.delivery.settled.ledger import Verdict

ACCEPTED, SETTLED = "Accepted", "Settled"
_STATUS: Final = {"Settled": "True", "ProbeFailed": "Unknown"}
#: How many problems are told in words.
_TOLD: Final = 3
_LIMIT: Final = 1024


class Message(NamedTuple):
    """One message of analysis: Istio's name and code where there are any."""

    name: str
    code: str
    level: Level
    text: str


class Told(NamedTuple):
    """What is to be said of one object: how far it is, what is wrong as it is written, what analysis says."""

    verdict: Verdict
    problems: tuple[Problem, ...] = ()
    messages: tuple[Message, ...] = ()

    @property
    def invalid(self) -> bool:
        """It cannot be used as it is; the version before is in use."""
        return any(problem.level is Level.ERROR for problem in self.problems)

    @property
    def final(self) -> bool:
        """It should be said at once."""
        return self.invalid or self.verdict.final


def status_patch(obj: Mapping[str, Any], told: Told, now: str) -> dict[str, Any] | None:
    """A merge patch for the status subresource; None where the object says it already. `now` is in RFC 3339."""
    status: Mapping[str, Any] = obj.get("status") or {}
    generation = told.verdict.generation
    known = [c for c in status.get("conditions") or () if isinstance(c, dict)]
    wanted = [_accepted(told), _settled(told)]
    own = {condition["type"] for condition in wanted}
    conditions = [condition for condition in known if condition.get("type") not in own]
    for condition in wanted:
        before = next((c for c in known if c.get("type") == condition["type"]), {})
        since = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
        conditions.append({**condition, "observedGeneration": generation, "lastTransitionTime": since or now})
    made: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": conditions,
        "proxies": _proxies(told.verdict),
        "validationMessages": [_message(each) for each in _messages(told)] or None,
    }
    if all(status.get(field) == value for field, value in made.items()):
        return None
    return {"status": made}


def current(obj: Mapping[str, Any], generation: int) -> bool:
    """Whether an object's status says that this generation is settled."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if isinstance(condition, dict) and condition.get("type") == SETTLED:
            return condition.get("status") == "True" and condition.get("observedGeneration") == generation
    return False


def _accepted(told: Told) -> dict[str, str]:
    errors = [problem for problem in told.problems if problem.level is Level.ERROR]
    if errors:
        text = f"the version before stays in use: {_said(map(_words, errors))}"
        return {"type": ACCEPTED, "status": "False", "reason": "Invalid", "message": text}
    warnings = [message.text for message in _messages(told) if message.level is not Level.INFO]
    text = f"valid, with warnings: {_said(warnings)}" if warnings else "valid"
    return {"type": ACCEPTED, "status": "True", "reason": "Valid", "message": text}


def _settled(told: Told) -> dict[str, str]:
    verdict = told.verdict
    if told.invalid:
        text = "not accepted, see the condition Accepted"
        return {"type": SETTLED, "status": "False", "reason": "NotAccepted", "message": text}
    status = _STATUS.get(verdict.state, "False")
    return {"type": SETTLED, "status": status, "reason": verdict.state, "message": describe(verdict)[:_LIMIT]}


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


def _messages(told: Told) -> Sequence[Message]:
    own = [Message(problem.code, "", problem.level, _words(problem)) for problem in told.problems]
    return tuple(dict.fromkeys((*told.messages, *own)))


def _message(message: Message) -> dict[str, Any]:
    kind = {"name": message.name} | ({"code": message.code} if message.code else {})
    return {"type": kind, "level": message.level.name, "message": message.text[:_LIMIT]}


def _words(problem: Problem) -> str:
    where = f"{problem.path}: " if problem.path else ""
    return where + problem.message + (f" ({problem.fix})" if problem.fix else "")


def _said(texts: Iterable[str]) -> str:
    known = list(texts)
    more = f" (and {len(known) - _TOLD} more)" if len(known) > _TOLD else ""
    return ("; ".join(known[:_TOLD]) + more)[:_LIMIT]
